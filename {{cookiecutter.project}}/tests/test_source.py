"""The document of a job is fetched, checked and identified, and nothing on a private network is touched on the way.

Servers are real ones on loopback. Where the protection is on, 127.0.0.1 stands in for the public internet and 127.0.0.2
for the private network behind the worker.
"""

import asyncio
import base64
import dataclasses
import gzip
import io
import logging
import os
import socket
import threading
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from worker import download, networks, source
from worker.choices import SUFFIXES
from worker.engine import Engine
from worker.errors import InvalidRequest, SourceFailed
from worker.request import read
from worker.settings import Settings

pytestmark = pytest.mark.skipif("csv" not in SUFFIXES, reason="written for MinerU 4, which tells CSV and HTML apart; same rooms")

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
PAGE = b"<!doctype html><html><head><title>Sign in &amp; continue</title></head><body><p>Who are you?</p></body></html>"
CSV = b"name,pages,tier\n" + b"".join(b"report %d,%d,flash\n" % (row, row * 3) for row in range(40))

TRUSTING = Settings(source_allow_private=True)

#: Where clouds offer their machines metadata and keys, other than on link-local addresses; the last two in other forms.
METADATA = (
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "[fd00:ec2::254]",
    "[fd00:ec2::23]",
    "[fd20:ce::254]",
    "[fd00:42::42]",
    "[::ffff:168.63.129.16]",
    "[64:ff9b::a83f:8110]",
)

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """A server on 127.0.0.1 and 127.0.0.2 at the same port.

    ``answers`` says what each path gives: a body, or a coroutine function. ``asked`` lists what reached the server, as the
    address it came to and the path.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.answers: dict[str, Answer | bytes] = {}
        self.port = 0

    def url(self, path: str = "/report.pdf", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def give(self, path: str, **parts: Any) -> None:
        """Answer ``path`` with a response of these parts: body, status, headers."""

        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(**parts)

        self.answers[path] = answer

    async def answer(self, request: web.Request) -> web.StreamResponse:
        local = request.transport.get_extra_info("sockname")[0] if request.transport else ""
        self.asked.append(f"{local}{request.path}")
        self.headers.append(dict(request.headers))
        answer = self.answers[request.path]
        return web.Response(body=answer) if isinstance(answer, bytes) else await answer(request)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", site.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    first = web.TCPSite(runner, "127.0.0.1", 0)
    await first.start()
    site.port = runner.addresses[0][1]
    with suppress(OSError):  # only Linux has the rest of 127.0.0.0/8 ready
        await web.TCPSite(runner, "127.0.0.2", site.port).start()
    yield site
    await runner.cleanup()


@pytest.fixture
async def raw() -> AsyncIterator[Callable[[bytes], Awaitable[str]]]:
    """A server that answers with the bytes given, whatever they are, and closes the connection."""
    servers = []

    async def serve(answer: bytes) -> str:
        async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            writer.close()

        servers.append(await asyncio.start_server(speak, "127.0.0.1", 0))
        return f"http://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}/report.pdf"

    yield serve
    for server in servers:
        server.close()


@pytest.fixture
def pretend_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.1 counts as public; every other private address stays refused."""
    monkeypatch.setattr(download, "PUBLIC", dataclasses.replace(networks.PUBLIC, allowed_networks=(ip_network("127.0.0.1/32"),)))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """DNS for names that end in .test: each lookup of a name takes its next answer, a list of addresses."""
    answers: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def lookup(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if host not in answers:
            return real(host, port, *arguments, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers[host].pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return answers


async def fetch(folder: Path, settings: Settings = TRUSTING, **job_input: str) -> source.Document:
    return await source.fetch(read(job_input, settings), folder, settings, Engine(settings).identify)


async def refusal(folder: Path, settings: Settings = TRUSTING, **job_input: str) -> str:
    """The message of a job whose document is refused."""
    with pytest.raises(SourceFailed) as caught:
        await fetch(folder, settings, **job_input)
    return str(caught.value)


def docx(compression: int = zipfile.ZIP_STORED) -> bytes:
    """The least that is a Word document."""
    document = io.BytesIO()
    office = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    package = "http://schemas.openxmlformats.org/package/2006"
    main = "word/document.xml"
    types = f'<Types xmlns="{package}/content-types"><Override PartName="/{main}" ContentType="{office}"/></Types>'
    relations = (
        f'<Relationships xmlns="{package}/relationships"><Relationship Id="1" Type="{relation}" Target="{main}"/></Relationships>'
    )
    with zipfile.ZipFile(document, "w", compression) as archive:
        for name, text in {"[Content_Types].xml": types, "_rels/.rels": relations, main: "<document/>"}.items():
            archive.writestr(name, text)
    return document.getvalue()


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


# Private networks.


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "0x7f000001",
        "0x7f.0.0.1",
        "2130706433",
        "127.1",
        "0",
        "0.0.0.0",
        "user@127.0.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "0x7F000001",
        "127.0.1",
        "127.0x0.0x0.1",
        "[0:0:0:0:0:0:0:1]",
        "[::127.0.0.1]",
        "[::ffff:7f00:1]",
        "[2001:0:7f00:1::]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b:1::7f00:1]",
        "example.com@127.0.0.1",
        "user:pass@[::1]",
        "017700000001",
        "127\u30020\u30020\u30021",
    ],
)
async def test_no_spelling_of_this_machine_reaches_it(site: Site, tmp_path: Path, host: str) -> None:
    site.answers["/report.pdf"] = PDF
    assert "file_url: host " in await refusal(tmp_path, Settings(), file_url=site.url(host=host))
    assert site.asked == []


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "100.64.0.1",
        "192.0.0.192",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "198.18.0.1",
        "[fd00::1]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[::ffff:10.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::c0a8:101]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a00:1::1]",
        "[2002:a9fe:a9fe::]",
        "[2001:0:a00:1::f5ff:fffe]",
        "[2001:0:808:808::f5ff:fffe]",
        *METADATA,
    ],
)
async def test_a_private_address_is_refused_with_the_way_out_for_trusted_senders(tmp_path: Path, host: str) -> None:
    message = await refusal(tmp_path, Settings(), file_url=f"http://{host}:9000/report.pdf")
    assert f"host {host.strip('[]')} is on a private network" in message
    assert "MINERU_SOURCE_ALLOW_PRIVATE" in message


