"""Many documents through an endpoint."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ops.batch.run import Outcome
from ops.control_plane import ControlPlane

Run = Callable[..., "asyncio.Task[list[Outcome]]"]


def sent(control_plane: ControlPlane) -> Counter[str]:
    """How many jobs came for each document."""
    return Counter(job.input["file_name"] for job in control_plane.jobs.values())


async def interrupted(run: Run, control_plane: ControlPlane, jobs: int = 3) -> None:
    """Begin a batch and break it off once that many jobs are queued."""
    running = run()
    async with asyncio.timeout(30):
        await control_plane.queue.arrivals.until(lambda: len(control_plane.jobs) == jobs, None)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def entries(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / ".batch/journal.jsonl").read_text().splitlines()]
