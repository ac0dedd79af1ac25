"""What becomes of a request: endpoints, their workers, releases and costs."""

import pytest

from ops import prices
from ops.endpoint import Rest, RestError
from ops.rest_server.server import RestServer
from rest_server import BODY, WITH_WORKER, asked


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
