"""Percentiles of any number of durations in the memory of a few thousand: a histogram whose bins widen with their values."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

#: Seconds that are told apart: shorter ones count as the first, longer ones as the last.
SHORTEST, LONGEST = 1e-3, 1e8
#: Each bin reaches so many times its lower end; a percentile is told as its bin's middle, so at most half of this wrong.
STEP: Final = 1.01
#: Greatest relative error of a percentile, from the bins.
ERROR: Final = math.sqrt(STEP) - 1

_SCALE: Final = 1 / math.log(STEP)
_BINS: Final = math.ceil(math.log(LONGEST / SHORTEST) * _SCALE)


class Histogram:
    """Durations in seconds, counted by their logarithm. Percentiles are right within ``ERROR`` of themselves."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, np.int64)

    @property
    def count(self) -> int:
        """How many durations were added."""
        return int(self._counts.sum())

    def add(self, seconds: Sequence[float]) -> None:
        """Count these durations."""
        values = np.clip(np.asarray(seconds, float), SHORTEST, LONGEST)
        bins = np.minimum((np.log(values / SHORTEST) * _SCALE).astype(np.int64), _BINS - 1)
        self._counts += np.bincount(bins, minlength=_BINS)

    def percentile(self, share: float) -> float:
        """The duration, in seconds, that this share (0 to 1) of all stays within; 0 if there are none."""
        if not self.count:
            return 0.0
        place = int(np.searchsorted(np.cumsum(self._counts), max(1, math.ceil(share * self.count))))
        return float(SHORTEST * STEP ** (place + 0.5))
