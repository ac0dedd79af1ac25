"""RunPod's job API on localhost, for the unmodified SDK and for any client: the platform a worker sees, without the platform.

    async with ControlPlane() as control_plane:
        environment = control_plane.worker_environment("worker-1")    # start a worker process with these variables
        job = await control_plane.submit({"file_url": "https://…"}).finished()

Requests and answers are the platform's, down to the result that is too large: refused with 400, and the job completed
without an output. ``faults`` makes it fail on demand. It listens on the loopback interface only and asks clients for no key.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from ops.client_side import ClientSide
from ops.faults import Faults
from ops.job_queue import Queue
from ops.jobs import Job, Worker
from ops.wire import FAULT, Refused, Settings
from ops.worker_side import WorkerSide, subject

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Seconds that polls in the air get when the server closes.
SHUTDOWN: float = 0.1


class ControlPlane:
    """The server; an async context manager. ``port`` 0 takes any free port.

    ``faults`` holds the failures to come, ``jobs`` and ``workers`` what is known by id.
    """

    def __init__(self, settings: Settings | None = None, port: int = 0) -> None:
        self.settings = settings or Settings()
        self.faults = Faults()
        self.queue = Queue()
        self._worker_side = WorkerSide(self.queue, self.settings)
        self._client_side = ClientSide(self.queue, self.settings)
        self._port = port
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        # No limit of its own on bodies: the sides measure them and refuse in the platform's way.
        application = web.Application(client_max_size=0, middlewares=[self._of_this_endpoint, self._with_key, self._with_faults])
        application.add_routes([*self._worker_side.routes(), *self._client_side.routes()])
        # Without handler_cancellation a poll outlives its connection, and takes a job that nobody will receive.
        self._runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=SHUTDOWN)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.queue.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where the server listens; ``/v2`` below it is what the SDK's client side calls RUNPOD_ENDPOINT_BASE_URL."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def endpoint_url(self) -> str:
        """What ``/run``, ``/status/{id}`` and the others are appended to."""
        return f"{self.url}/v2/{self.settings.endpoint}"

    @property
    def jobs(self) -> dict[str, Job]:
        """Every job by id, until its result expires."""
        return self.queue.jobs

    @property
    def workers(self) -> dict[str, Worker]:
        """Every worker by id."""
        return self.queue.workers

    def submit(self, job_input: Any, *, execution_timeout: float | None = None) -> Job:
        """Queue a job without the detour over HTTP; ``execution_timeout`` in seconds."""
        limits = self.settings.limits
        return self.queue.submit(job_input, limits if execution_timeout is None else replace(limits, execution=execution_timeout))

    def stop(self, job: Job) -> None:
        """Cancel a job; the worker that has it is sent a stop signal."""
        self.queue.stop(job)

    def worker_environment(self, worker_id: str, *, json_logs: bool = False) -> dict[str, str]:
        """Every variable a worker process needs to serve this control plane; set them before ``runpod`` is imported.

        With ``json_logs`` the SDK writes JSON lines, as it does on the platform.
        """
        self.queue.join(worker_id)
        return {
            **self._worker_side.environment(self.endpoint_url, worker_id),
            "RUNPOD_ENDPOINT_BASE_URL": f"{self.url}/v2",
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
            "RUNPOD_SKIP_GPU_CHECK": "true",
            "RUNPOD_LOG_LEVEL": "INFO",
            **({"RUNPOD_ENDPOINT_ID": self.settings.endpoint} if json_logs else {}),
        }

    @web.middleware
    async def _of_this_endpoint(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        asked = request.match_info.get("endpoint", self.settings.endpoint)
        if asked != self.settings.endpoint:
            raise Refused(404, f"There is no endpoint {asked!r} here, only {self.settings.endpoint!r}.")
        return await handler(request)

    @web.middleware
    async def _with_key(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Workers must show the key they were given; clients of a loopback port need none."""
        if "worker" in request.match_info and request.headers.get("Authorization") != self.settings.api_key:
            raise Refused(401, "The worker's Authorization is not the RUNPOD_AI_API_KEY it was given.")
        return await handler(request)

    @web.middleware
    async def _with_faults(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let the next fault for a worker's request happen. The two that come with the answer are left to ``wire.answer``."""
        fault = self.faults.next(*await subject(request)) if "worker" in request.match_info else None
        if fault is None:
            return await handler(request)
        if isinstance(fault.action, int):
            return web.Response(status=fault.action)
        if fault.action == "drop":
            return _abandoned(request)
        if fault.action == "stall":
            await asyncio.sleep(fault.seconds)
        request[FAULT] = fault
        try:
            return await handler(request)
        except ConnectionError:
            return _abandoned(request)


def _abandoned(request: web.Request) -> web.Response:
    """Close the connection at once; what is returned reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
