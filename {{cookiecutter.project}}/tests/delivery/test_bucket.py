"""A result in a bucket can be fetched as long as it says, and a bucket that does not take it is told in plain words."""

import asyncio
import hashlib
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from delivery import MARKDOWN, Serve, asks, deliver, fetch, huge, illustrated, refusal, unpack, with_bucket
from worker import bucket


async def ask_for_known_keys(s3_url: str, after_requests: str) -> None:
    """From this many requests on, the server refuses keys that it did not hand out; ``inf`` is never."""
    async with httpx.AsyncClient() as client:
        (await client.post(f"{s3_url}/moto-api/reset-auth", content=after_requests)).raise_for_status()


@pytest.mark.parametrize(("archive_format", "content_type"), [("tar.gz", "application/gzip"), ("zip", "application/zip")])
async def test_s3_gives_a_url_that_the_archive_can_be_fetched_from(
    tmp_path: Path, s3_url: str, archive_format: str, content_type: str
) -> None:
    response = await deliver(illustrated(tmp_path / "r"), asks("s3", archive_format=archive_format), with_bucket(s3_url))
    s3 = response["s3"]
    fetched = await fetch(s3["url"])
    assert (fetched.status_code, fetched.headers["content-type"]) == (200, content_type)
    assert unpack(fetched.content, archive_format)["document/markdown.md"].decode() == MARKDOWN
    assert (s3["size"], s3["sha256"]) == (len(fetched.content), hashlib.sha256(fetched.content).hexdigest())
    assert (response["transport"], response["degraded"], response["pages"]) == ("s3", [], 1)


async def test_s3_takes_a_result_of_several_parts(tmp_path: Path, s3_url: str) -> None:
    s3 = (await deliver(huge(tmp_path / "r"), asks("s3"), with_bucket(s3_url)))["s3"]
    fetched = await fetch(s3["url"])
    assert "-" in fetched.headers["etag"], "uploaded in one part"
    assert hashlib.sha256(fetched.content).hexdigest() == s3["sha256"]


async def test_the_key_is_prefix_job_and_basename_and_the_job_cannot_leave_its_place(tmp_path: Path, s3_url: str) -> None:
    configured = with_bucket(s3_url, BUCKET_PREFIX="/parsed/2026/")
    wish = asks("s3", basename="report", archive_format="zip")
    response = await deliver(illustrated(tmp_path / "r"), wish, configured, job_id="../ab/c-1")
    assert response["s3"]["key"] == "parsed/2026/___ab_c-1/report.zip"
    assert (response["s3"]["bucket"], response["s3"]["format"]) == ("results", "zip")


