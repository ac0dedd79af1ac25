"""The RunPod SDK's internals, composed by hand: the only module that touches ``runpod.serverless.modules``.

The SDK's own ``start`` runs its fitness checks and its serving loop in two ``asyncio.run`` calls and has no place for a
warm-up between them. This module offers the same steps one by one, so that ``bootstrap`` can take them on one event loop,
and mends what the SDK loses: a job that arrives during shutdown, a result whose post fails, and time: the second that it rests
whenever every place is taken. Where it would ask a platform that fails again and again without a pause, there are pauses.

``tests/sdk_contract/steps.py`` accounts for every step of the SDK's own start, taken here or left out; a test compares it with
the SDK's source, so that a step a new release adds is noticed. The releases that the tests pass on are in
``choices.SDK_SUPPORTED``; before 1.10.1 there is no job mirror, and pings would carry no job ids.
"""

import asyncio
import functools
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.process import BaseProcess
from typing import Any, Final

from worker import polls
from worker.log import log
from worker.pace import Pace
from worker.places import Places
from worker.polls import Fetch, Poll
from worker.serialised import serialised

Job = dict[str, Any]
Handler = Callable[[Job], Awaitable[dict[str, Any]]]

#: Arguments with which the SDK serves elsewhere than on the platform: one test job, or an API on this machine.
LOCAL_ARGUMENTS: Final = ("--test_input", "--rp_serve_api")

#: Seconds before each further try to deliver a result. The SDK's own client tries three times after a 5xx, and only once
#: after a broken connection.
DELIVERY_PAUSES: Final = (1.0, 3.0, 10.0)

#: Seconds one try may take, the SDK's own tries after a 5xx among them: 20 MB at 2 Mbit/s. The SDK would wait for 600.
DELIVERY_TIMEOUT: Final = 90.0

#: The process that pings, if pings are sent.
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


async def serve(handler: Handler, places: Places) -> None:
    """Take and run jobs on the running event loop until SIGTERM, SIGINT or ``refresh_worker``; then finish those accepted.

    ``places`` says how many are taken; the handler waits for its turn there.
    """
    from runpod.serverless.modules import rp_scale

    async def handle(job: Job) -> dict[str, Any]:
        response = await handler(job)
        if response.get("refresh_worker"):
            # The platform stops this worker once it has the response; a job taken in between would be lost.
            scaler.kill_worker()
        return _Unprinted(response)

    # More than are ever taken, a job in the queue counted twice as the SDK does: it rests for a second whenever it is full.
    roomy = 2 * places.most + 1
    scaler = rp_scale.JobScaler({"handler": handle, "concurrency_modifier": lambda _: roomy, "rp_args": {}})
    scaler.jobs_handler = functools.partial(_run_and_deliver, places)
    _ask_with_patience(scaler, places)
    sys.excepthook = rp_scale._handle_uncaught_exception
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, scaler.handle_shutdown, number, None)
    await scaler.run()
    await _finish_what_came_last(scaler)


class _Unprinted(dict[str, Any]):
    """A response that the SDK does not print: it formats every one for lines below the level it logs, 0.1 s for a large one."""

    def __repr__(self) -> str:
        return f"a response of {len(self)} fields"


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


async def _run_and_deliver(places: Places, session: Any, config: dict[str, Any], job: Job) -> None:
    """Run the handler on one job and post what it gives, in place of the SDK's ``handle_job``.

    That the worker is to be replaced is said with the last result: the platform may stop the worker as soon as it hears it.
    """
    from runpod.serverless.modules import rp_http, rp_job

    try:
        result = await rp_job.run_job(config["handler"], job)
        places.leaves(job["id"])
        places.replaced |= result.pop("stopPod", False)
        if places.replaced and await places.is_last(job["id"]):
            result["stopPod"] = True
        url = rp_http.JOB_DONE_URL.replace("$ID", job["id"]) + "&isStream=false"
        body = await asyncio.to_thread(serialised, result, errors="replace")
        refusal = await _post(session, url, body, job["id"])
        if refusal is not None:
            await _report_loss(session, url, job["id"], f"{len(body)} bytes: {refusal}")
    finally:
        places.let_go(job["id"])


async def _report_loss(session: Any, url: str, job_id: str, reason: str) -> None:
    """Post an error in the result's place: without any, the sender would wait in vain, or see a completed job with no output."""
    error = f"The platform did not take the result of this job, {reason}."
    unheard = await _post(session, url, json.dumps({"error": error}).encode(), job_id, insist=True)
    if unheard is not None:
        log.error("the result could not be delivered; the platform does not have it", requestId=job_id, error=reason)


async def _post(session: Any, url: str, body: bytes, job_id: str, *, insist: bool = False) -> str | None:
    """Deliver ``body``, again after each pause where that may help, or in any case; returns None, or why it cannot be delivered."""
    import aiohttp
    from runpod.serverless.modules import rp_http

    session.headers["X-Request-ID"] = job_id
    reason = ""
    for pause in (*DELIVERY_PAUSES, None):
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT):
                await rp_http._transmit(session, url, body)
        except aiohttp.ClientResponseError as error:
            reason = f"status {error.status}"
            if error.status < 500 and error.status != 429 and not insist:
                return reason
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = f"{type(error).__name__}: {error}"
        else:
            return None
        if pause is not None:
            log.warning("the result did not arrive, trying again", requestId=job_id, error=reason, seconds=pause)
            await asyncio.sleep(pause)
    return reason


def _ask_with_patience(scaler: Any, places: Places) -> None:
    """Put our own waits around the two long polls: for a free place, after failures, and none once the worker shuts down.

    The SDK waits for both to return, up to 90 s, and loses a job that arrives meanwhile (seen on 1.7.13 to 1.12.0).
    """
    from runpod.serverless.modules import rp_job

    take, stop = scaler.jobs_fetcher, scaler.stop_signals_fetcher
    jobs, signals = Pace("jobs"), Pace("stop signals")
    scaler.jobs_fetcher = lambda session, _: _take(scaler, places, jobs, take, session)
    if rp_job._job_stop_url() is not None:
        # Left alone where there is no stop channel: the SDK recognises its own fetcher, and does not poll.
        scaler.stop_signals_fetcher = lambda session: polls.ask(
            scaler._shutdown_event, signals, Poll(session, scaler.stop_job), stop
        )


async def _take(scaler: Any, places: Places, pace: Pace, fetch: Fetch, session: Any) -> list[Any]:
    """The jobs of one poll, for which there are places; none, at once, where one had to be waited for."""
    wanted = places.wanted()
    if not wanted:
        return await polls.unless_ended(scaler._shutdown_event, places.changed())
    begun = time.monotonic()

    async def comes_late(job: Job) -> None:
        places.took([job["id"]], time.monotonic() - begun)
        await scaler.jobs_queue.put(job)
        scaler.job_progress.add(job)

    jobs = await polls.ask(scaler._shutdown_event, pace, Poll(session, comes_late), fetch, wanted)
    places.took([job["id"] for job in jobs], time.monotonic() - begun)
    return jobs


async def _finish_what_came_last(scaler: Any) -> None:
    """Run the jobs that were queued when the SDK's own loop had already looked for the last time."""
    from runpod.http_client import AsyncClientSession

    async with AsyncClientSession() as session:
        while not scaler.jobs_queue.empty():
            job = scaler.jobs_queue.get_nowait()
            await scaler.handle_job(session, job)
