"""A chart of a story of worker logs: a row per process with the steps of its boot, where it stood still, and its requests."""

from pathlib import Path
from typing import Any, Final

from ops.drawing import BLUE, GREY, INK, KINDS, MUTED, PINK, PURPLE, TEAL, figure, legend
from ops.findings import seconds
from ops.logs.story import Process, Story
from ops.logs.timeline import Axis, clock, labels, span, timed

#: Most rows of a chart: the first ones.
ROWS: Final = 40
#: Colours of the steps of a boot; what has none is the rest of it.
STEPS: Final = {
    "warmup": ("warm-up", PURPLE),
    "engine_init": ("init", MUTED),
    "fitness": ("fitness", GREY),
    "imports": ("imports", INK),
    "engine_process": ("process", PURPLE),
    "engine_weights": ("weights", PINK),
    "engine_compile": ("compile", TEAL),
    "engine_graphs": ("graphs", BLUE),
}
#: Steps that others lie within, drawn wide and, the first, pale.
OUTER: Final = {"warmup": 0.35, "engine_init": 0.9}
_KIND_COLOURS: Final = {**KINDS, "unsure": GREY}


def draw(story: Story, title: str, folder: Path) -> list[Path]:
    """Draw ``story`` as SVG and PNG into ``folder``; returns the files, none where no line has a time.

    Raises ``ImportError`` without matplotlib.
    """
    processes = timed(story)[:ROWS]
    if not processes:
        return []
    axis = Axis(processes)
    with figure(title, (13, 1.6 + 0.8 * len(processes)), folder, "logs") as (axes, files):
        handles: dict[str, Any] = {}
        for row, process in enumerate(processes):
            _boot(axes, row, process, axis, handles)
            _life(axes, row, process, axis, handles)
        _scale(axes, axis, labels(processes))
        legend(axes, handles, columns=13)
    return files


def _bar(axes: Any, row: float, begun: float, ended: float, axis: Axis, **options: Any) -> Any:
    left, right = axis.place(begun), axis.place(ended)
    return axes.barh(row, max(right - left, 0.002), left=left, **options)


def _boot(axes: Any, row: int, process: Process, axis: Axis, handles: dict[str, Any]) -> None:
    """The boot above the row's middle: its whole length, then its steps, the long ones below the short."""
    if process.begun is None or process.ready is None:
        return
    bar = _bar(axes, row - 0.1, process.begun, process.ready, axis, height=0.5, color=GREY, alpha=0.35)
    handles["boot"] = bar
    words = seconds(process.ready - process.begun)
    _word(axes, axis.place(process.begun), row - 0.42, words, align="left")
    for step in sorted(process.steps, key=lambda step: step.begun - step.ended):
        begun, ended = max(step.begun, process.begun), min(step.ended, process.ready)
        if step.name in STEPS and ended > begun:
            name, colour = STEPS[step.name]
            look = {"height": 0.5 if step.name in OUTER else 0.34, "alpha": OUTER.get(step.name, 1)}
            handles[name] = _bar(axes, row - 0.1, begun, ended, axis, color=colour, linewidth=0, **look)


def _life(axes: Any, row: int, process: Process, axis: Axis, handles: dict[str, Any]) -> None:
    """Where it stood still, and its requests."""
    for gap in process.gaps:
        style: Any = {"color": INK, "linestyle": ":" if gap.sure else (0, (1, 6)), "linewidth": 1.4}
        (line,) = axes.plot([axis.place(gap.begun), axis.place(gap.ended)], [row, row], **style)
        handles["frozen" if gap.sure else "silent"] = line
        _word(axes, (axis.place(gap.begun) + axis.place(gap.ended)) / 2, row - 0.14, seconds(gap.ended - gap.begun))
    for request in process.requests:
        if interval := span(request):
            colour = _KIND_COLOURS[request.kind]
            bar = _bar(axes, row + 0.1, *interval, axis, height=0.5, color=colour, edgecolor="white", linewidth=0.5)
            handles[request.kind] = bar


def _word(axes: Any, x: float, y: float, words: str, align: str = "center") -> None:
    axes.text(x, y, words, ha=align, va="center", fontsize=8, color=INK)


def _scale(axes: Any, axis: Axis, names: list[str]) -> None:
    """Rows by their names; below, the times at which something begins, as many as have room."""
    axes.set_xlim(-0.005, 1.005)
    axes.set_ylim(len(names) - 0.4, -0.65)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    ticks: list[float] = []
    for at in axis.marks:
        if not ticks or axis.place(at) - axis.place(ticks[-1]) > 0.08:
            ticks.append(at)
    axes.set_xticks([axis.place(at) for at in ticks], [clock(at) for at in ticks])
    for stretch in axis.stretches[1::2]:
        axes.axvspan(stretch.left, stretch.right, color=MUTED, alpha=0.12, linewidth=0)
    axes.set_xlabel("time; stretches in which nothing worked (grey) are drawn shorter")
