"""The control plane fails on demand, and loses no job by itself."""

import asyncio

import httpx
import pytest
from conftest import SdkWorker

from control_plane import COUNTING
from ops.control_plane import ControlPlane
from ops.faults import Fault
from ops.jobs import Status


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
