"""The founding experiment, as a command: requests with scale to zero between them, here or on a live endpoint.

Each request waits for its worker to be gone, so that it meets a boot or a restore and never a worker that still runs. The last
worker is then asked again while it is warm, as the measure for the others.
"""

import asyncio
import string
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from ops.client import Answer, Client, ClientError, job_input
from ops.client_side import describe
from ops.control_plane import ControlPlane
from ops.findings import Finding, found
from ops.freeze import Platform
from ops.hosts import Endpoint
from ops.jobs import Job
from ops.local_worker import COMMAND, PROJECT
from ops.snapshots import Image, Mechanism

Variant = Literal["warm-up", "no-warm-up", "wrong-loop", "other-tier"]

#: The hosts of the founding experiment's requests.
ORDER: Final = ("A", "A", "B", "B")
#: Most hosts that may be named: one for each letter.
MOST_HOSTS: Final = len(string.ascii_uppercase)
#: Requests to a warm worker, and the seconds before each: after a job the SDK looks for the next only a second later.
WARM_REQUESTS, WARM_PAUSE = 3, 1.3
#: Seconds a job may take here, with the boot before it, and on a live endpoint, where an image may have to be pulled.
LOCAL_PATIENCE, LIVE_PATIENCE = 900, 1800
#: Seconds that a live endpoint gets beyond its idle timeout to take a worker away, and between two looks at it.
LIVE_MARGIN, LIVE_LOOK = 15.0, 5.0
#: Worker seconds of one cold request, for a guess at the cost: a fresh boot took 122 in the founding experiment.
LIVE_SECONDS: Final = 125.0

#: The worker whose engine is bound to a loop, with a warm-up under a loop of its own; MinerU 4's own engine is bound to none.
BOUND_ENGINE: Final = PROJECT / "tests" / "engine" / "bound_engine.py"

#: Hears what is going on, in a line for people.
Tell = Callable[[str], object]


@dataclass(frozen=True)
class Experiment:
    """What to run: a job's input, sent ``requests`` times; times in seconds.

    ``hosts`` are the hosts there are. With ``order`` the first starts are on those; beyond it, and without, a seeded random
    choice is made. ``frozen`` is how long the endpoint stays at zero before the next request.
    """

    job_input: dict[str, Any]
    requests: int = len(ORDER)
    hosts: tuple[str, ...] = ("A", "B")
    order: tuple[str, ...] = ORDER
    seed: int = 0
    idle_timeout: float = 3
    frozen: float = 3
    boot_patience: float = 120
    command: tuple[str, ...] = COMMAND
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """What a run on this machine gave: the requests in order, the warm ones last, and the snapshots that were taken."""

    findings: list[Finding]
    images: list[Image]


def vary(experiment: Experiment, variant: Variant, *, engine: bool) -> Experiment:
    """The same experiment with another warm-up; ``engine`` is whether vLLM runs on the CPU. Raises ``ValueError`` where none is."""
    environment = dict(experiment.environment)
    if variant == "no-warm-up":
        return replace(experiment, environment={**environment, "MINERU_WARMUP": "skip"})
    if variant == "wrong-loop":
        if not engine:
            raise ValueError(
                "wrong-loop needs --engine vllm-cpu: without a model there is no engine that is bound to an event loop, and "
                "nothing would fail."
            )
        return replace(experiment, command=(sys.executable, str(BOUND_ENGINE), "apart"))
    if variant == "other-tier":
        if not engine:
            raise ValueError("other-tier needs --engine vllm-cpu: without a model flash is the only tier, so there is no other.")
        job_input = {**experiment.job_input, "tier": environment.get("MINERU_TIER", "standard")}
        return replace(experiment, job_input=job_input, environment={**environment, "MINERU_TIER": "flash"})
    return experiment


