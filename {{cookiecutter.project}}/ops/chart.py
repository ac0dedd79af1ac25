"""A chart of a cold-start experiment: where each request's time went, beside the founding experiment's numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ops.findings import FOUNDING, Finding, seconds

#: Most requests that are drawn as bars; more are drawn as points.
BARS: Final = 12
#: Left end of the axis, in seconds.
AXIS_START: Final = 0.01

#: Colours of middling lightness, to be read on a white page and on a dark one; the background is left out.
INK: Final = "#7a828c"
MUTED: Final = "#a2aab4"
COLOURS: Final = {
    "process start": "#9a6dd7",
    "imports": "#3f8fe0",
    "fitness checks": "#2aa5a0",
    "warm-up": "#e08a2e",
    "restore": "#35a55a",
    "parse": "#d6568a",
    "the rest": "#8d949e",
}
STEPS: Final = {"imports": "imports", "fitness": "fitness checks", "warmup": "warm-up"}
KINDS: Final = {"fresh": COLOURS["warm-up"], "restored": COLOURS["restore"], "warm": COLOURS["imports"]}


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
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style: Any = {
        "svg.fonttype": "none",
        "font.size": 10,
        "text.color": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
    }
    cold = [finding for finding in findings if finding.kind != "warm"]
    with rc_context(style):
        bars = len(cold) <= BARS
        figure = Figure(figsize=(9, 1.9 + 0.62 * len(cold)) if bars else (9, 4.5), layout="constrained")
        axes = figure.add_subplot()
        (_bars if bars else _points)(axes, cold)
        axes.set_title(title, loc="left", fontsize=11, pad=30)
        axes.spines[["top", "right", *(["left"] if bars else [])]].set_visible(False)
        axes.spines[["bottom", "left"]].set_color(MUTED)
        files = [folder / f"{name}.svg", folder / f"{name}.png"]
        for file in files:
            figure.savefig(file, transparent=True, dpi=160, metadata={"Date": None} if file.suffix == ".svg" else None)
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
    axes.set_yticks(range(len(findings)), [f"{finding.number}  host {finding.host}" for finding in findings])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(findings) - 0.3, -0.5)
    beside = "; thin: the founding post, on a GPU" if len(findings) == len(FOUNDING) else ""
    axes.set_xlabel(f"seconds since the request was sent (log scale){beside}")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    _legend(axes, {name: handles[name] for name in COLOURS if name in handles})


def _label(axes: Any, x: float, y: float, text: str, colour: str, *, bold: bool = False) -> None:
    weight, size = ("bold", 10) if bold else ("normal", 8)
    axes.annotate(text, (x, y), (5, 0), textcoords="offset points", va="center", color=colour, fontsize=size, fontweight=weight)


def _points(axes: Any, findings: Sequence[Finding]) -> None:
    """A point per request, by its number and its time, coloured by what it met; the founding numbers as lines."""
    for kind in dict.fromkeys(finding.kind for finding in findings):
        met = [finding for finding in findings if finding.kind == kind]
        places = ([finding.number for finding in met], [finding.wall for finding in met])
        axes.scatter(*places, s=18, color=KINDS.get(kind, INK), label=f"{kind} ({len(met)})")
    for wall in (456.0, 122.0, 7.5):
        axes.axhline(wall, color=MUTED, linewidth=0.8, linestyle=":")
        axes.annotate(f"founding post: {seconds(wall)}", (1, wall), (0, 3), textcoords="offset points", color=INK, fontsize=8)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("request")
    axes.set_ylabel("seconds (log scale)")
    _legend(axes, dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True)))


def _legend(axes: Any, handles: dict[str, Any]) -> None:
    """A row between title and plot, where it covers nothing."""
    options = {"frameon": False, "fontsize": 9, "handlelength": 1, "columnspacing": 1.2, "borderaxespad": 0.2}
    axes.legend(handles.values(), handles.keys(), loc="lower left", bbox_to_anchor=(0, 1), ncols=len(COLOURS), **options)
