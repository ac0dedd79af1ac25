"""How soon to ask the platform again when it fails or answers at once, and what the log says of it."""

import random
import time
from typing import Final

from worker.log import log

#: Seconds from which on a poll that brought nothing counts as held open, as the platform does when it is well.
HELD: Final = 1.0
#: Seconds of the first pause and the longest; each is twice the one before.
FIRST, LONGEST = 0.1, 5.0
#: Longest pause after a 400, which FlashBoot brings about: work may be near.
LONGEST_AFTER_400: Final = 1.0
#: Seconds of the pause after a 429, as in the SDK.
TOO_MANY: Final = 5.0
#: Seconds between two lines about the same failure.
TELL_EVERY: Final = 60.0


class Pace:
    """The pauses of one kind of poll; ``what`` names in the log what it asks for."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._pause = 0.0
        self._failures = 0
        self._reason = ""
        self._since = self._told = 0.0

    def answered(self, status: int | None, seconds: float, *, found: bool) -> float:
        """Seconds to pause after an answer that took ``seconds``; ``status`` is None where the poll was ended on our side."""
        if status is None:
            return 0.0
        self._recover()
        if found or seconds >= HELD:
            self._pause = 0.0
            return 0.0
        return self._longer(LONGEST_AFTER_400 if status == 400 else LONGEST)

    def failed(self, reason: str, seconds: float, status: int | None = None) -> float:
        """Seconds to pause after a poll that failed after ``seconds``; the same ``reason`` is logged once a minute at most."""
        now = time.monotonic()
        self._since = self._since if self._failures else now
        self._failures += 1
        if reason != self._reason or now - self._told >= TELL_EVERY:
            self._reason, self._told = reason, now
            log.warning(
                "platform unreachable",
                asked_for=self._what,
                error=reason,
                failures=self._failures,
                seconds=round(now - self._since, 1),
            )
        if seconds >= HELD:
            self._pause = 0.0
        return max(self._longer(LONGEST), TOO_MANY if status == 429 else 0.0)

    def restart(self) -> None:
        """Begin with short pauses again."""
        self._pause = 0.0

    def _recover(self) -> None:
        if self._failures:
            seconds = round(time.monotonic() - self._since, 1)
            log.info("platform reachable again", asked_for=self._what, failures=self._failures, seconds=seconds)
        self._failures, self._reason = 0, ""

    def _longer(self, longest: float) -> float:
        """The next pause, a random part of it taken off so that workers that failed together do not come back together."""
        self._pause = min(longest, max(FIRST, 2 * self._pause))
        return random.uniform(self._pause / 2, self._pause)  # noqa: S311, not a secret
