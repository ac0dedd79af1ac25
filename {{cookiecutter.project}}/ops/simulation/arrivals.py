"""When jobs arrive and how many pages each has: drawn from a pattern or read from a file, a chunk at a time, never all at once."""

import csv
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

#: Arrival times in seconds from the start, ascending, and the pages of each.
Chunk = tuple[NDArray[np.float64], NDArray[np.int64]]

#: Jobs in a chunk.
CHUNK: Final = 1 << 15
HOUR, DAY, WEEK = 3600.0, 86400.0, 7 * 86400.0

#: Jobs of one burst unless told otherwise.
BURST: Final = 20

_HOURS: Final = np.arange(7 * 24)
#: How busy each hour of a week is, from Monday's first on: a wave with its top at 14 h and a tenth of the mean at 2 h; and
#: Monday to Friday from 9 to 17 h.
PROFILES: Final = {
    "daily": 1 + 0.9 * np.cos(2 * np.pi * (_HOURS % 24 + 0.5 - 14) / 24),
    "office": ((_HOURS < 5 * 24) & (_HOURS % 24 >= 9) & (_HOURS % 24 < 17)).astype(float),
}
PATTERNS: Final = ("poisson", "steady", "daily", "office", "bursts", "bursts:N")


@dataclass(frozen=True)
class Pages:
    """Pages per job, as written: ``8`` (always), ``1-20`` (each as likely), ``geometric:8`` (mean 8, mostly fewer).

    Raises ``ValueError`` for anything else.
    """

    wish: str

    def __post_init__(self) -> None:
        try:
            low, high, mean = self._numbers
        except ValueError:
            low = high = mean = 0
        if not (1 <= low <= high and 1 <= mean < math.inf):
            raise ValueError(f"Pages are {self.wish!r}; say 8 (always), 1-20 (each as likely) or geometric:8 (mean 8).")

    @property
    def _numbers(self) -> tuple[int, int, float]:
        """Fewest, most, mean."""
        name, _, value = self.wish.partition(":")
        if name == "geometric":
            return 1, 1, float(value)
        low, _, high = self.wish.partition("-")
        return int(low), int(high or low), (int(low) + int(high or low)) / 2

    @property
    def mean(self) -> float:
        """Of very many jobs."""
        return self._numbers[2]

    def draw(self, random: np.random.Generator, count: int) -> NDArray[np.int64]:
        """The pages of so many jobs."""
        low, high, mean = self._numbers
        return random.geometric(1 / mean, count) if self.wish.startswith("geometric") else random.integers(low, high + 1, count)


@dataclass(frozen=True)
class Arrivals:
    """What comes to the endpoint, the same each time it is read.

    ``source`` is one of ``PATTERNS`` or a CSV file: a time per line (ISO 8601 or seconds), and pages in a second column if it has
    one; a first line may name the columns. The other fields are for patterns, ``pages`` also for a file that has none: ``rate`` in
    jobs an hour on average, ``days`` how long. Raises ``ValueError`` for what cannot be.
    """

    source: str = "poisson"
    rate: float = 30
    days: float = 30
    pages: Pages = Pages("geometric:10")
    seed: int = 0

    def __post_init__(self) -> None:
        name, _, size = self.source.partition(":")
        known = self.source in PATTERNS[:-1] or (name == "bursts" and size.isdecimal() and int(size) > 0)
        if not known and not Path(self.source).is_file():
            raise ValueError(
                f"Arrivals are {self.source!r}, which is no pattern and no file; say {', '.join(PATTERNS)}, or name a CSV file."
            )
        if not (0 < self.rate < math.inf and 0 < self.days < math.inf):
            raise ValueError(f"The rate is {self.rate:g} jobs an hour for {self.days:g} days; both must be more than 0.")

    @property
    def from_file(self) -> bool:
        """Whether they are read and not drawn."""
        return self.source.partition(":")[0] not in PATTERNS

    @property
    def seconds(self) -> float:
        """How long they go on; a file says only when it has been read: 0."""
        return 0.0 if self.from_file else self.days * DAY

    def chunks(self) -> Iterator[Chunk]:
        """The arrivals in order. Raises ``ValueError`` that names the line of a file that cannot be read."""
        times, pages = (np.random.default_rng([self.seed, number]) for number in range(2))
        if self.from_file:
            yield from self._read(pages)
            return
        for chunk in self._draw(times):
            inside = chunk[chunk < self.seconds]
            yield inside, self.pages.draw(pages, len(inside))
            if len(inside) < len(chunk):
                return

    def _draw(self, random: np.random.Generator) -> Iterator[NDArray[np.float64]]:
        """Times without an end."""
        name, _, size = self.source.partition(":")
        burst = int(size or BURST) if name == "bursts" else 1
        gap = HOUR / self.rate * burst
        draws: Callable[[], NDArray[np.float64]] = lambda: random.exponential(gap, max(1, CHUNK // burst))  # noqa: E731
        if name == "steady":
            draws = lambda: np.full(CHUNK, gap)  # noqa: E731
        passed = 0.0
        while True:
            times = passed + np.cumsum(draws())
            passed = float(times[-1])
            yield _spread(times, PROFILES[name]) if name in PROFILES else np.repeat(times, burst)

    def _read(self, random: np.random.Generator) -> Iterator[Chunk]:
        path, first, last = Path(self.source), None, 0.0
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = _rows(path, file)
            while some := list(islice(rows, CHUNK)):
                first = some[0][1] if first is None else first
                times = np.array([time for _, time, _ in some]) - first
                steps = np.diff(times, prepend=last)
                if (steps < 0).any():
                    line = some[int(np.argmax(steps < 0))][0]
                    raise ValueError(f"{path}, line {line}: its time is before the line above; sort the file by time.")
                last = float(times[-1])
                drawn = self.pages.draw(random, len(some))
                yield times, np.where([pages is None for *_, pages in some], drawn, [pages or 0 for *_, pages in some])
        if first is None:
            raise ValueError(f"{path} holds no times; write one a line, such as 2026-03-01T09:30:00Z, and pages after a comma.")


def _spread(times: NDArray[np.float64], profile: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move times of an even week to where the same share of an uneven week has passed."""
    passed = np.concatenate([[0.0], np.cumsum(profile)]) / profile.sum() * WEEK
    weeks, rest = np.divmod(times, WEEK)
    return np.asarray(weeks * WEEK + np.interp(rest, passed, np.arange(len(passed)) * HOUR))


def _rows(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, float, int | None]]:
    """Line number, seconds, and pages or None."""
    for number, row in enumerate(csv.reader(lines), 1):
        if not row or not row[0].strip():
            continue
        try:
            pages = int(row[1]) if len(row) > 1 and row[1].strip() else None
            if pages is not None and pages < 1:
                raise ValueError(pages)
            yield number, _seconds(row[0].strip()), pages
        except ValueError:
            if number > 1:
                raise ValueError(
                    f"{path}, line {number} is {','.join(row)!r}; a line is a time, such as 2026-03-01T09:30:00Z or seconds, and "
                    "perhaps a number of pages, at least 1, after a comma."
                ) from None


def _seconds(text: str) -> float:
    """Seconds of a number, or of a date and time, which is UTC unless it says otherwise."""
    try:
        seconds = float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(seconds):
        raise ValueError(text)
    return seconds
