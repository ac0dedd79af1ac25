"""Whatever is sent: the worker refuses it in the sender's words or does it, and nothing leaves the folder meant for it."""

import asyncio
import base64
import importlib
import json
import re
from pathlib import Path, PurePosixPath

import httpx
import pytest
from hypothesis import strategies as some

from soak import Tally, survives
from soak.strategies import PIECES, names, paths, try_all
from worker import choices, download, request, source
from worker.engine import Engine
from worker.errors import JobError
from worker.request import Request
from worker.serialised import serialised
from worker.settings import Settings

SETTINGS = Settings(tier=choices.TIERS[0])
FIELDS = tuple(Request.model_fields)

#: Text as JSON can bring it, half surrogate pairs among it.
texts = some.text(some.characters(exclude_categories=()))
json_values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | texts,
    lambda children: some.lists(children, max_size=4) | some.dictionaries(texts, children, max_size=4),
    max_leaves=12,
)


# What a job asks.


def test_any_input_is_a_request_or_a_refusal(tally: Tally) -> None:
    inputs = json_values | some.dictionaries(some.sampled_from(FIELDS) | texts, json_values | names, max_size=6)

    def holds(job_input: object) -> None:
        wish = survives(tally, request.read, job_input, SETTINGS)
        assert wish is None or re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", wish.basename)

    try_all(inputs, holds)


def test_every_refusal_can_be_sent_and_is_short(tally: Tally) -> None:
    def holds(value: object) -> None:
        for field in FIELDS:
            try:
                survives(tally, request.read, {field: value}, SETTINGS, refusals=())
            except JobError as refused:
                tally["escapes"] -= 1
                sent = json.loads(serialised({"error": str(refused)}, errors="replace"))
                assert 0 < len(sent["error"]) < 2000

    try_all(json_values | names, holds)


def test_any_page_range_that_is_accepted_is_one_that_mineru_reads_or_refuses(tally: Tally) -> None:
    page_range = pytest.importorskip("mineru.parser.page_range", reason="MinerU 3 has no such module")
    refused = importlib.import_module("mineru.errors").InvalidRequestError
    ranges = some.from_regex(request.PAGE_RANGE) | some.text("0123456789r-,all ", max_size=30) | some.text()

    def holds(text: str) -> None:
        wish = survives(tally, request.read, {"file_b64": "AAAA", "page_range": text}, SETTINGS)
        if wish is not None:
            pages = survives(tally, page_range.parse_page_range, wish.pages, 7, refusals=(refused,))
            assert pages is None or set(pages) <= set(range(8))

    try_all(ranges, holds)


# Where a document comes from.


def fetched(folder: Path, settings: Settings, **job_input: str) -> source.Document | None:
    """The document of a job, None where it is refused; raises what escapes."""

    async def fetch() -> source.Document:
        wish = request.read({**job_input}, settings)
        return await source.fetch(wish, folder, settings, Engine(settings).identify)

    return asyncio.run(fetch())


def test_no_volume_path_leads_out_of_the_volume(tally: Tally, tmp_path: Path) -> None:
    volume, job = tmp_path / "volume", tmp_path / "job"
    volume.mkdir()
    job.mkdir()
    (volume / "inside.pdf").write_bytes(b"%PDF-1.4\n%%EOF\n")
    (tmp_path / "outside.pdf").write_bytes(b"%PDF-1.4\n%%EOF\n")
    (volume / "link").symlink_to(tmp_path)
    settings = Settings(volume_roots=(volume,))
    absolute = some.sampled_from([str(tmp_path), str(volume), f"{volume}/link", "/etc/passwd", "/proc/self/environ"])

    def holds(path: str) -> None:
        for left in job.iterdir():
            left.unlink()
        document = survives(tally, lambda: fetched(job, settings, volume_path=path))
        assert document is None or document.path.resolve().is_relative_to(volume)

    try_all(paths | some.tuples(absolute, paths).map("/".join), holds)


