"""The RunPod SDK's internals, composed by hand: the only module that touches ``runpod.serverless.modules``.

The SDK's own ``start`` runs its fitness checks and its serving loop in two ``asyncio.run`` calls and has no place for a
warm-up between them. This module offers the same steps one by one, so that ``bootstrap`` can take them on one event loop,
and mends what the SDK loses: a job that arrives during shutdown, and a result whose post fails.

``DONE_HERE`` and ``LEFT_OUT`` account for every step of the SDK's own start; a test compares them with the SDK's source, so
that a step a new release adds is noticed. The releases that the tests pass on are in ``choices.SDK_SUPPORTED``; before 1.10.1
there is no job mirror, and pings would carry no job ids.
"""

import asyncio
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from multiprocessing.process import BaseProcess
from typing import Any, Final

from worker.log import log

Job = dict[str, Any]
Handler = Callable[[Job], Awaitable[dict[str, Any]]]
Fetch = Callable[..., Awaitable[list[Any] | None]]

#: The steps of the SDK's own start that are taken here, and by which function.
DONE_HERE: Final = {
    "worker.run_worker: run_fitness_checks": "run_fitness_checks",
    "worker.run_worker: PingJobMirror": "start_heartbeat",
    "worker.run_worker: JobsProgress": "start_heartbeat",
    "worker.run_worker: JobsProgress().set_mirror": "start_heartbeat",
    "worker.run_worker: heartbeat.start_ping": "start_heartbeat",
    "worker.run_worker: rp_scale.JobScaler": "serve",
    "JobScaler.start: set sys.excepthook": "serve",
    "JobScaler.start: signal.signal(signal.SIGTERM)": "serve, on the event loop, so that handlers run between its steps",
    "JobScaler.start: signal.signal(signal.SIGINT)": "serve, on the event loop",
    "JobScaler.start: self.run": "serve",
    "worker.main: _is_local": "on_platform",
    "rp_job.handle_job: run_job": "_run_and_deliver",
    "rp_job.handle_job: send_result": "_run_and_deliver, which tries again where the SDK gives up",
    "rp_http._handle_result: json.dumps": "_run_and_deliver",
    "rp_http._handle_result: url_template.replace": "_run_and_deliver",
    "rp_http._handle_result: set session.headers['X-Request-ID']": "_post",
    "rp_http._handle_result: _transmit": "_post",
    "rp_http._handle_result: log.error": "_report_loss",
}

