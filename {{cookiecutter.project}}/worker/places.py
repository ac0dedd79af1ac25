"""How many jobs this worker holds: as many as the engine runs at a time, and some more at hand while those are short.

The platform hands a job to a worker, not to a queue of its own: a job that waits here could have run on an idle worker. So no
job is asked for ahead of its turn unless there is a backlog, which is when the last one came at once, and the last ones were
done within ``SHORT`` seconds. A poll that is open is not taken back: a job that is on its way over it would be lost.
"""

import asyncio
import statistics
import time
from collections import deque
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final

#: Seconds of work up to which a job is short: the most that one taken ahead waits for each that is at work, if they go on so.
SHORT: Final = 5.0
#: Seconds within which an answer came at once, over a slow network; one that takes longer had to wait for a job to arrive.
AT_ONCE: Final = 0.3
#: Jobs whose median says how long the next will take.
RECENT: Final = 5


class Places:
    """The jobs of one worker, from the take to the delivered result. Used from one event loop only.

    ``concurrency`` jobs are at work at a time; up to ``look_ahead`` more wait for their turn, and the results of as many as are
    at work may be on their way.
    """

    def __init__(self, concurrency: int, look_ahead: int = 0) -> None:
        self.most = 2 * concurrency + look_ahead
        #: Whether the platform's queue holds more jobs, as far as is known.
        self.backlog = False
        #: Whether the worker is to be replaced, and a result still has to say so.
        self.replaced = False
        self._concurrency = concurrency
        self._look_ahead = look_ahead
        self._engine = asyncio.Semaphore(concurrency)
        self._held: set[str] = set()
        self._answered: set[str] = set()
        self._leaving: set[str] = set()
        self._at_work: dict[object, float] = {}
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._change = asyncio.Event()

    def wanted(self) -> int:
        """How many jobs to ask the platform for now: those that can start at once, or else those to have at hand."""
        free = self._concurrency - len(self._held) + min(len(self._leaving), self._concurrency)
        return free if free > 0 else max(0, free + self._look_ahead) * (self.backlog and self._are_short())

    async def changed(self) -> None:
        """Return once ``wanted`` may have another answer."""
        await self._change.wait()

    def took(self, job_ids: Collection[str], seconds: float) -> None:
        """What the platform gave ``seconds`` after it was asked: at once, if more of it waits in its queue."""
        self.backlog = bool(job_ids) and seconds < AT_ONCE
        self._held.update(job_ids)
        self._notify()

    def leaves(self, job_id: str) -> None:
        """A job's result is on its way to the platform: the engine has no more to do with it, and the next can be asked for."""
        self._leaving.add(job_id)
        self._notify()

    def let_go(self, job_id: str) -> None:
        """A job has left: its result is delivered, or it was stopped."""
        self._held.discard(job_id)
        self._answered.discard(job_id)
        self._leaving.discard(job_id)
        self._notify()

    async def is_last(self, job_id: str) -> bool:
        """Whether no job but this one is left to run; if so, returns when the others' results have been delivered."""
        self._answered.add(job_id)
        if self._held - self._answered:
            return False
        while self._held - {job_id}:
            await self.changed()
        return True

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[float]:
        """Wait for one's turn at the engine, first come, first served; gives the seconds that took."""
        came, token = time.monotonic(), object()
        async with self._engine:
            begun = self._at_work[token] = time.monotonic()
            self._notify()
            try:
                yield begun - came
            finally:
                del self._at_work[token]
                self._recent.append(time.monotonic() - begun)

    def _are_short(self) -> bool:
        """Whether a place is likely to get free soon; not known before a first job is done."""
        if not self._recent or statistics.median(self._recent) >= SHORT:
            return False
        return not self._at_work or time.monotonic() - max(self._at_work.values()) < SHORT

    def _notify(self) -> None:
        self._change.set()
        self._change = asyncio.Event()
