"""Many documents through one endpoint, each paid for once: long PDFs in slices, results whole or not there, and a journal.

The output folder gets a folder for each document, and ``.batch`` with the journal (``ops.batch.journal``) and the results of slices
whose document is not complete yet. A job's id is in the journal before its result is waited for, so that a batch that was
interrupted asks for its jobs when it is run again instead of sending them again. Results appear by renaming: a document's folder
is complete or not there.
"""

import asyncio
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from filelock import FileLock, Timeout

from ops.batch import slices
from ops.batch.jobs import Jobs
from ops.batch.journal import DocumentRecord, Journal, JournalError
from ops.batch.sources import Source
from ops.client import Client, ClientError, EndpointError
from ops.results import folder_names, save

#: Jobs queued or running at a time: a queue this long the platform never refuses (RunPod documentation, "Rate limits and quotas").
IN_FLIGHT: Final = 50
#: Most pages of one job.
PAGES_PER_JOB: Final = 50
#: Seconds that an API which is out of reach is waited for.
PATIENCE: Final = 300

#: What is kept in the output folder beside the results, and the journal in it.
FOLDER, JOURNAL = ".batch", "journal.jsonl"


class AlreadyRunning(ClientError):
    """Another batch writes to this output folder."""


@dataclass(frozen=True)
class Wish:
    """How a batch treats its documents: ``options`` are fields of each job's input.

    With ``resend`` a job is sent again of which an earlier run does not know whether it was queued.
    """

    output: Path
    options: dict[str, Any] = field(default_factory=dict)
    pages_per_job: int = PAGES_PER_JOB
    in_flight: int = IN_FLIGHT
    resend: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one document. ``delay`` and ``execution`` are seconds, one for each job that brought a result.

    ``skipped`` says that it was complete before this run, ``folder`` is None where it failed for the reason in ``error``.
    """

    source: str
    folder: Path | None = None
    error: str = ""
    pages: int = 0
    delay: tuple[float, ...] = ()
    execution: tuple[float, ...] = ()
    degraded: tuple[str, ...] = ()
    skipped: bool = False


class Batch:
    """One run of a batch; ``outcomes`` grows by each document that ends."""

    def __init__(self, client: Client, wish: Wish, journal: Journal, on_change: Callable[["Batch"], object]) -> None:
        self.jobs = Jobs(client, journal, wish.options, resend=wish.resend, on_change=lambda: on_change(self))
        self.outcomes: list[Outcome] = []
        self._client, self._wish, self._journal, self._on_change = client, wish, journal, on_change
        self._slots = asyncio.Semaphore(wish.in_flight)
        self._work = wish.output / FOLDER
        self._names: dict[str, str] = {}

    @classmethod
    @contextmanager
    def opened(cls, client: Client, wish: Wish, on_change: Callable[["Batch"], object] = lambda _: None) -> Iterator[Self]:
        """A batch that has its output folder to itself; raises ``AlreadyRunning``, and ``JournalError`` for a damaged journal."""
        work = wish.output / FOLDER
        work.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(work / "lock", timeout=0), Journal(work / JOURNAL) as journal:
                yield cls(client, wish, journal, on_change)
        except Timeout:
            raise AlreadyRunning(f"Another batch writes to {wish.output}; wait for it, or choose another --output.") from None

    async def run(self, sources: Sequence[Source]) -> list[Outcome]:
        """Parse ``sources`` and return what became of each, in the order they ended; one that fails keeps no other from it.

        Raises what would meet every document alike: ``EndpointError`` and ``JournalError``. When cancelled, the jobs under way
        are left to run, and the next run asks for their results.
        """
        known = {source: record.name for source, record in self._journal.documents.items()}
        others = [path.name for path in self._wish.output.iterdir()]  # What is not ours must not give way to ours.
        new = [source for source in sources if source.text not in known]
        files = {Path(str(number), source.file.name): source.text for number, source in enumerate(new)}
        self._names = known | {files[file]: name for file, name in folder_names(files, [*known.values(), *others]).items()}
        rest = iter(sources)

        async def work() -> None:
            for source in rest:
                self.outcomes.append(await self._document(source))
                self._on_change(self)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._wish.in_flight):
                    group.create_task(work())
        except* (EndpointError, JournalError) as errors:
            raise _first(errors) from None
        return self.outcomes

    async def _document(self, source: Source) -> Outcome:
        """Bring one document to its end, from wherever an earlier run left it."""
        folder = self._wish.output / self._names[source.text]
        try:
            record = await self._record(source, folder)
            skipped = record.finished
            if not skipped:
                if not self._in_place(record, folder):
                    await _all([asyncio.ensure_future(self._slice(source, record, name)) for name in record.slices])
                    await asyncio.to_thread(self._complete, record, folder)
                await self._journal.write("finished", source.text)
                await asyncio.to_thread(shutil.rmtree, self._work / record.name, ignore_errors=True)
        except (EndpointError, JournalError):
            raise
        except ClientError as error:
            return Outcome(source.text, error=str(error))
        except OSError as error:
            return Outcome(source.text, error=f"{error.filename or folder}: {error.strerror or error}.")
        received = [one.received for one in record.slices.values() if one.received]
        delay, execution = (tuple(one[what] for one in received) for what in ("delay", "execution"))
        pages = sum(one["pages"] for one in received)
        degraded = dict.fromkeys(reason for one in received for reason in one["degraded"])
        return Outcome(source.text, folder, "", pages, delay, execution, tuple(degraded), skipped)

    async def _record(self, source: Source, folder: Path) -> DocumentRecord:
        """What the journal knows of this document as it is now; begun anew if its content, options or endpoint have changed."""
        async with self.jobs.uploads:
            digest = source.text if source.is_url else await asyncio.to_thread(_digest, source.file)
            key = _key([digest, self._wish.options, self._client.url, self._client.endpoint])
            record = self._journal.documents.get(source.text)
            if record and record.key == key and not (record.finished and await asyncio.to_thread(_is_gone, folder)):
                return record
            named = [slices.WHOLE]
            if not source.is_url:
                named = await asyncio.to_thread(slices.plan, source.file, self._wish.pages_per_job)
            await asyncio.to_thread(shutil.rmtree, self._work / folder.name, ignore_errors=True)
            await self._journal.write("document", source.text, key=key, name=folder.name, slices=named)
        return self._journal.documents[source.text]

    async def _slice(self, source: Source, record: DocumentRecord, name: str) -> None:
        """Have one slice's result on disk; raises ``ClientError`` that says which pages it is about."""
        one, folder = record.slices[name], self._work / record.name / name
        async with self._slots:
            if one.received is not None and folder.exists():
                return
            try:
                answer = await self.jobs.answer(source, record, name)
                await _keep(answer.response, self._client, folder)
                told = {"pages": answer.pages, "delay": answer.delay, "execution": answer.execution, "degraded": answer.degraded}
                await self._journal.write("received", source.text, slice=name, job=answer.id, **told)
            except (EndpointError, JournalError):
                raise
            except ClientError as error:
                raise error if name == slices.WHOLE else ClientError(f"pages {name}: {error}") from error

    def _in_place(self, record: DocumentRecord, folder: Path) -> bool:
        """Whether the result has been renamed to its place already, by a run that ended before it could say so."""
        whole = record.slices.get(slices.WHOLE)
        moved = whole is not None and whole.received is not None and not (self._work / record.name / slices.WHOLE).exists()
        return moved and folder.exists()

    def _complete(self, record: DocumentRecord, folder: Path) -> None:
        """Make the document's folder of its slices' and put it in place by renaming; an older one gives way."""
        parts = self._work / record.name
        whole = parts / slices.WHOLE
        if slices.WHOLE not in record.slices:
            shutil.rmtree(whole, ignore_errors=True)
            slices.stitch([(name, parts / name) for name in record.slices], whole)
        if folder.exists():
            older = parts / "older"
            shutil.rmtree(older, ignore_errors=True)
            folder.rename(older)
        whole.rename(folder)


async def _keep(response: dict[str, Any], client: Client, folder: Path) -> None:
    """Write a response to ``folder``, which is complete or not there."""
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    await save(response, client, fresh)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


async def _all(jobs: Sequence["asyncio.Future[None]"]) -> None:
    """Wait for every one, then raise the first failure: the others' results are kept for the next run.

    What would meet every job alike ends the waiting at once.
    """
    try:
        pending = set(jobs)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
            for job in done:
                if isinstance(job.exception(), EndpointError | JournalError):
                    job.result()
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
    for job in jobs:
        job.result()


def _first(errors: BaseExceptionGroup[ClientError]) -> ClientError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ClientError)  # noqa: S101 (tells mypy what the group holds)
    return error


def _is_gone(folder: Path) -> bool:
    return not folder.exists()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _key(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
