"""A result comes back whole by each transport, or as an error that says why not; never lost, never a byte too large.

The bucket is a real S3 server on loopback.
"""

import asyncio
import base64
import hashlib
import io
import json
import os
import re
import socket
import tarfile
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import boto3
import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from moto.server import ThreadedMotoServer

from worker import result
from worker.errors import ResultUndeliverable
from worker.outputs import FILES, Parsed
from worker.request import Request, read
from worker.settings import Settings

MARKDOWN = "# Título\n\n![](images/page_0_image_1.jpg)\n"
PICTURE = b"\xff\xd8\xff\xe0 a picture"
MIDDLE = {"pages": [{"bbox": [0.5, 1.25], "text": "中文"}]}
ALL = ["markdown", "structured_content", "middle_json", "model_output", "images"]

#: Without this, credentials and regions of the machine that runs the tests would be found.
NO_AWS = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_CONFIG_FILE": os.devnull}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith(("AWS_", "BUCKET_", "MINERU_"))]:
        monkeypatch.delenv(name)
    for name, value in NO_AWS.items():
        monkeypatch.setenv(name, value)
    result.renew()
    yield
    result.renew()


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "made-up", "aws_secret_access_key": "made-up", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=url, **keys).create_bucket(Bucket="results")  # type: ignore[call-overload]
    yield url
    server.stop()


