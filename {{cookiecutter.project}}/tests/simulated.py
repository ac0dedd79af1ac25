"""What tests of the simulation let happen, and what became of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ops.simulation.arrivals import Arrivals, Pages
from ops.simulation.scenario import KINDS, Times

#: Boots, restores and jobs of a second or less.
SHORT: Final = Times((1.0,), (0.1,), job=0.5, page=0.01)


class Seen:
    """What every job met and its latency, in the order of arrival."""

    def __init__(self) -> None:
        self.met: list[str] = []
        self.latencies: list[float] = []

    def __call__(self, met: Sequence[int], latencies: Sequence[float]) -> None:
        self.met += [KINDS[kind] for kind in met]
        self.latencies += latencies


def trace(path: Path, *times: float) -> Arrivals:
    """Arrivals of one page each at these seconds."""
    path.write_text("".join(f"{time}\n" for time in times))
    return Arrivals(str(path), pages=Pages("1"))
