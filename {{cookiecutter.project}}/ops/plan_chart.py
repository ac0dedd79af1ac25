"""A chart of a plan: what each setting costs against how long jobs take, with the chosen one marked."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ops.drawing import BLUE, GREEN, MUTED, ORANGE, PINK, PURPLE, TEAL, figure, legend
from ops.findings import seconds
from ops.plan import Point, dollars

#: Of the lines, one for each workers_min; the chosen point's ring is pink.
COLOURS: Final = (BLUE, ORANGE, GREEN, PURPLE, TEAL)
#: How many times its lower end each axis reaches at least, so that it has numbers to read.
SPAN: Final = 8.0
#: How many times one point's cost and time may be another's, for both to share one label: as wide and as high as a label is.
NEAR: Final = (1.25, 1.06)


def draw(points: Sequence[Point], chosen: Point | None, title: str, folder: Path, name: str = "plan") -> list[Path]:
    """Draw the points that are not overloaded as SVG and PNG into ``folder``; returns the files.

    Raises ``ImportError`` without matplotlib.
    """
    possible = sorted((point for point in points if point.result), key=lambda point: (point.workers_min, point.idle_timeout))
    with figure(title, (9, 5), folder, name) as (axes, files):
        _scales(axes, possible)
        for number, least in enumerate(dict.fromkeys(point.workers_min for point in possible)):
            _line(axes, [point for point in possible if point.workers_min == least], COLOURS[number % len(COLOURS)])
        if chosen is not None:
            told = f"chosen: idle {chosen.idle_timeout:g} s, {dollars(chosen.month)} a month, p95 {seconds(chosen.known.p95)}"
            axes.scatter(*_place(chosen), s=160, facecolors="none", edgecolors=PINK, linewidths=2, zorder=3, label=told)
            legend(axes)
    return files


def _place(point: Point) -> tuple[float, float]:
    return point.month, point.known.p95


def _line(axes: Any, line: Sequence[Point], colour: str) -> None:
    """The settings of one workers_min, each with its idle timeout beside it, or several where they lie close together."""
    places = zip(*map(_place, line), strict=True)
    axes.plot(*places, marker="o", markersize=5, linewidth=1.2, color=colour, label=f"workers_min {line[0].workers_min}")
    groups: list[list[Point]] = []
    for point in line:
        if groups and _near(point, groups[-1][0]):
            groups[-1].append(point)
        else:
            groups.append([point])
    for group in groups:
        text = " to ".join(dict.fromkeys(f"{point.idle_timeout:g}" for point in (group[0], group[-1])))
        axes.annotate(f"{text} s", _place(group[-1]), (7, 6), textcoords="offset points", color=colour, fontsize=9)


def _near(one: Point, other: Point) -> bool:
    return all(1 / near < a / b < near for near, a, b in zip(NEAR, _place(one), _place(other), strict=True))


def _scales(axes: Any, points: Sequence[Point]) -> None:
    """Two log axes around the points, with the numbers 1, 2, 3 and 5 of each decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set(xscale="log", yscale="log")
    axes.grid(visible=True, color=MUTED, alpha=0.3, linewidth=0.6)
    for axis, limit, values in (
        (axes.xaxis, axes.set_xlim, [point.month for point in points]),
        (axes.yaxis, axes.set_ylim, [point.known.p95 for point in points]),
    ):
        limit(*_span(values))
        axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
        axis.set_minor_locator(NullLocator())
    axes.set_xlabel("dollars a month (log scale); beside each point its idle timeout")
    axes.set_ylabel("p95 of seconds to the result (log scale)")


def _span(values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis: around the values, with room for labels."""
    low, high = min(values, default=1.0), max(values, default=1.0)
    room = max(1.3, math.sqrt(SPAN * low / high))
    return low / room, high * room
