"""A story of worker logs on a terminal: a row per process along one axis of time, a table of boots and one of requests."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ops.drawing import KINDS, MUTED
from ops.findings import number, seconds
from ops.logs.lines import DAY
from ops.logs.signs import STEPS
from ops.logs.story import Process, Request, Story, is_dated

#: Share of the axis that a stretch may take in which nothing worked, together and each.
IDLE_SHARE, IDLE_EACH = 0.4, 0.14
#: Rows and requests that a terminal shows.
ROWS: Final = 30
REQUESTS: Final = 60
#: Most characters of a worker's name, and of a request's.
NAME, REQUEST = 14, 8

_LETTERS: Final = {"fresh": "F", "restored": "R", "warm": "W", "unsure": "?"}
_BOOT, _FROZEN, _ALIVE = "▒", "·", "─"


@dataclass(frozen=True)
class Stretch:
    """A part of the axis: from one time to another, and where it begins and ends, from 0 to 1."""

    begun: float
    ended: float
    left: float
    right: float


class Axis:
    """Time as it is drawn: where something worked in proportion, what lies between pressed together."""

    def __init__(self, processes: Sequence[Process]) -> None:
        busy = _merged(sorted(_busy(processes)))
        idle = [after[0] - before[1] for before, after in itertools.pairwise(busy)]
        worked = sum(ended - begun for begun, ended in busy) or 1.0
        most = worked * min(IDLE_EACH, IDLE_SHARE / max(1, len(idle)))
        scale = worked + sum(min(gap, most) for gap in idle)
        self.stretches: list[Stretch] = []
        left = 0.0
        for position, (begun, ended) in enumerate(busy):
            right = left + (ended - begun) / scale
            self.stretches.append(Stretch(begun, ended, left, right))
            left = right
            if position < len(idle):
                right = left + min(idle[position], most) / scale
                self.stretches.append(Stretch(ended, busy[position + 1][0], left, right))
                left = right

    def place(self, at: float) -> float:
        """Where a time lies, from 0 to 1."""
        for stretch in self.stretches:
            if at <= stretch.ended:
                share = (at - stretch.begun) / (stretch.ended - stretch.begun) if stretch.ended > stretch.begun else 0.0
                return stretch.left + max(0.0, share) * (stretch.right - stretch.left)
        return 1.0

    @property
    def marks(self) -> list[float]:
        """The times worth writing below: where something begins to work, and the last end."""
        return [*(stretch.begun for stretch in self.stretches[::2]), *(stretch.ended for stretch in self.stretches[-1:])]


def clock(at: float | None) -> str:
    """The time of day, in UTC where the log has dates."""
    rest = 0.0 if at is None else at % DAY
    return "" if at is None else f"{int(rest // 3600):02}:{int(rest % 3600 // 60):02}:{int(rest % 60):02}"


def iso(at: float | None) -> str | None:
    """A time as ISO 8601; where the log has no dates, the time of day."""
    return datetime.fromtimestamp(at, UTC).isoformat() if at is not None and is_dated(at) else clock(at) or None


def labels(processes: Sequence[Process]) -> list[str]:
    """A name for each process: its worker's, with its boot's id or a number where a worker has several."""
    names = [process.worker for process in processes]
    seen: dict[str, int] = {}
    found = []
    for process, name in zip(processes, names, strict=True):
        seen[name] = seen.get(name, 0) + 1
        short = name if len(name) <= NAME else f"{name[: NAME - 1]}…"
        found.append(short if names.count(name) == 1 else f"{short} {process.id[:4] or seen[name]}")
    return found


def timeline(story: Story, width: int) -> Iterator[Text]:
    """A row per process and the axis below, ``width`` characters wide; nothing where no line has a time."""
    drawn = timed(story)
    if not drawn:
        return
    axis = Axis(drawn)
    shown, names = drawn[:ROWS], labels(drawn)[:ROWS]
    margin = max(map(len, names)) + 1
    columns = max(20, width - margin)
    for process, name in zip(shown, names, strict=True):
        yield Text(name.ljust(margin), no_wrap=True) + _row(process, axis, columns)
    yield Text(" " * margin) + _marks(axis, columns)
    if len(drawn) > ROWS:
        yield Text(f"{len(drawn) - ROWS} more processes are not drawn.", style="dim")
    parts = ((_BOOT, KINDS["fresh"], "boot"), (_FROZEN, "", "stood still"), (_ALIVE, "dim", "idle"))
    legend = Text.assemble(*((f"{sign} {what}  ", style) for sign, style, what in parts), no_wrap=False)
    for kind, letter in _LETTERS.items():
        legend.append(f"{letter} {kind}  ", KINDS.get(kind, MUTED))
    yield legend


def boots(story: Story) -> Table | None:
    """What each boot took and its steps; None where no log holds a boot."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("boot")
    table.add_column("at")
    table.add_column("seconds", justify="right")
    table.add_column("steps, in seconds (some lie within others)", overflow="fold")
    for process, name in zip(story.processes, labels(story.processes), strict=True):
        if process.signs or process.phases:
            order = [*STEPS, *process.phases]
            steps = sorted(process.phases.items(), key=lambda step: order.index(step[0]))
            told = ", ".join(f"{step.replace('_', ' ')} [bold]{took:.{1 if took >= 1 else 2}f}[/bold]" for step, took in steps)
            failed = " [red]did not come up[/red]" if process.failed else ""
            took = process.boot_seconds
            table.add_row(escape(name), clock(process.begun), "" if took is None else number(took), told + failed)
    return table if table.row_count else None