#: The steps that are not taken, and why not.
LEFT_OUT: Final = {
    "worker.run_worker: asyncio.run": "bootstrap runs everything in one loop",
    "worker.run_worker: job_scaler.start": "its steps are taken one by one, on the loop that warmed up",
    "JobScaler.start: asyncio.run": "bootstrap runs everything in one loop",
    "JobScaler.start: log.warn": "the worker serves from the main thread, where signals work",
    "worker.main: asyncio.run": "for local modes, which serve_locally hands to the SDK whole",
    "worker.main: run_worker": "its steps are taken one by one",
    "worker.main: rp_local.run_local": "for local modes, which serve_locally hands to the SDK whole",
    "serverless.start: print": "the banner: our boot line says more",
    "serverless.start: signal.signal(signal.SIGINT)": "exits without finishing jobs; serve finishes them",
    "serverless.start: set config['reference_counter_start']": "read by the SDK's debugger only",
    "serverless.start: time.perf_counter": "read by the SDK's debugger only",
    "serverless.start: _set_config_args": "arguments are for local modes; on the platform settings come from the environment",
    "serverless.start: _get_realtime_port": "on_platform asks the same variable, and hands over",
    "serverless.start: _get_realtime_concurrency": "for the realtime mode, which serve_locally hands to the SDK whole",
    "serverless.start: log.info": "announces local modes",
    "serverless.start: rp_fastapi.WorkerAPI": "for local modes, which serve_locally hands to the SDK whole",
    "serverless.start: api_server.start_uvicorn": "for local modes, which serve_locally hands to the SDK whole",
    "serverless.start: worker.main": "its steps are taken one by one",
    "rp_job.handle_job: is_generator": "our handler is a coroutine function",
    "rp_job.handle_job: run_job_generator": "our handler is a coroutine function",
    "rp_job.handle_job: stream_result": "our handler is a coroutine function",
    "rp_job.handle_job: stream_output.get": "our handler is a coroutine function",
    "rp_job.handle_job: stream_output['output'].get": "our handler is a coroutine function",
    "rp_job.handle_job: job_result['output'].append": "our handler is a coroutine function",
    "rp_job.handle_job: str": "our handler is a coroutine function",
    "rp_job.handle_job: log.debug": "whole outputs do not belong in a log",
    "rp_job.handle_job: log.info": "announces refresh_worker, which the handler logs itself",
    "rp_job.handle_job: config.get": "our config asks for no refresh after every job and no aggregated stream",
    "rp_job.handle_job: config.get('rp_args', {}).get": "the SDK's debugger is for local modes",
    "rp_job.handle_job: isinstance": "the SDK's debugger is for local modes",
    "rp_job.handle_job: set job_result['stopPod']": "run_job sets it where the handler asks for refresh_worker",
    "rp_job.handle_job: set job_result['output']['rp_debugger']": "the SDK's debugger is for local modes",
    "rp_job.handle_job: set job_result['output']['rp_debugger']['ready_delay_ms']": "the SDK's debugger is for local modes",
    "rp_job.handle_job: rp_debugger.get_debugger_output": "the SDK's debugger is for local modes",
    "rp_job.handle_job: rp_debugger.clear_debugger_output": "the SDK's debugger is for local modes",
    "rp_http._handle_result: log.debug": "whole URLs do not belong in a log",
    "rp_http._handle_result: log.info": "says Finished. also of a result that was lost; the handler's own line says done",
    "rp_http._handle_result: job_data.get": "tells progress from results; only results come here",
}

#: Arguments with which the SDK serves elsewhere than on the platform: one test job, or an API on this machine.
LOCAL_ARGUMENTS: Final = ("--test_input", "--rp_serve_api")

#: Seconds before each further try to deliver a result. The SDK's own client tries three times after a 5xx, and only once
#: after a broken connection.
DELIVERY_PAUSES: Final = (1.0, 3.0, 10.0)

#: Seconds a long poll gets after a freeze: an answer that came meanwhile lies in the kernel, and is read in the first of them.
POLL_GRACE: Final = 0.1

#: The long polls without an end yet, and the process that pings, if pings are sent.
_polls: "dict[_Poll, asyncio.Future[list[Any] | None]]" = {}
_heartbeat: list[BaseProcess] = []

#: The SDK writes whole handler outputs to the log at its own default, DEBUG.
os.environ.setdefault("RUNPOD_LOG_LEVEL", "INFO")


def on_platform(arguments: list[str]) -> bool:
    """Whether the platform's job queue is to be served, as the SDK decides it: a job URL and no local mode asked for."""
    local = any(argument.split("=")[0] in LOCAL_ARGUMENTS for argument in arguments)
    realtime = os.environ.get("RUNPOD_REALTIME_PORT", "0") != "0"
    return "RUNPOD_WEBHOOK_GET_JOB" in os.environ and not local and not realtime


def serve_locally(handler: Handler, concurrency: int) -> None:
    """Hand over to the SDK: ``--test_input``, ``--rp_serve_api``, test_input.json, or the realtime port."""
    import runpod

    runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda _: concurrency})


def register_fitness_check(check: Callable[[], object]) -> None:
    """Have ``check`` run before serving; one that raises ends the process and is reported to the platform."""
    from runpod.serverless.modules import rp_fitness

    rp_fitness.register_fitness_check(check)


