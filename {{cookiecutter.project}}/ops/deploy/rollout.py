"""Waiting until an endpoint's workers serve, with a view of them."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from ops.endpoint import Rest, RestError, Worker

#: Seconds between two looks at the workers: the first, the growth of each next, the longest. The API lets 60 requests a minute
#: through.
LOOK_FIRST, LOOK_GROWTH, LOOK_LONGEST = 1.0, 1.3, 5.0
#: Lines of an unhealthy worker's log that are shown.
LAST_WORDS: Final = 5

OnLook = Callable[[list[Worker]], object]


async def until_serving(rest: Rest, endpoint_id: str, count: int, patience: float, on_look: OnLook) -> None:
    """Wait until ``count`` workers of the latest version serve; every look at the workers is passed to ``on_look``.

    Raises ``RestError`` with the last words of a worker that is unhealthy, or after ``patience`` seconds.
    """
    deadline, pause = time.monotonic() + patience, LOOK_FIRST
    while True:
        workers = await rest.workers(endpoint_id)
        on_look(workers)
        if sum(worker.serving for worker in workers) >= count:
            return
        for worker in workers:
            if worker.status == "UNHEALTHY" and not worker.stale:
                raise RestError(await _last_words(rest, endpoint_id, worker))
        if time.monotonic() + pause > deadline:
            raise RestError(_too_late(workers, count, patience))
        await asyncio.sleep(pause)
        pause = min(pause * LOOK_GROWTH, LOOK_LONGEST)


async def _last_words(rest: Rest, endpoint_id: str, worker: Worker) -> str:
    lines = [line async for _, line in rest.logs(endpoint_id, worker.id, tail=LAST_WORDS)]
    said = "\n".join(f"  {line}" for line in lines[-LAST_WORDS:]) or "  (nothing)"
    return f"Worker {worker.id} is unhealthy: it ended, or did not boot in RUNPOD_INIT_TIMEOUT. The last it said:\n{said}"


def _too_late(workers: list[Worker], count: int, patience: float) -> str:
    serving = sum(worker.serving for worker in workers)
    said = f"After {patience:.0f} s {serving} of {count} workers serve; the endpoint stays, and they may yet come."
    if any(worker.status == "THROTTLED" for worker in workers):
        return f"{said} Some wait for cards: more pools in gpu.pools, or no data_centers, give more of them."
    return f"{said} --timeout waits longer."


class View(Live):
    """The workers as a table that follows them; where there is no terminal, a line for each change."""

    def __init__(self, console: Console, count: int) -> None:
        super().__init__("", console=console, transient=True, auto_refresh=console.is_terminal)
        self._count = count
        self._told: dict[str, str] = {}
        self._began = time.monotonic()

    def saw(self, workers: list[Worker]) -> None:
        """One look at the workers."""
        if self.console.is_terminal:
            self.update(self._table(workers))
            return
        for worker in workers:
            if self._told.get(worker.id) != worker.status:
                self._told[worker.id] = worker.status
                where = f" on {worker.card}, {worker.data_center}" if worker.card else ""
                line = f"{self._seconds():5.0f} s  {worker.id} is {_words(worker)}{where}"
                self.console.print(escape(line), soft_wrap=True)

    def _table(self, workers: list[Worker]) -> Table:
        serving = sum(worker.serving for worker in workers)
        table = Table(box=None, header_style="bold", pad_edge=False, title_justify="left")
        table.title = f"{serving} of {self._count} workers serve, after {self._seconds():.0f} s"
        for heading in ("worker", "state", "card", "data centre"):
            table.add_column(heading)
        for worker in workers:
            table.add_row(escape(worker.id), _words(worker), escape(worker.card), escape(worker.data_center))
        return table

    def _seconds(self) -> float:
        return time.monotonic() - self._began


def _words(worker: Worker) -> str:
    """A worker's state in plain words."""
    words = {"IDLE": "ready", "RUNNING": "at work", "INITIALIZING": "booting", "THROTTLED": "waiting for a card"}
    state = words.get(worker.status, worker.status.lower())
    return f"{state}, of an older version" if worker.stale else state