def requests(story: Story) -> Table:
    """What each request met, and why that is known; the latest where they are many."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("request", "at", "worker", "met"):
        table.add_column(name, no_wrap=True)
    table.add_column("seconds", justify="right")
    table.add_column("why", overflow="fold")
    names = dict(zip(story.processes, labels(story.processes), strict=True))
    for place, request in list(enumerate(story.requests, 1))[-REQUESTS:]:
        failed = f"[red]{request.outcome}[/red]: " if request.outcome not in ("done", "") else ""
        open_end = "[yellow]no end in the log[/yellow]: " if not request.outcome else ""
        table.add_row(
            escape(request.id[:REQUEST]) or f"#{place}",
            clock(request.begun),
            escape(names[request.process]),
            Text(request.kind, KINDS.get(request.kind, MUTED)),
            "" if (took := duration(request)) is None else number(took),
            failed + open_end + escape(request.why),
        )
    return table


def timed(story: Story) -> list[Process]:
    """The processes of which something has a time."""
    return [process for process in story.processes if next(_busy([process]), None)]


def duration(request: Request) -> float | None:
    """Seconds that a request took: as its worker says, else between its lines."""
    if request.took is not None:
        return request.took
    return request.ended - request.begun if request.begun is not None and request.ended is not None and request.outcome else None


def span(request: Request) -> tuple[float, float] | None:
    """When a request began and ended; a worker that logs it late says how long it took."""
    if request.begun is None or request.ended is None:
        return None
    return min(request.begun, request.ended - (request.took or 0)), request.ended


def _busy(processes: Sequence[Process]) -> Iterator[tuple[float, float]]:
    for process in processes:
        if process.begun is not None and process.ready is not None:
            yield process.begun, process.ready
        yield from (found for request in process.requests if (found := span(request)))


def _merged(intervals: list[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for begun, ended in intervals:
        if merged and begun <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], ended))
        else:
            merged.append((begun, ended))
    return merged


def _row(process: Process, axis: Axis, columns: int) -> Text:
    cells = [(" ", "")] * columns

    def fill(begun: float, ended: float, sign: str, style: str, first: str = "") -> tuple[int, int]:
        left = min(columns - 1, int(axis.place(begun) * columns))
        right = max(left + 1, min(columns, round(axis.place(ended) * columns)))
        cells[left:right] = [(first or sign, style), *[(sign, style)] * (right - left - 1)]
        return left, right

    times = [time for interval in _busy([process]) for time in interval]
    fill(min(times), max(times), _ALIVE, "dim")
    for gap in process.gaps:
        left, right = fill(gap.begun, gap.ended, _FROZEN if gap.sure else "?", "")
        words = seconds(gap.ended - gap.begun)
        if right - left >= len(words) + 2:
            start = left + (right - left - len(words)) // 2
            cells[start : start + len(words)] = [(letter, "") for letter in words]
    if process.begun is not None and process.ready is not None:
        fill(process.begun, process.ready, _BOOT, KINDS["fresh"])
    for request in process.requests:
        if interval := span(request):
            colour = KINDS.get(request.kind, MUTED)
            fill(*interval, "█", colour, first=_LETTERS[request.kind])
    return Text.assemble(*cells, no_wrap=True)


def _marks(axis: Axis, columns: int) -> Text:
    """Times below the rows, as many as have room."""
    line = [" "] * columns
    free = 0
    for at in axis.marks:
        words = clock(at)
        left = min(int(axis.place(at) * columns), columns - len(words))
        if left >= free:
            line[left : left + len(words)] = words
            free = left + len(words) + 2
    return Text("".join(line), style="dim", no_wrap=True)
