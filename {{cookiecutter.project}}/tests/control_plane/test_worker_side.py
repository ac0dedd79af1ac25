"""The control plane as the unmodified SDK's worker sees it, in a process of its own."""

import asyncio
import json

import httpx
import pytest
from conftest import SdkWorker

from control_plane import MB
from ops.control_plane import ControlPlane
from ops.jobs import Status

#: A handler that takes three jobs at a time.
OBEDIENT_TIMES_3 = """
concurrency = 3
async def handle(job):
    await asyncio.sleep(job["input"]["seconds"])
"""


async def test_a_job_goes_to_the_worker_and_its_output_comes_back(control_plane: ControlPlane, sdk_worker: SdkWorker) -> None:
    worker = await sdk_worker()
    job = await control_plane.submit({"hello": "Käse"}).finished()
    assert (job.status, job.output, job.worker) == (Status.COMPLETED, {"hello": "Käse"}, worker.id)


async def test_an_exception_in_the_handler_fails_the_job_with_the_sdks_report(
    control_plane: ControlPlane, sdk_worker: SdkWorker
) -> None:
    await sdk_worker()
    job = await control_plane.submit({"raise": "no such page"}).finished()
    assert job.status == Status.FAILED
    assert json.loads(job.error)["error_message"] == "no such page"


async def test_free_slots_are_filled_by_one_batch_take(control_plane: ControlPlane, sdk_worker: SdkWorker) -> None:
    jobs = [control_plane.submit({"seconds": 60}) for _ in range(3)]
    worker = await sdk_worker(OBEDIENT_TIMES_3)
    await asyncio.gather(*(job.until(lambda job: job.status == Status.IN_PROGRESS) for job in jobs))
    assert worker.record.polls == 1


async def test_progress_is_kept_and_shown_as_the_output_until_there_is_one(
    control_plane: ControlPlane, sdk_worker: SdkWorker, client: httpx.AsyncClient
) -> None:
    await sdk_worker()
    job = control_plane.submit({"progress": {"page": 3}, "seconds": 60})
    await job.until(lambda job: bool(job.progress))
    described = (await client.get(f"/status/{job.id}")).json()
    assert (described["status"], described["output"]) == ("IN_PROGRESS", {"page": 3})


async def test_pings_name_the_jobs_in_progress_and_only_those(control_plane: ControlPlane, sdk_worker: SdkWorker) -> None:
    worker = await sdk_worker()
    await worker.record.until(lambda record: bool(record.pings))
    assert worker.record.pings[0].job_ids == ()
    job = control_plane.submit({"seconds": 60})
    await worker.record.until(lambda record: record.pings[-1].job_ids == (job.id,))
    control_plane.stop(job)
    await worker.record.until(lambda record: record.pings[-1].job_ids == ())


@pytest.mark.parametrize("ending", ["cancelled", "timed out"])
async def test_a_job_that_is_ended_from_outside_is_stopped_in_its_worker(
    control_plane: ControlPlane, sdk_worker: SdkWorker, ending: str
) -> None:
    await sdk_worker()
    job = control_plane.submit({"seconds": 600, "progress": 1}, execution_timeout=1 if ending == "timed out" else 600)
    await job.until(lambda job: bool(job.progress))  # The SDK ignores the stop of a job that it has only queued.
    if ending == "cancelled":
        control_plane.stop(job)
    await job.finished()
    assert job.status == (Status.CANCELLED if ending == "cancelled" else Status.TIMED_OUT)
    following = await control_plane.submit({"next": True}).finished()
    assert following.status == Status.COMPLETED


async def test_a_result_above_the_limit_completes_its_job_without_an_output(
    control_plane: ControlPlane, sdk_worker: SdkWorker
) -> None:
    await sdk_worker()
    large, small = control_plane.submit({"size": 20 * MB}), control_plane.submit({"size": 19 * MB})
    await asyncio.gather(large.finished(), small.finished())
    assert (large.status, large.output, large.error) == (Status.COMPLETED, None, None)
    assert (small.status, len(small.output)) == (Status.COMPLETED, 19 * MB)


async def test_a_job_survives_the_death_of_its_worker(control_plane: ControlPlane, sdk_worker: SdkWorker) -> None:
    worker = await sdk_worker()
    job = control_plane.submit({"seconds": 1})
    await job.until(lambda job: job.status == Status.IN_PROGRESS)
    await worker.kill()
    second = await sdk_worker()
    await job.finished()
    assert (job.status, job.worker, job.attempts) == (Status.COMPLETED, second.id, 2)


async def test_a_job_whose_workers_keep_dying_fails(control_plane: ControlPlane, client: httpx.AsyncClient) -> None:
    job = control_plane.submit({})
    for name in ("first", "second"):
        await client.get(f"/job-take/{name}?")
        control_plane.queue.lose(control_plane.workers[name])
    assert (job.status, job.error) == (Status.FAILED, "2 workers ended while they had this job.")


async def test_a_worker_that_asked_to_be_replaced_gets_no_more_jobs(control_plane: ControlPlane, client: httpx.AsyncClient) -> None:
    job, following = control_plane.submit({}), control_plane.submit({})
    await client.get("/job-take/old?")
    await client.post(f"/job-done/old/{job.id}?", json={"output": 1, "stopPod": True})
    assert (await client.get("/job-take/old?")).status_code == 204
    assert (await client.get("/job-take/new?")).json()["id"] == following.id


async def test_a_worker_with_another_key_is_turned_away(client: httpx.AsyncClient) -> None:
    assert (await client.get("/job-take/stranger?", headers={"Authorization": "other"})).status_code == 401
