"""What is taken ahead of its turn, and when."""

import asyncio
import itertools
import os
import signal
from typing import Any

from ops.control_plane import ControlPlane
from ops.faults import Fault
from ops.jobs import Job, Status
from ops.local_worker import LocalWorker
from sdk_contract import running
from sdk_contract.conftest import Start


async def two(control_plane: ControlPlane, at_work: dict[str, Any], waiting: dict[str, Any]) -> list[Job]:
    """A job at work and one that waits for its turn; by one before them the worker knows of the backlog."""
    jobs = [control_plane.submit(wish) for wish in ({}, at_work, waiting)]
    return [await running(job) for job in jobs[1:]]


async def test_the_next_job_is_taken_while_one_runs_and_no_more(control_plane: ControlPlane, ahead: LocalWorker) -> None:
    jobs = [control_plane.submit({"seconds": 1}) for _ in range(4)]
    await running(jobs[2])
    assert [job.status for job in jobs[1:]] == [Status.IN_PROGRESS, Status.IN_PROGRESS, Status.IN_QUEUE]
    outputs = [(await job.finished(20)).output for job in jobs]
    assert [output["before"] for output in outputs] == [1, 2, 3, 4], "not in the order of the queue"
    assert outputs[2]["waited"] > 0.3, "two ran at a time"


async def test_none_is_taken_ahead_before_it_is_known_that_jobs_are_short(control_plane: ControlPlane, start: Start) -> None:
    jobs = [control_plane.submit({"seconds": 1}) for _ in range(2)]
    async with start(look_ahead=4) as worker:
        await worker.wait_ready(30)
        await jobs[0].finished(20)
        assert (await jobs[1].finished(20)).output["waited"] < 0.1


async def test_none_is_taken_ahead_without_a_backlog(control_plane: ControlPlane, ahead: LocalWorker) -> None:
    await asyncio.sleep(0.5)  # A job that is there within 0.3 s of the question counts as one of a backlog.
    await running(control_plane.submit({"seconds": 60}))
    late = control_plane.submit({})
    await asyncio.sleep(0.7)
    assert late.status == Status.IN_QUEUE, "a job was taken that another worker could run"


async def test_a_full_worker_without_look_ahead_takes_the_next_job_as_soon_as_one_is_done(
    control_plane: ControlPlane, worker: LocalWorker
) -> None:
    jobs = [control_plane.submit({}) for _ in range(8)]
    delays = [(await job.finished(20)).delay or 0 for job in jobs]
    assert max(after - before for before, after in itertools.pairwise(delays)) < 0.9, "the SDK rests for a second when full"


async def test_the_next_job_is_at_work_while_a_result_is_on_its_way(control_plane: ControlPlane, worker: LocalWorker) -> None:
    control_plane.faults.append(Fault("result", "stall", seconds=5))
    leaving, next_one = control_plane.submit({}), control_plane.submit({})
    await next_one.finished()
    assert (leaving.status, next_one.status) == (Status.IN_PROGRESS, Status.COMPLETED)


async def test_sigterm_finishes_the_job_that_waits_for_its_turn(control_plane: ControlPlane, ahead: LocalWorker) -> None:
    jobs = await two(control_plane, {"seconds": 1}, {})
    os.kill(ahead.pid, signal.SIGTERM)
    assert [(await job.finished(20)).status for job in jobs] == [Status.COMPLETED] * 2
    assert await asyncio.wait_for(ahead.wait(), 5) == 0


async def test_a_job_that_waits_for_its_turn_is_in_the_pings_and_can_be_stopped(
    control_plane: ControlPlane, ahead: LocalWorker
) -> None:
    at_work, waiting = await two(control_plane, {"seconds": 3}, {})
    await ahead.record.until(lambda record: set(record.pings[-1].job_ids) == {at_work.id, waiting.id}, 30)
    control_plane.stop(waiting)
    await ahead.line("Job stopped.")
    assert (await at_work.finished(20)).status == Status.COMPLETED
    assert (await control_plane.submit({}).finished(20)).output["before"] == 3


async def test_a_worker_to_be_replaced_says_so_with_its_last_result(control_plane: ControlPlane, ahead: LocalWorker) -> None:
    jobs = await two(control_plane, {"seconds": 1, "refresh_worker": True}, {"seconds": 0.5})
    await jobs[0].finished(20)
    assert not ahead.record.refreshed, "the platform may stop it now, with a job at work"
    assert (await jobs[1].finished(20)).status == Status.COMPLETED
    await ahead.record.until(lambda record: record.refreshed, 10)


async def test_an_answer_that_is_on_its_way_at_sigterm_brings_its_job(control_plane: ControlPlane, worker: LocalWorker) -> None:
    job = control_plane.submit({})
    await running(job)
    os.kill(worker.pid, signal.SIGTERM)
    assert (await job.finished(20)).status == Status.COMPLETED
