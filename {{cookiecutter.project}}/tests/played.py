"""A worker played by the test, at the control plane's queue: it takes every job and ends it as the test says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from ops.control_plane import ControlPlane
from ops.jobs import Job, Status

Response = dict[str, Any]


def markdown(job: Job) -> Response:
    """The answer that a worker gives: a page that says what it is named."""
    return {"pages": 1, "markdown": job.input.get("file_name", job.input.get("file_url")), "boot": {"kind": "warm"}, "degraded": []}


@asynccontextmanager
async def played(control_plane: ControlPlane, respond: Callable[[Job], Response | None] = markdown) -> AsyncIterator[None]:
    """Answers jobs while the block runs: with what ``respond`` gives, and as a worker that died where it gives None."""

    async def serve() -> None:
        worker = control_plane.queue.worker("played")
        while True:
            for job in await control_plane.queue.take(worker, 100, 1, lambda: True):
                response = respond(job)
                if response is None:
                    control_plane.queue.finish(job, Status.FAILED, error="the worker exited")
                elif "error" in response:
                    control_plane.queue.finish(job, Status.FAILED, dict(response), response["error"])
                else:
                    control_plane.queue.finish(job, Status.COMPLETED, response)

    serving = asyncio.create_task(serve())
    try:
        yield
    finally:
        serving.cancel()