async def test_the_url_is_signed_with_version_4_and_expires_when_it_says(tmp_path: Path, s3_url: str) -> None:
    before = datetime.now(UTC)
    s3 = (await deliver(illustrated(tmp_path / "r"), asks("s3"), with_bucket(s3_url, BUCKET_URL_EXPIRES=600)))["s3"]
    signed = httpx.URL(s3["url"]).params
    signed_at = datetime.strptime(signed["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    expires_at = datetime.strptime(s3["expires_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert (signed["X-Amz-Algorithm"], signed["X-Amz-Expires"]) == ("AWS4-HMAC-SHA256", "600")
    assert before.replace(microsecond=0) + timedelta(seconds=600) <= expires_at <= signed_at + timedelta(seconds=600)


async def test_an_endpoint_of_its_own_gets_the_bucket_in_the_path(tmp_path: Path, s3_url: str) -> None:
    named = s3_url.replace("127.0.0.1", "localhost")  # An address always gets it there, a name only if told to.
    s3 = (await deliver(illustrated(tmp_path / "r"), asks("s3"), with_bucket(named)))["s3"]
    assert s3["url"].startswith(f"{named}/results/job-1/document.tar.gz?")


async def test_a_renewed_client_reads_the_credentials_again(tmp_path: Path, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    configured = with_bucket(s3_url, BUCKET_ACCESS_KEY_ID="", BUCKET_SECRET_ACCESS_KEY="")
    document, signers = illustrated(tmp_path / "r"), []
    for key in ("first", "second", "third"):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
        if key == "third":
            bucket.renew()
        url = httpx.URL((await deliver(document, asks("s3"), configured))["s3"]["url"])
        signers.append(url.params["X-Amz-Credential"].split("/")[0])
    assert signers == ["first", "first", "third"]


async def test_s3_without_a_bucket_says_which_variables_to_set(tmp_path: Path) -> None:
    said = await refusal(illustrated(tmp_path / "r"), asks("s3"))
    assert all(name in said for name in ("BUCKET_NAME", "BUCKET_ACCESS_KEY_ID", "BUCKET_SECRET_ACCESS_KEY", "BUCKET_ENDPOINT_URL"))


async def test_a_bucket_that_does_not_exist_is_named(tmp_path: Path, s3_url: str) -> None:
    said = await refusal(illustrated(tmp_path / "r"), asks("s3"), with_bucket(s3_url, BUCKET_NAME="elsewhere"))
    assert said == (
        "The document was parsed, but S3 bucket 'elsewhere' did not take the result: no such bucket; check BUCKET_NAME. "
        "Nothing was delivered."
    )


async def test_a_bucket_that_does_not_exist_is_named_for_a_result_of_several_parts(tmp_path: Path, s3_url: str) -> None:
    said = await refusal(huge(tmp_path / "r"), asks("s3"), with_bucket(s3_url, BUCKET_NAME="elsewhere"))
    assert "no such bucket" in said


async def test_a_key_that_the_bucket_does_not_know_is_access_denied(tmp_path: Path, s3_url: str) -> None:
    await ask_for_known_keys(s3_url, "0")
    try:
        said = await refusal(illustrated(tmp_path / "r"), asks("s3"), with_bucket(s3_url))
    finally:
        await ask_for_known_keys(s3_url, "inf")
    assert "'results' did not take the result: access denied; check BUCKET_ACCESS_KEY_ID" in said


async def test_an_endpoint_that_is_down_is_named(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        said = await refusal(illustrated(tmp_path / "r"), asks("s3"), with_bucket(url))
    assert f"endpoint {url} cannot be reached (EndpointConnectionError); check BUCKET_ENDPOINT_URL" in said
    assert "'results'" in said


async def test_a_bucket_that_is_full_is_told_in_its_own_words(tmp_path: Path, serve: Serve) -> None:
    async def full(_: web.Request) -> web.Response:
        body = "<Error><Code>XMinioStorageFull</Code><Message>Storage backend has reached its minimum free drive.</Message></Error>"
        return web.Response(status=507, text=body, content_type="application/xml")

    said = await refusal(illustrated(tmp_path / "r"), asks("s3"), with_bucket(await serve(full)))
    assert "did not take the result" in said
    assert "XMinioStorageFull" in said


async def test_a_bucket_that_stalls_is_given_up(tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stall(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    monkeypatch.setattr(bucket, "S3_READ_TIMEOUT", 0.2)
    said = await refusal(illustrated(tmp_path / "r"), asks("s3"), with_bucket(await serve(stall)))
    assert "ReadTimeoutError" in said


@pytest.mark.parametrize("keys", [("", ""), ("made-up", "")])
async def test_missing_credentials_are_named(tmp_path: Path, s3_url: str, keys: tuple[str, str]) -> None:
    configured = with_bucket(s3_url, BUCKET_ACCESS_KEY_ID=keys[0], BUCKET_SECRET_ACCESS_KEY=keys[1])
    said = await refusal(illustrated(tmp_path / "r"), asks("s3"), configured)
    assert "set BUCKET_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY" in said


async def test_an_endpoint_that_is_no_url_is_shown(tmp_path: Path) -> None:
    assert "Invalid endpoint: nowhere" in await refusal(illustrated(tmp_path / "r"), asks("s3"), with_bucket("nowhere"))


async def test_a_bucket_name_that_cannot_be_is_shown(tmp_path: Path, s3_url: str) -> None:
    said = await refusal(illustrated(tmp_path / "r"), asks("s3"), with_bucket(s3_url, BUCKET_NAME="not a name"))
    assert 'Invalid bucket name "not a name"' in said
