"""A chart of a cold-start experiment: where each request's time went, beside the founding experiment's numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ops.drawing import BLUE, GREEN, GREY, INK, KINDS, MUTED, ORANGE, PINK, PURPLE, TEAL, figure, legend
from ops.findings import FOUNDING, Finding, seconds

#: Most requests that are drawn as bars; more are drawn as points.
BARS: Final = 12
#: Left end of the axis, in seconds.
AXIS_START: Final = 0.01

COLOURS: Final = {
    "process start": PURPLE,
    "imports": BLUE,
    "fitness checks": TEAL,
    "warm-up": ORANGE,
    "restore": GREEN,
    "parse": PINK,
    "the rest": GREY,
}
STEPS: Final = {"imports": "imports", "fitness": "fitness checks", "warmup": "warm-up"}


def parts(finding: Finding) -> dict[str, float]:
    """Where a request's seconds went, in the order they passed; together they are its wall-clock time."""
    spent: dict[str, float] = {}
    if finding.kind == "fresh":
        steps = {STEPS[name]: value for name, value in finding.steps.items()}
        spent["process start"] = max(0.0, finding.queue - sum(steps.values()))
        spent |= steps
    elif finding.kind == "restored":
        spent["restore"] = finding.queue
    spent["parse"] = finding.parse or 0.0
    spent["the rest"] = max(0.0, finding.wall - sum(spent.values()))
    return {name: value for name, value in spent.items() if value > 0}


def draw(findings: Sequence[Finding], title: str, folder: Path, name: str = "coldstart") -> list[Path]:
    """Draw ``findings`` as SVG and PNG into ``folder``; returns the files. Raises ``ImportError`` without matplotlib."""
    cold = [finding for finding in findings if finding.kind != "warm"]
    bars = len(cold) <= BARS
    size = (9, 1.9 + 0.62 * len(cold)) if bars else (9, 4.5)
    with figure(title, size, folder, name) as (axes, files):
        (_bars if bars else _points)(axes, cold)
    return files


def _bars(axes: Any, findings: Sequence[Finding]) -> None:
    """A bar per request along the time since it was sent, the first on top, and the founding experiment's below each."""
    longest = max([finding.wall for finding in findings] + [wall for wall, _ in FOUNDING])
    axes.set_xscale("log")
    axes.set_xlim(AXIS_START, longest * 4)
    shown: set[str] = set()
    for row, finding in enumerate(findings):
        passed = 0.0
        for name, spent in parts(finding).items():
            left, right = max(passed, AXIS_START), passed + spent
            if right > left:
                axes.barh(row, right - left, left=left, height=0.5, color=COLOURS[name], label=None if name in shown else name)
                shown.add(name)
            passed = right
        _label(axes, finding.wall, row, f"{seconds(finding.wall)}  {'failed' if finding.error else finding.kind}", INK, bold=True)
        if len(findings) == len(FOUNDING):
            wall = FOUNDING[row][0]
            axes.barh(row + 0.36, wall - AXIS_START, left=AXIS_START, height=0.1, color=MUTED, alpha=0.7)
            _label(axes, wall, row + 0.36, seconds(wall), INK)
    axes.spines["left"].set_visible(False)
    axes.set_yticks(range(len(findings)), [f"{finding.number}  host {finding.host}" for finding in findings])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(findings) - 0.3, -0.5)
    beside = "; thin: the founding post, on a GPU" if len(findings) == len(FOUNDING) else ""
    axes.set_xlabel(f"seconds since the request was sent (log scale){beside}")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    legend(axes, {name: handles[name] for name in COLOURS if name in handles})


def _label(axes: Any, x: float, y: float, text: str, colour: str, *, bold: bool = False) -> None:
    weight, size = ("bold", 10) if bold else ("normal", 8)
    axes.annotate(text, (x, y), (5, 0), textcoords="offset points", va="center", color=colour, fontsize=size, fontweight=weight)


def _points(axes: Any, findings: Sequence[Finding]) -> None:
    """A point per request, by its number and its time, coloured by what it met; the founding numbers as lines."""
    for kind in dict.fromkeys(finding.kind for finding in findings):
        met = [finding for finding in findings if finding.kind == kind]
        places = ([finding.number for finding in met], [finding.wall for finding in met])
        axes.scatter(*places, s=18, color=KINDS.get(kind, INK), label=f"{kind} ({len(met)})")
    for wall, _ in FOUNDING[:-1]:  # the last lies on the second
        axes.axhline(wall, color=MUTED, linewidth=0.8, linestyle=":")
        axes.annotate(f"founding post: {seconds(wall)}", (1, wall), (0, 3), textcoords="offset points", color=INK, fontsize=8)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("request")
    axes.set_ylabel("seconds (log scale)")
    legend(axes)
