"""Where results land."""

import base64
import contextlib
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from client import Server
from ops.client import Client, ClientError
from ops.results import folder_names, save


async def test_an_inline_response_is_written_as_minerus_own_files(client: Client, tmp_path: Path) -> None:
    image = base64.b64encode(b"jpeg").decode()
    response = {"markdown": "# Käse", "middle_json": {"pages": []}, "images": {"images/1.jpg": image}, "boot": {}}
    written = await save(response, client, tmp_path / "out")
    assert sorted(str(path.relative_to(tmp_path / "out")) for path in written) == [
        "images/1.jpg",
        "markdown.md",
        "middle_json.json",
    ]
    assert (tmp_path / "out/markdown.md").read_text(encoding="utf-8") == "# Käse"
    assert (tmp_path / "out/images/1.jpg").read_bytes() == b"jpeg"


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
async def test_an_archive_is_unpacked_to_the_same_files(client: Client, tmp_path: Path, kind: str) -> None:
    packed = archive(kind, {"notes/markdown.md": b"# A", "notes/images/1.jpg": b"jpeg"})
    await save({"archive": {**described(packed, kind), "base64": base64.b64encode(packed).decode()}}, client, tmp_path / "out")
    assert (tmp_path / "out/markdown.md").read_bytes() == b"# A"
    assert (tmp_path / "out/images/1.jpg").read_bytes() == b"jpeg"


async def test_an_archive_in_a_bucket_is_fetched_without_the_api_key(server: "Server", tmp_path: Path) -> None:
    packed = archive("zip", {"notes/markdown.md": b"# A"})
    server.answers = [web.Response(body=packed)]
    async with Client(server.url, api_key="secret") as client:
        await save({"s3": {**described(packed, "zip"), "url": f"{server.url}/result?signature=1"}}, client, tmp_path / "out")
    assert (tmp_path / "out/markdown.md").read_bytes() == b"# A"
    assert "Authorization" not in server.requests[0].headers


async def test_a_damaged_archive_is_refused(client: Client, tmp_path: Path) -> None:
    packed = archive("zip", {"notes/markdown.md": b"# A"})
    response = {"archive": {**described(b"other", "zip"), "base64": base64.b64encode(packed).decode()}}
    with pytest.raises(ClientError, match="damaged"):
        await save(response, client, tmp_path / "out")


async def test_an_archive_whose_member_has_no_name_is_refused(client: Client, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr(zipfile.ZipInfo(""), b"x")
    packed = buffer.getvalue()
    response = {"archive": {**described(packed, "zip"), "base64": base64.b64encode(packed).decode()}}
    with pytest.raises(ClientError, match="result"):
        await save(response, client, tmp_path / "out")


@pytest.mark.parametrize("kind", ["tar.gz", "zip", "inline"])
async def test_nothing_is_written_outside_the_folder(client: Client, tmp_path: Path, kind: str) -> None:
    name, content = "../../../escaped", b"x"
    packed = archive(kind, {name: content}) if kind != "inline" else b""
    response: dict[str, Any] = {"archive": {**described(packed, kind), "base64": base64.b64encode(packed).decode()}}
    if kind == "inline":
        response = {"images": {name: base64.b64encode(content).decode()}}
    folder = tmp_path / "a/b/out"
    with contextlib.suppress(ClientError):
        await save(response, client, folder)
    assert files_outside(folder, tmp_path) == []


def test_two_files_of_one_name_get_two_folders_that_are_valid_basenames() -> None:
    names = folder_names([Path("a/report.pdf"), Path("b/Report.docx"), Path("Müller & Söhne.pdf"), Path("….pdf")])
    assert list(names.values()) == ["report", "Report-2", "M-ller-S-hne", "document"]


def archive(kind: str, files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as zipped:
            for name, content in files.items():
                zipped.writestr(name, content)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def files_outside(folder: Path, root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and folder not in path.parents]


def described(packed: bytes, kind: str) -> dict[str, Any]:
    return {"format": kind, "sha256": hashlib.sha256(packed).hexdigest()}
