"""A response is measured as it is posted: never lost, never a byte too large."""

import asyncio
import json
import re
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from delivery import asks, deliver, fetch, huge, illustrated, parsed, posted_bytes, refusal, settings, unpack, with_bucket
from worker import result
from worker.errors import ResultUndeliverable


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
    response = await deliver(document, asks(transport), with_bucket(s3_url))
    members = unpack((await fetch(response["s3"]["url"])).content, "tar.gz")
    assert members["document/images/scan.jpg"] == (document.folder / "images/scan.jpg").read_bytes()
    assert response["transport"] == "s3"
    assert not {"markdown", "images", "archive"} & set(response)


async def test_a_move_to_s3_is_noted_beside_what_is_missing(tmp_path: Path, s3_url: str) -> None:
    document = parsed(tmp_path / "r", "x" * 2000)
    response = await deliver(document, asks(formats=["markdown", "model_output"]), with_bucket(s3_url, max_response_mb=0.0015))
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
