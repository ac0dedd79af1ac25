"""Local workers kept running under a control plane, as the platform keeps them: one that asks to be replaced is."""

import asyncio
import functools
import itertools
import os
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from ops.control_plane import ControlPlane
from ops.local_worker import LocalWorker

#: Receives a worker's id and one line of its log.
OnLine = Callable[[str, str], object]


def environment(tier: str, log_format: str) -> dict[str, str]:
    """Variables of a worker that serves a person: its tier and log format, and the models that person already has.

    A local worker's own home is empty, so MINERU_HOME has to say where they are.
    """
    home = os.environ.get("MINERU_HOME") or str(Path("~/.mineru").expanduser())
    return {"MINERU_HOME": home, "MINERU_TIER": tier, "MINERU_LOG_FORMAT": log_format}


async def keep_workers(
    control_plane: ControlPlane, count: int, variables: Mapping[str, str], on_line: OnLine, on_ready: Callable[[str], object]
) -> None:
    """Keep ``count`` workers serving until cancelled; ``on_ready`` hears the id of each that starts to serve.

    Raises ``WorkerError`` if one ends before it has served: the next would, too.
    """
    numbers = itertools.count(1)
    json_logs = variables.get("MINERU_LOG_FORMAT") == "json"

    async def keep_one() -> None:
        while True:
            name = f"local-{next(numbers)}"
            told = functools.partial(on_line, name)
            async with LocalWorker(
                control_plane, worker_id=name, environment=variables, json_logs=json_logs, on_line=told
            ) as worker:
                await worker.wait_ready()
                on_ready(name)
                await _first(worker.wait(), worker.record.until(lambda record: record.refreshed, None))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(keep_one())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait for the first of several; the others are given up."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
