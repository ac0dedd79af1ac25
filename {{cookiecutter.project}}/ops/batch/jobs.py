"""The jobs of a batch: each is in the journal before it is waited for, and is asked for, not sent again, by the next run."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from ops.batch import slices
from ops.batch.journal import DocumentRecord, Journal
from ops.batch.sources import Source
from ops.client import Answer, Client, ClientError, JobExpired, JobFailed, SubmissionUncertain, job_input

#: Documents read and sent at a time, each of up to 20 MB in memory.
UPLOADS: Final = 4
#: Times that a job runs before its failure counts, where the worker was to blame.
ATTEMPTS: Final = 3
#: Seconds that a submission in the air gets to be answered when the batch is interrupted.
GRACE: Final = 10


class Jobs:
    """Sends and waits. ``counts`` says how many were sent, resumed, retried and expired, ``states`` where those under way stand.

    ``options`` are fields of each job's input. With ``resend`` a job is sent again of which an earlier run does not know whether it
    was queued.
    """

    def __init__(
        self, client: Client, journal: Journal, options: dict[str, Any], *, resend: bool, on_change: Callable[[], object]
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.states: dict[tuple[str, str], str] = {}
        #: Held by whoever has a document in memory, or reads all of one.
        self.uploads = asyncio.Semaphore(UPLOADS)
        self._client, self._journal, self._options = client, journal, options
        self._resend, self._on_change = resend, on_change

    async def answer(self, source: Source, record: DocumentRecord, name: str) -> Answer:
        """A slice's answer: of the job that an earlier run sent, as long as the platform knows it, else of one sent now.

        Raises ``ClientError`` and what is made from it.
        """
        job = record.slices[name].job
        try:
            if job:
                self.counts["resumed"] += 1
                with suppress(JobExpired):
                    return await self._wait(source.text, name, job)
            return await self._wait(source.text, name, await self._send(source, record, name))
        finally:
            self.states.pop((source.text, name), None)

    async def _send(self, source: Source, record: DocumentRecord, name: str) -> str:
        """Submit a slice and return its job's id, which is in the journal by then; an interruption waits for that."""
        if record.slices[name].uncertain and not self._resend:
            raise SubmissionUncertain(
                "An earlier run was ended, or lost the connection, while it sent this job, which may have been queued; so it was "
                "not sent again, which could be paid for twice. --resend sends it."
            )
        async with self.uploads:
            options = {"basename": record.name, **self._options}
            if source.is_url:
                asked = {"file_url": source.text, **options}
            else:
                asked = job_input(await asyncio.to_thread(slices.cut, source.file, name), source.file.name, **options)
            sending = asyncio.ensure_future(self._submit(source.text, name, asked))
            try:
                return await asyncio.shield(sending)
            except asyncio.CancelledError:
                await asyncio.wait({sending}, timeout=GRACE)
                sending.cancel()
                with suppress(asyncio.CancelledError, ClientError):
                    await sending
                raise

    async def _submit(self, source: str, name: str, asked: dict[str, Any]) -> str:
        async def note(event: str) -> None:
            await self._journal.write(event, source, slice=name)

        try:
            job = await self._client.submit(asked, on_attempt=note)
        except SubmissionUncertain:
            raise
        except ClientError as error:
            await self._journal.write("failed", source, slice=name, error=str(error))
            raise
        self.counts["sent"] += 1
        await self._journal.write("submitted", source, slice=name, job=job)
        return job

    async def _wait(self, source: str, name: str, job: str) -> Answer:
        """The answer of a job, run again while its workers are to blame for its failure."""

        def saw(described: dict[str, Any]) -> None:
            self.states[source, name] = described["status"]
            self._on_change()

        for attempt in itertools.count(1):
            try:
                return await self._client.wait(job, saw)
            except JobExpired as error:
                self.counts["expired"] += 1
                await self._journal.write("expired", source, slice=name, job=job, error=str(error))
                raise
            except JobFailed as error:
                if not error.passing or attempt == ATTEMPTS:
                    await self._journal.write("failed", source, slice=name, job=job, error=str(error))
                    raise
            self.counts["retried"] += 1
            await self._client.retry(job)
        raise AssertionError("unreachable")
