"""What worker logs tell: processes with their boots and freezes, requests and what each met. ``log_hearing.tell`` fills it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from ops.logs.lines import DATED_FROM, Form, Line
from ops.logs.signs import Sign

Kind = Literal["fresh", "restored", "warm", "unsure"]


@dataclass(frozen=True)
class Gap:
    """A stretch in which a process stood still, in the times of its lines; ``sure`` where more than silence tells so."""

    begun: float
    ended: float
    sure: bool


@dataclass(frozen=True)
class Step:
    """One step of a boot, in the times of its lines."""

    name: str
    begun: float
    ended: float


@dataclass(eq=False)
class Request:
    """One request as one process handled it. ``took`` in seconds; ``begun`` and ``ended`` None where no line has a time.

    ``said`` is true where the worker itself says what was met; ``boot`` is its account.
    """

    id: str
    process: "Process"
    begun: float | None = None
    ended: float | None = None
    took: float | None = None
    outcome: str = ""
    kind: Kind = "unsure"
    why: str = ""
    said: bool = False
    boot: dict[str, Any] = field(default_factory=dict)
    #: What the judgement rests on: the longest silence before, whether lines there have no time, whether it opens the log,
    #: another ran, its engine started, its start is in the log; and what became of its engine's process.
    silence: tuple[float, float] | None = None
    blind: bool = False
    opens_log: bool = False
    beside: bool = False
    started_engine: bool = False
    has_start: bool = True
    other_engine: str = ""


@dataclass(eq=False)
class Process:
    """One process of a worker: its boot, if the log has it, and what it went through.

    ``worker`` is its worker's id, else the name of the log; ``id`` its own name for its boot.
    """

    worker: str
    id: str = ""
    begun: float | None = None
    ready: float | None = None
    phases: dict[str, float] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    failed: bool = False
    #: Signs of its boot seen, its engine's processes by name, and the seconds of each step by the process that told them.
    signs: set[Sign] = field(default_factory=set)
    engines: dict[str, str] = field(default_factory=dict)
    told: dict[tuple[str, str], float] = field(default_factory=dict)

    @property
    def boot_seconds(self) -> float | None:
        """Seconds from the first line of its boot to the last."""
        return None if self.begun is None or self.ready is None else self.ready - self.begun


@dataclass
class Story:
    """Everything told. ``forms`` counts the lines by form, ``odd`` holds the first that were not understood."""

    processes: list[Process]
    requests: list[Request]
    forms: Counter[Form]
    odd: list[Line]

    @property
    def understood(self) -> int:
        """How many lines were."""
        return self.forms.total() - self.forms["unknown"] - self.forms["blank"]


def is_dated(at: float) -> bool:
    """Whether a line's time is Unix time and not a time of day."""
    return at >= DATED_FROM
