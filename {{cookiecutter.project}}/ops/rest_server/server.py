"""RunPod's REST v2 API for endpoints on localhost: it takes what the platform takes, refuses what it refuses, and costs nothing.

Requests are checked field by field, errors come as RFC 9457 has them. Its workers only say that they run: they boot for a
while, then they are idle, and their logs hold what ``ListedWorker.say`` was told. Jobs go to ``python -m ops run``. It listens
on the loopback interface only.
"""

import itertools
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from ops.client import LOCAL_ENDPOINT, LOCAL_URL
from ops.rest_server import catalogue, endpoints, schema, wire
from ops.rest_server.endpoints import ListedEndpoint, ListedWorker
from ops.rest_server.wire import Problem

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PORT: Final = 8001


@dataclass(frozen=True)
class RestSettings:
    """What the server allows: an empty ``api_key`` takes any caller; ``boot`` is in seconds, ``quota`` the most workers in all."""

    api_key: str = ""
    boot: float = 5
    quota: int = 1000
    jobs_url: str = LOCAL_URL


class RestServer:
    """The server; an async context manager. ``port`` 0 takes any free port. ``problems`` are the answers to the next requests.

    ``requests`` lists (method, path, body) of what came, ``endpoints`` what there is, by id.
    """

    def __init__(self, settings: RestSettings | None = None, port: int = 0) -> None:
        self.settings = settings or RestSettings()
        self.endpoints: dict[str, ListedEndpoint] = {}
        self.spent: dict[str, float] = {}
        self.problems: deque[Problem] = deque()
        self.requests: list[tuple[str, str, Any]] = []
        self._ids = itertools.count(1)
        self._streams: list[web.Request] = []
        self._port = port
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        application = web.Application(middlewares=[self._as_problems, self._with_key])
        application.add_routes(self._routes())
        self._runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where the server listens."""
        return f"http://127.0.0.1:{self._port}"

    def hang_up(self) -> None:
        """Break every log's connection off, as networks do."""
        for request in self._streams:
            if request.transport is not None:
                request.transport.abort()

    def _routes(self) -> list[web.RouteDef]:
        of_one = "/v2/serverless/{id}"
        return [
            web.get("/v2/serverless", self.every, allow_head=False),
            web.post("/v2/serverless", self.create),
            web.get(of_one, self.get, allow_head=False),
            web.patch(of_one, self.update),
            web.delete(of_one, self.delete),
            web.get(f"{of_one}/workers", self.workers, allow_head=False),
            web.get(f"{of_one}/releases", self.releases, allow_head=False),
            web.get(f"{of_one}/workers/" + "{worker}/logs", self.logs, allow_head=False),
            web.get("/v2/catalog/gpus", self.gpus, allow_head=False),
            web.get("/v2/billing/serverless", self.billing, allow_head=False),
        ]

    async def every(self, request: web.Request) -> web.StreamResponse:
        """Every endpoint."""
        return web.json_response({"endpoints": [self._described(endpoint) for endpoint in self.endpoints.values()]})

    async def create(self, request: web.Request) -> web.StreamResponse:
        """A new endpoint; the first is called as the one of ``python -m ops run``, so that jobs find their way."""
        body = await wire.body(request, schema.CreateEndpoint)
        number = next(self._ids)
        endpoint_id = LOCAL_ENDPOINT if number == 1 else f"{LOCAL_ENDPOINT}-{number}"
        blank = {**schema.DEFAULTS, "gpu": schema.GPU_DEFAULTS}
        self._check(body, endpoints.merged(blank, body))
        endpoint = endpoints.created(endpoint_id, body, self.settings.boot, self._ids)
        self.endpoints[endpoint_id] = endpoint
        return web.json_response(self._described(endpoint), status=201)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """One endpoint."""
        return web.json_response(self._described(self._named(request)))

    async def update(self, request: web.Request) -> web.StreamResponse:
        """Change what the body holds."""
        endpoint = self._named(request)
        body = await wire.body(request, schema.UpdateEndpoint)
        self._check(body, endpoints.merged(endpoint.config, body), besides=endpoint)
        endpoint.change(body)
        return web.json_response(self._described(endpoint))

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """End an endpoint and its workers, whatever they do."""
        endpoint = self.endpoints.pop(self._named(request).id)
        for worker in endpoint.workers:
            await worker.leave()
        return web.Response(status=204)

    async def workers(self, request: web.Request) -> web.StreamResponse:
        """The workers of an endpoint."""
        return web.json_response(self._named(request).listed_workers())

    async def releases(self, request: web.Request) -> web.StreamResponse:
        """The versions of an endpoint."""
        return web.json_response(self._named(request).listed_releases())

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """A worker's log as server-sent events: the latest lines, or those after the event last seen, then what comes."""
        worker = self._worker(request)
        query = wire.query(request, schema.Tail)
        sources = (query.source,) if query.source else ("container", "system")
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        self._streams.append(request)
        try:
            await self._tell(response, worker, request.headers.get("Last-Event-ID") or query.since, query.tail, sources)
        finally:
            self._streams.remove(request)
        return response

    async def _tell(
        self, response: web.StreamResponse, worker: ListedWorker, cursor: str, tail: int, sources: tuple[str, ...]
    ) -> None:
        """Write a log's lines for as long as somebody listens and the worker is there."""
        before = [line for line in worker.lines if line[1] in sources]
        seen = len(worker.lines)
        for line in [line for line in before if line[0] > cursor] if cursor else before[max(0, len(before) - tail) :]:
            await response.write(wire.event(*line))
        while not worker.gone:
            for line in await worker.after(seen):
                seen += 1
                if line[1] in sources:
                    await response.write(wire.event(*line))

    async def gpus(self, request: web.Request) -> web.StreamResponse:
        """The catalogue of cards."""
        return web.json_response({"gpus": catalogue.gpu_types()})

    async def billing(self, request: web.Request) -> web.StreamResponse:
        """What endpoints have cost: all of it on this day, as ``spent`` says."""
        query = wire.query(request, schema.Billing)
        if query.lastN is not None and (query.startTime or query.endTime):
            raise Problem(400, "lastN and startTime or endTime are mutually exclusive")
        spent = {name: cost for name, cost in self.spent.items() if query.serverlessId in ("", name)}
        span = {"startTime": endpoints.days_ago(0), "endTime": endpoints.days_ago(-1)}
        nothing = {"cpuAmount": 0, "diskAmount": 0, "feeAmount": 0}
        records = [
            {**span, "serverlessId": name, "totalAmount": cost, "gpuAmount": cost, **nothing} for name, cost in spent.items()
        ]
        total = sum(spent.values())
        metadata = {
            "query": {**span, "bucketSize": query.bucketSize},
            "recordCount": len(records),
            "totals": {"totalAmount": total, "gpuAmount": total, **nothing},
            "uniqueServerlessCount": len(records),
        }
        return web.json_response({"records": records, "metadata": metadata})

    def _described(self, endpoint: ListedEndpoint) -> dict[str, Any]:
        return endpoint.described(self.settings.jobs_url)

    def _named(self, request: web.Request) -> ListedEndpoint:
        endpoint = self.endpoints.get(request.match_info["id"])
        if endpoint is None:
            raise Problem(404, "endpoint not found")
        return endpoint

    def _worker(self, request: web.Request) -> ListedWorker:
        for worker in self._named(request).workers:
            if worker.id == request.match_info["worker"]:
                return worker
        raise Problem(404, "worker not found")

    def _check(self, body: dict[str, Any], after: dict[str, Any], besides: ListedEndpoint | None = None) -> None:
        """Refuse a configuration that contradicts itself or asks for more workers than there may be."""
        for conflict in endpoints.conflicts(body, after):
            raise Problem(400, conflict)
        others = [endpoint for endpoint in self.endpoints.values() if endpoint is not besides]
        if sum(endpoint.config["workers"]["max"] for endpoint in others) + after["workers"]["max"] > self.settings.quota:
            raise Problem(400, f"max workers across all endpoints must not exceed your workers quota ({self.settings.quota})")

    @web.middleware
    async def _with_key(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.requests.append((request.method, request.path, await request.text()))
        kind, _, key = request.headers.get("Authorization", "").partition(" ")
        if self.settings.api_key and kind != "Bearer":
            raise Problem(401, "missing bearer token")
        if self.settings.api_key and key != self.settings.api_key:
            raise Problem(401, "invalid bearer token")
        if self.problems:
            raise self.problems.popleft()
        return await handler(request)

    @web.middleware
    async def _as_problems(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Paths and methods that are not known are refused in the API's form, too."""
        try:
            return await handler(request)
        except Problem:
            raise
        except web.HTTPException as refusal:
            raise Problem(refusal.status, f"{request.method} {request.path} is not known") from None
