"""The job API's worker side: what the SDK calls to take jobs, hear of stops, and send results, streams and pings."""

import asyncio
import time
from dataclasses import dataclass

from aiohttp import web

from ops.job_queue import Queue
from ops.jobs import Ping, Status, Worker
from ops.wire import Refused, Settings, answer, named_job, parsed

#: Headings of the SDK's URLs: it derives job-take-batch and job-stop from job-take by replacing that one word.
TAKE, DONE, STREAM, PING = "job-take", "job-done", "job-stream", "ping"


@dataclass(frozen=True)
class WorkerSide:
    """Handlers of the routes that workers call. A route's name is the ``where`` of a fault."""

    queue: Queue
    settings: Settings

    def routes(self) -> list[web.RouteDef]:
        """Every route of a worker, below ``/v2/{endpoint}``; each names its worker."""
        return [
            web.get("/v2/{endpoint}/job-take/{worker}", self.take_one, name="take"),
            web.get("/v2/{endpoint}/job-take-batch/{worker}", self.take_batch, name="take-batch"),
            web.get("/v2/{endpoint}/job-stop/{worker}", self.stop_signals, name="stop"),
            web.post("/v2/{endpoint}/job-done/{worker}/{job}", self.result, name="result"),
            web.post("/v2/{endpoint}/job-stream/{worker}/{job}", self.chunk, name="stream"),
            web.get("/v2/{endpoint}/ping/{worker}", self.ping, name="ping"),
        ]

    def environment(self, base: str, worker_id: str) -> dict[str, str]:
        """The variables that point the SDK at these routes below ``base``; it appends with ``&``, so each URL holds a ``?``."""
        query = "?gpu=local"
        return {
            "RUNPOD_WEBHOOK_GET_JOB": f"{base}/{TAKE}/$ID{query}",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{base}/{DONE}/$RUNPOD_POD_ID/$ID{query}",
            "RUNPOD_WEBHOOK_POST_STREAM": f"{base}/{STREAM}/$RUNPOD_POD_ID/$ID{query}",
            "RUNPOD_WEBHOOK_PING": f"{base}/{PING}/$RUNPOD_POD_ID{query}",
            "RUNPOD_PING_INTERVAL": str(self.settings.ping_interval * 1000),
            "RUNPOD_AI_API_KEY": self.settings.api_key,
            "RUNPOD_POD_ID": worker_id,
            "RUNPOD_POD_HOSTNAME": f"{worker_id}-local",
        }

    async def take_one(self, request: web.Request) -> web.StreamResponse:
        """One job as an object, or 204 when the hold has passed."""
        return await self._take(request, 1, batch=False)

    async def take_batch(self, request: web.Request) -> web.StreamResponse:
        """Up to ``batch_size`` jobs as a list, or 204 when the hold has passed."""
        return await self._take(request, int(request.query.get("batch_size", "1")), batch=True)

    async def _take(self, request: web.Request, most: int, *, batch: bool) -> web.StreamResponse:
        jobs = await self.queue.take(self._worker(request), most, self.settings.hold, lambda: _connected(request))
        if not jobs:
            return web.Response(status=204)
        payload = [{"id": job.id, "input": job.input} for job in jobs]
        try:
            return await answer(request, payload if batch else payload[0])
        except (ConnectionError, asyncio.CancelledError):
            for job in reversed(jobs):
                self.queue.put_back(job)
            raise

    async def stop_signals(self, request: web.Request) -> web.StreamResponse:
        """The jobs this worker must stop, or 204 when the hold has passed."""
        worker = self._worker(request)
        signals = await self.queue.stop_signals(worker, self.settings.hold, lambda: _connected(request))
        if not signals:
            return web.Response(status=204)
        try:
            return await answer(request, {"jobsToStop": signals})
        except (ConnectionError, asyncio.CancelledError):
            worker.to_stop[:0] = signals
            raise

    async def result(self, request: web.Request) -> web.StreamResponse:
        """A result or, with the status IN_PROGRESS, a progress update; one that came too late changes nothing.

        A result above the limit is refused with 400 and completes its job without an output, as on the platform.
        """
        job = named_job(request, self.queue)
        body = await request.read()
        content = parsed(body)
        too_large = len(body) > self.settings.max_result
        if content.get("status") == Status.IN_PROGRESS:
            if not too_large:
                job.report(content.get("output"))
        else:
            if content.get("stopPod"):
                self.queue.refresh(self._worker(request))
            if too_large:
                self.queue.finish(job, Status.COMPLETED)
            else:
                self.queue.finish(
                    job, Status.FAILED if "error" in content else Status.COMPLETED, content.get("output"), content.get("error")
                )
        if too_large:
            raise Refused(400, f"The result is {len(body)} bytes, above the limit of {self.settings.max_result}.")
        return await answer(request, {})

    async def chunk(self, request: web.Request) -> web.StreamResponse:
        """One part of a streamed output."""
        job = named_job(request, self.queue)
        job.stream(parsed(await request.read()).get("output"))
        return await answer(request, {})

    async def ping(self, request: web.Request) -> web.StreamResponse:
        """A heartbeat; ``job_id`` lists the jobs in progress and is absent while there are none."""
        fields = dict(request.query)
        job_ids = tuple(filter(None, fields.pop("job_id", "").split(",")))
        self.queue.record(self._worker(request), Ping(time.monotonic(), job_ids, fields))
        return await answer(request, {})

    def _worker(self, request: web.Request) -> Worker:
        return self.queue.worker(request.match_info["worker"])


async def subject(request: web.Request) -> tuple[str, tuple[str, ...]]:
    """What a worker's request is about, as the ``where`` of a fault, and the ids of the jobs it names."""
    name = (request.match_info.route.name or "").removesuffix("-batch")
    if name == "result" and parsed(await request.read()).get("status") == Status.IN_PROGRESS:
        name = "progress"
    named = request.match_info.get("job") or request.query.get("job_id", "")
    return name, tuple(filter(None, named.split(",")))


def _connected(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()