async def test_a_name_is_refused_without_telling_its_private_address(tmp_path: Path, names: dict[str, list[list[str]]]) -> None:
    names["intranet.test"] = [["10.11.12.13"]]
    message = await refusal(tmp_path, Settings(), file_url="https://intranet.test/report.pdf")
    assert "host intranet.test is on a private network" in message
    assert "10.11.12.13" not in message


@pytest.mark.usefixtures("pretend_public")
async def test_a_name_with_public_and_private_addresses_is_refused(
    site: Site, tmp_path: Path, names: dict[str, list[list[str]]]
) -> None:
    names["both.test"] = [["127.0.0.1", "127.0.0.2"]]
    assert "private network" in await refusal(tmp_path, Settings(), file_url=site.url(host="both.test"))
    assert site.asked == []


@pytest.mark.usefixtures("pretend_public")
@pytest.mark.parametrize("target", ["127.0.0.2", "169.254.169.254", "inside.test"])
async def test_a_redirect_to_a_private_network_is_refused(
    site: Site, tmp_path: Path, names: dict[str, list[list[str]]], target: str
) -> None:
    names["inside.test"] = [["127.0.0.2"]]
    site.give("/a", status=302, headers={"location": site.url("/secret", host=target)})
    assert f"host {target} is on a private network" in await refusal(tmp_path, Settings(), file_url=site.url("/a"))
    assert site.asked == ["127.0.0.1/a"]


