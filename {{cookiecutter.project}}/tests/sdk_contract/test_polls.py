"""A platform that is away: how soon it is asked again, what becomes of polls that are given up, and of the heartbeat."""

import asyncio
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ops.control_plane import ControlPlane
from ops.faults import Fault
from ops.jobs import Status
from ops.local_worker import LocalWorker
from sdk_contract import running
from sdk_contract.conftest import Start


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, user and system: proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc, which only Linux has")
@pytest.mark.parametrize("away", ["closed", 204, 400, 500])
async def test_a_platform_that_does_not_hold_polls_is_asked_with_pauses(
    control_plane: ControlPlane, worker: LocalWorker, away: int | str
) -> None:
    if away == "closed":
        await control_plane.__aexit__(None, None, None)
    else:
        control_plane.faults += [Fault(where, away, times=None) for where in ("take", "stop")]  # type: ignore[arg-type]
        control_plane.submit({"seconds": 0})  # Ends the poll that is held.
    await asyncio.sleep(1)
    begun, used, said = time.monotonic(), cpu_seconds(worker.pid), len(worker.lines)
    await asyncio.sleep(4)
    assert (cpu_seconds(worker.pid) - used) / (time.monotonic() - begun) < 0.2
    assert sum("ping" not in line.lower() for line in list(worker.lines)[said:]) <= 3, worker.lines
    if away == "closed":
        await control_plane.__aenter__()
    else:
        assert sum(fault.happened for fault in control_plane.faults if fault.where == "take") >= (3 if away == 400 else 1)
        control_plane.faults.clear()
    assert (await control_plane.submit({}).finished(20)).status == Status.COMPLETED
    if away in ("closed", 500):
        await worker.line("platform reachable again")
        assert sum("platform unreachable" in line for line in worker.lines) <= 4


async def test_a_pause_ends_with_a_freeze_and_with_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    from worker import pace, polls

    monkeypatch.setattr(pace, "FIRST", 60)
    monkeypatch.setattr(pace, "LONGEST", 60)
    asked = pace.Pace("jobs")
    pausing = asyncio.create_task(polls._pause(asked.failed("status 500", 0), asked))
    await asyncio.sleep(0)
    polls.give_up()
    await asyncio.wait_for(pausing, 1)
    assert polls._pauses == set()


async def test_a_result_post_that_stalls_is_sent_again(control_plane: ControlPlane, worker: LocalWorker) -> None:
    control_plane.faults.append(Fault("result", "stall", seconds=60))
    assert (await control_plane.submit({"number": 7}).finished(20)).output["number"] == 7


async def test_polls_that_are_given_up_are_asked_anew(control_plane: ControlPlane, start: Start) -> None:
    control_plane.faults.append(Fault("stop", "stall", seconds=60))
    async with start(concurrency=4) as worker:
        await worker.wait_ready()
        control_plane.faults.append(Fault("take", "stall", seconds=60))
        giving_up = await running(control_plane.submit({"give_up_polls": 2, "seconds": 60}))
        assert (await control_plane.submit({}).finished(20)).status == Status.COMPLETED
        assert control_plane.faults[1].happened, "no poll was forgotten"
        control_plane.stop(giving_up)
        await worker.line("Job stopped.", 20)


async def test_what_comes_over_polls_given_up_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    from runpod.serverless.modules import rp_job, rp_scale

    from worker import places, polls, sdk

    answered, session = asyncio.Event(), SimpleNamespace(connector=SimpleNamespace(clear_dns_cache=lambda: None))

    async def fetch(_: Any, count: int = 0) -> list[Any]:
        await answered.wait()
        return [{"id": "late"}] if count else ["stopped"]

    monkeypatch.setattr(rp_job, "JOB_GET_URL", "http://platform/v2/e/job-take/w?gpu=x")
    scaler, here = rp_scale.JobScaler({"handler": None}), places.Places(1)
    scaler.jobs_fetcher = scaler.stop_signals_fetcher = fetch
    scaler.jobs_tasks["stopped"] = task = asyncio.create_task(asyncio.sleep(60))
    sdk._ask_with_patience(scaler, here)
    asking = [asyncio.create_task(asked) for asked in (scaler.jobs_fetcher(session, 1), scaler.stop_signals_fetcher(session))]
    await asyncio.sleep(0.05)
    polls.give_up()
    assert [await asked for asked in asking] == [[], []]
    answered.set()
    await asyncio.wait({task}, timeout=5)
    assert (task.cancelled(), scaler.jobs_queue.get_nowait(), here.wanted()) == (True, {"id": "late"}, 0)
    assert scaler.job_progress.get_job_count() == 1
    scaler.job_progress.clear()


async def test_a_job_that_comes_over_a_poll_given_up_is_run(control_plane: ControlPlane, ahead: LocalWorker) -> None:
    giving_up = await running(control_plane.submit({"give_up_polls": 0}))
    await giving_up.finished(20)
    assert {(await control_plane.submit({"number": number}).finished(20)).output["number"] for number in range(4)} == {0, 1, 2, 3}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc, which only Linux has")
async def test_a_heartbeat_that_died_is_started_again_and_carries_jobs(control_plane: ControlPlane, worker: LocalWorker) -> None:
    (child,) = [int(pid) for pid in Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()]
    assert (await control_plane.submit({"renew_heartbeat": True}).finished(20)).output["renew_heartbeat"] is False
    os.kill(child, signal.SIGKILL)
    await asyncio.sleep(0.2)
    assert (await control_plane.submit({"renew_heartbeat": True}).finished(20)).output["renew_heartbeat"] is True
    job = control_plane.submit({"seconds": 60})
    await worker.record.until(lambda record: bool(record.pings) and record.pings[-1].job_ids == (job.id,), 20)


async def test_killed_and_started_again_it_takes_jobs_again(control_plane: ControlPlane, start: Start) -> None:
    async with start() as worker:
        await worker.wait_ready(30)
        lost = await running(control_plane.submit({"seconds": 60}))
        await worker.kill()
    control_plane.stop(lost)
    async with start() as again:
        await again.wait_ready(30)
        assert (await control_plane.submit({}).finished(20)).status == Status.COMPLETED


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc, which only Linux has")
async def test_the_heartbeat_is_a_process_of_one_thread_that_a_signal_ends_alone(
    control_plane: ControlPlane, worker: LocalWorker
) -> None:
    (child,) = [int(pid) for pid in Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()]
    assert len(list(Path(f"/proc/{child}/task").iterdir())) == 1
    os.kill(child, signal.SIGTERM)
    async with asyncio.timeout(10):
        while "zombie" not in Path(f"/proc/{child}/status").read_text():
            await asyncio.sleep(0.05)
    assert (await control_plane.submit({}).finished(20)).status == Status.COMPLETED
