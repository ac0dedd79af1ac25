"""A worker's response, written to a folder: the same files whatever way they came."""

import asyncio
import base64
import hashlib
import json
import re
import shutil
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from ops.client import Client, ClientError
from worker.outputs import FILES

#: Longest folder name; a job's ``basename`` may be no longer.
NAME_LIMIT: Final = 100


def folder_names(files: Iterable[Path], taken: Iterable[str] = ()) -> dict[Path, str]:
    """A folder name for each file that is also a valid ``basename``: its own name without the ending, numbered where two agree.

    None of ``taken`` is given again; names that differ in case only are the same to some file systems.
    """
    names: dict[Path, str] = {}
    used = {name.lower() for name in taken}
    numbers: Counter[str] = Counter()
    for file in files:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", file.stem).lstrip("-_")[: NAME_LIMIT - 6] or "document"
        name = stem
        while name.lower() in used:
            numbers[stem.lower()] += 1
            name = f"{stem}-{numbers[stem.lower()] + 1}"
        used.add(name.lower())
        names[file] = name
    return names


async def save(response: dict[str, Any], client: Client, folder: Path) -> list[Path]:
    """Write a response's outputs below ``folder`` and return the files written.

    Inside the response, as an archive inside it, or from the bucket it names: the layout is MinerU's own, markdown.md
    beside its images. Raises ``ClientError`` for an archive that arrived damaged, and for a name that would leave the folder.
    """
    with tempfile.TemporaryDirectory(prefix="result-") as scratch:
        archive = Path(scratch, "archive")
        if described := response.get("s3"):
            await client.download(described["url"], archive)
        return await asyncio.to_thread(_save, response, archive, folder)


def _save(response: dict[str, Any], archive: Path, folder: Path) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if described := response.get("archive"):
            archive.write_bytes(base64.b64decode(described["base64"]))
        described = response.get("archive") or response.get("s3")
        return _unpacked(archive, described, folder) if described else _written(response, folder)
    except OSError as error:
        raise ClientError(f"The result cannot be written to {folder}: {error.strerror or error}.") from error
    except ValueError as error:  # Names that no file system takes, and base64 that is none.
        raise ClientError(f"The result is damaged or names a file that cannot be: {error}.") from error


def _written(response: dict[str, Any], folder: Path) -> list[Path]:
    """Write what stands in the response itself."""
    contents: dict[str, bytes] = {}
    for name, file in FILES.items():
        value = response.get(name)
        if name == "images":
            contents |= {image: base64.b64decode(data) for image, data in (value or {}).items()}
        elif value is not None:
            contents[file] = (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)).encode()
    return [_write(folder, name, content) for name, content in contents.items()]


def _unpacked(archive: Path, described: dict[str, Any], folder: Path) -> list[Path]:
    """Unpack an archive whose members lie in one folder of its own, without that folder."""
    with archive.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != described["sha256"]:
            raise ClientError("The result's archive arrived damaged: its checksum differs. Parse the document again.")
    contents = archive.parent / "contents"
    try:
        if described["format"] == "zip":
            with zipfile.ZipFile(archive) as zipped:
                zipped.extractall(contents)  # noqa: S202 (it drops roots, drives and "..", and makes no links)
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(contents, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile, KeyError, RecursionError, IndexError) as error:
        # Links to nowhere and in a ring, and, to Python 3.11, a member without a name.
        raise ClientError(f"The result's archive cannot be unpacked: {error}.") from error
    files = [path for path in sorted(contents.rglob("*")) if path.is_file() and not path.is_symlink()]
    return [_move(path, folder, Path(*path.relative_to(contents).parts[1:])) for path in files]


def _move(file: Path, folder: Path, name: Path) -> Path:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(file, target))


def _write(folder: Path, name: str, content: bytes) -> Path:
    target = folder / name
    if not target.resolve().is_relative_to(folder.resolve()):
        raise ClientError(f"The response names a file outside its folder, {name!r}; it was not written.")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target
