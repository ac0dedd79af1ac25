"""``worker/sdk.py`` and the real SDK, in a process of their own, against the control plane and everything it can do wrong."""

import asyncio
import os
import re
import signal
import time

import pytest

from ops.control_plane import ControlPlane
from ops.faults import Fault
from ops.jobs import Status
from ops.local_worker import LocalWorker
from sdk_contract import running
from sdk_contract.conftest import Start


async def test_a_job_that_comes_as_the_loops_end_is_finished() -> None:
    from runpod.serverless.modules import rp_scale

    from worker import sdk

    done = []

    async def handle(_: object, __: object, job: dict[str, object]) -> None:
        done.append(job["id"])

    scaler = rp_scale.JobScaler({"handler": handle})
    scaler.jobs_handler = handle
    await scaler.jobs_queue.put({"id": "late", "input": {}})
    await sdk._finish_what_came_last(scaler)
    assert done == ["late"]


async def test_a_wait_that_a_shutdown_ends_leaves_nothing_behind() -> None:
    from runpod.serverless.modules import rp_scale

    from worker import polls

    scaler = rp_scale.JobScaler({"handler": None})
    scaler.handle_shutdown(signal.SIGTERM, None)
    assert await polls.unless_ended(scaler._shutdown_event, asyncio.sleep(60)) == []
    await asyncio.sleep(0.1)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_jobs_one_by_one_run_on_the_loop_that_warmed_up_after_the_checks(
    control_plane: ControlPlane, worker: LocalWorker
) -> None:
    for _ in range(2):
        output = (await control_plane.submit({}).finished(20)).output
        assert (output["warm"], output["fit"]) == (True, 1)


async def test_jobs_in_batches_run_at_the_same_time_on_the_loop_that_warmed_up(
    control_plane: ControlPlane, wide: LocalWorker
) -> None:
    jobs = [control_plane.submit({"seconds": 1}) for _ in range(8)]
    await wide.record.until(lambda record: len(record.jobs) >= 3, 30)
    assert [(await job.finished(20)).output["warm"] for job in jobs] == [True] * 8


async def test_pings_carry_the_jobs_in_flight_and_go_on_during_a_long_one(control_plane: ControlPlane, wide: LocalWorker) -> None:
    jobs = [await running(control_plane.submit({"seconds": 4})) for _ in range(2)]
    ids = {job.id for job in jobs}

    def told() -> int:
        return sum(set(ping.job_ids) == ids for ping in wide.record.pings)

    await wide.record.until(lambda _: told() >= 2, 30)
    for job in jobs:
        await job.finished(20)
    await wide.record.until(lambda record: record.pings[-1].job_ids == (), 30)


async def test_a_stop_signal_cancels_one_job_and_no_other(control_plane: ControlPlane, wide: LocalWorker) -> None:
    stopped, kept = [await running(control_plane.submit({"seconds": 3})) for _ in range(2)]
    await asyncio.sleep(0.5)  # The SDK knows no stop for a job it has taken and not started.
    control_plane.stop(stopped)
    assert (await kept.finished(20)).status == Status.COMPLETED
    await wide.line("Job stopped.")
    assert stopped.output is None


async def test_sigterm_finishes_what_was_accepted_and_takes_nothing_more(control_plane: ControlPlane, worker: LocalWorker) -> None:
    accepted = await running(control_plane.submit({"seconds": 2}))
    os.kill(worker.pid, signal.SIGTERM)
    await asyncio.sleep(0.3)
    late = control_plane.submit({})
    assert (await accepted.finished(20)).status == Status.COMPLETED
    finished = time.monotonic()
    assert await worker.wait() == 0
    assert time.monotonic() - finished < 3, "it waited for a poll"
    assert (late.status, late.attempts) == (Status.IN_QUEUE, 0)


async def test_an_idle_worker_leaves_at_once(worker: LocalWorker) -> None:
    assert await worker.terminate(10) == 0


@pytest.mark.parametrize(
    "fault",
    [
        Fault("take", 429),
        Fault("take", 500, times=2),
        Fault("take", 400, times=2),
        Fault("take", "drop", times=2),
        Fault("take", "truncate"),
        Fault("take", "stall", seconds=2),
        Fault("stop", 500, times=2),
        Fault("stop", "drop", times=2),
        Fault("ping", "drop", times=2),
    ],
    ids=lambda fault: f"{fault.where}-{fault.action}",
)
async def test_a_platform_that_fails_is_asked_again(control_plane: ControlPlane, start: Start, fault: Fault) -> None:
    control_plane.faults.append(fault)
    job = control_plane.submit({})
    async with start() as worker:
        await worker.wait_ready(30)
        assert (await job.finished(20)).status == Status.COMPLETED
        if fault.where == "ping":
            await worker.record.until(lambda record: len(record.pings) > 0, 30)
    assert fault.happened


@pytest.mark.parametrize("action", [500, 429, "drop", "lose"])
async def test_a_result_that_does_not_arrive_is_sent_again(control_plane: ControlPlane, worker: LocalWorker, action: int) -> None:
    control_plane.faults.append(Fault("result", action))
    job = await control_plane.submit({"number": 7}).finished(20)
    assert (job.status, job.output["number"]) == (Status.COMPLETED, 7)


async def test_a_result_that_never_arrives_is_logged_with_the_job(control_plane: ControlPlane, worker: LocalWorker) -> None:
    control_plane.faults.append(Fault("result", "drop", times=None))
    job = control_plane.submit({})
    line = await worker.line("could not be delivered", 20)
    assert job.id in line


async def test_a_result_that_is_refused_ends_in_an_error(control_plane: ControlPlane, worker: LocalWorker) -> None:
    control_plane.faults.append(Fault("result", 400))
    job = await control_plane.submit({}).finished(20)
    assert job.status == Status.FAILED
    assert re.search(r"did not take the result of this job, \d+ bytes: status 400", job.error)


async def test_progress_arrives_before_the_result(control_plane: ControlPlane, worker: LocalWorker) -> None:
    job = await control_plane.submit({"progress": {"phase": "parse"}}).finished(20)
    assert job.progress == [{"phase": "parse"}]


async def test_a_worker_that_asks_to_be_replaced_takes_no_further_job(control_plane: ControlPlane, worker: LocalWorker) -> None:
    first, second = control_plane.submit({"refresh_worker": True}), control_plane.submit({})
    assert await asyncio.wait_for(worker.wait(), 20) == 0
    assert (first.status, second.status) == (Status.COMPLETED, Status.IN_QUEUE)
