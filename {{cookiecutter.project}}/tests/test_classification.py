"""What workers call their boots, against what the platform really did: 200 requests of every kind, under load and stalls."""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from documents import long_pdf, sent

from ops.client import job_input
from ops.control_plane import ControlPlane
from ops.freeze import Platform
from ops.hosts import Endpoint
from ops.jobs import Status
from ops.local_worker import DEFAULTS
from ops.mechanisms import MECHANISMS
from ops.snapshots import Mechanism

pytestmark = pytest.mark.skipif(DEFAULTS["MINERU_TIER"] != "flash", reason="the worker of this stack needs models to warm up")

#: Endpoints side by side, each with one worker at a time, and the requests of each.
LANES, REQUESTS = 8, 25
#: Share of the requests that come after scale to zero; of these, the share whose snapshot was dropped.
COLD, EVICTED = 0.25, 0.1
#: Seconds that a worker idles before it is frozen, stays frozen, and that a warm one is left alone.
IDLE, FROZEN, PAUSES = 0.8, 3.0, (0.0, 0.5)
#: Largest share of requests that a worker may be unsure about.
UNSURE: Final = 0.02
#: Seconds that a job, or a boot among others, may take before it counts as lost.
PATIENCE: Final = 120
#: Pages of a document that keeps the worker's event loop waiting for its turn, and how often it is sent.
STALL_PAGES, STALLS = 8, 0.08

#: Keeps a core busy for a while, then rests.
BURNER: Final = """
import random, time
while True:
    end = time.monotonic() + random.uniform(0.2, 1.5)
    while time.monotonic() < end:
        pass
    time.sleep(random.uniform(0.5, 2))
"""


@asynccontextmanager
async def load() -> AsyncIterator[None]:
    burner = await asyncio.create_subprocess_exec(sys.executable, "-c", BURNER)
    try:
        yield
    finally:
        burner.kill()
        await burner.wait()


def documents(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A job of a moment, and one that takes the worker's whole attention for longer."""
    table = job_input(b"tide,metres\nhigh,4.9\n", "a.csv")
    return table, sent(long_pdf(folder, STALL_PAGES), formats=["markdown"])


async def lane(number: int, mechanism: Mechanism, jobs: tuple[dict[str, Any], dict[str, Any]]) -> Counter[tuple[str, str]]:
    """One endpoint's requests; counts pairs of what was done and what was said."""
    chance = random.Random(number)  # noqa: S311 (a mix to be made the same again)
    seen: Counter[tuple[str, str]] = Counter()
    environment = {**DEFAULTS, "MINERU_CONCURRENCY": "1"}
    endpoint = Endpoint(hosts=("A",), idle_timeout=IDLE)
    async with (
        ControlPlane() as control_plane,
        Platform(control_plane, endpoint, mechanism=mechanism, environment=environment) as platform,
    ):
        for _ in range(REQUESTS):
            if seen and chance.random() < COLD:
                await platform.scaled_to_zero(PATIENCE)
                if chance.random() < EVICTED:
                    await platform.evict("A")
                await asyncio.sleep(FROZEN)
            else:
                await asyncio.sleep(chance.uniform(*PAUSES))
            job = await control_plane.submit(jobs[chance.random() < STALLS]).finished(PATIENCE)
            assert job.status == Status.COMPLETED, job.error
            seen[platform.truth(job)[0], job.output["boot"]["kind"]] += 1
    return seen


async def test_two_hundred_mixed_requests_are_called_what_they_were(tmp_path: Path, record_property: Any) -> None:
    """Slow: two minutes, most of them waiting. Half of the endpoints freeze by CRIU where it is there, the rest by SIGSTOP."""
    criu = MECHANISMS["sigstop"] if MECHANISMS["criu"].missing() else MECHANISMS["criu"]
    jobs = documents(tmp_path)
    async with load():
        lanes = (lane(number, criu if number % 2 else MECHANISMS["sigstop"], jobs) for number in range(LANES))
        matrix: Counter[tuple[str, str]] = sum(await asyncio.gather(*lanes), Counter())
    record_property("confusion", {f"{did} called {said}": count for (did, said), count in sorted(matrix.items())})
    print(matrix)
    assert matrix.total() == LANES * REQUESTS
    assert {did for did, _ in matrix} == {"fresh", "restored", "warm"}
    # A warm worker that a busy machine stopped for seconds is right to wonder; a boot or a restore has to be known.
    assert {pair for pair in matrix if pair[0] != pair[1]} <= {("warm", "unsure")}
    assert matrix["warm", "unsure"] <= UNSURE * matrix.total()