@pytest.mark.usefixtures("pretend_public")
async def test_the_connection_goes_to_the_address_that_was_checked(
    site: Site, tmp_path: Path, names: dict[str, list[list[str]]]
) -> None:
    site.answers["/report.pdf"] = PDF
    names["rebinding.test"] = [["127.0.0.1"], ["127.0.0.2"]]
    await fetch(tmp_path, Settings(), file_url=site.url(host="rebinding.test"))
    assert site.asked == ["127.0.0.1/report.pdf"]
    assert names["rebinding.test"] == [["127.0.0.2"]]


@pytest.mark.usefixtures("pretend_public")
async def test_a_second_answer_for_a_name_is_checked_like_the_first(
    site: Site, tmp_path: Path, names: dict[str, list[list[str]]]
) -> None:
    names["rebinding.test"] = [["127.0.0.1"], ["127.0.0.2"]]
    elsewhere = site.url("/secret", host="rebinding.test")
    site.give("/a", status=302, headers={"location": elsewhere, "connection": "close"})
    assert "private network" in await refusal(tmp_path, Settings(), file_url=site.url("/a", host="rebinding.test"))
    assert site.asked == ["127.0.0.1/a"]


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::a9fe:a9fe]", *METADATA])
async def test_cloud_metadata_is_refused_to_trusted_senders_too(tmp_path: Path, host: str) -> None:
    message = await refusal(tmp_path, file_url=f"http://{host}/latest/meta-data")
    assert f"host {host.strip('[]')} is on a reserved network" in message


