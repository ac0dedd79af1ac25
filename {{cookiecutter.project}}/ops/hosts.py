"""What the platform on this machine is made of: an endpoint's settings, its hosts, and what was really done on them."""

import time
from dataclasses import dataclass, field
from typing import Literal

from ops.freezable import FreezableWorker
from ops.snapshots import Image

Kind = Literal["fresh", "restored", "warm"]


@dataclass(frozen=True)
class Endpoint:
    """An endpoint's settings: times in seconds, numbers of workers as on the platform.

    ``order`` names the hosts of the first starts; later ones, and all without it, take a free host at random from ``seed``.
    ``queue_delay`` is how long a job waits before a further worker is started for it (the platform's default is 4); the first
    is started at once. ``boot_patience`` is how long a fresh boot may take.
    """

    hosts: tuple[str, ...] = ("A", "B")
    order: tuple[str, ...] = ()
    seed: int = 0
    idle_timeout: float = 5
    workers_min: int = 0
    workers_max: int = 1
    queue_delay: float = 4
    boot_patience: float = 120

    def __post_init__(self) -> None:
        strangers = sorted({name for name in self.order if name not in self.hosts})
        if not self.hosts or strangers:
            raise ValueError(
                f"The order names {', '.join(strangers) or 'no'} hosts; the hosts are {', '.join(self.hosts) or 'none'}."
            )
        if not 0 <= self.workers_min <= self.workers_max:
            raise ValueError(f"workers_min is {self.workers_min} and workers_max {self.workers_max}; the first may not be larger.")


@dataclass
class Start:
    """One start of a worker, as it really was. ``seconds`` until it asked for jobs (fresh) or ran again (restored).

    ``frozen`` is how many seconds it had been frozen, ``note`` why a snapshot that was there was not used.
    """

    worker: str
    host: str
    kind: Literal["fresh", "restored"]
    begun: float = field(default_factory=time.monotonic)
    seconds: float | None = None
    frozen: float = 0
    note: str = ""


@dataclass(frozen=True)
class Freeze:
    """One scale to zero: seconds and bytes that the snapshot took, or why there is none and the worker was ended instead."""

    host: str
    image: Image | None
    note: str = ""


@dataclass(eq=False)
class Host:
    """One host: the worker that it runs or keeps frozen, and what is happening to it."""

    name: str
    state: Literal["empty", "starting", "serving", "freezing", "frozen"] = "empty"
    worker: FreezableWorker | None = None
    image: str = ""
    since: float = 0

    @property
    def free(self) -> bool:
        """Whether a worker can be started here."""
        return self.state in ("empty", "frozen")
