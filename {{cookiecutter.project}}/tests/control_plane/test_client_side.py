"""The control plane as clients see it, the SDK's own among them."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import SdkWorker

from control_plane import COUNTING, MB, taken
from ops.control_plane import ControlPlane
from ops.jobs import Limits, Status
from ops.wire import Settings


async def sdk_client(control_plane: ControlPlane, tmp_path: Path, source: str) -> Any:
    """What ``source`` prints as JSON; it finds ``endpoint``, the SDK's own client of the control plane."""
    program = tmp_path / "sdk_client.py"
    program.write_text(f"import json, runpod\nendpoint = runpod.Endpoint('local', api_key='any')\n{source}")
    environment = control_plane.worker_environment("client")
    process = await asyncio.create_subprocess_exec(sys.executable, program, env=environment, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    return json.loads(printed)


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
