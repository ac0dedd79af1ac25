"""The hosts of a simulated endpoint: what each keeps, and which of them the next worker is started on."""

import math
import random
from dataclasses import dataclass

from ops.simulation.scenario import WARM, Scenario


@dataclass(eq=False)
class Host:
    """One host: what it keeps, and the worker on it. ``met`` is what the next job on it meets, ``last`` when one ended."""

    number: int
    free: bool = True
    image: bool = False
    kept_until: float = -math.inf
    freed: float = -math.inf
    begun: float | None = None
    last: float = 0
    met: int = WARM


class Hosts(list[Host]):
    """All of them; ``random`` is for every choice that is to be made the same again."""

    def __init__(self, scenario: Scenario, random: random.Random) -> None:
        super().__init__(Host(number) for number in range(scenario.hosts))
        self._pick = scenario.pick
        self._order = iter(scenario.order)
        self._forced: int | None = None
        self._turn = -1
        self._random = random

    def choose(self) -> Host | None:
        """The host of the next start; None if it, or every one, is busy."""
        self._forced = next(self._order, None) if self._forced is None else self._forced
        if self._forced is not None:
            host = self[self._forced]
            if not host.free:
                return None
            self._forced = None
            return host
        free = [host for host in self if host.free]
        return self._picked(free) if free else None

    def _picked(self, free: list[Host]) -> Host:
        if self._pick == "recent":
            return max(free, key=lambda host: host.freed)
        if self._pick == "random":
            return self._random.choice(free)
        chosen = min(free, key=lambda host: (host.number - self._turn - 1) % len(self))
        self._turn = chosen.number
        return chosen
