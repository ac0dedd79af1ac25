"""Long polls of the platform: asked with patience, given up after a freeze, ended with the worker, and no job lost on the way.

``ask`` is put around each fetcher of the SDK. A poll that fails is asked again after a pause that grows (``pace``). After a
freeze the platform may have forgotten a poll, so it is asked anew beside it (``give_up``); what the old one brings all the same
is handed on.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from worker.pace import Pace

Fetch = Callable[..., Awaitable[list[Any] | None]]

#: Seconds a long poll gets when the worker is to end: an answer that came meanwhile is read in the first of them.
POLL_GRACE: Final = 0.1

#: Seconds an answer that has begun may still take when its poll is to end.
ANSWER_PATIENCE: Final = 5.0

#: The long polls without an end yet.
_polls: "dict[Poll, asyncio.Task[list[Any] | None]]" = {}
#: The pauses before polls that failed are asked again.
_pauses: "set[asyncio.Future[None]]" = set()


async def ask(end: asyncio.Event, pace: Pace, poll: "Poll", fetch: Fetch, *arguments: int) -> list[Any]:
    """The answer of one long poll; an empty one after a pause where it failed, or came back empty at once.

    ``end`` is set when the worker is to end; the poll ends with it.
    """
    begun = time.monotonic()

    try:
        answer = await _unless_given_up(_until_end(end, poll, fetch, *arguments), poll) or []
        pause = pace.answered(poll.status, time.monotonic() - begun, found=bool(answer))
    except Exception as error:
        answer = []
        pause = pace.failed(_reason(error), time.monotonic() - begun, poll.status)
    if pause:
        await unless_ended(end, _pause(pause, pace))
    return answer


async def _until_end(end: asyncio.Event, poll: "Poll", fetch: Fetch, *arguments: int) -> list[Any] | None:
    """The answer of one long poll; None for one that has been given up, whose answer is handed on instead."""
    try:
        with _ended_by(end, poll):
            answer = await fetch(poll, *arguments)
    except Exception:
        if poll.given_up.is_set():
            return None
        raise
    if not poll.given_up.is_set():
        return answer
    for part in answer or []:
        await poll.comes_late(part)
    return None


def _reason(error: Exception) -> str:
    """Why a request failed, alike for alike failures and without its address."""
    status = getattr(error, "status", None)
    return f"status {status}" if status else f"{type(error).__name__}: {error}"


async def _pause(seconds: float, pace: Pace) -> None:
    """Wait; ``give_up`` ends it, and makes the next pauses short again."""
    pause = asyncio.ensure_future(asyncio.sleep(seconds))
    _pauses.add(pause)
    try:
        await asyncio.wait({pause})
        if pause.cancelled():
            pace.restart()
    finally:
        pause.cancel()
        _pauses.discard(pause)


async def unless_ended(end: asyncio.Event, wait: Coroutine[Any, Any, None]) -> list[Any]:
    """Return when ``wait`` is over, or as soon as the worker is to end: no jobs."""
    waits = [asyncio.create_task(each) for each in (wait, end.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()
    return []


async def _unless_given_up(fetching: Coroutine[Any, Any, list[Any] | None], poll: "Poll") -> list[Any] | None:
    """The answer of one long poll by a fetcher of the SDK; None once it has been given up, and then it goes on by itself."""
    _polls[poll] = polling = asyncio.create_task(fetching)
    polling.add_done_callback(lambda _: _polls.pop(poll, None))
    given_up = asyncio.create_task(poll.given_up.wait())
    try:
        await asyncio.wait((polling, given_up), return_when=asyncio.FIRST_COMPLETED)
        return polling.result() if polling.done() and not polling.cancelled() else None
    except asyncio.CancelledError:
        polling.cancel()
        raise
    finally:
        given_up.cancel()


class Poll:
    """What a fetcher of the SDK takes for its session; ``comes_late`` gets each part of an answer after it was given up."""

    def __init__(self, session: Any, comes_late: Callable[[Any], Awaitable[object]]) -> None:
        self._session = session
        self.comes_late = comes_late
        self.given_up = asyncio.Event()
        #: The status of the answer; None until it begins to come.
        self.status: int | None = None

    @asynccontextmanager
    async def get(self, url: str) -> AsyncIterator[Any]:
        async with self._session.get(url) as response:
            self.status = response.status
            yield response

    def give_up(self) -> None:
        """Have it asked anew, with the names of hosts resolved anew."""
        self._session.connector.clear_dns_cache()
        self.given_up.set()


def give_up() -> None:
    """Have the SDK ask anew, beside the long polls in the air; for a process that was frozen.

    The platform may have forgotten them, or the network their connections: a job would come over neither, for up to 90 s. They
    are not ended, since a job may be on its way over them all the same.
    """
    for pause in _pauses:
        pause.cancel()
    for poll in list(_polls):
        poll.give_up()


@contextmanager
def _ended_by(end: asyncio.Event, poll: "Poll") -> Iterator[None]:
    """Have one long poll end when the worker is to. An answer that is on its way by then may bring a job, and is waited for."""

    async def follow() -> None:
        await end.wait()
        await asyncio.sleep(POLL_GRACE)
        if poll.status is not None:
            await asyncio.sleep(ANSWER_PATIENCE)
        _polls[poll].cancel()

    ending = asyncio.create_task(follow())
    try:
        yield
    finally:
        ending.cancel()
