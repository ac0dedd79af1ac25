"""Many jobs of every kind, several workers, a platform that fails at random: nothing is lost, and nothing grows."""

import asyncio
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Final, Literal, NamedTuple

import pytest

from ops import corpus
from ops.client import job_input
from ops.control_plane import ControlPlane
from ops.corpus_pdf import sound_pdf
from ops.faults import Fault
from ops.jobs import Job, Status
from ops.local_worker import LocalWorker
from ops.wire import Settings
from soak import JOBS, LONG, SEED, Tally
from worker import choices

SAMPLES: Final = Path(__file__).parent.parent.parent / "samples"
CONCURRENCIES: Final = (1, 2, 4, 8) if LONG else (1, 8)

#: Jobs in the queue or at work at a time, jobs between two looks at the workers, and between two faults.
AT_A_TIME, PER_LOOK, PER_FAULT = 30, 20, 3
#: Seconds that a job gets, from when it is queued.
PATIENCE: Final = 120
#: Growth per 1,000 jobs of a worker's own that would be a leak, in MB and in open files, if it goes on: MinerU's memory grows in
#: leaps, up to some 500 MB, as documents first meet. Fewer jobs than ``SETTLED`` say nothing of that. Measured over 2,000 jobs:
#: no worker above 8 MB and 7 files. In any number of jobs, growth of this much in all is a leak.
MOST_MEMORY, MOST_FILES, SETTLED = 25.0, 25.0, 1500
MOST_MEMORY_IN_ALL, MOST_FILES_IN_ALL = 400.0, 30
#: Parts of the soak's second half; what grows in each of them goes on growing.
STRETCHES: Final = 3

ACTIONS: Final = (400, 401, 403, 404, 429, 500, 502, 503, "drop", "lose", "truncate", "stall")
PLACES: Final = ("take", "stop", "result", "progress", "ping")

pytestmark = [
    pytest.mark.skipif("flash" not in choices.TIERS, reason="MinerU 3 has no tier that parses PDF without a model"),
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc, which only Linux has"),
]


class Look(NamedTuple):
    """What a worker's process holds: jobs of its own that had ended by then, memory in MB, open files."""

    jobs: int
    memory: float
    files: int