def hosts(wish: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The hosts there are and the order of the first starts: "AABB", "free" (two, at random) or "free:8". Raises ``ValueError``."""
    free, _, number = wish.partition(":")
    if free == "free":
        if number and not (number.isdecimal() and 1 <= int(number) <= MOST_HOSTS):
            raise ValueError(f"--hosts is {wish!r}; after free: comes a number of hosts from 1 to {MOST_HOSTS}.")
        return tuple(string.ascii_uppercase[: int(number or 2)]), ()
    if not wish.isalpha():
        raise ValueError(f"--hosts is {wish!r}; name the host of each start by a letter, such as AABB, or say free or free:8.")
    return tuple(sorted(set(wish))), tuple(wish)


def document(path: Path) -> dict[str, Any]:
    """A job's input: the file, of a PDF its first page, and Markdown only."""
    pages = {"page_range": "1"} if path.suffix == ".pdf" else {}
    return job_input(path.read_bytes(), path.name, formats=["markdown"], **pages)


async def run_here(
    experiment: Experiment,
    mechanism: Mechanism,
    tell: Tell = lambda line: None,
    on_line: Callable[[str, str], object] = lambda worker, line: None,
) -> Run:
    """Run it on this machine's platform, which knows what each request really met.

    Raises ``WorkerError`` or ``TimeoutError`` if a worker cannot boot.
    """
    endpoint = Endpoint(
        hosts=experiment.hosts,
        order=experiment.order[: experiment.requests],
        seed=experiment.seed,
        idle_timeout=experiment.idle_timeout,
        boot_patience=experiment.boot_patience,
    )
    options = {"command": experiment.command, "environment": experiment.environment, "on_line": on_line}
    async with ControlPlane() as control_plane, Platform(control_plane, endpoint, mechanism=mechanism, **options) as platform:  # type: ignore[arg-type]

        async def ask(number: int) -> Finding:
            begun = time.monotonic()
            job = await control_plane.submit(experiment.job_input).finished(LOCAL_PATIENCE)
            return _observed(number, time.monotonic() - begun, job, platform)

        async def at_zero() -> None:
            await platform.scaled_to_zero(LOCAL_PATIENCE)
            await asyncio.sleep(experiment.frozen)

        findings = await _requests(experiment, ask, at_zero, tell)
        await platform.scaled_to_zero(LOCAL_PATIENCE)
    return Run(findings, [freeze.image for freeze in platform.freezes if freeze.image is not None])


def _observed(number: int, wall: float, job: Job, platform: Platform) -> Finding:
    """A finding with the platform's own knowledge beside the worker's account."""
    did, start = platform.truth(job)
    known = {"host": start.host, "did": did, "start": start.seconds, "note": start.note if did == "fresh" else ""}
    if isinstance(job.output, dict):
        return found(number, wall, Answer(job.output, job.delay or 0, job.execution or 0), **known)
    error = str(describe(job).get("error") or f"The job ended as {job.status}.")
    return Finding(number, wall, job.delay or 0, job.execution or 0, error=error, **known)  # type: ignore[arg-type]


async def run_live(experiment: Experiment, client: Client, tell: Tell = lambda line: None) -> list[Finding]:
    """Run it on an endpoint that is already there; what the platform really did is not known. Costs what its workers cost.

    Between requests it waits the endpoint's idle timeout, and then until no worker runs. Times are those that the platform took:
    looking at a job every few seconds would blur them.
    """

    async def ask(number: int) -> Finding:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(LIVE_PATIENCE):
                answer = await client.wait(await client.submit(experiment.job_input))
        except (ClientError, TimeoutError) as error:
            message = str(error) or f"Not answered within {LIVE_PATIENCE} s."
            return Finding(number, time.monotonic() - begun, 0, 0, error=message)
        return found(number, answer.delay + answer.execution, answer)

    async def at_zero() -> None:
        await asyncio.sleep(experiment.idle_timeout)
        async with asyncio.timeout(experiment.idle_timeout + LIVE_MARGIN + LIVE_PATIENCE):
            while (await client.health())["workers"].get("running", 0):  # noqa: ASYNC110 (it is a remote's state)
                await asyncio.sleep(LIVE_LOOK)
        await asyncio.sleep(experiment.frozen)

    return await _requests(experiment, ask, at_zero, tell)


async def _requests(
    experiment: Experiment, ask: Callable[[int], Awaitable[Finding]], at_zero: Callable[[], Awaitable[None]], tell: Tell
) -> list[Finding]:
    """The requests with scale to zero between, then those to a warm worker, unless the last one failed."""
    findings: list[Finding] = []
    for number in range(1, experiment.requests + 1):
        if findings:
            tell(f"{said(findings)} Waiting for the endpoint to be at zero …")
            await at_zero()
        tell(f"{said(findings)} Request {number} of {experiment.requests} …")
        findings.append(await ask(number))
    tell(f"{said(findings)} Asking the warm worker …")
    while not findings[-1].error and len(findings) < experiment.requests + WARM_REQUESTS:
        await asyncio.sleep(min(WARM_PAUSE, experiment.idle_timeout / 2))
        findings.append(await ask(len(findings) + 1))
    return findings


def said(findings: Sequence[Finding]) -> str:
    """The last finding, in a few words."""
    if not findings:
        return ""
    last = findings[-1]
    return f"Request {last.number}: {last.wall:.2f} s, {'failed' if last.error else last.kind}."


def cost(experiment: Experiment, seconds_each: float, price: float | None) -> str:
    """What a live run may cost, in a sentence; ``price`` in dollars per worker second, where it is known."""
    worker_seconds = experiment.requests * (seconds_each + experiment.idle_timeout)
    told = f"{experiment.requests} requests of up to {seconds_each:g} s each and {experiment.idle_timeout:g} s idle after each: "
    if price is None:
        return f"{told}up to {worker_seconds:.0f} worker seconds are billed; --price says at how many dollars a second."
    return f"{told}up to {worker_seconds:.0f} worker seconds at ${price:g} are billed, ${worker_seconds * price:.2f} in all."
