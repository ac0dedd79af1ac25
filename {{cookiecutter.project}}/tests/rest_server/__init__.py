"""Requests to the local REST v2 server, and its refusals."""

from typing import Any

import httpx

from ops.rest_server.server import RestServer

BODY: dict[str, Any] = {
    "name": "reader",
    "type": "QUEUE",
    "image": "registry.example.com/reader:1",
    "gpu": {"pools": ["AMPERE_24"], "minCudaVersion": "13.0"},
    "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
}
WITH_WORKER = BODY | {"workers": {"min": 1, "max": 3}}


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