async def run_fitness_checks() -> None:
    """Run the SDK's checks of GPU and system, then ours. A failing one ends the process at once."""
    from runpod.serverless.modules import rp_fitness

    await rp_fitness.run_fitness_checks()


def start_heartbeat() -> None:
    """Start the process that pings the platform, and the shared memory that tells it which jobs are in flight.

    The process is forked: it is started before the engine and before any handler of signals on the event loop, so that it
    inherits neither threads nor a CUDA context nor the loop's wake-up descriptor, through which its own SIGTERM would reach
    this process instead; and so that the platform sees a living worker during the warm-up.
    """
    from runpod.serverless.modules import rp_ping, worker_state

    mirror = worker_state.PingJobMirror()
    worker_state.JobsProgress().set_mirror(mirror)
    others = multiprocessing.active_children()
    rp_ping.Heartbeat().start_ping(mirror)
    _heartbeat[:] = [child for child in multiprocessing.active_children() if child not in others]


def renew_heartbeat() -> bool:
    """Start the process that pings again if it has died; returns whether it had to.

    In a fresh interpreter: a fork would now take the engine's threads along.
    """
    from runpod.serverless.modules import rp_ping, worker_state

    if not _heartbeat or _heartbeat[0].is_alive():
        return False
    fresh = multiprocessing.get_context("spawn")
    mirror = worker_state.PingJobMirror(ctx=fresh)
    worker_state.JobsProgress().set_mirror(mirror)
    _heartbeat[0] = fresh.Process(target=rp_ping.Heartbeat.process_loop, args=(mirror,), daemon=True)
    _heartbeat[0].start()
    return True


async def serve(handler: Handler, concurrency: int) -> None:
    """Take and run jobs on the running event loop until SIGTERM, SIGINT or ``refresh_worker``; then finish those accepted."""
    from runpod.serverless.modules import rp_scale

    async def handle(job: Job) -> dict[str, Any]:
        response = await handler(job)
        if response.get("refresh_worker"):
            # The platform stops this worker once it has the response; a job taken in between would be lost.
            scaler.kill_worker()
        return response

    scaler = rp_scale.JobScaler({"handler": handle, "concurrency_modifier": lambda _: concurrency, "rp_args": {}})
    scaler.jobs_handler = _run_and_deliver
    _give_up_polls_at_shutdown(scaler)
    sys.excepthook = rp_scale._handle_uncaught_exception
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, scaler.handle_shutdown, number, None)
    await scaler.run()
    await _finish_what_came_last(scaler)


async def progress(job: Job, update: dict[str, Any]) -> None:
    """Tell the platform how far a job is.

    Returns when the update has arrived, or cannot: the SDK's own sends from a thread and may overtake or follow the result.
    """
    if "RUNPOD_WEBHOOK_POST_OUTPUT" not in os.environ:
        return
    from runpod.http_client import AsyncClientSession
    from runpod.serverless.modules import rp_http

    async with AsyncClientSession() as session:
        await rp_http.send_result(session, {"status": "IN_PROGRESS", "output": update}, job)


async def _run_and_deliver(session: Any, config: dict[str, Any], job: Job) -> None:
    """Run the handler on one job and post what it gives, in place of the SDK's ``handle_job``."""
    from runpod.serverless.modules import rp_http, rp_job

    result = await rp_job.run_job(config["handler"], job)
    url = rp_http.JOB_DONE_URL.replace("$ID", job["id"]) + "&isStream=false"
    body = json.dumps(result, ensure_ascii=False)
    refusal = await _post(session, url, body, job["id"])
    if refusal is not None:
        await _report_loss(session, url, job["id"], f"{len(body.encode())} bytes: {refusal}")


async def _report_loss(session: Any, url: str, job_id: str, reason: str) -> None:
    """Post an error in the result's place: without any, the sender would see a completed job with no output."""
    error = f"The platform did not take the result of this job, {reason}."
    unheard = await _post(session, url, json.dumps({"error": error}), job_id)
    if unheard is not None:
        log.error("the result could not be delivered; the platform does not have it", requestId=job_id, error=reason)


