"""The local REST v2 server takes what the platform takes and refuses what it refuses; the client makes sense of either."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from ops import endpoint, prices
from ops.endpoint import Rest, RestError
from ops.rest_server import wire
from ops.rest_server.server import RestServer, RestSettings

BODY: dict[str, Any] = {
    "name": "reader",
    "type": "QUEUE",
    "image": "registry.example.com/reader:1",
    "gpu": {"pools": ["AMPERE_24"], "minCudaVersion": "13.0"},
    "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
}
WITH_WORKER = BODY | {"workers": {"min": 1, "max": 3}}


@pytest.fixture
async def server() -> AsyncIterator[RestServer]:
    """A server whose workers boot until a test says otherwise."""
    async with RestServer(RestSettings(boot=600, quota=10)) as running:
        yield running


@pytest.fixture
async def rest(server: RestServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rest]:
    """A client that does not wait long."""
    monkeypatch.setattr(endpoint, "PAUSE", 0.01)
    monkeypatch.setattr(endpoint, "QUIET", 1)
    async with Rest(server.url) as client:
        yield client


async def asked(server: RestServer, method: str, path: str, **options: Any) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.request(method, f"{server.url}/v2{path}", **options)


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Status and words of an answer that is a problem document."""
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    problem = answer.json()
    assert problem.keys() - {"errors"} == {"title", "status", "detail"}
    assert problem["status"] == answer.status_code
    return answer.status_code, " ".join([problem["detail"], *problem.get("errors", [])])


# What a request may hold.


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"imageName": "a:1"}, "$.imageName: Extra"),
        ({"gpu": {"pools": ["AMPERE_24"], "id": "L4"}}, "$.gpu.id: Extra"),
        ({"workers": {"maximum": 3}}, "$.workers.maximum: Extra"),
        ({"workers": {"min": "0"}}, "$.workers.min: Input should be a valid integer"),
        ({"workers": {"min": True}}, "$.workers.min: Input should be a valid integer"),
        ({"workers": {"idleTimeout": 3601}}, "$.workers.idleTimeout"),
        ({"timeout": 600.5}, "$.timeout"),
        ({"timeout": None}, "timeout must not be null"),
        ({"disk": 0}, "$.disk"),
        ({"env": {"A": 1}}, "$.env.A: Input should be a valid string"),
        ({"flashboot": "ON"}, "$.flashboot: Input should be 'OFF', 'FLASHBOOT' or 'PRIORITY_FLASHBOOT'"),
        ({"flashboot": True}, "$.flashboot"),
        ({"type": "queue"}, "$.type"),
        ({"gpu": {"pools": []}}, "$.gpu.pools"),
        ({"gpu": {"pools": ["AMPERE_24"], "minCudaVersion": "13"}}, "$.gpu.minCudaVersion"),
        ({"gpu": {"pools": ["AMPERE_24"], "minCudaVersion": ""}}, "$.gpu.minCudaVersion"),
        ({"gpu": {"pools": ["AMPERE_24"], "excludedTypes": ["-NVIDIA L4"]}}, "$.gpu.excludedTypes.0"),
        ({"gpu": {"pools": ["AMPERE_24"], "excludedTypes": ["NVIDIA L4", " NVIDIA L4"]}}, "items must be unique"),
        ({"scaling": {"type": "QUEUE_DELAY", "queueDelay": 0.4}}, "queueDelay"),
        ({"scaling": {"type": "QUEUE_DELAY", "queueDelay": 4, "requestCount": 4}}, "requestCount: Extra"),
        ({"scaling": {"type": "REQUEST_COUNT", "queueDelay": 4}}, "requestCount: Field required"),
        ({"type": "LOAD_BALANCER"}, "needs REQUEST_COUNT"),
        ({"name": ""}, "$.name"),
    ],
)
async def test_a_malformed_request_is_refused_with_its_fault(server: RestServer, changed: dict[str, Any], fault: str) -> None:
    status, words = refused(await asked(server, "POST", "/serverless", json=BODY | changed))
    assert (status, fault in words) == (422, True), words
    assert server.endpoints == {}


