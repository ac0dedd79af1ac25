"""``worker/sdk.py`` and the real SDK, in a process of their own, against the control plane and everything it can do wrong."""

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
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
from worker import sdk

sdk.DELIVERY_PAUSES = (0.1, 0.1)

checked = []

async def main():
    warm = asyncio.get_running_loop()
    async def handle(job):
        wish = job["input"]
        if "progress" in wish:
            await sdk.progress(job, wish["progress"])
        if "give_up_polls" in wish:
            await asyncio.sleep(wish["give_up_polls"])
            await sdk.give_up_polls()
        if "renew_heartbeat" in wish:
            wish["renew_heartbeat"] = sdk.renew_heartbeat()
        await asyncio.sleep(wish.get("seconds", 0))
        return dict(wish, warm=asyncio.get_running_loop() is warm, fit=len(checked))
    sdk.register_fitness_check(lambda: checked.append(1))
    await sdk.run_fitness_checks()
    sdk.start_heartbeat()
    await sdk.serve(handle, int(os.environ["CONCURRENCY"]))

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

    def start(concurrency: int = 1, **options: str) -> LocalWorker:
        environment = {"CONCURRENCY": str(concurrency)}
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


async def test_a_poll_that_is_given_up_is_ended_with_all_that_waited_for_it() -> None:
    from runpod.serverless.modules import rp_scale

    from worker import sdk

    scaler = rp_scale.JobScaler({"handler": None})
    scaler.handle_shutdown(signal.SIGTERM, None)
    assert await sdk._unless_shutting_down(scaler, asyncio.sleep(60, ["job"])) == []
    await asyncio.sleep(0.1)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_jobs_one_by_one_run_on_the_loop_that_warmed_up_after_the_checks(
    control_plane: ControlPlane, worker: LocalWorker
) -> None:
    for _ in range(2):
        assert (await control_plane.submit({}).finished(20)).output == {"warm": True, "fit": 1}


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


async def test_a_poll_whose_answer_has_begun_is_not_given_up() -> None:
    from worker import sdk

    class Session:
        @contextlib.asynccontextmanager
        async def get(self, url: str) -> AsyncIterator[str]:
            yield url

    async def fetch(session: Any, count: int) -> list[dict[str, str]]:
        async with session.get("job"):
            await asyncio.sleep(sdk.POLL_GRACE * 3)
            return [{"id": "job"}] * count

    polling = asyncio.create_task(sdk._unless_given_up(fetch, Session(), 2))
    await asyncio.sleep(0)
    await sdk.give_up_polls()
    assert await polling == [{"id": "job"}] * 2
    assert sdk._polls == {}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc, which only Linux has")
async def test_a_heartbeat_that_died_is_started_again_and_carries_jobs(control_plane: ControlPlane, worker: LocalWorker) -> None:
    (child,) = [int(pid) for pid in Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()]
    assert (await control_plane.submit({"renew_heartbeat": True}).finished(20)).output["renew_heartbeat"] is False
    os.kill(child, signal.SIGKILL)
    await asyncio.sleep(0.2)
    job = control_plane.submit({"renew_heartbeat": True, "seconds": 60})
    await worker.record.until(lambda record: bool(record.pings) and record.pings[-1].job_ids == (job.id,), 40)


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
