"""One job from request to response: read the request, fetch the document, parse it, deliver the result."""

import asyncio
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from worker import choices, hooks, request, result, sdk, source, telemetry
from worker.boot import Boot, Kind
from worker.engine import VERSION, Engine
from worker.errors import InvalidRequest, JobError, ParseTimedOut, SourceFailed, WorkerBroken, exhausted
from worker.log import bind, log, redact, redacted
from worker.outputs import Parsed
from worker.places import Places
from worker.request import Request
from worker.restore import Renewal
from worker.settings import Settings

#: Seconds a parse runs before its first progress update, and between updates. Short jobs send none: an update that
#: overtakes or follows the result leaves the job in progress for ever.
PROGRESS_AFTER: Final = 2.0
PROGRESS_EVERY: Final = 15.0

#: Seconds a parse that is told to end gets to do so; after that it is left behind.
END_PATIENCE: Final = 10.0

#: Frames of a traceback that go into an error response: the place of the failure, not the way to it.
TRACEBACK_FRAMES: Final = 5


class Handler:
    """Handles the jobs of one worker process; counts them, so that the worker can be replaced after enough of them."""

    def __init__(self, settings: Settings, engine: Engine, boot: Boot, renewal: Renewal) -> None:
        self._settings = settings
        self._engine = engine
        self._boot = boot
        self._renewal = renewal
        self._jobs = 0
        self._pages = 0
        self._broken = False
        #: Where each job waits for its turn at the engine.
        self.places = Places(settings.concurrency, settings.jobs_ahead)

    async def handle(self, job: sdk.Job) -> dict[str, Any]:
        """The job's response: its result, or ``error`` with what went wrong. Never raises, except when the job is cancelled."""
        async with self.places.turn() as waited:
            return await self._handle(job, waited)

    async def _handle(self, job: sdk.Job, waited: float) -> dict[str, Any]:
        """What ``handle`` says, once it is the job's turn; nothing here counts the ``waited`` seconds before."""
        kind = self._boot.admit()
        phases: dict[str, float] = {}
        begun = time.monotonic()
        labels = self._boot.describe(kind)
        attributes = {**self._boot.attributes(kind), "waited": round(waited, 3)}
        with bind(requestId=job["id"], boot=labels), telemetry.job(job["id"], **attributes) as told:
            try:
                await self._renewal.finish()
                if self._broken:
                    raise WorkerBroken(
                        "The worker broke on another job before it began with this one, and is being replaced. Send this one again."
                    )
                response = await self._run(job, kind, phases, told)
                log.info(
                    "done",
                    pages=response.get("pages"),
                    transport=response.get("transport"),
                    seconds=round(time.monotonic() - begun, 3),
                    waited=round(waited, 3),
                )
            except asyncio.CancelledError:
                log.warning("cancelled", seconds=round(time.monotonic() - begun, 3))
                raise
            except Exception as error:
                cause = exhausted(error, self._settings.temp_dir) or error
                told.fail(cause)
                response = self._failure(cause, kind, phases)
        return self._retire(response)

    async def _run(self, job: sdk.Job, kind: Kind, phases: dict[str, float], told: telemetry.Job) -> dict[str, Any]:
        wish = request.read(job.get("input"), self._settings)
        await self._engine.start()
        if wish.probe:
            return self._probe(kind)
        async with _scratch(self._settings.temp_dir) as folder:
            with _timed(phases, "source"):
                document = await source.fetch(wish, folder, self._settings, self._engine.identify)
            log.info("starting job", source=document.origin, suffix=document.suffix, size=document.size, tier=wish.tier)
            told.set(suffix=document.suffix, document_bytes=document.size, tier=wish.tier)
            with _timed(phases, "engine"):
                async with _progress(job, document):
                    limit = self._settings.job_timeout
                    document, wish = await hooks.before_parse(document, wish, limit)
                    parsed = await self._parse(document, wish, folder / "result")
                    parsed = await hooks.after_parse(parsed, document, wish, limit)
                    extra = await hooks.extra_outputs(parsed, document, wish, limit)
            self._pages += parsed.pages
            told.set(pages=parsed.pages, tier=parsed.tier)
            envelope = {
                "pages": parsed.pages,
                "tier": parsed.tier,
                "debug": self._debug(dict(phases)),
                "boot": self._boot.describe(kind),
                **extra,
            }
            with _timed(phases, "result"):
                return await result.deliver(parsed, wish, self._settings, job["id"], envelope)

    async def _parse(self, document: source.Document, wish: Request, folder: Path) -> Parsed:
        """Parse within the time allowed. A parse that does not end when told to is left behind, so that the job always ends.

        Raises:
            ParseTimedOut: naming the limit; and whatever the engine raises.
        """
        limit = self._settings.job_timeout
        parsing = asyncio.create_task(self._engine.parse(document, wish, folder))
        try:
            await asyncio.wait({parsing}, timeout=limit or None)
            if parsing.done():
                return await parsing
        finally:
            if not parsing.done():
                parsing.cancel()
                await asyncio.wait({parsing}, timeout=END_PATIENCE)
        raise ParseTimedOut(
            f"Parsing took longer than MINERU_JOB_TIMEOUT={limit:g} s and was ended; the worker is being replaced. Send the "
            "document in parts with page_range, or have the limit raised."
        )

    def _failure(self, error: Exception, kind: Kind, phases: dict[str, float]) -> dict[str, Any]:
        """The error response, and its log line: a warning where the sender can mend it, an error where the operator must."""
        message = redact(
            str(error) if isinstance(error, JobError) else f"The worker failed on this job: {type(error).__name__}: {error}"
        )
        response: dict[str, Any] = {
            "error": message,
            "error_type": type(error).__name__,
            "debug": self._debug(phases),
            "boot": self._boot.describe(kind),
        }
        if isinstance(error, (InvalidRequest, SourceFailed)):
            log.warning("refused", error=message, error_type=response["error_type"])
            return response
        frames = traceback.format_exception(type(error), error, error.__traceback__, limit=-TRACEBACK_FRAMES)
        response["traceback"] = redact("".join(frames))
        log.error("failed", error=message, error_type=response["error_type"], traceback=response["traceback"])
        if getattr(error, "refresh_worker", False):
            response["refresh_worker"] = self._broken = True
        return response

    def _retire(self, response: dict[str, Any]) -> dict[str, Any]:
        """Ask for a new worker once this one has done as many jobs or pages as the operator set."""
        self._jobs += 1
        limits = ((self._jobs, self._settings.refresh_after_jobs), (self._pages, self._settings.refresh_after_pages))
        if any(limit and count >= limit for count, limit in limits):
            log.info("refreshing worker", jobs=self._jobs, pages=self._pages)
            response["refresh_worker"] = True
        return response

    def _debug(self, phases: dict[str, float]) -> dict[str, Any]:
        return {
            "phases": phases,
            "gpu": gpu(),
            "stack": choices.STACK,
            "mineru": VERSION,
            "worker": choices.TEMPLATE_VERSION,
            "models_dir": str(self._settings.models_dir),
        }

    def _probe(self, kind: Kind) -> dict[str, Any]:
        """What an operator asks of a worker from afar; nothing is parsed."""
        return {
            "probe": {
                "settings": redacted(self._settings.model_dump(mode="json")),
                "missing_models": {tier: self._engine.missing_models(tier) for tier in choices.TIERS},
                "jobs": self._jobs,
                "pages": self._pages,
            },
            "debug": self._debug({}),
            "boot": self._boot.describe(kind),
        }


