"""What the benchmarks share: medians, the CPU time of child processes, and the table of figures and goals."""

import resource
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

Unit = Literal["s", "ms", "ms/s", "MB", "pages/s"]


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was measured, and in ``unit`` how much it was, beside what it is compared with.

    ``goal`` says in words what is aimed at and ``met`` whether it was reached; a figure without a goal has neither.
    """

    what: str
    measured: float
    unit: Unit
    baseline: float | None = None
    goal: str = ""
    met: bool | None = None

    @property
    def ratio(self) -> float | None:
        """Measured over baseline, if there is one."""
        return self.measured / self.baseline if self.baseline else None


def median(values: Iterable[float]) -> float:
    """The middle value; half of a loaded machine's disturbances may be as large as they like."""
    return statistics.median(values)


def percentile95(values: Iterable[float]) -> float:
    """The value that 19 of 20 stay below."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def cpu_seconds_of(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> float:
    """User and system CPU seconds of a command run in ``folder``; raises if it fails."""
    before = children_cpu_seconds()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return children_cpu_seconds() - before


def children_cpu_seconds() -> float:
    """User and system CPU seconds of every child process that has ended and been waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def show(title: str, figures: Iterable[Figure], note: str = "") -> None:
    """Print the table, and below it what a reader must know to judge it."""
    table = Table(title=title, caption=note or None, caption_justify="left", title_justify="left")
    table.add_column("what", overflow="fold")
    for column in ("measured", "baseline", "ratio", "goal", "met"):
        table.add_column(column, justify="right", no_wrap=True)
    for figure in figures:
        table.add_row(
            figure.what,
            _amount(figure.measured, figure.unit),
            _amount(figure.baseline, figure.unit),
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            figure.goal,
            {True: "yes", False: "no", None: ""}[figure.met],
        )
    Console().print(table)


def _amount(value: float | None, unit: Unit) -> str:
    if value is None:
        return ""
    return f"{value * 1000:.1f} ms" if unit == "ms" else f"{value:.2f} {unit}"