Serve = Callable[[Callable[[web.Request], Awaitable[web.Response]]], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server that answers every request by a function; gives its URL."""
    async with AsyncExitStack() as stack:

        async def start(answer: Callable[[web.Request], Awaitable[web.Response]]) -> str:
            site = web.Application()
            site.router.add_route("*", "/{path:.*}", answer)
            return str((await stack.enter_async_context(TestServer(site))).make_url("")).rstrip("/")

        yield start


def settings(**values: Any) -> Settings:
    return Settings.model_validate(values)


def bucket(url: str, **values: Any) -> Settings:
    names = {
        "BUCKET_ENDPOINT_URL": url,
        "BUCKET_NAME": "results",
        "BUCKET_ACCESS_KEY_ID": "made-up",
        "BUCKET_SECRET_ACCESS_KEY": "made-up",
    }
    return settings(**{**names, **values})


def asks(transport: str = "inline", formats: list[str] | None = None, **fields: Any) -> Request:
    fields |= {"transport": transport, "formats": formats or ["markdown", "images"], "file_url": "https://example.com/a.pdf"}
    return read(fields, settings(BUCKET_NAME="any"))


def parsed(folder: Path, markdown: str | bytes = MARKDOWN, images: dict[str, bytes] | None = None, **documents: Any) -> Parsed:
    """A result folder with Markdown, the images and, by the name of their format, JSON documents as MinerU writes them."""
    (folder / "images").mkdir(parents=True)
    (folder / FILES["markdown"]).write_bytes(markdown if isinstance(markdown, bytes) else markdown.encode())
    for name, content in (images or {}).items():
        (folder / "images" / name).write_bytes(content)
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document, ensure_ascii=False, indent=2), encoding="utf-8")
    return Parsed(folder, pages=1, tier="flash")


def illustrated(folder: Path) -> Parsed:
    return parsed(folder, images={"page_0_image_1.jpg": PICTURE, "page_0_image_0.jpg": b""}, middle_json=MIDDLE)


def huge(folder: Path) -> Parsed:
    """30 MB that no compression makes smaller."""
    return parsed(folder, images={"scan.jpg": os.urandom(30_000_000)})


async def deliver(document: Parsed, request: Request, configured: Settings | None = None, job_id: str = "job-1") -> dict[str, Any]:
    return await result.deliver(document, request, configured or settings(), job_id, {"pages": document.pages})


async def refusal(document: Parsed, request: Request, configured: Settings | None = None) -> str:
    with pytest.raises(ResultUndeliverable) as refused:
        await deliver(document, request, configured)
    return str(refused.value)


def unpack(archive: bytes, archive_format: str) -> dict[str, bytes]:
    if archive_format == "zip":
        with zipfile.ZipFile(io.BytesIO(archive)) as packed:
            return {name: packed.read(name) for name in packed.namelist()}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as packed_tar:
        members = [(member.name, packed_tar.extractfile(member)) for member in packed_tar]
        return {name: content.read() for name, content in members if content}


async def fetch(url: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(url)


async def ask_for_known_keys(s3_url: str, after_requests: str) -> None:
    """From this many requests on, the server refuses keys that it did not hand out; ``inf`` is never."""
    async with httpx.AsyncClient() as client:
        (await client.post(f"{s3_url}/moto-api/reset-auth", content=after_requests)).raise_for_status()


def posted_bytes(response: dict[str, Any]) -> int:
    return len(json.dumps({"output": response}, ensure_ascii=False).encode())


# Inline.


async def test_inline_gives_each_asked_format_beside_the_envelope(tmp_path: Path) -> None:
    response = await deliver(illustrated(tmp_path / "r"), asks(formats=["markdown", "middle_json", "images"]))
    assert response == {
        "pages": 1,
        "transport": "inline",
        "degraded": [],
        "markdown": MARKDOWN,
        "middle_json": MIDDLE,
        "images": {"images/page_0_image_0.jpg": "", "images/page_0_image_1.jpg": base64.b64encode(PICTURE).decode()},
    }


async def test_inline_names_images_as_the_markdown_refers_to_them(tmp_path: Path) -> None:
    response = await deliver(illustrated(tmp_path / "r"), asks())
    assert set(re.findall(r"\]\((.+?)\)", response["markdown"])) <= set(response["images"])


async def test_a_format_that_was_not_asked_for_stays_away(tmp_path: Path) -> None:
    response = await deliver(illustrated(tmp_path / "r"), asks(formats=["markdown"]))
    assert set(response) == {"pages", "transport", "degraded", "markdown"}


async def test_a_missing_format_is_null_and_named_as_degraded(tmp_path: Path) -> None:
    response = await deliver(illustrated(tmp_path / "r"), asks(formats=ALL))
    assert response["model_output"] is None
    assert [entry["format"] for entry in response["degraded"]] == ["structured_content", "model_output"]
    assert "tier flash" in response["degraded"][1]["reason"]


@pytest.mark.parametrize("folder_exists", [True, False])
async def test_a_document_without_images_is_not_degraded(tmp_path: Path, folder_exists: bool) -> None:
    document = parsed(tmp_path / "r")
    if not folder_exists:
        (document.folder / "images").rmdir()
    response = await deliver(document, asks(formats=["images"]))
    assert (response["images"], response["degraded"]) == ({}, [])


async def test_markdown_keeps_its_line_ends(tmp_path: Path) -> None:
    response = await deliver(parsed(tmp_path / "r", "a\r\nb\rc\n"), asks(formats=["markdown"]))
    assert response["markdown"] == "a\r\nb\rc\n"


async def test_numbers_that_json_does_not_know_become_null(tmp_path: Path) -> None:
    document = parsed(tmp_path / "r", middle_json={"score": float("nan"), "size": float("-inf")})
    response = await deliver(document, asks(formats=["middle_json"]))
    assert response["middle_json"] == {"score": None, "size": None}


async def test_half_a_surrogate_pair_does_not_keep_the_response_from_being_posted(tmp_path: Path) -> None:
    document = parsed(tmp_path / "r")
    (document.folder / "middle_json.json").write_text('{"text": "a\\ud800b"}', encoding="ascii")
    response = await deliver(document, asks(formats=["middle_json"]))
    assert response["middle_json"] == {"text": "a?b"}
    assert posted_bytes(response)


# Archive.


@pytest.mark.parametrize("archive_format", ["tar.gz", "zip"])
async def test_an_archive_holds_the_asked_formats_below_its_basename(tmp_path: Path, archive_format: str) -> None:
    wish = asks("archive", ["markdown", "middle_json", "images"], archive_format=archive_format, basename="report")
    archive = (await deliver(illustrated(tmp_path / "r"), wish))["archive"]
    members = unpack(base64.b64decode(archive["base64"]), archive_format)
    assert list(members) == [
        "report/markdown.md",
        "report/middle_json.json",
        "report/images/page_0_image_0.jpg",
        "report/images/page_0_image_1.jpg",
    ]
    assert (members["report/markdown.md"].decode(), members["report/images/page_0_image_1.jpg"]) == (MARKDOWN, PICTURE)


async def test_an_archive_says_its_name_format_size_and_digest(tmp_path: Path) -> None:
    response = await deliver(illustrated(tmp_path / "r"), asks("archive", basename="report"))
    content = base64.b64decode(response["archive"].pop("base64"))
    digest = hashlib.sha256(content).hexdigest()
    assert response["archive"] == {"name": "report.tar.gz", "format": "tar.gz", "size": len(content), "sha256": digest}
    assert response["transport"] == "archive"


@pytest.mark.parametrize("archive_format", ["tar.gz", "zip"])
async def test_the_same_result_gives_the_same_archive_whenever_and_wherever_it_is_packed(
    tmp_path: Path, archive_format: str
) -> None:
    first, second = illustrated(tmp_path / "first"), illustrated(tmp_path / "second")
    for file in second.folder.rglob("*"):
        os.utime(file, (1, 2_000_000_000))
        file.chmod(0o700)
    wish = asks("archive", archive_format=archive_format)
    one, other = await deliver(first, wish), await deliver(second, wish)
    assert one["archive"]["sha256"] == other["archive"]["sha256"]


async def test_a_tar_gz_does_not_carry_the_time_it_was_packed_at(tmp_path: Path) -> None:
    packed = (await deliver(illustrated(tmp_path / "r"), asks("archive")))["archive"]["base64"]
    assert base64.b64decode(packed)[4:8] == b"\0\0\0\0"  # The gzip header's time (RFC 1952).


async def test_a_second_delivery_from_the_same_folder_does_not_pack_the_first_archive(tmp_path: Path) -> None:
    document = illustrated(tmp_path / "r")
    first, second = await deliver(document, asks("archive")), await deliver(document, asks("archive"))
    assert first == second


async def test_an_archive_names_what_is_missing_as_degraded(tmp_path: Path) -> None:
    response = await deliver(illustrated(tmp_path / "r"), asks("archive", ["markdown", "model_output"]))
    assert [entry["format"] for entry in response["degraded"]] == ["model_output"]


@pytest.mark.parametrize("transport", ["inline", "archive"])
async def test_a_link_among_the_images_is_not_followed(tmp_path: Path, transport: str) -> None:
    document = illustrated(tmp_path / "r")
    (document.folder / "images" / "hosts.jpg").symlink_to("/etc/hosts")
    assert "images/hosts.jpg" in await refusal(document, asks(transport))


async def test_a_name_that_windows_would_unpack_elsewhere_is_refused(tmp_path: Path) -> None:
    document = parsed(tmp_path / "r", images={r"..\..\evil.jpg": b"x"})
    assert "unsafe name" in await refusal(document, asks("archive"))


# S3.


@pytest.mark.parametrize(("archive_format", "content_type"), [("tar.gz", "application/gzip"), ("zip", "application/zip")])
async def test_s3_gives_a_url_that_the_archive_can_be_fetched_from(
    tmp_path: Path, s3_url: str, archive_format: str, content_type: str
) -> None:
    response = await deliver(illustrated(tmp_path / "r"), asks("s3", archive_format=archive_format), bucket(s3_url))
    s3 = response["s3"]
    fetched = await fetch(s3["url"])
    assert (fetched.status_code, fetched.headers["content-type"]) == (200, content_type)
    assert unpack(fetched.content, archive_format)["document/markdown.md"].decode() == MARKDOWN
    assert (s3["size"], s3["sha256"]) == (len(fetched.content), hashlib.sha256(fetched.content).hexdigest())
    assert (response["transport"], response["degraded"], response["pages"]) == ("s3", [], 1)


async def test_s3_takes_a_result_of_several_parts(tmp_path: Path, s3_url: str) -> None:
    s3 = (await deliver(huge(tmp_path / "r"), asks("s3"), bucket(s3_url)))["s3"]
    fetched = await fetch(s3["url"])
    assert "-" in fetched.headers["etag"], "uploaded in one part"
    assert hashlib.sha256(fetched.content).hexdigest() == s3["sha256"]


async def test_the_key_is_prefix_job_and_basename_and_the_job_cannot_leave_its_place(tmp_path: Path, s3_url: str) -> None:
    configured = bucket(s3_url, BUCKET_PREFIX="/parsed/2026/")
    wish = asks("s3", basename="report", archive_format="zip")
    response = await deliver(illustrated(tmp_path / "r"), wish, configured, job_id="../ab/c-1")
    assert response["s3"]["key"] == "parsed/2026/___ab_c-1/report.zip"
    assert (response["s3"]["bucket"], response["s3"]["format"]) == ("results", "zip")


async def test_the_url_is_signed_with_version_4_and_expires_when_it_says(tmp_path: Path, s3_url: str) -> None:
    before = datetime.now(UTC)
    s3 = (await deliver(illustrated(tmp_path / "r"), asks("s3"), bucket(s3_url, BUCKET_URL_EXPIRES=600)))["s3"]
    signed = httpx.URL(s3["url"]).params
    signed_at = datetime.strptime(signed["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    expires_at = datetime.strptime(s3["expires_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert (signed["X-Amz-Algorithm"], signed["X-Amz-Expires"]) == ("AWS4-HMAC-SHA256", "600")
    assert before.replace(microsecond=0) + timedelta(seconds=600) <= expires_at <= signed_at + timedelta(seconds=600)


async def test_an_endpoint_of_its_own_gets_the_bucket_in_the_path(tmp_path: Path, s3_url: str) -> None:
    named = s3_url.replace("127.0.0.1", "localhost")  # An address always gets it there, a name only if told to.
    s3 = (await deliver(illustrated(tmp_path / "r"), asks("s3"), bucket(named)))["s3"]
    assert s3["url"].startswith(f"{named}/results/job-1/document.tar.gz?")


async def test_a_renewed_client_reads_the_credentials_again(tmp_path: Path, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    configured = bucket(s3_url, BUCKET_ACCESS_KEY_ID="", BUCKET_SECRET_ACCESS_KEY="")
    document, signers = illustrated(tmp_path / "r"), []
    for key in ("first", "second", "third"):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
        if key == "third":
            result.renew()
        url = httpx.URL((await deliver(document, asks("s3"), configured))["s3"]["url"])
        signers.append(url.params["X-Amz-Credential"].split("/")[0])
    assert signers == ["first", "first", "third"]


async def test_s3_without_a_bucket_says_which_variables_to_set(tmp_path: Path) -> None:
    said = await refusal(illustrated(tmp_path / "r"), asks("s3"))
    assert all(name in said for name in ("BUCKET_NAME", "BUCKET_ACCESS_KEY_ID", "BUCKET_SECRET_ACCESS_KEY", "BUCKET_ENDPOINT_URL"))


async def test_a_bucket_that_does_not_exist_is_named(tmp_path: Path, s3_url: str) -> None:
    said = await refusal(illustrated(tmp_path / "r"), asks("s3"), bucket(s3_url, BUCKET_NAME="elsewhere"))
    assert said == (
        "The document was parsed, but S3 bucket 'elsewhere' did not take the result: no such bucket; check BUCKET_NAME. "
        "Nothing was delivered."
    )


async def test_a_bucket_that_does_not_exist_is_named_for_a_result_of_several_parts(tmp_path: Path, s3_url: str) -> None:
    said = await refusal(huge(tmp_path / "r"), asks("s3"), bucket(s3_url, BUCKET_NAME="elsewhere"))
    assert "no such bucket" in said


async def test_a_key_that_the_bucket_does_not_know_is_access_denied(tmp_path: Path, s3_url: str) -> None:
    await ask_for_known_keys(s3_url, "0")
    try:
        said = await refusal(illustrated(tmp_path / "r"), asks("s3"), bucket(s3_url))
    finally:
        await ask_for_known_keys(s3_url, "inf")
    assert "'results' did not take the result: access denied; check BUCKET_ACCESS_KEY_ID" in said


async def test_an_endpoint_that_is_down_is_named(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        said = await refusal(illustrated(tmp_path / "r"), asks("s3"), bucket(url))
    assert f"endpoint {url} cannot be reached (EndpointConnectionError); check BUCKET_ENDPOINT_URL" in said
    assert "'results'" in said


async def test_a_bucket_that_is_full_is_told_in_its_own_words(tmp_path: Path, serve: Serve) -> None:
    async def full(_: web.Request) -> web.Response:
        body = "<Error><Code>XMinioStorageFull</Code><Message>Storage backend has reached its minimum free drive.</Message></Error>"
        return web.Response(status=507, text=body, content_type="application/xml")

    said = await refusal(illustrated(tmp_path / "r"), asks("s3"), bucket(await serve(full)))
    assert "did not take the result" in said
    assert "XMinioStorageFull" in said


async def test_a_bucket_that_stalls_is_given_up(tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stall(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    monkeypatch.setattr(result, "S3_READ_TIMEOUT", 0.2)
    said = await refusal(illustrated(tmp_path / "r"), asks("s3"), bucket(await serve(stall)))
    assert "ReadTimeoutError" in said


@pytest.mark.parametrize("keys", [("", ""), ("made-up", "")])
async def test_missing_credentials_are_named(tmp_path: Path, s3_url: str, keys: tuple[str, str]) -> None:
    configured = bucket(s3_url, BUCKET_ACCESS_KEY_ID=keys[0], BUCKET_SECRET_ACCESS_KEY=keys[1])
    said = await refusal(illustrated(tmp_path / "r"), asks("s3"), configured)
    assert "set BUCKET_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY" in said


async def test_an_endpoint_that_is_no_url_is_shown(tmp_path: Path) -> None:
    assert "Invalid endpoint: nowhere" in await refusal(illustrated(tmp_path / "r"), asks("s3"), bucket("nowhere"))


async def test_a_bucket_name_that_cannot_be_is_shown(tmp_path: Path, s3_url: str) -> None:
    said = await refusal(illustrated(tmp_path / "r"), asks("s3"), bucket(s3_url, BUCKET_NAME="not a name"))
    assert 'Invalid bucket name "not a name"' in said


# Size.


@pytest.mark.parametrize("transport", ["inline", "archive"])
async def test_30_mb_without_a_bucket_is_an_error_with_size_limit_and_ways_out(tmp_path: Path, transport: str) -> None:
    said = await refusal(huge(tmp_path / "r"), asks(transport))
    assert re.search(r"at least 40\.\d+ MB and the limit is 20 MB \(MINERU_MAX_RESPONSE_MB; a MB is 1,000,000 bytes\)", said)
    assert "transport s3" in said
    assert "BUCKET_NAME" in said
    assert "fewer formats or a smaller page_range" in said


@pytest.mark.parametrize("transport", ["inline", "archive"])
async def test_30_mb_with_a_bucket_move_there_whole(tmp_path: Path, s3_url: str, transport: str) -> None:
    document = huge(tmp_path / "r")
    response = await deliver(document, asks(transport), bucket(s3_url))
    members = unpack((await fetch(response["s3"]["url"])).content, "tar.gz")
    assert members["document/images/scan.jpg"] == (document.folder / "images/scan.jpg").read_bytes()
    assert response["transport"] == "s3"
    assert not {"markdown", "images", "archive"} & set(response)


async def test_a_move_to_s3_is_noted_beside_what_is_missing(tmp_path: Path, s3_url: str) -> None:
    document = parsed(tmp_path / "r", "x" * 2000)
    response = await deliver(document, asks(formats=["markdown", "model_output"]), bucket(s3_url, max_response_mb=0.0015))
    assert [entry["format"] for entry in response["degraded"]] == ["model_output", "inline"]
    assert "at least 0.002 MB, the limit is 0.0015 MB" in response["degraded"][1]["reason"]


@pytest.mark.parametrize("transport", ["inline", "archive"])
async def test_the_limit_itself_fits_and_one_byte_more_does_not(tmp_path: Path, transport: str) -> None:
    document, wish = illustrated(tmp_path / "r"), asks(transport)
    size = posted_bytes(await deliver(document, wish))
    assert await deliver(document, wish, settings(max_response_mb=size / 1e6))
    said = await refusal(document, wish, settings(max_response_mb=(size - 1) / 1e6))
    assert [float(number) for number in re.findall(r"([\d.]+) MB", said)] == [size / 1e6, (size - 1) / 1e6]


async def test_the_limit_counts_bytes_not_characters(tmp_path: Path) -> None:
    wish, limit = asks(formats=["markdown"]), settings(max_response_mb=0.0021)
    assert await deliver(parsed(tmp_path / "ascii", "x" * 1000), wish, limit)
    assert await refusal(parsed(tmp_path / "han", "字" * 1000), wish, limit)


async def test_the_limit_counts_the_envelope(tmp_path: Path) -> None:
    envelope = {"debug": "x" * 2000}
    with pytest.raises(ResultUndeliverable, match=r"limit is 0\.002 MB"):
        await result.deliver(parsed(tmp_path / "r"), asks(), settings(max_response_mb=0.002), "job-1", envelope)


async def test_the_limit_counts_what_escaping_adds(tmp_path: Path) -> None:
    document, wish = parsed(tmp_path / "r", '"' * 1500), asks(formats=["markdown"])
    assert await refusal(document, wish, settings(max_response_mb=0.0021))


@pytest.mark.parametrize("text", ['{"a":\n' + " " * 3000 + "1}", '["' + "\\u0041" * 500 + '"]'], ids=["indented", "escaped"])
async def test_json_that_is_larger_on_disk_than_in_the_response_is_delivered(tmp_path: Path, text: str) -> None:
    document = parsed(tmp_path / "r")
    (document.folder / "middle_json.json").write_text(text, encoding="utf-8")
    response = await deliver(document, asks(formats=["middle_json"]), settings(max_response_mb=0.001))
    assert response["middle_json"] == json.loads(text)


async def test_json_far_above_the_limit_is_refused_before_it_is_read_into_objects(tmp_path: Path) -> None:
    document = parsed(tmp_path / "r")
    (document.folder / "middle_json.json").write_text("[" + "1," * 5000, encoding="utf-8")  # No JSON: reading it would fail.
    assert "at least 0.01" in await refusal(document, asks(formats=["middle_json"]), settings(max_response_mb=0.005))


async def test_the_size_measured_is_the_size_the_sdk_posts(tmp_path: Path) -> None:
    rp_http = pytest.importorskip("runpod.serverless.modules.rp_http")
    document, wish, posted = parsed(tmp_path / "r", "Ünïcode 字 \N{PARTY POPPER} 'quoted\" \x01"), asks(), []

    async def take(request: web.Request) -> web.Response:
        posted.append(len(await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/done", take)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        result_url = str(server.make_url("/done?a=b"))
        await rp_http._handle_result(session, {"output": await deliver(document, wish)}, {"id": "job-1"}, result_url, "sent")
    assert await deliver(document, wish, settings(max_response_mb=posted[0] / 1e6))
    assert await refusal(document, wish, settings(max_response_mb=(posted[0] - 1) / 1e6))


async def test_the_event_loop_runs_on_while_a_result_is_packed(tmp_path: Path) -> None:
    packing = asyncio.create_task(refusal(huge(tmp_path / "r"), asks("archive")))
    turns = 0
    while not packing.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 5
