"""Whatever is in an archive or a response: what is packed and unpacked lies in the folder meant for it."""

import asyncio
import base64
import hashlib
import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import strategies as some

from ops.client import Client, ClientError
from ops.results import save
from soak import Tally, survives
from soak.strategies import paths, try_all
from worker import archive
from worker.request import ArchiveFormat


def test_what_the_worker_packs_lies_in_one_folder_and_is_no_link(tally: Tally, tmp_path: Path) -> None:
    safe = some.text(min_size=1, max_size=40).filter(lambda name: name not in (".", "..") and "/" not in name and "\0" not in name)

    def pack(folder: Path, name: str, archive_format: ArchiveFormat) -> list[str]:
        packed = folder / f"document.{archive_format}"
        archive.pack([folder / "images"], packed, archive_format)
        if archive_format == "zip":
            return zipfile.ZipFile(packed).namelist()
        return tarfile.open(packed).getnames()

    def holds(name: str) -> None:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        (folder / "images").mkdir()
        try:
            (folder / "images" / name).write_bytes(b"x")
        except (OSError, UnicodeEncodeError):
            return
        for archive_format in ("zip", "tar.gz"):
            members = survives(tally, pack, folder, name, archive_format)
            assert all(member.startswith("document/") and ".." not in member.split("/") for member in members or [])

    try_all(safe, holds)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_archive_that_is_unpacked_writes_outside_its_folder(tally: Tally, tmp_path: Path) -> None:
    target, outside = tmp_path / "a" / "b" / "out", tmp_path / "a"
    kinds = some.sampled_from([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
    members = some.lists(some.tuples(paths.filter(bool), kinds, paths), min_size=1, max_size=5)

    def holds(parts: tuple[list[tuple[str, bytes, str]], str]) -> None:
        archive = _zip_of(parts[0]) if parts[1] == "zip" else _tar_of(parts[0])
        described = {
            "format": parts[1],
            "sha256": hashlib.sha256(archive).hexdigest(),
            "base64": base64.b64encode(archive).decode(),
        }
        written = survives(tally, lambda: asyncio.run(save({"archive": described}, Client(), target)), refusals=(ClientError,))
        assert all(path.resolve().is_relative_to(target.resolve()) for path in written or [])
        assert not [path for path in outside.rglob("*") if path.is_file() and target not in path.parents]

    try_all(some.tuples(members, some.sampled_from(["zip", "tar.gz"])), holds)


def test_no_name_in_a_response_writes_outside_its_folder(tally: Tally, tmp_path: Path) -> None:
    target, outside = tmp_path / "a" / "b" / "out", tmp_path / "a"

    def holds(name: str) -> None:
        response = {"markdown": "x", "images": {name: base64.b64encode(b"x").decode()}}
        survives(tally, lambda: asyncio.run(save(response, Client(), target)), refusals=(ClientError,))
        assert not [path for path in outside.rglob("*") if path.is_file() and target not in path.parents]

    try_all(paths, holds)


def _tar_of(parts: list[tuple[str, bytes, str]]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, kind, link in parts:
            member = tarfile.TarInfo(_storable(name))
            member.type, member.linkname, member.size = kind, _storable(link), 1 if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(b"x"))
    return packed.getvalue()


def _zip_of(parts: list[tuple[str, bytes, str]]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, _, __ in parts:
            archive.writestr(zipfile.ZipInfo(_storable(name)), b"x")
    return packed.getvalue()


def _storable(name: str) -> str:
    """The name as an archive can hold it."""
    return name.encode("utf-8", "replace").decode().replace("\0", "")
