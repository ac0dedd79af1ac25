"""A folder of documents, and batches of it through the control plane."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from batch import Run
from ops.batch.run import Batch, Outcome, Wish
from ops.batch.sources import Source, find
from ops.client import Client
from ops.control_plane import ControlPlane


@pytest.fixture
async def client(control_plane: ControlPlane) -> AsyncIterator[Client]:
    async with Client(control_plane.url, patience=3) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three documents; the played worker does not look inside."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.docx").write_text(f"{name},{name}\n1,2\n")
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def run(client: Client, folder: Path, output: Path) -> Run:
    """Run a batch of the folder; further wishes as keywords."""

    async def batch(documents: Sequence[Source] | None = None, **wishes: Any) -> list[Outcome]:
        with Batch.opened(client, Wish(output, **wishes)) as running:
            return await running.run(documents or find([str(folder)]))

    return lambda *arguments, **wishes: asyncio.ensure_future(batch(*arguments, **wishes))
