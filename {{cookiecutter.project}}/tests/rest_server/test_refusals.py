"""What the client makes of refusals, in words with a way out."""

import json

import pytest

from ops.endpoint import Rest, RestError
from ops.rest_server import wire
from ops.rest_server.server import RestServer, RestSettings
from rest_server import BODY


async def test_a_throttled_request_waits_as_long_as_it_is_told(server: RestServer, rest: Rest) -> None:
    server.problems.extend(wire.Problem(429, "rate limit exceeded", retry_after=0) for _ in range(2))
    made = await rest.create(BODY)
    assert [(method, path) for method, path, _ in server.requests] == [("POST", "/v2/serverless")] * 3
    assert list(server.endpoints) == [made["id"]]


async def test_a_wait_that_is_too_long_is_told_instead(server: RestServer, rest: Rest) -> None:
    server.problems.append(wire.Problem(429, "rate limit exceeded for the day window", retry_after=4000))
    with pytest.raises(RestError, match=r"no more requests through for now \(rate limit .* day window\): try again in 4000 s"):
        await rest.endpoints()
    assert len(server.requests) == 1


async def test_only_a_request_that_reads_is_tried_again_after_a_failure(server: RestServer, rest: Rest) -> None:
    server.problems.append(wire.Problem(502, "upstream failed"))
    assert await rest.endpoints() == []
    server.problems.append(wire.Problem(502, "upstream failed"))
    with pytest.raises(RestError, match="failed with 502"):
        await rest.create(BODY)
    assert [method for method, _, _ in server.requests] == ["GET", "GET", "POST"]


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (wire.Problem(403, "access denied"), "may not do this (access denied): give it write access"),
        (wire.Problem(400, "max workers … your workers quota (5)"), "Lower workers.max here or elsewhere, or ask RunPod"),
        (
            wire.Problem(422, "Request validation failed.", ["$.a: no"]),
            "this (422): Request validation failed; $.a: no.",
        ),
    ],
)
async def test_a_refusal_is_told_with_its_way_out(server: RestServer, rest: Rest, problem: wire.Problem, words: str) -> None:
    server.problems.append(problem)
    with pytest.raises(RestError) as told:
        await rest.endpoints()
    assert words in str(told.value)


@pytest.mark.parametrize(
    ("key", "words"), [("", "set RUNPOD_API_KEY to it"), ("wrong", "does not accept the key in RUNPOD_API_KEY")]
)
async def test_a_missing_and_a_wrong_key_are_told_apart(key: str, words: str) -> None:
    async with RestServer(RestSettings(api_key="right")) as server, Rest(server.url, key) as rest:
        with pytest.raises(RestError, match=words):
            await rest.endpoints()
    async with RestServer(RestSettings(api_key="right")) as server, Rest(f"{server.url}/v2/", "right") as rest:
        assert await rest.endpoints() == []


@pytest.mark.parametrize("url", ["api.runpod.io", "ftp://api.runpod.io", "http://127.0.0.1:80x", ""])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(RestError, match="is no address of an API"):
        Rest(url)


async def test_nobody_at_the_address_is_told(unused_tcp_port: int) -> None:
    async with Rest(f"http://127.0.0.1:{unused_tcp_port}") as rest:
        with pytest.raises(RestError, match=r"does not answer .* `python -m ops.rest_server`"):
            await rest.endpoints()


async def test_the_request_reaches_the_server_as_it_was_given(server: RestServer, rest: Rest) -> None:
    await rest.create(BODY)
    assert json.loads(server.requests[0][2]) == BODY
