"""The client against the local control plane: what a user reads when something fails, and where the results land."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from conftest import SdkWorker
from played import played

from client import MB, Server
from ops.blocking import BlockingClient
from ops.client import Client, ClientError, EndpointError, JobExpired, JobFailed
from ops.control_plane import ControlPlane
from ops.hosted import HostedApi, Task


async def test_a_file_is_sent_with_its_name_and_options_and_answered(
    client: Client, control_plane: ControlPlane, sdk_worker: SdkWorker, document: Path
) -> None:
    await sdk_worker()
    answer = await client.parse_file(document, {"tier": "flash"})
    assert answer.response == {"file_b64": "YSxiCjEsMgo=", "file_name": "notes.csv", "tier": "flash"}


async def test_a_failed_job_says_what_the_worker_said(client: Client, sdk_worker: SdkWorker, document: Path) -> None:
    await sdk_worker()
    with pytest.raises(ClientError, match=r"^page 3 is no page$"):
        await client.parse_file(document, {"raise": "page 3 is no page"})


async def test_a_result_that_was_too_large_is_not_taken_for_a_success(
    client: Client, sdk_worker: SdkWorker, document: Path
) -> None:
    await sdk_worker()
    with pytest.raises(ClientError, match="larger than the platform carries"):
        await client.parse_file(document, {"size": 20 * MB})


@pytest.mark.parametrize(("size", "prefix"), [(7 * MB, ""), (8 * MB, "sync-")])
async def test_a_job_above_the_limit_of_run_goes_to_runsync(
    client: Client, control_plane: ControlPlane, size: int, prefix: str
) -> None:
    job_id = await client.submit({"file_b64": "x" * (size * 4 // 3)})
    assert job_id in control_plane.jobs
    assert job_id.startswith("sync-") == bool(prefix)


async def test_a_file_no_job_can_carry_is_refused_with_the_limit_and_the_ways_out(client: Client, tmp_path: Path) -> None:
    large = tmp_path / "large.pdf"
    large.write_bytes(b"x" * 16 * MB)
    with pytest.raises(ClientError, match=r"20 MB at most, which is a file of about 15 MB\. Put the file at a URL"):
        await client.parse_file(large)


async def test_a_missing_file_is_named(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"absent\.pdf cannot be read: No such file"):
        await client.parse_file(tmp_path / "absent.pdf")


async def test_a_server_that_is_not_there_is_named_with_the_command_that_starts_one() -> None:
    async with Client("http://127.0.0.1:9") as client:
        with pytest.raises(ClientError, match=r"127\.0\.0\.1:9 does not answer .* Start a worker with `python -m ops run`"):
            await client.submit({})


async def test_another_endpoint_is_refused_in_the_servers_words(control_plane: ControlPlane) -> None:
    async with Client(control_plane.url, "abc") as client:
        with pytest.raises(ClientError, match="There is no endpoint 'abc' here"):
            await client.submit({})


async def test_waiting_survives_a_server_that_fails_for_a_moment(client: Client, server: "Server") -> None:
    server.answers = [web.Response(status=502), web.json_response({"id": "1", "status": "COMPLETED", "output": {"pages": 1}})]
    async with Client(server.url, "x") as client:
        assert (await client.wait("1")).response == {"pages": 1}


async def test_cancelling_the_wait_cancels_the_job(client: Client, control_plane: ControlPlane, document: Path) -> None:
    queued = asyncio.Event()
    waiting = asyncio.create_task(client.parse_file(document, on_status=lambda _: queued.set()))
    await queued.wait()
    waiting.cancel()
    (job,) = control_plane.jobs.values()
    await job.finished()
    assert job.status == "CANCELLED"


# What a user reads.


async def test_a_live_url_without_a_key_is_refused_before_anything_is_sent() -> None:
    async with Client("https://api.runpod.ai", "abc") as client:
        with pytest.raises(EndpointError, match="set RUNPOD_API_KEY to one that may use endpoint abc"):
            await client.submit({})


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "does not accept the API key"), (402, "balance or spending limit is used up"), (404, "knows no endpoint local")],
)
async def test_what_is_wrong_with_key_account_or_endpoint_is_named(server: "Server", status: int, words: str) -> None:
    server.answers = [web.json_response({"error": "no"}, status=status)]
    async with Client(server.url) as client:
        with pytest.raises(EndpointError, match=words):
            await client.submit({})


async def test_a_job_that_is_not_known_any_more_is_said_to_have_expired(client: Client) -> None:
    with pytest.raises(JobExpired, match=r"its result has expired.*It is not queued\. There is no job 1"):
        await client.wait("1")


async def test_a_webhook_stands_beside_the_input(server: "Server") -> None:
    server.answers = [web.json_response({"id": "1", "status": "IN_QUEUE"})]
    async with Client(server.url) as client:
        await client.submit({"probe": True}, webhook="https://example.org/done?secret=1")
    assert server.bodies == [{"input": {"probe": True}, "webhook": "https://example.org/done?secret=1"}]


async def test_an_answer_that_came_with_the_submission_is_not_asked_for_again(server: "Server") -> None:
    server.answers = [web.json_response({"id": "sync-1", "status": "COMPLETED", "output": {"pages": 2}})]
    async with Client(server.url) as client:
        assert (await client.parse({"file_b64": ""})).pages == 2


@pytest.mark.parametrize(
    ("described", "passing"),
    [
        ({"error": "the worker exited"}, True),
        ({"error": "The engine died.", "output": {"error_type": "EngineDead"}}, True),
        ({"error": "It holds no table.", "output": {"error_type": "ParseFailed"}}, False),
        ({"error": json.dumps({"error_message": "division by zero"})}, False),
    ],
)
async def test_a_failure_says_whether_its_worker_is_to_blame(server: "Server", described: dict[str, Any], passing: bool) -> None:
    server.answers = [web.json_response({"id": "1", "status": "FAILED", **described})]
    async with Client(server.url) as client:
        with pytest.raises(JobFailed) as raised:
            await client.wait("1")
    assert raised.value.passing == passing


# Without asyncio.


async def test_the_blocking_client_parses_and_saves(control_plane: ControlPlane, document: Path, tmp_path: Path) -> None:
    def use() -> tuple[str | None, list[Path]]:
        with BlockingClient(control_plane.url) as client:
            answer = client.parse_file(document, {"tier": "flash"})
            return answer.markdown, client.save(answer, tmp_path / "out")

    async with played(control_plane):
        assert await asyncio.to_thread(use) == ("notes.csv", [tmp_path / "out/markdown.md"])


def test_a_closed_blocking_client_says_so() -> None:
    with pytest.raises(RuntimeError, match="use it inside its `with` block"):
        BlockingClient().health()


# As on mineru.net.


async def test_a_task_of_the_hosted_api_is_created_waited_for_and_downloaded(
    client: Client, control_plane: ControlPlane, tmp_path: Path
) -> None:
    hosted = HostedApi(client)
    task_id = await hosted.create_task("https://example.org/tides.pdf", is_ocr=True, page_ranges="1-2")
    assert await hosted.get_task(task_id) == Task(task_id, "pending")
    async with played(control_plane):
        assert await hosted.wait_task(task_id) == Task(task_id, "done")
    assert await hosted.download(task_id, tmp_path) == [tmp_path / "markdown.md"]
    asked = control_plane.jobs[task_id].input
    assert (asked["ocr_mode"], asked["page_range"]) == ("ocr", "1-2")


async def test_what_only_the_hosted_api_has_is_refused_by_name(client: Client) -> None:
    with pytest.raises(ClientError, match="model_version: only the hosted API has this"):
        await HostedApi(client).create_task("https://example.org/tides.pdf", model_version="vlm")
