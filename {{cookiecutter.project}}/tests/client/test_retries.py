"""What is tried again, and what is not."""

import asyncio
import email.utils
import time

import pytest
from aiohttp import web

from client import Server
from ops.client import Client, EndpointError, SubmissionUncertain
from ops.transport import Rate, retry_after


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
    assert retry_after(value) == seconds
    assert 800 < retry_after(email.utils.formatdate(time.time() + 900, usegmt=True)) <= 900
