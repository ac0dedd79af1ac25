"""Yours: what this worker does beyond MinerU. An upgrade of the template never touches this file.

Each function below is a hook. As it stands it changes nothing; write your own lines in it, or delete it. The rules:

- A hook is ``async def`` and runs on the event loop that serves every job and the engine. What blocks (files, a model, a
  library that is not async) belongs in a thread: ``await asyncio.to_thread(function, ...)``.
- One worker may run a hook for several jobs at once. Keep what belongs to a job in local variables.
- Refuse a job by raising ``worker.errors.InvalidRequest("what came, why it fails, what would work")``. Anything else that
  is raised fails the job with an error that names this file and the hook. ``MINERU_JOB_TIMEOUT`` holds for each hook too.
- Functions of your own begin with an underscore, so that a hook with a slip in its name is found at boot.
- Packages that you need go into ``dependencies`` in pyproject.toml; ``make lock`` then brings the locks up to it.
"""

from typing import Any

from worker.outputs import Parsed
from worker.request import Request
from worker.settings import Settings
from worker.source import Document


async def before_parse(document: Document, request: Request) -> tuple[Document, Request]:
    """Runs once the document is on disk. What it returns is parsed.

    ``document.path`` lies in the job's own folder, which is gone after the job; for a ``volume_path`` it is a link to the
    file on the volume, so write beside it and never into it. Parse another file with
    ``dataclasses.replace(document, path=..., suffix="pdf")``, and ask for something else with
    ``request.model_copy(update={"tier": "basic"})``.
    """
    return document, request


async def after_parse(parsed: Parsed, document: Document, request: Request) -> Parsed:
    """Runs before the result is packed. What it returns is delivered.

    ``parsed.folder`` holds the files that ``worker.outputs.FILES`` names; change them there, such as ``markdown.md``.
    """
    return parsed


async def extra_outputs(parsed: Parsed, document: Document, request: Request) -> dict[str, Any]:
    """What the response holds besides, under ``custom``: anything that JSON can write. It counts towards the response's size."""
    return {}


async def fitness_check(settings: Settings) -> None:
    """Runs at boot, after the worker's own checks; raise to say why this worker cannot serve: it ends and is replaced."""
