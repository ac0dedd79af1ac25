"""A document behind a URL: what arrives, what is cut off, and where redirects may lead."""

import asyncio
import gzip
import logging
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web

from source import PDF, Site, fetch, refusal
from worker import download
from worker.choices import SUFFIXES
from worker.errors import InvalidRequest
from worker.settings import Settings

pytestmark = pytest.mark.skipif("csv" not in SUFFIXES, reason="written for MinerU 4, which tells CSV and HTML apart; same rooms")

# By URL.


async def test_a_url_gives_the_document_at_it(site: Site, tmp_path: Path) -> None:
    site.answers["/report.pdf"] = PDF
    document = await fetch(tmp_path, file_url=site.url())
    assert (document.path.read_bytes(), document.suffix, document.size) == (PDF, "pdf", len(PDF))
    assert document.path.parent == tmp_path


async def test_the_origin_of_a_url_holds_neither_credentials_nor_query(site: Site, tmp_path: Path) -> None:
    site.answers["/report.pdf"] = PDF
    url = site.url("/report.pdf?X-Signature=5ec7e7#top").replace("//", "//user:5ec7e7@")
    assert (await fetch(tmp_path, file_url=url)).origin == site.url("/report.pdf")


async def test_a_signed_url_is_never_logged(site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    site.give("/moved", status=302, headers={"location": "/report.pdf?signature=5ec7e7"})
    site.answers["/report.pdf"] = PDF
    with caplog.at_level(logging.DEBUG):
        await fetch(tmp_path, file_url=site.url("/moved?signature=5ec7e7"))
    assert "5ec7e7" not in caplog.text


async def test_credentials_in_a_url_reach_its_own_server_only(site: Site, tmp_path: Path) -> None:
    site.give("/moved", status=302, headers={"location": site.url("/report.pdf", host="localhost")})
    site.answers["/report.pdf"] = PDF
    await fetch(tmp_path, file_url=site.url("/moved").replace("//", "//user:password@"))
    assert ["Authorization" in headers for headers in site.headers] == [True, False]


async def test_a_large_document_arrives_whole(site: Site, tmp_path: Path) -> None:
    site.answers["/report.pdf"] = whole = PDF + os.urandom(3 * download.BATCH + 17)
    assert (await fetch(tmp_path, file_url=site.url())).path.read_bytes() == whole


async def test_a_document_announced_as_too_large_is_refused_unread(site: Site, tmp_path: Path) -> None:
    site.answers["/report.pdf"] = PDF + bytes(20_000)
    message = await refusal(tmp_path, Settings(source_allow_private=True, max_file_mb=0.01), file_url=site.url())
    assert "at most 0.01 MB (MINERU_MAX_FILE_MB)" in message
    assert not (tmp_path / "download").exists()


async def test_a_stream_without_length_is_cut_off_at_the_limit(site: Site, tmp_path: Path) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(PDF * 1000)
        return response

    site.answers["/report.pdf"] = endless
    assert "more came" in await refusal(tmp_path, Settings(source_allow_private=True, max_file_mb=2), file_url=site.url())
    assert (tmp_path / "download").stat().st_size <= 2_000_000


async def test_a_decompression_bomb_is_cut_off_at_the_limit(site: Site, tmp_path: Path) -> None:
    bomb = gzip.compress(PDF + bytes(50_000_000))
    site.give("/report.pdf", body=bomb, headers={"content-encoding": "gzip"})
    assert "more came" in await refusal(tmp_path, Settings(source_allow_private=True, max_file_mb=2), file_url=site.url())
    assert (tmp_path / "download").stat().st_size <= 2_000_000


@pytest.mark.parametrize("parts", [1, 2])
async def test_a_compressed_transfer_is_decompressed(site: Site, tmp_path: Path, parts: int) -> None:
    site.give("/report.pdf", body=gzip.compress(PDF + bytes(3_000_000)) * parts, headers={"content-encoding": "gzip"})
    assert (await fetch(tmp_path, file_url=site.url())).path.read_bytes() == (PDF + bytes(3_000_000)) * parts


async def test_a_compressed_transfer_that_ends_early_is_refused(site: Site, tmp_path: Path) -> None:
    site.give("/report.pdf", body=gzip.compress(PDF)[:-12], headers={"content-encoding": "gzip"})
    assert "did not come whole" in await refusal(tmp_path, file_url=site.url())


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip"])
async def test_an_encoding_that_cannot_be_bounded_is_refused(site: Site, tmp_path: Path, encoding: str) -> None:
    site.give("/report.pdf", body=PDF, headers={"content-encoding": encoding})
    assert repr(encoding) in await refusal(tmp_path, file_url=site.url())


async def test_a_server_that_stalls_is_given_up(site: Site, tmp_path: Path) -> None:
    async def stall(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(PDF)
        await asyncio.Event().wait()
        return response

    site.answers["/report.pdf"] = stall
    message = await refusal(tmp_path, Settings(source_allow_private=True, source_timeout=0.2), file_url=site.url())
    assert "did not arrive within 0.2 seconds (MINERU_SOURCE_TIMEOUT)" in message


async def test_a_name_server_that_stalls_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_up = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: given_up.wait(10) and [])
    try:
        message = await refusal(tmp_path, Settings(source_timeout=0.2), file_url="https://slow.test/report.pdf")
    finally:
        given_up.set()
    assert "did not arrive within 0.2 seconds" in message


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + PDF, id="content-length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n%PDF\r\n", id="chunked"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="not-http"),
    ],
)
async def test_a_document_that_comes_in_part_is_refused(
    raw: Callable[[bytes], Awaitable[str]], tmp_path: Path, answer: bytes
) -> None:
    assert "did not come whole" in await refusal(tmp_path, file_url=await raw(answer))


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "wants credentials"),
        (403, "signed, it may have expired"),
        (404, "no such document"),
        (500, "try again later"),
        (304, "check the URL"),
    ],
)
async def test_a_status_that_says_no_is_named_with_what_to_do(site: Site, tmp_path: Path, status: int, advice: str) -> None:
    site.give("/report.pdf", status=status)
    message = await refusal(tmp_path, file_url=site.url("/report.pdf?signature=5ec7e7"))
    assert f"answered {status}" in message
    assert advice in message
    assert "5ec7e7" not in message


