"""Workers that ``worker/sdk.py`` runs as ``bootstrap.py`` has it, in a process of their own."""

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from ops.control_plane import ControlPlane
from ops.local_worker import LocalWorker
from ops.wire import Settings

#: A worker like bootstrap's, with a handler that does as the job says and tells whether it runs on the loop that warmed up.
PROGRAM = """
import asyncio, os
from worker import places, polls, sdk

sdk.DELIVERY_PAUSES = (0.1, 0.1)
sdk.DELIVERY_TIMEOUT = 1.5
places.SHORT = 1.5

here = places.Places(int(os.environ["CONCURRENCY"]), int(os.environ["LOOK_AHEAD"]))
checked, done = [], []

async def main():
    warm = asyncio.get_running_loop()
    async def handle(job):
        async with here.turn() as waited:
            return dict(await work(job["input"], job), waited=waited)
    async def work(wish, job):
        done.append(job["id"])
        if "progress" in wish:
            await sdk.progress(job, wish["progress"])
        if "give_up_polls" in wish:
            await asyncio.sleep(wish["give_up_polls"])
            polls.give_up()
        if "renew_heartbeat" in wish:
            wish["renew_heartbeat"] = sdk.renew_heartbeat()
        await asyncio.sleep(wish.get("seconds", 0))
        return dict(wish, warm=asyncio.get_running_loop() is warm, fit=len(checked), before=len(done) - 1)
    sdk.register_fitness_check(lambda: checked.append(1))
    await sdk.run_fitness_checks()
    sdk.start_heartbeat()
    await sdk.serve(handle, here)

if __name__ == "__main__":
    asyncio.run(main())
"""

Start = Callable[..., LocalWorker]


@pytest.fixture
def settings() -> Settings:
    """Polls held for longer than any test lasts, so that nothing here works only because a poll came back."""
    return Settings(hold=60, ping_interval=1)


@pytest.fixture
def start(control_plane: ControlPlane, tmp_path: Path) -> Start:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def start(concurrency: int = 1, look_ahead: int = 0, **options: str) -> LocalWorker:
        environment = {"CONCURRENCY": str(concurrency), "LOOK_AHEAD": str(look_ahead)}
        return LocalWorker(control_plane, command=(sys.executable, str(program)), environment=environment, **options)  # type: ignore[arg-type]

    return start


@pytest.fixture
async def worker(start: Start) -> AsyncIterator[LocalWorker]:
    async with start() as worker:
        yield await worker.wait_ready(30)
        await worker.kill()


@pytest.fixture
async def wide(start: Start) -> AsyncIterator[LocalWorker]:
    """A worker that takes four jobs at a time."""
    async with start(concurrency=4) as worker:
        yield await worker.wait_ready(30)
        await worker.kill()


@pytest.fixture
async def ahead(start: Start, control_plane: ControlPlane) -> AsyncIterator[LocalWorker]:
    """A worker that runs one job at a time and takes another meanwhile: it has seen that jobs are short."""
    async with start(look_ahead=1) as worker:
        await worker.wait_ready(30)
        await control_plane.submit({}).finished(20)
        yield worker
        await worker.kill()