def held(worker: LocalWorker, jobs: int) -> Look:
    status = Path(f"/proc/{worker.pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return Look(jobs, int(resident.split()[1]) / 1000, len(list(Path(f"/proc/{worker.pid}/fd").iterdir())))


def kinds(random: Random) -> list[Callable[[], object]]:
    """Ways to make a job's input, each as often as its kind comes up."""
    samples = [path for path in SAMPLES.iterdir() if path.suffix != ".pdf"]
    broken = ["truncated.pdf", "malformed.pdf", "encrypted.pdf", "no-page.pdf", "laughs.docx", "truncated.docx", "reads-files.docx"]
    bad: list[object] = [{}, [], None, "x", {"file_b64": "?"}, {"file_b64": "AAAA", "tier": "best"}, {"probe": True, "x": 1}]
    urls = ["http://169.254.169.254/", "http://127.0.0.1:1/a.pdf", "ftp://a/b", "http://["]
    return [
        *[lambda: {"probe": True}] * 6,
        *[lambda: job_input(sound_pdf(), "one.pdf")] * 3,
        *[lambda: job_input((path := random.choice(samples)).read_bytes(), path.name)] * 3,
        *[lambda: job_input(corpus.DOCUMENTS[name := random.choice(broken)](), name)] * 3,
        *[lambda: random.choice(bad)] * 2,
        lambda: {"file_url": random.choice(urls)},
        lambda: {"volume_path": random.choice(["/etc/passwd", "../../x", "a" * 4000, "x\0y"])},
        lambda: job_input((SAMPLES / "report.pdf").read_bytes(), "report.pdf") | {"transport": "archive"},
    ]


def fault(random: Random) -> Fault:
    action = random.choice(ACTIONS)
    return Fault(random.choice(PLACES), action, seconds=random.uniform(0.1, 1) if action == "stall" else 0)  # type: ignore[arg-type]


def told(job: Job) -> bool:
    """Whether the job's end says something: a response, or a message."""
    if job.status is Status.COMPLETED:
        return isinstance(job.output, dict) and ("probe" in job.output or "pages" in job.output)
    return job.status is Status.FAILED and isinstance(job.error, str) and len(job.error) > 10


@pytest.fixture
def settings() -> Settings:
    return Settings(hold=1, ping_interval=1)


async def test_every_job_ends_in_a_result_or_a_message_and_nothing_grows(
    control_plane: ControlPlane, tally: Tally, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    random = Random(SEED)  # noqa: S311 (it picks tests, not keys)
    makers, jobs, looks = kinds(random), [], []
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(crowded(control_plane, tmp_path, number)) for number in CONCURRENCIES]
        await asyncio.gather(*(worker.wait_ready() for worker in workers))
        for start in range(0, JOBS, PER_LOOK):
            batch = range(start, min(start + PER_LOOK, JOBS))
            control_plane.faults.extend(fault(random) for _ in batch[::PER_FAULT])
            jobs += [control_plane.submit(random.choice(makers)()) for _ in batch]
            await at_most(jobs, AT_A_TIME)
            ended = Counter(job.worker for job in jobs if job.status.final)
            looks.append([held(worker, ended[worker.id]) for worker in workers])
        await at_most(jobs, 0)
        left = [path for path in tmp_path.glob("temp-*/*") if path.name.startswith(("job-", "tmp"))]
        assert [worker.returncode for worker in workers] == [None] * len(workers)
    lost = [job for job in jobs if not told(job)]
    tally.update({"jobs sent": len(jobs), "lost": len(lost), "faults tried": sum(f.happened for f in control_plane.faults)})
    assert not lost, [(str(job.input)[:100], job.status, job.error) for job in lost][:5]
    assert not left
    for concurrency, seen in zip(CONCURRENCIES, zip(*looks, strict=True), strict=True) if LONG else ():
        memory, files = growth(seen, "memory"), growth(seen, "files")
        steady = f"goes on by {memory.steady:+.0f} MB, {files.steady:+.0f} files"
        told_as = f"{memory.overall:+.0f} MB, {files.overall:+.0f} files; {steady}; at the end {seen[-1].memory:.0f} MB"
        record_property("soak measured", [f"growth per 1,000 jobs, concurrency {concurrency}", told_as])
        assert JOBS < SETTLED or (memory.steady < MOST_MEMORY and files.steady < MOST_FILES), told_as
    first, last = looks[0], looks[-1]
    assert all(after.memory - before.memory < MOST_MEMORY_IN_ALL for before, after in zip(first, last, strict=True))
    assert all(after.files - before.files < MOST_FILES_IN_ALL for before, after in zip(first, last, strict=True))


def crowded(control_plane: ControlPlane, folder: Path, concurrency: int) -> LocalWorker:
    """A worker that takes so many jobs at a time, with a temp folder of its own for itself and all its libraries."""
    temp = folder / f"temp-{concurrency}"
    temp.mkdir()
    environment = {"MINERU_CONCURRENCY": str(concurrency), "MINERU_TEMP_DIR": str(temp), "TMPDIR": str(temp)}
    return LocalWorker(control_plane, environment=environment)


async def at_most(jobs: list[Job], number: int) -> None:
    """Wait until no more than ``number`` of the jobs have not ended; a job that takes too long is left to be counted as lost."""
    waiting = [job for job in jobs if not job.status.final]
    for job in waiting[: max(0, len(waiting) - number)]:
        try:
            await job.finished(PATIENCE)
        except TimeoutError:
            return


class Growth(NamedTuple):
    """Slopes per 1,000 jobs over the second half of the soak: of the whole of it, and the least of those of its parts."""

    overall: float
    steady: float


def growth(seen: Sequence[Look], what: Literal["memory", "files"]) -> Growth:
    """How one worker's memory (MB) or open files grew with its jobs."""
    half = seen[len(seen) // 2 :]
    length = len(half) // STRETCHES
    return Growth(_slope(half, what), min(_slope(half[part * length :][:length], what) for part in range(STRETCHES)))


def _slope(seen: Sequence[Look], what: Literal["memory", "files"]) -> float:
    jobs = [look.jobs for look in seen]
    if len(set(jobs)) < 2:
        return 0.0
    return 1000 * statistics.linear_regression(jobs, [getattr(look, what) for look in seen]).slope
