"""A client of the control plane."""

from collections.abc import AsyncIterator

import httpx
import pytest

from ops.control_plane import ControlPlane


@pytest.fixture
async def client(control_plane: ControlPlane) -> AsyncIterator[httpx.AsyncClient]:
    """Any client of the endpoint; with the worker's key, so that it can play a worker too."""
    headers = {"Authorization": control_plane.settings.api_key}
    async with httpx.AsyncClient(base_url=control_plane.endpoint_url, headers=headers, timeout=30) as client:
        yield client