def test_any_name_gives_a_local_name_of_our_own(tally: Tally) -> None:
    def holds(hints: list[str | None]) -> None:
        name = survives(tally, source.local_name, *hints)
        assert name == PurePosixPath(str(name)).name
        assert str(name).startswith("document")

    try_all(some.lists(some.none() | names | names.map(lambda name: name + ".pdf"), max_size=4), holds)


def test_any_bytes_as_base64_are_a_document_or_a_refusal(tally: Tally, tmp_path: Path) -> None:
    heads = some.sampled_from(
        [b"", b"%PDF-1.7\n", b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"{\\rtf1", b"<html>", b"\x89PNG\r\n\x1a\n"]
    )
    contents = some.tuples(heads, some.binary(max_size=200), heads, some.sampled_from([b"", b"PK\x05\x06" + bytes(18)])).map(
        b"".join
    )

    def holds(content: bytes) -> None:
        encoded = base64.b64encode(content).decode()
        document = survives(tally, lambda: fetched(tmp_path, SETTINGS, file_b64=encoded))
        assert document is None or document.path.parent == tmp_path

    try_all(contents, holds)


# What a server says.


def test_any_url_is_refused_or_has_a_host_and_a_scheme_of_the_web(tally: Tally) -> None:
    hosts = some.sampled_from(
        ["127.1", "0x7f.1", "[::1]", "[::ffff:a00:1]", "a:b@c", "ⓛocalhost", "xn--", "\u017f.example", "\uff11\uff12\uff17.0.0.1"]
    )
    schemes = some.sampled_from(["http://", "https://", "file://", "gopher://", "javascript:", "//", "HTTP:/", "http:\\\\"])
    urls = some.tuples(schemes, hosts | names, some.sampled_from(["", ":0", ":99999", ":x"]), names).map("".join) | names

    def holds(url: str) -> None:
        parsed = survives(tally, lambda: download._parsed(str(request.read({"file_url": url}, SETTINGS).file_url)))
        assert parsed is None or (parsed.scheme in ("http", "https") and parsed.host)

    try_all(urls, holds)


def test_any_headers_give_names_of_which_nothing_but_the_ending_is_taken(tally: Tally) -> None:
    dispositions = some.tuples(
        some.sampled_from(['attachment; filename="', "attachment; filename*=UTF-8''", "inline; filename*0*=", "filename=", ""]),
        names,
    ).map("".join)

    def holds(values: tuple[str, str]) -> None:
        headers = httpx.Headers(
            [
                (b"content-disposition", values[0].encode("utf-8", "replace")),
                (b"content-type", values[1].encode("utf-8", "replace")),
            ]
        )
        found = survives(tally, download._names_in, headers)
        assert found is not None
        assert "/" not in source.local_name(found[0], "x" + source.MEDIA_ENDINGS.get(found[1], ""))

    try_all(some.tuples(dispositions, names), holds)


def test_any_location_of_a_redirect_ends_in_an_answer_or_a_refusal(tally: Tally, tmp_path: Path) -> None:
    settings = Settings(source_allow_private=True, source_timeout=5)
    location = ""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        line = location.encode("utf-8", "replace").replace(b"\r", b"").replace(b"\n", b"")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: " + line + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async def follow() -> None:
        async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            await download.download(url, tmp_path / "download", settings)

    def holds(text: str) -> None:
        nonlocal location
        location = text
        survives(tally, lambda: asyncio.run(follow()))
        assert [path.name for path in tmp_path.iterdir()] in ([], ["download"])

    schemes = some.sampled_from(
        ["", "/", "?", "//", "file:///", "http://[", "http://169.254.169.254/", "http://127.0.0.1:1/", "ftp://a/", "http://xn--"]
    )
    try_all(some.tuples(schemes, some.text(max_size=20) | some.sampled_from(PIECES)).map("".join), holds)
