"""Failures on demand: what the local control plane does wrong, how often, and to whom."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

#: The requests of a worker that can be made to fail. ``progress`` and ``result`` go to the same URL and differ by content.
Where = Literal["take", "stop", "result", "progress", "stream", "ping"]

#: drop: close the connection before anything is done. lose: do it, then close without an answer. truncate: do it, then
#: close in the middle of the answer. stall: do it, after ``seconds``. A number: do nothing and answer that HTTP status.
Action = int | Literal["drop", "lose", "truncate", "stall"]

#: Requests that name a job before the control plane has answered them.
NAME_A_JOB: Final = ("result", "progress", "stream", "ping")


@dataclass
class Fault:
    """One failure: ``Fault("result", 500, times=2)`` answers 500 to the next two results.

    ``times`` counts down as it happens; None is for ever. With ``job``, only requests that name this job id fail.
    """

    where: Where
    action: Action
    seconds: float = 0
    times: int | None = 1
    job: str | None = None
    happened: int = 0

    def __post_init__(self) -> None:
        if self.where not in get_args(Where):
            raise ValueError(f"where is {self.where!r}; choose one of {', '.join(get_args(Where))}.")
        if self.job is not None and self.where not in NAME_A_JOB:
            raise ValueError(f"A request to {self.where} names no job; leave out job or choose one of {', '.join(NAME_A_JOB)}.")
        if self.action == "stall" and self.seconds <= 0:
            raise ValueError("stall needs seconds above 0.")


class Faults(list[Fault]):
    """The failures to come, first match first."""

    def next(self, where: str, job_ids: Iterable[str]) -> Fault | None:
        """The fault that this request gets, counted as happened; None if it gets none."""
        for fault in self:
            if fault.where == where and fault.times != 0 and (fault.job is None or fault.job in job_ids):
                fault.happened += 1
                fault.times = None if fault.times is None else fault.times - 1
                return fault
        return None