async def _post(session: Any, url: str, body: str, job_id: str) -> str | None:
    """Deliver ``body``, again after each pause where that may help; returns None, or why it cannot be delivered."""
    import aiohttp
    from runpod.serverless.modules import rp_http

    session.headers["X-Request-ID"] = job_id
    reason = ""
    for pause in (*DELIVERY_PAUSES, None):
        try:
            await rp_http._transmit(session, url, body)
        except aiohttp.ClientResponseError as error:
            reason = f"status {error.status}"
            if error.status < 500 and error.status != 429:
                return reason
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = f"{type(error).__name__}: {error}"
        else:
            return None
        if pause is not None:
            log.warning("the result did not arrive, trying again", requestId=job_id, error=reason, seconds=pause)
            await asyncio.sleep(pause)
    return reason


def _give_up_polls_at_shutdown(scaler: Any) -> None:
    """Let the two long polls race the shutdown event.

    The SDK waits for both to return, up to 90 s, and loses a job that arrives meanwhile (seen on 1.7.13 to 1.12.0).
    """
    from runpod.serverless.modules import rp_job

    take, stop = scaler.jobs_fetcher, scaler.stop_signals_fetcher
    scaler.jobs_fetcher = lambda session, count: _unless_shutting_down(scaler, _unless_given_up(take, session, count))
    if rp_job._job_stop_url() is not None:
        # Left alone where there is no stop channel: the SDK recognises its own fetcher, and does not poll.
        scaler.stop_signals_fetcher = lambda session: _unless_shutting_down(scaler, _unless_given_up(stop, session))


async def _unless_shutting_down(scaler: Any, poll: Awaitable[list[Any] | None]) -> list[Any]:
    """The poll's answer, or an empty one as soon as the worker shuts down."""
    polling = asyncio.ensure_future(poll)
    shutdown = asyncio.ensure_future(scaler._shutdown_event.wait())
    try:
        await asyncio.wait((polling, shutdown), return_when=asyncio.FIRST_COMPLETED)
        return (polling.result() or []) if polling.done() else []
    finally:
        for task in (polling, shutdown):
            task.cancel()


async def _unless_given_up(fetch: Fetch, session: Any, *arguments: int) -> list[Any] | None:
    """The answer of one long poll by a fetcher of the SDK; None once ``give_up_polls`` has ended it."""
    poll = _Poll(session)
    polling = asyncio.ensure_future(fetch(poll, *arguments))
    _polls[poll] = polling
    try:
        await asyncio.wait({polling})
        return None if polling.cancelled() else polling.result()
    finally:
        del _polls[poll]
        polling.cancel()


class _Poll:
    """What a fetcher of the SDK takes for its session; knows whether the answer has begun to come."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.answered = False

    @asynccontextmanager
    async def get(self, url: str) -> AsyncIterator[Any]:
        async with self._session.get(url) as response:
            self.answered = True
            yield response

    def forget_names(self) -> None:
        """Have the names of hosts resolved anew."""
        self._session.connector.clear_dns_cache()


async def give_up_polls() -> None:
    """End the long polls in the air, so that the SDK asks anew; for a process that was frozen.

    The platform may have forgotten them, or the network their connections: a job would come over neither, for up to 90 s. One
    whose answer has begun is left alone: it may bring a job.
    """
    in_the_air = dict(_polls)
    await asyncio.sleep(POLL_GRACE)
    for poll, polling in in_the_air.items():
        if not poll.answered:
            poll.forget_names()
            polling.cancel()


async def _finish_what_came_last(scaler: Any) -> None:
    """Run the jobs that were queued when the SDK's own loop had already looked for the last time."""
    from runpod.http_client import AsyncClientSession

    async with AsyncClientSession() as session:
        while not scaler.jobs_queue.empty():
            job = scaler.jobs_queue.get_nowait()
            await scaler.handle_job(session, job)
