"""A worker's log, read to its end and followed."""

import asyncio

import pytest

from ops.endpoint import Rest, RestError
from ops.rest_server.server import RestServer
from rest_server import BODY, WITH_WORKER


async def test_a_log_is_read_to_its_present_end(server: RestServer, rest: Rest) -> None:
    made = await rest.create(WITH_WORKER)
    (worker,) = server.endpoints[made["id"]].workers
    for number in range(5):
        await worker.say(f'line {number}: "ä"')
    await worker.say("pulling the image", source="system")
    assert [line async for _, line in rest.logs(made["id"], worker.id, tail=2)] == ['line 3: "ä"', 'line 4: "ä"']


async def test_a_log_is_followed_over_a_broken_connection_without_a_gap_or_an_echo(server: RestServer, rest: Rest) -> None:
    made = await rest.create(WITH_WORKER)
    (worker,) = server.endpoints[made["id"]].workers
    await worker.say("0")
    heard = []
    async for _, line in rest.logs(made["id"], worker.id, follow=True):
        heard.append(line)
        if line == "4":
            break
        if line in ("0", "2"):
            server.hang_up()
        await worker.say(str(int(line) + 1))
    assert heard == ["0", "1", "2", "3", "4"]


async def test_following_ends_with_the_worker(server: RestServer, rest: Rest) -> None:
    made = await rest.create(WITH_WORKER)
    (worker,) = server.endpoints[made["id"]].workers
    await worker.say("last words")
    heard = []
    async with asyncio.timeout(20):
        async for _, line in rest.logs(made["id"], worker.id, follow=True):
            heard.append(line)
            await rest.delete(made["id"])
    assert heard == ["last words"]


async def test_the_log_of_a_worker_that_never_was_is_an_error(rest: Rest) -> None:
    made = await rest.create(BODY)
    with pytest.raises(RestError, match="Worker not found"):
        await anext(rest.logs(made["id"], "nobody"))
