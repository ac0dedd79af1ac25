"""Draws the four requests of the founding experiment for the README, as docs/four-requests.svg.

    python tools/picture.py

Run it with an interpreter that has the worker's development packages, such as build/worker-venv/bin/python.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).parent.parent
sys.path.insert(0, str(TEMPLATE / "{{cookiecutter.project}}"))

from ops.drawing import BLUE, GREEN, GREY, INK, ORANGE, PINK, figure, legend  # type: ignore[import-not-found]  # noqa: E402
from ops.findings import FOUNDING, seconds  # type: ignore[import-not-found]  # noqa: E402

FILE = TEMPLATE / "docs" / "four-requests.svg"

#: Seconds of warm-up and of parsing in each of the four requests, from the worker's own log; a restore warms nothing up.
LOGGED = ((101.0, 5.6), (0.0, 4.7), (101.5, 5.6), (0.0, 4.6))

COLOURS = {"image pull": GREY, "process and checks": BLUE, "warm-up": ORANGE, "restore": GREEN, "parse": PINK}


def parts(number: int) -> dict[str, float]:
    """Where the seconds of a request went; its image was pulled if it took longer than the other fresh boot."""
    wall, (warm_up, parse) = FOUNDING[number][0], LOGGED[number]
    if not warm_up:
        return {"restore": wall - parse, "parse": parse}
    process = min(fresh for fresh, _ in FOUNDING if fresh > warm_up) - warm_up - parse
    return {"image pull": wall - process - warm_up - parse, "process and checks": process, "warm-up": warm_up, "parse": parse}


def draw(axes: Any) -> None:
    """A bar per request, the first on top, on an axis that does not flatter."""
    for row, (wall, host) in enumerate(FOUNDING):
        left = 0.0
        for name, spent in parts(row).items():
            axes.barh(row, spent, left=left, height=0.62, color=COLOURS[name], label=name)
            left += spent
        axes.annotate(seconds(wall), (wall, row), (6, 0), textcoords="offset points", va="center", color=INK, fontweight="bold")
        axes.annotate(f"{row + 1}  host {host}", (0, row), (-8, 0), textcoords="offset points", va="center", ha="right", color=INK)
    axes.set_ylim(len(FOUNDING) - 0.5, -0.5)
    axes.set_xlim(0, FOUNDING[0][0] * 1.08)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("seconds from the request to its result; scaled to zero before each")
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    legend(axes, {name: handles[name] for name in COLOURS})


def main() -> int:
    """Write the picture; the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        with figure("", (9, 2.6), Path(folder), FILE.stem) as (axes, files):
            draw(axes)
        FILE.write_bytes(files[0].read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
