"""Broken and hostile documents through the real engine in a real worker: each ends, and the worker does the next job."""

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from ops import corpus
from ops.client import job_input
from ops.control_plane import ControlPlane
from ops.corpus_pdf import sound_pdf
from ops.jobs import Job, Status
from ops.local_worker import LocalWorker
from soak import LONG, Tally
from worker import choices

#: Seconds that a document gets.
WITHIN: Final = 120
#: Pages that a worker parses in one job. Without a limit, the document of 10,000 takes more memory than it has.
MOST_PAGES: Final = 2000
#: KB of address space that a worker gets, so that no document takes the machine that tests it.
MEMORY: Final = 6_000_000

#: What is in the file that some of the documents try to read, in the clear and as images come.
FROM_THE_DISK: Final = ("root:x:0", base64.b64encode(b"root:x:0").decode()[:10])

#: What an error says of each document that cannot be parsed; the others give a result.
REFUSED: Final = {
    "empty.pdf": "file_b64:",
    "truncated.pdf": "could not read the pdf document",
    "malformed.pdf": "could not read the pdf document",
    "encrypted.pdf": "is encrypted",
    "many-pages.pdf": "at most 2000 in one job",
    "no-page.pdf": "pdf document",  # PDFium reports no error of its own here, and MinerU repeats the last one it had.
    "bomb.docx": "unpacks to 500 MB",
    "bomb-beside.docx": "unpacks to 500 MB",
    "bomb-in-contents.docx": "unpacks to 500 MB",
    "laughs.docx": "amplification",
    "truncated.docx": "not a zip file",
    "nested-tables.docx": "Excessive depth",
    "wide.csv": "max_columns",
    "nested-groups.rtf": "nesting",
    "many-pixels.png": "exceeds limit",
}

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif("flash" not in choices.TIERS, reason="MinerU 3 has no tier that parses PDF without a model"),
    pytest.mark.skipif(sys.platform != "linux", reason="limits the worker's memory, which only Linux does"),
]


def frugal(control_plane: ControlPlane, folder: Path, kilobytes: int = MEMORY, pages: int = MOST_PAGES) -> LocalWorker:
    """A worker with no more memory than this, and with a limit of pages unless it is 0; whatever it writes lies in ``folder``."""
    command = ("/bin/sh", "-c", f'ulimit -v {kilobytes}; exec "{sys.executable}" -m worker')
    environment = {"MINERU_TEMP_DIR": str(folder), "TMPDIR": str(folder), "MINERU_MAX_PAGES": str(pages), "MINERU_CONCURRENCY": "1"}
    return LocalWorker(control_plane, command=command, environment=environment)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def control_plane() -> AsyncIterator[ControlPlane]:
    async with ControlPlane() as running:
        yield running


@pytest.fixture(scope="module")
def temp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("temp")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(control_plane: ControlPlane, temp: Path) -> AsyncIterator[LocalWorker]:
    async with frugal(control_plane, temp) as worker:
        yield await worker.wait_ready()


async def ended(job: Job, tally: Tally) -> Job:
    tally.update({"inputs tried": 1, "escapes": 1})
    await job.finished(WITHIN)
    tally["escapes"] -= 1
    return job


@pytest.mark.parametrize("name", corpus.DOCUMENTS)
async def test_it_ends_in_a_result_or_a_clear_error_and_the_worker_lives_on(
    control_plane: ControlPlane, worker: LocalWorker, temp: Path, tally: Tally, name: str
) -> None:
    content = await asyncio.to_thread(corpus.DOCUMENTS[name])
    job = await ended(control_plane.submit(job_input(content, name)), tally)
    if name in REFUSED:
        assert REFUSED[name] in job.error
    elif job.status is Status.FAILED:
        assert "usable text layer" in job.error, job.error
    answer = json.dumps([job.output, job.error])
    assert not [read for read in FROM_THE_DISK if read in answer]
    after = await control_plane.submit(job_input(sound_pdf(), "sound.pdf")).finished(60)
    assert "Untrusted words" in after.output["markdown"]
    assert (after.worker, worker.returncode) == (worker.id, None)
    assert not list(temp.glob("job-*"))
    assert not os.path.lexists("/tmp/climbed.txt")  # noqa: S108 (where climbing-parts.docx leads)


@pytest.mark.skipif(not LONG, reason="takes minutes; make soak runs it")
@pytest.mark.parametrize("name", [*corpus.DEADLY, "many-pages.pdf"])
async def test_a_document_that_takes_all_memory_fails_in_the_end_and_no_other_job_with_it(
    tmp_path: Path, tally: Tally, name: str
) -> None:
    async with ControlPlane() as own:
        deadly = own.submit(job_input((corpus.DOCUMENTS | corpus.DEADLY)[name](), name))
        while not deadly.status.final:
            async with frugal(own, tmp_path, MEMORY // 2, pages=0) as worker, asyncio.timeout(WITHIN):
                await worker.wait()
        await ended(deadly, tally)
        assert "2 workers ended while they had this job" in deadly.error or "ran out of memory" in deadly.error
        async with frugal(own, tmp_path):
            assert (await own.submit(job_input(sound_pdf(), "sound.pdf")).finished(60)).status is Status.COMPLETED


async def test_every_document_is_written_by_the_command_and_known_here(tmp_path: Path) -> None:
    written = await asyncio.to_thread(lambda: {path.name for path in corpus.write(tmp_path)})
    assert written == set(corpus.DOCUMENTS) | set(corpus.DEADLY)
    assert set(REFUSED) < written
