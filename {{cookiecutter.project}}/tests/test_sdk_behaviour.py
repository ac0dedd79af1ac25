"""``worker/sdk.py`` and the real SDK, in a process of their own, against the control plane and everything it can do wrong."""

import asyncio
import itertools
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ops.control_plane import ControlPlane
from ops.faults import Fault
from ops.jobs import Job, Status
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


async def running(job: Job) -> Job:
    return await job.until(lambda job: job.status == Status.IN_PROGRESS)


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


# What is taken ahead of its turn.


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


# A platform that is away.


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
