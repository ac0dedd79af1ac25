"""A server, and a client of it."""

from collections.abc import AsyncIterator

import pytest

from ops import endpoint
from ops.endpoint import Rest
from ops.rest_server.server import RestServer, RestSettings


@pytest.fixture
async def server() -> AsyncIterator[RestServer]:
    """A server whose workers boot until a test says otherwise."""
    async with RestServer(RestSettings(boot=600, quota=10)) as running:
        yield running


@pytest.fixture
async def rest(server: RestServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rest]:
    """A client that does not wait long."""
    monkeypatch.setattr(endpoint, "PAUSE", 0.01)
    monkeypatch.setattr(endpoint, "QUIET", 1)
    async with Rest(server.url) as client:
        yield client
