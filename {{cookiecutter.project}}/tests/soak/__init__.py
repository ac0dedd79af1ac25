"""The worker under faults, load and hostile input. ``make test`` runs a short form, ``make soak`` the long one."""

import os
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, TypeVar

from worker.errors import JobError

#: Jobs of the soak. Setting SOAK_JOBS asks for the long form of everything here, SOAK_SEED for other faults and jobs.
JOBS: Final = int(os.environ.get("SOAK_JOBS", "60"))
SEED: Final = int(os.environ.get("SOAK_SEED", "20260301"))
LONG: Final = "SOAK_JOBS" in os.environ
#: Inputs that each property is tried with.
EXAMPLES: Final = 5000 if LONG else 150

#: What the summary counts: faults tried, jobs sent, lost, inputs tried, escapes.
Tally = Counter[str]
T = TypeVar("T")


def survives(
    tally: Tally, call: Callable[..., T], *arguments: Any, refusals: tuple[type[Exception], ...] = (JobError,)
) -> T | None:
    """What ``call`` returns, None where it refuses in the sender's words; anything else that it raises has escaped."""
    tally["inputs tried"] += 1
    try:
        return call(*arguments)
    except refusals:
        return None
    except BaseException:
        tally["escapes"] += 1
        raise