async def test_a_server_that_is_not_there_is_named(tmp_path: Path, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/report.pdf"
    assert f"{url} cannot be reached" in await refusal(tmp_path, file_url=url)


@pytest.mark.parametrize(
    "url",
    [
        "report.pdf",
        "ftp://host/report.pdf",
        "gopher://host/report.pdf",
        "data:application/pdf;base64,JVBERi0=",
        "jar:http://host/a!/b.pdf",
        "//host/report.pdf",
        "\\\\host\\report.pdf",
        "http:host/report.pdf",
        "http://\uff11\uff12\uff17.0.0.1/report.pdf",
        "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/report.pdf",
        "file:///etc/passwd",
        "http://",
        "http://[::1/x",
        "http://0177.0.0.1/x",
        "http://xn--/x",
        "http://xn--a/x",
        "http://host/\ud800",
    ],
)
async def test_what_is_not_an_http_url_is_an_invalid_request(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^file_url: "):
        await fetch(tmp_path, file_url=url)


# Redirects.


async def test_redirects_are_followed_to_the_document(site: Site, tmp_path: Path) -> None:
    site.give("/a", status=302, headers={"location": "/b"})
    site.give("/b", status=307, headers={"location": site.url("/report.pdf")})
    site.answers["/report.pdf"] = PDF
    assert (await fetch(tmp_path, file_url=site.url("/a"))).suffix == "pdf"


async def test_a_redirect_loop_ends_at_the_limit(site: Site, tmp_path: Path) -> None:
    site.give("/a", status=302, headers={"location": "/a"})
    message = await refusal(tmp_path, Settings(source_allow_private=True, source_max_redirects=2), file_url=site.url("/a"))
    assert "more than 2 redirects (MINERU_SOURCE_MAX_REDIRECTS)" in message
    assert len(site.asked) == 3


async def test_the_body_of_a_redirect_is_not_read(site: Site, tmp_path: Path) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=302, headers={"location": "/report.pdf"})
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(bytes(65536))
        return response

    site.answers.update({"/a": endless, "/report.pdf": PDF})
    assert (await fetch(tmp_path, file_url=site.url("/a"))).size == len(PDF)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/report.pdf", "http://[/", "http://xn--/", "A:0"])
async def test_a_redirect_to_anything_but_http_is_refused(site: Site, tmp_path: Path, location: str) -> None:
    site.give("/a", status=302, headers={"location": location})
    assert (await refusal(tmp_path, file_url=site.url("/a"))).startswith("file_url: ")
