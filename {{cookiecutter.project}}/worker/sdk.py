"""The RunPod SDK's internals, composed by hand: the only module that touches ``runpod.serverless.modules``.

The SDK's own ``start`` runs its fitness checks and its serving loop in two ``asyncio.run`` calls and has no place for a
warm-up between them. This module offers the same steps one by one, so that ``bootstrap`` can take them on one event loop.
``CONTRACT`` lists every step of the SDK's own start, as done here or left out with the reason; a test compares it with
the SDK's source.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

Job = dict[str, Any]
Handler = Callable[[Job], Awaitable[dict[str, Any]]]

#: The SDK writes whole handler outputs to the log at its own default, DEBUG.
os.environ.setdefault("RUNPOD_LOG_LEVEL", "INFO")

#: Arguments with which the SDK serves elsewhere than on the platform: one test job, or an API on this machine.
LOCAL_ARGUMENTS: Final = ("--test_input", "--rp_serve_api")


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

    The process is forked: it is started before the engine, so that it inherits neither its threads nor a CUDA context,
    and so that the platform sees a living worker during the warm-up.
    """
    from runpod.serverless.modules import rp_ping, worker_state

    mirror = worker_state.PingJobMirror()
    worker_state.JobsProgress().set_mirror(mirror)
    rp_ping.Heartbeat().start_ping(mirror)


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
    sys.excepthook = rp_scale._handle_uncaught_exception
    _give_up_polls_at_shutdown(scaler)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, scaler.handle_shutdown, number, None)
    await scaler.run()


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


def _give_up_polls_at_shutdown(scaler: Any) -> None:
    """Let the two long polls race the shutdown event.

    The SDK waits for both to return, up to 90 s, and loses a job that arrives meanwhile (seen on 1.7.13 to 1.12.0).
    """
    take, stop = scaler.jobs_fetcher, scaler.stop_signals_fetcher
    scaler.jobs_fetcher = lambda session, count: _unless_shutting_down(scaler, take(session, count))
    scaler.stop_signals_fetcher = lambda session: _unless_shutting_down(scaler, stop(session))


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