@pytest.mark.parametrize("name", ["name", "type", "image", "gpu", "scaling"])
async def test_no_endpoint_is_made_without(server: RestServer, name: str) -> None:
    status, words = refused(await asked(server, "POST", "/serverless", json={key: BODY[key] for key in BODY if key != name}))
    assert (status, f"$.{name}: Field required" in words) == (422, True), words


@pytest.mark.parametrize(
    ("changed", "conflict"),
    [
        ({"gpu": {"pools": ["AMPERE_24"], "minCudaVersion": "12.8", "allowedCudaVersions": ["12.8"]}}, "mutually exclusive"),
        ({"gpu": {"pools": ["AMPERE_25"]}}, "unknown pool 'AMPERE_25'"),
        ({"gpu": {"pools": ["AMPERE_24"], "excludedTypes": ["NVIDIA L40"]}}, "'NVIDIA L40' is not a GPU type in one of"),
        ({"gpu": {"pools": ["ADA_24"], "excludedTypes": ["NVIDIA GeForce RTX 4090"]}}, "leaves no GPU type"),
        ({"workers": {"min": 4, "max": 3}}, "must not exceed workers.max"),
        ({"workers": {"max": 11}}, "workers quota (10)"),
        ({"scaling": {"type": "REQUEST_COUNT", "requestCount": 1}, "workers": {"idleTimeout": 5}}, "idleTimeout does not apply"),
    ],
)
async def test_a_request_that_contradicts_itself_is_refused(server: RestServer, changed: dict[str, Any], conflict: str) -> None:
    status, words = refused(await asked(server, "POST", "/serverless", json=BODY | changed))
    assert (status, conflict in words) == (400, True), words


async def test_an_empty_set_of_cuda_versions_may_stand_beside_a_floor(server: RestServer) -> None:
    gpu = {"pools": ["AMPERE_24"], "allowedCudaVersions": [], "minCudaVersion": "13.0"}
    assert (await asked(server, "POST", "/serverless", json=BODY | {"gpu": gpu})).status_code == 201


async def test_what_is_no_json_and_what_is_not_there_are_problems_too(server: RestServer) -> None:
    headers = {"Content-Type": "application/json"}
    assert refused(await asked(server, "POST", "/serverless", content=b"{", headers=headers))[0] == 400
    assert refused(await asked(server, "POST", "/serverless", content=b"{}"))[0] == 415
    assert refused(await asked(server, "GET", "/serverless/gone"))[0] == 404
    assert refused(await asked(server, "GET", "/endpoints"))[0] == 404
    assert refused(await asked(server, "PUT", "/serverless"))[0] == 405
    assert refused(await asked(server, "GET", "/billing/serverless?days=3"))[0] == 422


# What becomes of it.


async def test_what_a_request_leaves_out_is_the_platforms_default(server: RestServer) -> None:
    made = (await asked(server, "POST", "/serverless", json=BODY)).json()
    assert (made["flashboot"], made["timeout"], made["workers"]) == ("OFF", 300_000, {"min": 0, "max": 3, "idleTimeout": 10})
    assert made["gpu"] == {**BODY["gpu"], "count": 1, "excludedTypes": [], "allowedCudaVersions": []}
    assert made["requestUrls"]["run"] == f"http://127.0.0.1:8000/v2/{made['id']}/run"


async def test_a_change_leaves_what_it_does_not_hold(rest: Rest) -> None:
    made = await rest.create(BODY | {"env": {"A": "1", "B": "2"}})
    changed = await rest.update(made["id"], {"env": {"A": "3"}, "workers": {"max": 5}})
    assert changed == {**made, "env": {"A": "3"}, "workers": {**made["workers"], "max": 5}}


