"""A client of the control plane, a document, and a server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from client import Server
from ops.client import Client
from ops.control_plane import ControlPlane


@pytest.fixture
async def client(control_plane: ControlPlane) -> AsyncIterator[Client]:
    async with Client(control_plane.url) as client:
        yield client


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "notes.csv"
    path.write_bytes(b"a,b\n1,2\n")
    return path


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()
