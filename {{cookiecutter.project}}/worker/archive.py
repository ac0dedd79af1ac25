"""A result's files in one archive, packed from file to file; the same files always give the same bytes."""

import gzip
import hashlib
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from worker.errors import ResultUndeliverable
from worker.request import ArchiveFormat

CONTENT_TYPES: Final[dict[ArchiveFormat, str]] = {"tar.gz": "application/gzip", "zip": "application/zip"}

#: Members carry the oldest time a zip file can express, so that the same result always gives the same bytes.
ZIP_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
#: Read and write for the owner, read for all; what a zip file calls made on Unix.
MEMBER_MODE: Final = 0o644
ZIP_MADE_ON_UNIX: Final = 3
#: zlib's own default: one step from the smallest result, at a fraction of the time of the highest level.
COMPRESSION_LEVEL: Final = 6


def pack(paths: Iterable[Path], archive: Path, archive_format: ArchiveFormat) -> None:
    """Write files and folders to ``archive``, below a folder of its name without the ending. Blocks.

    Raises:
        ResultUndeliverable: the disk does not take it; and as ``files``.
    """
    top = archive.name.removesuffix(f".{archive_format}")
    members = [(f"{top}/{name}", file) for path in paths for name, file in files(path)]
    try:
        _PACKERS[archive_format](archive, members)
    except OSError as error:
        raise ResultUndeliverable(
            f"The document was parsed, but its archive could not be written to disk: {error.strerror}. Nothing was delivered."
        ) from error


def described(archive: Path, archive_format: ArchiveFormat) -> dict[str, Any]:
    """What its receiver can check: ``format``, ``size`` in bytes and ``sha256``."""
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"format": archive_format, "size": archive.stat().st_size, "sha256": digest}


def files(path: Path) -> Iterator[tuple[str, Path]]:
    """A file, or a folder's files in a fixed order, each named relative to where it lies, such as ``images/figure.jpg``.

    Raises:
        ResultUndeliverable: a link, or a name that another system would unpack elsewhere; MinerU makes neither.
    """
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        name = file.relative_to(path.parent).as_posix()
        if file.is_symlink() or "\\" in name:
            raise ResultUndeliverable(
                f"The document was parsed, but its output {name!r} is a link or has an unsafe name; nothing was delivered."
            )
        if file.is_file():
            yield name, file


def _write_tar_gz(archive: Path, members: list[tuple[str, Path]]) -> None:
    with (
        archive.open("wb") as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=COMPRESSION_LEVEL, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for name, path in members:
            member = tarfile.TarInfo(name)  # Its time and owner are 0 until set.
            member.size, member.mode = path.stat().st_size, MEMBER_MODE
            with path.open("rb") as content:
                tar.addfile(member, content)


def _write_zip(archive: Path, members: list[tuple[str, Path]]) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION_LEVEL) as packed:
        for name, path in members:
            member = zipfile.ZipInfo(name, ZIP_EPOCH)
            member.compress_type, member.create_system = zipfile.ZIP_DEFLATED, ZIP_MADE_ON_UNIX
            member.file_size, member.external_attr = path.stat().st_size, MEMBER_MODE << 16
            with path.open("rb") as content, packed.open(member, "w") as target:
                shutil.copyfileobj(content, target)


_PACKERS: Final[dict[ArchiveFormat, Callable[[Path, list[tuple[str, Path]]], None]]] = {"tar.gz": _write_tar_gz, "zip": _write_zip}
