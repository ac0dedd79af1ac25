"""The local REST v2 server takes what the platform takes, and refuses what it refuses."""

from typing import Any

import pytest

from ops.rest_server.server import RestServer
from rest_server import BODY, asked, refused


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
