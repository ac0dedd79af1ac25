"""The job API's client side: run, runsync, status, stream, cancel, retry, purge-queue and health, as RunPod answers them."""

import contextlib
from dataclasses import dataclass, replace
from typing import Any, Final

from aiohttp import web

from ops.job_queue import Queue
from ops.jobs import Job, Limits, Status
from ops.wire import Refused, Settings, named_job, parsed

#: Job states that ``/health`` counts, by its names for them.
COUNTED: Final = {
    "completed": Status.COMPLETED,
    "failed": Status.FAILED,
    "inProgress": Status.IN_PROGRESS,
    "inQueue": Status.IN_QUEUE,
}


@dataclass(frozen=True)
class ClientSide:
    """Handlers of the routes that clients call."""

    queue: Queue
    settings: Settings

    def routes(self) -> list[web.RouteDef]:
        """Every route of a client, below ``/v2/{endpoint}``."""
        return [
            web.post("/v2/{endpoint}/run", self.run),
            web.post("/v2/{endpoint}/runsync", self.runsync),
            web.get("/v2/{endpoint}/status/{job}", self.status),
            web.post("/v2/{endpoint}/status/{job}", self.status),
            web.get("/v2/{endpoint}/stream/{job}", self.stream),
            web.post("/v2/{endpoint}/cancel/{job}", self.cancel),
            web.post("/v2/{endpoint}/retry/{job}", self.retry),
            web.post("/v2/{endpoint}/purge-queue", self.purge),
            web.get("/v2/{endpoint}/health", self.health),
        ]

    async def run(self, request: web.Request) -> web.StreamResponse:
        """Queue a job and answer at once."""
        job = await self._submitted(request, self.settings.max_run, self.settings.limits)
        return web.json_response({"id": job.id, "status": job.status})

    async def runsync(self, request: web.Request) -> web.StreamResponse:
        """Queue a job and answer when it has ended, or after ``?wait=`` milliseconds."""
        wait = _seconds(request.query.get("wait"), self.settings.runsync_wait, "wait")
        limits = replace(self.settings.limits, retention=self.settings.sync_retention)
        job = await self._submitted(request, self.settings.max_runsync, limits, prefix="sync-")
        with contextlib.suppress(TimeoutError):
            await job.finished(wait)
        return web.json_response(describe(job))

    async def _submitted(self, request: web.Request, most: int, limits: Limits, prefix: str = "") -> Job:
        """The job that a client's body asks for, in the queue; the times in its ``policy`` are milliseconds."""
        body = await request.read()
        if len(body) > most:
            raise Refused(413, f"The request is {len(body)} bytes; {request.path.rsplit('/', 1)[1]} takes at most {most}.")
        asked = parsed(body)
        if not isinstance(asked.get("input"), dict):
            raise Refused(400, 'The request needs an "input" object.')
        policy = asked.get("policy") or {}
        execution = _seconds(policy.get("executionTimeout"), limits.execution, "policy.executionTimeout")
        ttl = _seconds(policy.get("ttl"), limits.ttl, "policy.ttl")
        return self.queue.submit(asked["input"], replace(limits, execution=execution, ttl=ttl), prefix)

    async def status(self, request: web.Request) -> web.StreamResponse:
        """Where a job stands, with its output or error once it has ended."""
        return web.json_response(describe(named_job(request, self.queue)))

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """The chunks that no earlier request has read; held a moment while there are none."""
        job = named_job(request, self.queue)
        with contextlib.suppress(TimeoutError):
            await job.until(lambda job: bool(job.unread) or job.status.final, self.settings.stream_hold)
        chunks, job.unread = job.unread, []
        return web.json_response({"id": job.id, "status": job.status, "stream": [{"output": chunk} for chunk in chunks]})

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """End a job; its worker is sent a stop signal."""
        job = named_job(request, self.queue)
        self.queue.stop(job)
        return web.json_response({"id": job.id, "status": job.status})

    async def retry(self, request: web.Request) -> web.StreamResponse:
        """Queue a failed or timed out job again under its own id."""
        job = named_job(request, self.queue)
        if not self.queue.retry(job):
            raise Refused(400, f"The job is {job.status}; only a FAILED or TIMED_OUT job can be retried.")
        return web.json_response({"id": job.id, "status": job.status})

    async def purge(self, request: web.Request) -> web.StreamResponse:
        """Cancel every job that no worker has taken."""
        return web.json_response({"removed": self.queue.purge(), "status": "completed"})

    async def health(self, request: web.Request) -> web.StreamResponse:
        """How many jobs and workers are in which state. Nothing is throttled here, and an idle worker is a ready one."""
        jobs = [job.status for job in self.queue.jobs.values()]
        workers = [worker.state for worker in self.queue.workers.values()]
        states = {state: workers.count(state) for state in ("idle", "initializing", "running", "unhealthy")}
        return web.json_response(
            {
                "jobs": {**{name: jobs.count(status) for name, status in COUNTED.items()}, "retried": self.queue.retried},
                "workers": {**states, "ready": states["idle"], "throttled": 0},
            }
        )


def describe(job: Job) -> dict[str, Any]:
    """A job as RunPod describes it: times in milliseconds, and the latest progress as its output while it runs."""
    described: dict[str, Any] = {"id": job.id, "status": job.status}
    for name, seconds in (("delayTime", job.delay), ("executionTime", job.execution)):
        if seconds is not None:
            described[name] = round(seconds * 1000)
    output = job.progress[-1] if job.status is Status.IN_PROGRESS and job.progress else job.output
    for name, value in (("workerId", job.worker), ("output", output), ("error", job.error)):
        if value is not None:
            described[name] = value
    return described


def _seconds(milliseconds: Any, default: float, name: str) -> float:
    if milliseconds is None:
        return default
    try:
        return float(milliseconds) / 1000
    except (TypeError, ValueError):
        raise Refused(400, f"{name} is {milliseconds!r}; a number of milliseconds is needed.") from None
