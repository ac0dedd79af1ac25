"""Calls the hooks of ``worker/custom.py`` and says in clear words what one of them did wrong.

That file is never upgraded: a hook that it lacks, because it was deleted or is newer than the file, changes nothing.
"""

import asyncio
import difflib
import inspect
import json
from typing import Any, Final

from worker import custom
from worker.errors import JobError
from worker.outputs import Parsed
from worker.request import Request
from worker.settings import Settings
from worker.source import Document

FILE: Final = "worker/custom.py"
HOOKS: Final = ("before_parse", "after_parse", "extra_outputs", "fitness_check")


class HookFailed(JobError):
    """A hook raised, took too long, or returned something else than it says."""


async def before_parse(document: Document, request: Request, limit: float = 0) -> tuple[Document, Request]:
    """The document and the wishes to parse; ``limit`` is in seconds, 0 sets none.

    Raises:
        HookFailed: naming the hook and what it did; a ``JobError`` of the hook's own comes as it is.
    """
    changed = await _call("before_parse", (document, request), limit, document, request)
    match changed:
        case (Document() as document, Request() as request):
            return document, request
    raise _returned("before_parse", "the document and the request, (document, request)", changed)


async def after_parse(parsed: Parsed, document: Document, request: Request, limit: float = 0) -> Parsed:
    """The outputs to deliver; ``limit`` and what is raised as in ``before_parse``."""
    changed = await _call("after_parse", parsed, limit, parsed, document, request)
    if isinstance(changed, Parsed):
        return changed
    raise _returned("after_parse", "the parsed document, a Parsed", changed)


async def extra_outputs(parsed: Parsed, document: Document, request: Request, limit: float = 0) -> dict[str, Any]:
    """What the response holds besides: ``custom``, or nothing; ``limit`` and what is raised as in ``before_parse``."""
    outputs = await _call("extra_outputs", {}, limit, parsed, document, request)
    if not outputs and isinstance(outputs, dict):
        return {}
    try:
        if not isinstance(outputs, dict):
            raise TypeError("not a dict")
        await asyncio.to_thread(json.dumps, outputs)
    except (TypeError, ValueError) as error:
        raise _returned("extra_outputs", f"a dict that JSON can write ({error})", outputs) from error
    return {"custom": outputs}


async def fitness_check(settings: Settings) -> None:
    """Ask the hook whether this worker can serve, once the file itself is sound.

    Raises:
        HookFailed: naming the function that is no hook, or the hook and what it found.
    """
    _check_names()
    await _call("fitness_check", None, 0, settings)


def _check_names() -> None:
    """Every hook is ``async def``, and every such function without an underscore is a hook: no slip in a name goes unseen."""
    own = {name: value for name, value in vars(custom).items() if getattr(value, "__module__", "") == custom.__name__}
    functions = {name: value for name, value in own.items() if inspect.isfunction(value)}
    for name, function in functions.items():
        if name in HOOKS and not inspect.iscoroutinefunction(function):
            raise HookFailed(f"{FILE}: {name} must be `async def`.")
        if name not in HOOKS and not name.startswith("_"):
            close = difflib.get_close_matches(name, HOOKS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"the hooks are {', '.join(HOOKS)}."
            raise HookFailed(f"{FILE}: {name} is no hook and would never be called; {hint} Name a function of your own _{name}.")


async def _call(name: str, absent: Any, limit: float, *arguments: Any) -> Any:
    """What the hook returns; ``absent`` if there is none of that name."""
    hook = getattr(custom, name, None)
    if hook is None:
        return absent
    try:
        async with asyncio.timeout(limit or None) as clock:
            return await hook(*arguments)
    except JobError:
        raise
    except Exception as error:
        if isinstance(error, TimeoutError) and clock.expired():
            raise HookFailed(f"{FILE}: {name} took longer than MINERU_JOB_TIMEOUT={limit:g} s and was ended.") from error
        raise HookFailed(f"{FILE}: {name} failed: {type(error).__name__}: {error}") from error


def _returned(name: str, wanted: str, came: object) -> HookFailed:
    return HookFailed(f"{FILE}: {name} must return {wanted}; it returned {type(came).__name__}.")
