"""What a simulation is told and what it gives: an endpoint with its hosts and times, and the result."""

import math
from dataclasses import dataclass
from typing import Final

#: What a job can meet; a worker's first job meets its start, every later one a warm worker.
KINDS: Final = ("warm", "restored", "fresh")
WARM, RESTORED, FRESH = range(3)
#: Ways to choose the host of a start.
PICKS: Final = ("random", "recent", "round-robin")


@dataclass(frozen=True)
class Times:
    """Seconds: of a fresh boot and of a restore, until the worker takes jobs, each drawn anew from what was measured; of a job, and
    of each of its pages on top; and of an image's pull, which a host's first start waits for.
    """

    boots: tuple[float, ...]
    restores: tuple[float, ...]
    job: float
    page: float
    pull: float = 0


@dataclass(frozen=True)
class Scenario:
    """An endpoint and the hosts below it; times in seconds. Raises ``ValueError`` for what cannot work.

    ``request_count`` 0 is scaling by ``queue_delay``. ``concurrency`` is the jobs that one worker has at a time. ``pick`` is one of
    ``PICKS``: any free host, the one freed last, or the next in turn; ``order`` names the hosts of the first starts, numbered from
    0. ``snapshot_life`` is how long a host keeps a snapshot on average, until others take its room.
    """

    times: Times
    idle_timeout: float = 5
    workers_min: int = 0
    workers_max: int = 3
    concurrency: int = 1
    queue_delay: float = 4
    request_count: int = 0
    hosts: int = 8
    pick: str = "random"
    order: tuple[int, ...] = ()
    snapshot_life: float = math.inf
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.workers_min <= self.workers_max or self.workers_max < 1:
            raise ValueError(
                f"Workers are {self.workers_min} to {self.workers_max}; the least may not be more than the most, nor the most 0."
            )
        if self.hosts < self.workers_max:
            raise ValueError(f"{self.workers_max} workers need as many hosts, one each; there are {self.hosts}.")
        if self.pick not in PICKS:
            raise ValueError(f"Hosts are picked {self.pick!r}; say {', '.join(PICKS)}.")
        if not all(0 <= number < self.hosts for number in self.order):
            raise ValueError(f"The order names hosts {self.order}; there are {self.hosts}, from 0 on.")
        if min(self.idle_timeout, self.concurrency, self.snapshot_life, self.times.job + self.times.page) <= 0:
            raise ValueError("Idle timeout, concurrency, a snapshot's life and a job's time must be more than 0.")
        if min(self.queue_delay, self.request_count, self.times.job, self.times.page, self.times.pull) < 0:
            raise ValueError("Queue delay, request count and times cannot be less than 0.")


@dataclass(frozen=True)
class Result:
    """What a simulation gave: jobs by what they met and starts by kind, latencies from arrival to end and the mean wait for a place
    in seconds, worker seconds that are billed, and the seconds that were simulated.
    """

    jobs: int
    pages: int
    met: dict[str, int]
    starts: dict[str, int]
    p50: float
    p95: float
    p99: float
    wait: float
    billed: float
    seconds: float
