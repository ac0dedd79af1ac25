"""Results of every kind, delivered, and what is in them."""

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from worker import result
from worker.errors import ResultUndeliverable
from worker.outputs import FILES, Parsed
from worker.request import Request, read
from worker.settings import Settings

MARKDOWN = "# Título\n\n![](images/page_0_image_1.jpg)\n"
PICTURE = b"\xff\xd8\xff\xe0 a picture"
MIDDLE = {"pages": [{"bbox": [0.5, 1.25], "text": "中文"}]}
ALL = ["markdown", "structured_content", "middle_json", "model_output", "images"]

Serve = Callable[[Callable[[web.Request], Awaitable[web.Response]]], Awaitable[str]]


def settings(**values: Any) -> Settings:
    return Settings.model_validate(values)


def with_bucket(url: str, **values: Any) -> Settings:
    names = {
        "BUCKET_ENDPOINT_URL": url,
        "BUCKET_NAME": "results",
        "BUCKET_ACCESS_KEY_ID": "made-up",
        "BUCKET_SECRET_ACCESS_KEY": "made-up",
    }
    return settings(**{**names, **values})


def asks(transport: str = "inline", formats: list[str] | None = None, **fields: Any) -> Request:
    fields |= {"transport": transport, "formats": formats or ["markdown", "images"], "file_url": "https://example.com/a.pdf"}
    return read(fields, settings(BUCKET_NAME="any"))


def parsed(folder: Path, markdown: str | bytes = MARKDOWN, images: dict[str, bytes] | None = None, **documents: Any) -> Parsed:
    """A result folder with Markdown, the images and, by the name of their format, JSON documents as MinerU writes them."""
    (folder / "images").mkdir(parents=True)
    (folder / FILES["markdown"]).write_bytes(markdown if isinstance(markdown, bytes) else markdown.encode())
    for name, content in (images or {}).items():
        (folder / "images" / name).write_bytes(content)
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document, ensure_ascii=False, indent=2), encoding="utf-8")
    return Parsed(folder, pages=1, tier="flash")


def illustrated(folder: Path) -> Parsed:
    return parsed(folder, images={"page_0_image_1.jpg": PICTURE, "page_0_image_0.jpg": b""}, middle_json=MIDDLE)


def huge(folder: Path) -> Parsed:
    """30 MB that no compression makes smaller."""
    return parsed(folder, images={"scan.jpg": os.urandom(30_000_000)})


async def deliver(document: Parsed, request: Request, configured: Settings | None = None, job_id: str = "job-1") -> dict[str, Any]:
    return await result.deliver(document, request, configured or settings(), job_id, {"pages": document.pages})


async def refusal(document: Parsed, request: Request, configured: Settings | None = None) -> str:
    with pytest.raises(ResultUndeliverable) as refused:
        await deliver(document, request, configured)
    return str(refused.value)


def unpack(archive: bytes, archive_format: str) -> dict[str, bytes]:
    if archive_format == "zip":
        with zipfile.ZipFile(io.BytesIO(archive)) as packed:
            return {name: packed.read(name) for name in packed.namelist()}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as packed_tar:
        members = [(member.name, packed_tar.extractfile(member)) for member in packed_tar]
        return {name: content.read() for name, content in members if content}


async def fetch(url: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(url)


def posted_bytes(response: dict[str, Any]) -> int:
    return len(json.dumps({"output": response}, ensure_ascii=False).encode())