async def test_pools_and_the_cards_left_out_of_them_are_one_selection(rest: Rest) -> None:
    made = await rest.create(BODY | {"gpu": {"pools": ["AMPERE_24"], "excludedTypes": ["NVIDIA L4"]}})
    assert (await rest.update(made["id"], {"gpu": {"count": 2}}))["gpu"]["excludedTypes"] == ["NVIDIA L4"]
    with pytest.raises(RestError, match="excludedTypes requires pools"):
        await rest.update(made["id"], {"gpu": {"excludedTypes": []}})
    assert (await rest.update(made["id"], {"gpu": {"pools": ["AMPERE_24"]}}))["gpu"]["excludedTypes"] == []


async def test_a_cuda_floor_has_to_be_cleared_before_versions_are_named(rest: Rest) -> None:
    made = await rest.create(BODY)
    with pytest.raises(RestError, match="mutually exclusive"):
        await rest.update(made["id"], {"gpu": {"allowedCudaVersions": ["13.0"]}})
    changed = await rest.update(made["id"], {"gpu": {"allowedCudaVersions": ["13.0"], "minCudaVersion": ""}})
    assert (changed["gpu"]["allowedCudaVersions"], changed["gpu"]["minCudaVersion"]) == (["13.0"], None)


def boot(server: RestServer, endpoint_id: str) -> None:
    """Every worker has booted."""
    for worker in server.endpoints[endpoint_id].workers:
        worker.boot = 0


async def test_workers_boot_serve_and_are_replaced_after_a_change_of_the_image(server: RestServer, rest: Rest) -> None:
    made = await rest.create(WITH_WORKER)
    assert [worker.status for worker in await rest.workers(made["id"])] == ["INITIALIZING"]
    boot(server, made["id"])
    (old,) = await rest.workers(made["id"])
    assert (old.serving, old.card) == (True, "NVIDIA RTX A5000")
    await rest.update(made["id"], {"image": "registry.example.com/reader:2"})
    both = {worker.id: (worker.status, worker.stale) for worker in await rest.workers(made["id"])}
    assert (len(both), both.pop(old.id), *both.values()) == (2, ("IDLE", True), ("INITIALIZING", False))
    boot(server, made["id"])
    (new,) = await rest.workers(made["id"])
    assert (new.serving, new.id != old.id) == (True, True)


async def test_a_change_of_the_scaling_replaces_no_worker(rest: Rest) -> None:
    made = await rest.create(WITH_WORKER)
    await rest.update(made["id"], {"scaling": {"type": "QUEUE_DELAY", "queueDelay": 9}})
    assert [worker.stale for worker in await rest.workers(made["id"])] == [False]


async def test_releases_say_what_changed_newest_first(rest: Rest) -> None:
    made = await rest.create(BODY)
    await rest.update(made["id"], {"image": "registry.example.com/reader:2"})
    newest, first = await rest.releases(made["id"])
    assert (newest["version"], first["version"]) == (2, 1)
    assert newest["diff"] == [{"field": "image", "old": BODY["image"], "new": "registry.example.com/reader:2"}]


async def test_a_deleted_endpoint_is_gone(server: RestServer, rest: Rest) -> None:
    made = await rest.create(BODY)
    assert [found["id"] for found in await rest.named("reader")] == [made["id"]]
    await rest.delete(made["id"])
    assert (await rest.endpoints(), server.endpoints) == ([], {})
    with pytest.raises(RestError, match=r"Endpoint not found: it was deleted, .* or its id is mistyped\."):
        await rest.endpoint(made["id"])


async def test_every_pool_of_the_catalogue_has_cards_with_a_price(rest: Rest) -> None:
    cards = {(card["pool"], card["id"]): card["price"].get("serverless") for card in await rest.gpus()}
    for name, pool in prices.pools().items():
        price = cards[name, pool["card_id"]]
        assert price == (None if pool["price"] is None else pytest.approx(prices.price(name) * 3600))


async def test_what_an_endpoint_has_cost_is_its_own_sum(server: RestServer, rest: Rest) -> None:
    server.spent |= {"local": 8.9, "other": 1.1}
    assert await rest.spent("local") == 8.9
    assert await rest.spent("new") == 0


# Logs.


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


# What the client makes of refusals.


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
