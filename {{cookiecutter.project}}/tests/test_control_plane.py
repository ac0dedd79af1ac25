"""The local control plane, driven by the unmodified SDK: its worker in a process of its own, and its client."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import SdkWorker

from ops.control_plane import ControlPlane
from ops.faults import Fault
from ops.jobs import Job, Limits, Status
from ops.wire import Settings

MB = 1_000_000


@pytest.fixture
async def client(control_plane: ControlPlane) -> AsyncIterator[httpx.AsyncClient]:
    """Any client of the endpoint; with the worker's key, so that it can play a worker too."""
    headers = {"Authorization": control_plane.settings.api_key}
    async with httpx.AsyncClient(base_url=control_plane.endpoint_url, headers=headers, timeout=30) as client:
        yield client


async def sdk_client(control_plane: ControlPlane, tmp_path: Path, source: str) -> Any:
    """What ``source`` prints as JSON; it finds ``endpoint``, the SDK's own client of the control plane."""
    program = tmp_path / "sdk_client.py"
    program.write_text(f"import json, runpod\nendpoint = runpod.Endpoint('local', api_key='any')\n{source}")
    environment = control_plane.worker_environment("client")
    process = await asyncio.create_subprocess_exec(sys.executable, program, env=environment, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    return json.loads(printed)


# The SDK's worker.


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


# Failures on demand.


async def test_no_failing_take_loses_a_job(control_plane: ControlPlane, sdk_worker: SdkWorker) -> None:
    control_plane.faults += [Fault("take", action) for action in (500, 400, 204, "drop", "lose", "truncate")]
    control_plane.faults.append(Fault("take", "stall", seconds=0.2))
    job = control_plane.submit({"kept": True})
    await sdk_worker()
    await job.finished()
    assert (job.status, job.output, job.attempts) == (Status.COMPLETED, {"kept": True}, 1)
    assert all(fault.happened == 1 for fault in control_plane.faults)


async def test_the_sdk_posts_a_result_again_that_was_answered_with_a_server_error(
    control_plane: ControlPlane, sdk_worker: SdkWorker
) -> None:
    control_plane.faults.append(fault := Fault("result", 500))
    await sdk_worker()
    job = await control_plane.submit({"kept": True}).finished()
    assert (job.output, fault.happened) == ({"kept": True}, 1)


async def test_a_result_is_posted_once_if_refused_or_cut_off_and_the_worker_goes_on(
    control_plane: ControlPlane, sdk_worker: SdkWorker
) -> None:
    control_plane.faults += [refused := Fault("result", 400, times=None), dropped := Fault("result", "drop", times=None)]
    refused.job, dropped.job = (control_plane.submit({}).id for _ in range(2))
    await sdk_worker()
    following = await control_plane.submit({"next": True}).finished()
    assert (following.output, refused.happened, dropped.happened) == ({"next": True}, 1, 1)


async def test_a_result_counts_even_if_its_answer_is_cut(control_plane: ControlPlane, sdk_worker: SdkWorker) -> None:
    control_plane.faults += [Fault("result", "lose"), Fault("result", "truncate")]
    jobs = [control_plane.submit({"kept": number}) for number in range(2)]
    worker = await sdk_worker()
    assert [(await job.finished()).output for job in jobs] == [{"kept": 0}, {"kept": 1}]
    await worker.line("Failed to return job results")


async def test_failing_progress_stop_and_ping_requests_harm_no_job(control_plane: ControlPlane, sdk_worker: SdkWorker) -> None:
    control_plane.faults += [Fault("progress", 400, times=3), Fault("stop", 500), Fault("stop", "truncate"), Fault("ping", "drop")]
    worker = await sdk_worker()
    job = control_plane.submit({"progress": 1, "seconds": 600})
    await job.until(lambda job: job.status == Status.IN_PROGRESS)
    control_plane.stop(job)
    following = await control_plane.submit({"next": True}).finished()
    assert following.status == Status.COMPLETED
    await worker.record.until(lambda record: bool(record.pings))


async def test_a_stream_comes_through_a_failure_in_order(control_plane: ControlPlane, sdk_worker: SdkWorker) -> None:
    control_plane.faults.append(fault := Fault("stream", 503))
    await sdk_worker(COUNTING)
    job = await control_plane.submit({"to": 3}).finished()
    assert (job.chunks, fault.happened) == ([0, 1, 2], 1)


def test_a_fault_that_cannot_happen_is_refused() -> None:
    with pytest.raises(ValueError, match="names no job"):
        Fault("take", 500, job="some-id")
    with pytest.raises(ValueError, match="choose one of take, stop"):
        Fault("takes", 500)  # type: ignore[arg-type]


async def test_a_job_is_never_handed_to_a_closed_connection(control_plane: ControlPlane, client: httpx.AsyncClient) -> None:
    address = httpx.URL(control_plane.url)
    _, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(
        f"GET /v2/local/job-take/gone? HTTP/1.1\r\nHost: x\r\nAuthorization: {control_plane.settings.api_key}\r\n\r\n".encode()
    )
    await client.get("/health")
    await control_plane.queue.worker("gone").until(lambda worker: worker.polls == 1)
    writer.close()
    await writer.wait_closed()
    await client.get("/health")
    job = control_plane.submit({})
    assert (await client.get("/job-take/live?")).json()["id"] == job.id


# The client's side.


async def test_the_sdks_client_drives_it(control_plane: ControlPlane, sdk_worker: SdkWorker, tmp_path: Path) -> None:
    await sdk_worker()
    seen = await sdk_client(
        control_plane,
        tmp_path,
        """
done = endpoint.run_sync({"value": 1})
later = endpoint.run({"value": 2})
output = later.output(timeout=20)
failed = endpoint.run({"raise": "no"})
failed.output(timeout=20)
busy, waiting = endpoint.run({"seconds": 600}), endpoint.run({"value": 3})
print(json.dumps([done, output, later.status(), failed.status(), busy.cancel()["status"], waiting.cancel()["status"],
                  endpoint.purge_queue(), endpoint.health()["jobs"]["completed"]]))
""",
    )
    assert seen == [
        {"value": 1},
        {"value": 2},
        "COMPLETED",
        "FAILED",
        "CANCELLED",
        "CANCELLED",
        {"removed": 0, "status": "completed"},
        2,
    ]


async def test_the_sdks_client_reads_a_stream_to_its_end(
    control_plane: ControlPlane, sdk_worker: SdkWorker, tmp_path: Path
) -> None:
    await sdk_worker(COUNTING)
    seen = await sdk_client(control_plane, tmp_path, 'print(json.dumps(list(endpoint.run({"to": 3}).stream())))')
    assert seen == [0, 1, 2]


async def test_runsync_answers_with_the_state_when_its_wait_is_over(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/runsync?wait=10", json={"input": {}})).json()
    assert answer["status"] == "IN_QUEUE"
    assert answer["id"].startswith("sync-")


async def test_a_finished_job_is_described_with_worker_and_milliseconds(
    control_plane: ControlPlane, client: httpx.AsyncClient
) -> None:
    job = await taken(control_plane, client)
    await client.post(f"/job-done/w/{job.id}?", json={"output": {"pages": 1}})
    described = (await client.get(f"/status/{job.id}")).json()
    assert isinstance(described.pop("delayTime"), int)
    assert isinstance(described.pop("executionTime"), int)
    assert described == {"id": job.id, "status": "COMPLETED", "workerId": "w", "output": {"pages": 1}}


async def test_a_failed_job_can_be_retried_and_a_completed_one_cannot(
    control_plane: ControlPlane, client: httpx.AsyncClient
) -> None:
    job = await taken(control_plane, client)
    await client.post(f"/job-done/w/{job.id}?", json={"error": "broken"})
    assert (await client.post(f"/retry/{job.id}")).json() == {"id": job.id, "status": "IN_QUEUE"}
    assert (await client.get(f"/status/{job.id}")).json() == {"id": job.id, "status": "IN_QUEUE"}
    await client.get("/job-take/w?")
    await client.post(f"/job-done/w/{job.id}?", json={"output": 1})
    assert (await client.post(f"/retry/{job.id}")).status_code == 400


async def test_the_first_end_of_a_job_counts(control_plane: ControlPlane, client: httpx.AsyncClient) -> None:
    job = await taken(control_plane, client)
    await client.post(f"/job-done/w/{job.id}?", json={"output": 1})
    await client.post(f"/job-done/w/{job.id}?", json={"status": "IN_PROGRESS", "output": "late"})
    await client.post(f"/job-done/w/{job.id}?", json={"error": "second thoughts"})
    assert (job.status, job.output, job.error) == (Status.COMPLETED, 1, None)


async def test_purge_cancels_what_waits_and_leaves_what_runs(control_plane: ControlPlane, client: httpx.AsyncClient) -> None:
    running, waiting = await taken(control_plane, client), control_plane.submit({})
    assert (await client.post("/purge-queue")).json() == {"removed": 1, "status": "completed"}
    assert (running.status, waiting.status) == (Status.IN_PROGRESS, Status.CANCELLED)


async def test_a_jobs_own_policy_limits_its_time_in_the_queue(control_plane: ControlPlane, client: httpx.AsyncClient) -> None:
    answer = await client.post("/run", json={"input": {}, "policy": {"ttl": 50}})
    job = await control_plane.jobs[answer.json()["id"]].finished()
    assert (job.status, job.taken) == (Status.TIMED_OUT, None)


async def test_health_counts_jobs_and_workers_by_state(control_plane: ControlPlane, client: httpx.AsyncClient) -> None:
    await taken(control_plane, client)
    control_plane.worker_environment("starting")
    control_plane.submit({})
    health = (await client.get("/health")).json()
    assert health["jobs"] == {"completed": 0, "failed": 0, "inProgress": 1, "inQueue": 1, "retried": 0}
    assert {state: count for state, count in health["workers"].items() if count} == {"running": 1, "initializing": 1}


@pytest.mark.parametrize(
    ("path", "content", "status", "said"),
    [
        ("/run", b'{"input": {"b": "' + b"x" * 10 * MB + b'"}}', 413, "at most 10000000"),
        ("/run", b"no json", 400, "not JSON"),
        ("/run", b'{"inputs": {}}', 400, '"input" object'),
        ("/runsync?wait=soon", b'{"input": {}}', 400, "milliseconds"),
        ("/cancel/unknown", b"", 404, "no job unknown"),
        ("/../other/run", b'{"input": {}}', 404, "no endpoint 'other'"),
    ],
    ids=["too large", "not JSON", "no input", "no number", "unknown job", "other endpoint"],
)
async def test_a_bad_request_is_refused_with_the_reason(
    client: httpx.AsyncClient, path: str, content: bytes, status: int, said: str
) -> None:
    answer = await client.post(path, content=content)
    assert answer.status_code == status
    assert said in answer.json()["error"]


class TestExpiry:
    """Results are kept for a while, and no longer."""

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(hold=1, limits=Limits(retention=0.05))

    async def test_a_result_expires(self, control_plane: ControlPlane, client: httpx.AsyncClient) -> None:
        job = control_plane.submit({})
        control_plane.stop(job)
        await asyncio.sleep(2 * control_plane.settings.limits.retention)
        assert (await client.get(f"/status/{job.id}")).status_code == 404


async def taken(control_plane: ControlPlane, client: httpx.AsyncClient) -> Job:
    """A job in the hands of worker w."""
    job = control_plane.submit({})
    await client.get("/job-take/w?")
    return job


OBEDIENT_TIMES_3 = """
concurrency = 3
async def handle(job):
    await asyncio.sleep(job["input"]["seconds"])
"""

COUNTING = """
async def handle(job):
    for number in range(job["input"]["to"]):
        yield number
"""
