"""The document of a job is fetched, checked and identified, and nothing on a private network is touched on the way.

Servers are real ones on loopback. Where the protection is on, 127.0.0.1 stands in for the public internet and 127.0.0.2
for the private network behind the worker.
"""

import io
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from worker import source
from worker.engine import Engine
from worker.errors import SourceFailed
from worker.request import read
from worker.settings import Settings

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
PAGE = b"<!doctype html><html><head><title>Sign in &amp; continue</title></head><body><p>Who are you?</p></body></html>"
CSV = b"name,pages,tier\n" + b"".join(b"report %d,%d,flash\n" % (row, row * 3) for row in range(40))

TRUSTING = Settings(source_allow_private=True)

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """A server on 127.0.0.1 and 127.0.0.2 at the same port.

    ``answers`` says what each path gives: a body, or a coroutine function. ``asked`` lists what reached the server, as the
    address it came to and the path.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.answers: dict[str, Answer | bytes] = {}
        self.port = 0

    def url(self, path: str = "/report.pdf", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def give(self, path: str, **parts: Any) -> None:
        """Answer ``path`` with a response of these parts: body, status, headers."""

        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(**parts)

        self.answers[path] = answer

    async def answer(self, request: web.Request) -> web.StreamResponse:
        local = request.transport.get_extra_info("sockname")[0] if request.transport else ""
        self.asked.append(f"{local}{request.path}")
        self.headers.append(dict(request.headers))
        answer = self.answers[request.path]
        return web.Response(body=answer) if isinstance(answer, bytes) else await answer(request)


async def fetch(folder: Path, settings: Settings = TRUSTING, **job_input: str) -> source.Document:
    return await source.fetch(read(job_input, settings), folder, settings, Engine(settings).identify)


async def refusal(folder: Path, settings: Settings = TRUSTING, **job_input: str) -> str:
    """The message of a job whose document is refused."""
    with pytest.raises(SourceFailed) as caught:
        await fetch(folder, settings, **job_input)
    return str(caught.value)


def docx(compression: int = zipfile.ZIP_STORED) -> bytes:
    """The least that is a Word document."""
    document = io.BytesIO()
    office = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    package = "http://schemas.openxmlformats.org/package/2006"
    main = "word/document.xml"
    types = f'<Types xmlns="{package}/content-types"><Override PartName="/{main}" ContentType="{office}"/></Types>'
    relations = (
        f'<Relationships xmlns="{package}/relationships"><Relationship Id="1" Type="{relation}" Target="{main}"/></Relationships>'
    )
    with zipfile.ZipFile(document, "w", compression) as archive:
        for name, text in {"[Content_Types].xml": types, "_rels/.rels": relations, main: "<document/>"}.items():
            archive.writestr(name, text)
    return document.getvalue()
