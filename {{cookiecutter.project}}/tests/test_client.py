"""The client against the local control plane: what a user reads when something fails, and where the results land."""

import asyncio
import base64
import contextlib
import email.utils
import hashlib
import io
import json
import tarfile
import time
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from conftest import SdkWorker
from played import played

from ops.blocking import BlockingClient
from ops.client import Client, ClientError, EndpointError, JobExpired, JobFailed, SubmissionUncertain
from ops.control_plane import ControlPlane
from ops.hosted import HostedApi, Task
from ops.results import folder_names, save
from ops.transport import Rate, _retry_after

MB = 1_000_000


@pytest.fixture
async def client(control_plane: ControlPlane) -> AsyncIterator[Client]:
    async with Client(control_plane.url) as client:
        yield client


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "notes.csv"
    path.write_bytes(b"a,b\n1,2\n")
    return path


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


# What is tried again, and what is not.


@pytest.mark.parametrize("status", [429, 503])
async def test_a_submission_that_was_not_taken_is_sent_again_after_what_the_server_asks_for(server: "Server", status: int) -> None:
    server.answers = [
        web.Response(status=status, headers={"Retry-After": "0.7"}),
        web.json_response({"id": "1", "status": "IN_QUEUE"}),
    ]
    async with Client(server.url) as client:
        assert await client.submit({}) == "1"
    assert server.times[1] - server.times[0] >= 0.7


@pytest.mark.parametrize("answer", [None, web.Response(status=502), web.Response(text="not JSON")])
async def test_a_submission_whose_answer_was_lost_is_not_sent_again(server: "Server", answer: web.Response | None) -> None:
    server.answers = [answer]
    async with Client(server.url) as client:
        with pytest.raises(SubmissionUncertain, match=r"queued all the same|not JSON"):
            await client.submit({})
    assert len(server.requests) == 1


async def test_a_look_whose_answer_was_lost_is_repeated(server: "Server") -> None:
    server.answers = [None, web.json_response({"id": "1", "status": "COMPLETED", "output": {}})]
    async with Client(server.url, patience=10) as client:
        assert (await client.status("1"))["status"] == "COMPLETED"


async def test_patience_ends(server: "Server") -> None:
    server.answers = [web.Response(status=429, headers={"Retry-After": "600"}, text="slow down")]
    async with Client(server.url, patience=5) as client:
        with pytest.raises(EndpointError, match=r"answered 429: too many requests.*slow down"):
            await client.submit({})


async def test_no_more_requests_pass_than_the_rate_allows() -> None:
    rate, passed = Rate(3, 0.2), []
    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(rate.turn()).add_done_callback(lambda _: passed.append(time.monotonic()))
    # Each is noted a moment after its turn.
    assert all(passed[number + 3] - passed[number] > 0.15 for number in range(7))


@pytest.mark.parametrize(("value", "seconds"), [("2", 2), ("", 0), ("soon", 0), ("Tue, 24 Nov 2020 17:10:50 GMT", 0)])
def test_retry_after_is_read_as_seconds_and_as_a_date(value: str, seconds: float) -> None:
    assert _retry_after(value) == seconds
    assert 800 < _retry_after(email.utils.formatdate(time.time() + 900, usegmt=True)) <= 900


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


# Where results land.


async def test_an_inline_response_is_written_as_minerus_own_files(client: Client, tmp_path: Path) -> None:
    image = base64.b64encode(b"jpeg").decode()
    response = {"markdown": "# Käse", "middle_json": {"pages": []}, "images": {"images/1.jpg": image}, "boot": {}}
    written = await save(response, client, tmp_path / "out")
    assert sorted(str(path.relative_to(tmp_path / "out")) for path in written) == [
        "images/1.jpg",
        "markdown.md",
        "middle_json.json",
    ]
    assert (tmp_path / "out/markdown.md").read_text(encoding="utf-8") == "# Käse"
    assert (tmp_path / "out/images/1.jpg").read_bytes() == b"jpeg"


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
async def test_an_archive_is_unpacked_to_the_same_files(client: Client, tmp_path: Path, kind: str) -> None:
    packed = archive(kind, {"notes/markdown.md": b"# A", "notes/images/1.jpg": b"jpeg"})
    await save({"archive": {**described(packed, kind), "base64": base64.b64encode(packed).decode()}}, client, tmp_path / "out")
    assert (tmp_path / "out/markdown.md").read_bytes() == b"# A"
    assert (tmp_path / "out/images/1.jpg").read_bytes() == b"jpeg"


async def test_an_archive_in_a_bucket_is_fetched_without_the_api_key(server: "Server", tmp_path: Path) -> None:
    packed = archive("zip", {"notes/markdown.md": b"# A"})
    server.answers = [web.Response(body=packed)]
    async with Client(server.url, api_key="secret") as client:
        await save({"s3": {**described(packed, "zip"), "url": f"{server.url}/result?signature=1"}}, client, tmp_path / "out")
    assert (tmp_path / "out/markdown.md").read_bytes() == b"# A"
    assert "Authorization" not in server.requests[0].headers


async def test_a_damaged_archive_is_refused(client: Client, tmp_path: Path) -> None:
    packed = archive("zip", {"notes/markdown.md": b"# A"})
    response = {"archive": {**described(b"other", "zip"), "base64": base64.b64encode(packed).decode()}}
    with pytest.raises(ClientError, match="damaged"):
        await save(response, client, tmp_path / "out")


@pytest.mark.parametrize("kind", ["tar.gz", "zip", "inline"])
async def test_nothing_is_written_outside_the_folder(client: Client, tmp_path: Path, kind: str) -> None:
    name, content = "../../../escaped", b"x"
    packed = archive(kind, {name: content}) if kind != "inline" else b""
    response: dict[str, Any] = {"archive": {**described(packed, kind), "base64": base64.b64encode(packed).decode()}}
    if kind == "inline":
        response = {"images": {name: base64.b64encode(content).decode()}}
    folder = tmp_path / "a/b/out"
    with contextlib.suppress(ClientError):
        await save(response, client, folder)
    assert files_outside(folder, tmp_path) == []


def test_two_files_of_one_name_get_two_folders_that_are_valid_basenames() -> None:
    names = folder_names([Path("a/report.pdf"), Path("b/Report.docx"), Path("Müller & Söhne.pdf"), Path("….pdf")])
    assert list(names.values()) == ["report", "Report-2", "M-ller-S-hne", "document"]


def archive(kind: str, files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as zipped:
            for name, content in files.items():
                zipped.writestr(name, content)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def files_outside(folder: Path, root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and folder not in path.parents]


def described(packed: bytes, kind: str) -> dict[str, Any]:
    return {"format": kind, "sha256": hashlib.sha256(packed).hexdigest()}


class Server:
    """Answers every request with the next of ``answers``, None by closing the connection, and keeps the request."""

    url = ""

    def __init__(self) -> None:
        self.answers: list[web.Response | None] = []
        self.requests: list[web.Request] = []
        self.bodies: list[Any] = []
        self.times: list[float] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.times.append(time.monotonic())
        self.requests.append(request)
        self.bodies.append(await request.json() if request.method == "POST" else None)
        answer = self.answers.pop(0)
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
        return answer or web.Response()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()