def gpu() -> dict[str, Any] | None:
    """Name, compute capability and memory in GB of the GPU in use; None without one, or before anything has loaded torch."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    properties = torch.cuda.get_device_properties(0)
    return {
        "name": properties.name,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "memory_gb": round(properties.total_memory / 1e9, 1),
    }


@contextmanager
def _timed(phases: dict[str, float], name: telemetry.Phase) -> Iterator[None]:
    """Record a room's seconds for the response, and tell telemetry of it."""
    begun = time.monotonic()
    try:
        with telemetry.phase(name):
            yield
    finally:
        phases[name] = round(time.monotonic() - begun, 3)


@asynccontextmanager
async def _scratch(parent: Path) -> AsyncIterator[Path]:
    """A folder of the job's own, gone with the job whichever way it ends."""
    folder = Path(tempfile.mkdtemp(prefix="job-", dir=parent))
    try:
        yield folder
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))


@asynccontextmanager
async def _progress(job: sdk.Job, document: source.Document) -> AsyncIterator[None]:
    """Tell the platform from time to time that a long parse goes on; silent again before the result is sent."""

    async def report() -> None:
        begun = time.monotonic()
        await asyncio.sleep(PROGRESS_AFTER)
        while True:
            await sdk.progress(job, {"phase": "parse", "size": document.size, "seconds": round(time.monotonic() - begun, 1)})
            await asyncio.sleep(PROGRESS_EVERY)

    reporting = asyncio.create_task(report())
    try:
        yield
    finally:
        reporting.cancel()
        with suppress(asyncio.CancelledError):
            await reporting