@pytest.mark.parametrize("address", ["10.0.0.1", "100.64.0.1", "fd00::1", "::1", "::ffff:192.168.1.1"])
def test_trusted_senders_reach_private_networks(address: str) -> None:
    assert networks.TRUSTED.permits_address(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "168.63.129.15", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_reached_in_each_of_their_forms(address: str) -> None:
    assert networks.PUBLIC.permits_address(address)


async def test_a_proxy_in_the_environment_is_not_asked(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", site.url("", host="127.0.0.2"))
    site.answers["/report.pdf"] = PDF
    await fetch(tmp_path, file_url=site.url())
    assert site.asked == ["127.0.0.1/report.pdf"]


# Formats and names.


@pytest.mark.parametrize(
    ("path", "body", "suffix"),
    [
        ("/table.csv", CSV, "csv"),
        ("/page.html", PAGE, "html"),
        ("/letter.docx", docx(), "docx"),
        ("/wrong.csv", PDF, "pdf"),
        ("/x.php", PDF, "pdf"),
    ],
)
async def test_the_content_decides_the_format_and_the_ending_helps(
    site: Site, tmp_path: Path, path: str, body: bytes, suffix: str
) -> None:
    site.answers[path] = body
    assert (await fetch(tmp_path, file_url=site.url(path))).suffix == suffix


@pytest.mark.parametrize(
    "headers",
    [{"content-disposition": "attachment; filename*=UTF-8''r%C3%A9sum%C3%A9.csv"}, {"content-type": "text/csv; charset=utf-8"}],
)
async def test_a_csv_is_known_by_the_headers_it_came_with(site: Site, tmp_path: Path, headers: dict[str, str]) -> None:
    site.give("/export", body=CSV, headers=headers)
    assert (await fetch(tmp_path, file_url=site.url("/export"))).suffix == "csv"


async def test_a_csv_without_any_ending_is_refused_with_the_way_out(site: Site, tmp_path: Path) -> None:
    site.give("/export", body=CSV, content_type="application/octet-stream")
    assert "give a file_name that ends in .csv" in await refusal(tmp_path, file_url=site.url("/export"))
    assert (await fetch(tmp_path, file_url=site.url("/export"), file_name="table.csv")).suffix == "csv"


@pytest.mark.parametrize("path", ["/report.pdf", "/table.csv", "/download"])
async def test_a_web_page_in_place_of_a_document_is_named(site: Site, tmp_path: Path, path: str) -> None:
    site.answers[path] = PAGE
    assert "The URL returned an HTML page (title: Sign in & continue)" in await refusal(tmp_path, file_url=site.url(path))


async def test_a_web_page_that_is_wanted_is_accepted(site: Site, tmp_path: Path) -> None:
    site.answers["/download"] = PAGE
    assert (await fetch(tmp_path, file_url=site.url("/download"), file_name="page.html")).suffix == "html"


async def test_an_ordinary_web_page_needs_no_ending(site: Site, tmp_path: Path) -> None:
    site.answers["/wiki/Logging"] = PAGE.replace(b"Sign in &amp; continue", b"Logging - an encyclopedia")
    assert (await fetch(tmp_path, file_url=site.url("/wiki/Logging"))).suffix == "html"


async def test_an_empty_document_is_refused(site: Site, tmp_path: Path) -> None:
    site.answers["/report.pdf"] = b""
    assert "0 bytes came" in await refusal(tmp_path, file_url=site.url())


@pytest.mark.parametrize(("body", "found"), [(gzip.compress(PDF * 99), "gzip"), (b"\x93\x11\xf1\x9e" * 3, "not recognised")])
async def test_a_format_mineru_cannot_parse_is_named_with_those_it_can(site: Site, tmp_path: Path, body: bytes, found: str) -> None:
    site.answers["/report.pdf"] = body
    message = await refusal(tmp_path, file_url=site.url())
    assert f"format is {found}, which cannot be parsed; supported are bmp, csv, doc" in message


async def test_a_damaged_document_is_named_as_such(site: Site, tmp_path: Path) -> None:
    damaged = bytearray(docx(zipfile.ZIP_DEFLATED))
    start = damaged.index(b"[Content_Types].xml") + len("[Content_Types].xml")
    damaged[start : start + 20] = b"\xff" * 20
    site.answers["/letter.docx"] = bytes(damaged)
    assert "damaged" in await refusal(tmp_path, file_url=site.url("/letter.docx"))


@pytest.mark.parametrize(
    ("hints", "name"),
    [
        (("../../etc/passwd.pdf",), "document.pdf"),
        (("C:\\reports\\Q3.PDF",), "document.pdf"),
        (("a.pdf\n",), "document.pdf"),
        (("a.pdf/", "b.csv"), "document.pdf"),
        ((None, "", "x.exe", "b.docx"), "document.docx"),
        (("x." + "pdf" * 99, ".pdf", "a.p\0df"), "document"),
    ],
)
def test_the_local_name_takes_nothing_but_a_known_ending(hints: tuple[str | None, ...], name: str) -> None:
    assert source.local_name(*hints) == name


# In base64.


async def test_base64_gives_the_document_in_it(tmp_path: Path) -> None:
    document = await fetch(tmp_path, file_b64=base64.b64encode(PDF).decode())
    assert (document.path.read_bytes(), document.suffix) == (PDF, "pdf")
    assert document.origin == f"base64 ({len(PDF)} bytes)"


async def test_base64_as_tools_write_it_is_accepted(tmp_path: Path) -> None:
    wrapped = "data:text/csv;base64," + base64.encodebytes(CSV).decode().replace("\n", "\r\n")
    document = await fetch(tmp_path, file_b64=wrapped)
    assert (document.path.read_bytes(), document.suffix) == (CSV, "csv")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("JVBERi0x-A==", "'-' came as character 9"),
        ("JVBERi0xé", "'é' came"),
        ("JVBERi0", "7 characters came"),
        ("JV==JVBE", "base64"),
        ("====", "base64"),
    ],
)
async def test_base64_with_a_fault_is_an_invalid_request(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(InvalidRequest, match=fault):
        await fetch(tmp_path, file_b64=text)


async def test_base64_is_measured_as_decoded_and_before_it_is_decoded(tmp_path: Path) -> None:
    limit = Settings(max_base64_mb=0.003)
    assert (await fetch(tmp_path, limit, file_b64=base64.b64encode(PDF.ljust(3000)).decode())).size == 3000
    message = await refusal(tmp_path, limit, file_b64="-" * 4004)
    assert "at most 0.003 MB (MINERU_MAX_BASE64_MB)" in message


async def test_an_empty_base64_document_is_refused(tmp_path: Path) -> None:
    assert "0 bytes came" in await refusal(tmp_path, file_b64="data:application/pdf;base64,")


# On a volume.


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    volume = tmp_path / "volume"
    (volume / "scans").mkdir(parents=True)
    (volume / "scans" / "report.pdf").write_bytes(PDF)
    (tmp_path / "outside.pdf").write_bytes(PDF)
    (tmp_path / "job").mkdir()
    return volume


async def from_volume(volume: Path, path: str | Path, **job_input: str) -> source.Document:
    return await fetch(volume.parent / "job", Settings(volume_roots=(volume,)), volume_path=str(path), **job_input)


@pytest.mark.parametrize("path", ["scans/report.pdf", "scans/../scans/report.pdf", "{volume}/scans/report.pdf"])
async def test_a_volume_path_gives_the_file_there_without_a_copy(volume: Path, path: str) -> None:
    path = path.replace("{volume}", str(volume))
    document = await from_volume(volume, path)
    assert document.path.resolve() == volume / "scans" / "report.pdf"
    assert (document.suffix, document.size, document.origin) == ("pdf", len(PDF), path)


async def test_a_file_name_tells_the_format_of_a_file_on_a_volume(volume: Path) -> None:
    (volume / "export").write_bytes(CSV)
    assert (await from_volume(volume, "export", file_name="table.csv")).suffix == "csv"


async def test_a_link_within_the_volume_is_followed(volume: Path) -> None:
    (volume / "latest").symlink_to(volume / "scans" / "report.pdf")
    assert (await from_volume(volume, "latest")).suffix == "pdf"


async def test_a_path_outside_the_volume_is_refused_alike_whether_or_not_it_exists(volume: Path) -> None:
    (volume / "link.pdf").symlink_to(volume.parent / "outside.pdf")
    (volume / "dangling.pdf").symlink_to(volume.parent / "nothing.pdf")
    (volume / "up").symlink_to(volume.parent)
    paths = [
        "link.pdf",
        "dangling.pdf",
        "../outside.pdf",
        "../nothing.pdf",
        "up/outside.pdf",
        "up/nothing.pdf",
        volume.parent / "outside.pdf",
    ]
    for path in [*map(str, paths), f"{volume.parent}/nothing.pdf", "/etc/passwd", f"{volume}-too/report.pdf"]:
        with pytest.raises(SourceFailed) as caught:
            await from_volume(volume, path)
        assert str(caught.value) == f"volume_path: {path} is not below {volume} (MINERU_VOLUME_ROOTS), links followed."


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("scans", "is a folder"),
        ("scans/missing.pdf", "there is no scans/missing.pdf"),
        ("pipe", "is no regular file"),
        ("loop", "volume_path: "),
    ],
)
async def test_what_is_not_a_file_on_the_volume_is_named(volume: Path, path: str, fault: str) -> None:
    os.mkfifo(volume / "pipe")
    (volume / "loop").symlink_to(volume / "loop")
    with pytest.raises(SourceFailed, match=fault):
        await from_volume(volume, path)


@pytest.mark.parametrize(
    "path",
    [
        "x" * 300,
        "x/" * 1500,
        "\uff53cans/report.pdf",
        "scans\u2215report.pdf",
        "..\uff0foutside.pdf",
        "%2e%2e/outside.pdf",
        "..\\outside.pdf",
        "~/x",
    ],
)
async def test_a_path_that_only_looks_like_another_is_that_of_no_file(volume: Path, path: str) -> None:
    with pytest.raises(SourceFailed):
        await from_volume(volume, path)


async def test_a_path_that_no_file_system_takes_is_an_invalid_request(volume: Path) -> None:
    with pytest.raises(InvalidRequest, match="NUL"):
        await from_volume(volume, "scans\0/report.pdf")


async def test_a_file_on_a_volume_is_held_to_the_size_limit(volume: Path) -> None:
    limit = Settings(volume_roots=(volume,), max_file_mb=0.00001)
    assert "MINERU_MAX_FILE_MB" in await refusal(volume.parent / "job", limit, volume_path="scans/report.pdf")
