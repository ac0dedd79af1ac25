"""A worker that was really frozen: what it says of it, and that the next job is served."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from documents import TABLE
from marks import needs_proc

from ops.control_plane import ControlPlane
from ops.faults import Fault
from ops.jobs import Status
from ops.local_worker import LocalWorker
from ops.wire import Settings as PlatformSettings
from worker.freeze_watch import SHORTEST, TICK

#: Seconds of a freeze that is told even where the machine is busy, which explains a part of the gap.
FROZEN = 2 * (TICK + SHORTEST)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def control_plane() -> AsyncIterator[ControlPlane]:
    """Polls held for longer than any test lasts, so that nothing here works only because a poll came back."""
    async with ControlPlane(PlatformSettings(hold=60, ping_interval=1)) as control_plane:
        yield control_plane


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalWorker]:
    """One worker for all freezes, with a temp folder of its own; it tests itself after each."""
    environment = {
        "MINERU_TEMP_DIR": str(tmp_path_factory.mktemp("temp") / "gone"),
        "MINERU_SELFTEST_AFTER_RESTORE": "1",
        "MINERU_SOURCE_ALLOW_PRIVATE": "1",
    }
    Path(environment["MINERU_TEMP_DIR"]).mkdir()
    async with LocalWorker(control_plane, environment=environment, json_logs=True) as worker:
        worker.temp_dir = Path(environment["MINERU_TEMP_DIR"])  # type: ignore[attr-defined]
        yield await worker.wait_ready()


@asynccontextmanager
async def frozen(worker: LocalWorker) -> AsyncIterator[None]:
    """Stop the worker and all its processes for as long as it takes to be told."""
    os.killpg(worker.pid, signal.SIGSTOP)
    try:
        yield
        await asyncio.sleep(FROZEN)
    finally:
        os.killpg(worker.pid, signal.SIGCONT)


def said(worker: LocalWorker, message: str) -> list[dict[str, Any]]:
    """The worker's log lines with this message, so far."""
    lines = [json.loads(line) for line in worker.lines if line.startswith("{")]
    return [line for line in lines if line["message"] == message]


async def served(control_plane: ControlPlane, within: float = 20) -> dict[str, Any]:
    """What the next job's response says of the worker's boot; fails if the job is not done. The worker polls again then."""
    job = await control_plane.submit(TABLE).finished(within)
    assert job.status is Status.COMPLETED, job.error
    record = control_plane.workers[str(job.worker)]
    polls = record.polls
    with suppress(TimeoutError):
        await record.until(lambda record: record.polls > polls, 2)
    boot: dict[str, Any] = job.output["boot"]
    return boot


def heartbeat(worker: LocalWorker) -> int:
    """The process id of the worker's one child."""
    (child,) = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    return int(child)


frozen_for_real = [needs_proc, pytest.mark.asyncio(loop_scope="module")]


class TestFreezes:
    """In one class, so that they share a worker."""

    pytestmark = frozen_for_real

    async def test_the_next_job_says_restored_and_the_one_after_warm(
        self, control_plane: ControlPlane, worker: LocalWorker
    ) -> None:
        fresh = await served(control_plane)
        async with frozen(worker):
            pass
        restored, warm = await served(control_plane), await served(control_plane)
        assert [boot["kind"] for boot in (fresh, restored, warm)] == ["fresh", "restored", "warm"]
        assert fresh["id"] == restored["id"] == warm["id"]
        assert restored["evidence"] == ["stood_still"]
        assert SHORTEST <= restored["frozen_seconds"] <= FROZEN + 2

    async def test_a_job_that_waits_in_the_kernel_while_frozen_is_not_lost(
        self, control_plane: ControlPlane, worker: LocalWorker
    ) -> None:
        await served(control_plane)
        async with frozen(worker):
            job = control_plane.submit(TABLE)
        assert (await job.finished(30)).output["boot"]["kind"] == "restored"

    async def test_one_line_tells_of_it_and_each_line_of_the_job_too(
        self, control_plane: ControlPlane, worker: LocalWorker
    ) -> None:
        restored, done = len(said(worker, "restored")), len(said(worker, "done"))
        async with frozen(worker):
            pass
        boot = await served(control_plane)
        async with asyncio.timeout(10):
            while len(said(worker, "done")) == done:
                await asyncio.sleep(0.01)
        (line,) = said(worker, "restored")[restored:]
        assert (line["evidence"], line["restores"]) == (["stood_still"], boot["restores"])
        assert line["frozen_seconds"] == boot["frozen_seconds"]
        last = said(worker, "done")[-1]
        told = ("id", "kind", "host", "kernel_boot_id", "restores", "frozen_seconds", "phases", "evidence")
        assert {name: last["boot"][name] for name in told} == {name: boot[name] for name in told}

    async def test_a_poll_that_the_platform_forgot_is_asked_again(self, control_plane: ControlPlane, worker: LocalWorker) -> None:
        await served(control_plane)
        forgotten = Fault("take", "stall", seconds=60)
        control_plane.faults.append(forgotten)
        await served(control_plane)
        assert forgotten.happened
        async with frozen(worker):
            pass
        assert (await served(control_plane, within=10))["kind"] == "restored"

    async def test_connections_that_the_platform_closed_are_made_anew(
        self, control_plane: ControlPlane, worker: LocalWorker
    ) -> None:
        await served(control_plane)
        async with frozen(worker):
            assert control_plane._runner is not None
            assert control_plane._runner.server is not None
            for connection in control_plane._runner.server.connections:
                connection.force_close()
        assert (await served(control_plane))["kind"] == "restored"

    async def test_a_heartbeat_that_died_is_started_again_and_tells_of_jobs(
        self, control_plane: ControlPlane, worker: LocalWorker
    ) -> None:
        killed = heartbeat(worker)
        async with frozen(worker):
            os.kill(killed, signal.SIGKILL)
        assert (await served(control_plane))["kind"] == "restored"
        since = time.monotonic()
        await worker.record.until(lambda record: sum(ping.at > since for ping in record.pings) >= 2, 20)

    async def test_a_temp_folder_that_is_gone_is_made_again(self, control_plane: ControlPlane, worker: LocalWorker) -> None:
        temp: Path = worker.temp_dir  # type: ignore[attr-defined]
        async with frozen(worker):
            temp.rmdir()
        assert (await served(control_plane))["kind"] == "restored"
        assert temp.is_dir()

    async def test_a_signed_url_that_expired_meanwhile_is_named_as_that(
        self, control_plane: ControlPlane, worker: LocalWorker, expired_url: str
    ) -> None:
        async with frozen(worker):
            pass
        job = await control_plane.submit({"file_url": expired_url}).finished(30)
        assert "if the URL is signed, it may have expired, so sign a new one" in job.error
        assert job.output["boot"]["kind"] == "restored"
        assert (await served(control_plane))["kind"] == "warm"

    async def test_pings_go_on_and_no_self_test_failed(self, control_plane: ControlPlane, worker: LocalWorker) -> None:
        since = time.monotonic()
        await worker.record.until(lambda record: sum(ping.at > since for ping in record.pings) >= 2, 20)
        assert "self-test" not in worker.log


@pytest_asyncio.fixture(loop_scope="module")
async def expired_url() -> AsyncIterator[str]:
    """A signed URL whose server answers as S3 does when it has expired."""

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=403, text="<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")

    application = web.Application()
    application.router.add_get("/report.pdf", refuse)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/report.pdf?X-Amz-Expires=60&X-Amz-Signature=abc"
    await runner.cleanup()
