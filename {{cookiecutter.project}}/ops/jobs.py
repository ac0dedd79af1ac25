"""Jobs and workers as the platform knows them: what was asked, where it stands, and everything that was heard.

A job waits in the queue, is taken by a worker, and ends once: completed, failed, cancelled or timed out. Times are
seconds of the monotonic clock.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Self

#: Largest bodies in bytes (RunPod documentation): /run, and /runsync, whose results are kept for one minute only.
RUN_LIMIT: Final = 10_000_000
RUNSYNC_LIMIT: Final = 20_000_000


class Status(StrEnum):
    """A job's state, in the platform's names."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen to the job."""
        return self not in (Status.IN_QUEUE, Status.IN_PROGRESS)


class Changes:
    """Wakes everyone who waits for a condition, each time the state it reads has changed."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        """The state has changed: every waiter looks again."""
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, condition: Callable[[], bool], seconds: float | None) -> None:
        """Return once ``condition`` holds; raises ``TimeoutError`` after ``seconds``, never with None."""
        async with asyncio.timeout(seconds):
            while not condition():
                await self._event.wait()


@dataclass(frozen=True)
class Limits:
    """How long a job may take, in seconds: with one worker, in all, and how long its result is kept.

    The defaults are the platform's for ``/run``.
    """

    execution: float = 600
    ttl: float = 24 * 3600
    retention: float = 1800


@dataclass(eq=False)
class Job:
    """One job: what was asked, where it stands, and everything its worker sent about it.

    ``progress`` and ``chunks`` hold all that came, in order; ``unread`` the chunks that no client has read yet.
    """

    input: Any
    id: str
    limits: Limits
    status: Status = Status.IN_QUEUE
    worker: str | None = None
    attempts: int = 0
    created: float = field(default_factory=time.monotonic)
    taken: float | None = None
    ended: float | None = None
    progress: list[Any] = field(default_factory=list)
    chunks: list[Any] = field(default_factory=list)
    unread: list[Any] = field(default_factory=list)
    output: Any = None
    error: Any = None
    changes: Changes = field(default_factory=Changes, repr=False)
    timers: list[asyncio.TimerHandle] = field(default_factory=list, repr=False)

    @property
    def delay(self) -> float | None:
        """Seconds from submission to the worker that took the job."""
        return None if self.taken is None else self.taken - self.created

    @property
    def execution(self) -> float | None:
        """Seconds from the take to the end."""
        return None if self.taken is None or self.ended is None else self.ended - self.taken

    def report(self, progress: Any) -> None:
        """Keep a progress update."""
        self.progress.append(progress)
        self.changes.notify()

    def stream(self, chunk: Any) -> None:
        """Keep a part of a streamed output."""
        self.chunks.append(chunk)
        self.unread.append(chunk)
        self.changes.notify()

    async def until(self, condition: Callable[[Self], bool], within: float | None = 60) -> Self:
        """Wait until ``condition(job)`` holds and return the job.

        Raises ``TimeoutError`` that says where the job stands after ``within`` seconds.
        """
        try:
            await self.changes.until(lambda: condition(self), within)
        except TimeoutError:
            raise TimeoutError(
                f"Job {self.id} is {self.status} on {self.worker} after {within} s, progress {self.progress}."
            ) from None
        return self

    async def finished(self, within: float | None = 60) -> Self:
        """Wait until the job has ended, however it ended, and return it; raises ``TimeoutError`` after ``within`` seconds."""
        return await self.until(lambda job: job.status.final, within)


@dataclass(frozen=True)
class Ping:
    """One heartbeat of a worker: when it came, the jobs it named, and every other field of its query."""

    at: float
    job_ids: tuple[str, ...]
    fields: dict[str, str]


@dataclass(eq=False)
class Worker:
    """One worker, by its id: what it was heard saying, and the signals that wait for it.

    ``refreshed`` is true once a result asked the platform to replace the worker (``stopPod``), ``asleep`` while the platform
    has it frozen: it gets no jobs. ``idle_since`` is when its last job left it.
    """

    id: str
    polls: int = 0
    pings: list[Ping] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)
    to_stop: list[str] = field(default_factory=list)
    refreshed: bool = False
    asleep: bool = False
    idle_since: float | None = None
    gone: bool = False
    changes: Changes = field(default_factory=Changes, repr=False)

    @property
    def last_ping(self) -> Ping | None:
        """The latest heartbeat, if any came."""
        return self.pings[-1] if self.pings else None

    @property
    def state(self) -> str:
        """The worker's state in the words of ``/health``; ``gone`` is not among them."""
        if self.gone:
            return "gone"
        if self.last_ping and self.last_ping.fields.get("status") == "unhealthy":
            return "unhealthy"
        if not self.polls:
            return "initializing"
        return "running" if self.jobs else "idle"

    async def until(self, condition: Callable[[Self], bool], within: float | None = 60) -> Self:
        """Wait until ``condition(worker)`` holds and return the worker; raises ``TimeoutError`` after ``within`` seconds."""
        try:
            await self.changes.until(lambda: condition(self), within)
        except TimeoutError:
            raise TimeoutError(f"Worker {self.id} is {self.state} after {within} s; last ping: {self.last_ping}.") from None
        return self
