"""What a worker costs beside what it wraps: MinerU called directly, a no-op handler, the SDK's import. Tables of figures and goals.

    PYTHONPATH=WORKER PYTHON benchmarks/serving.py [--only speed|latency|import] [--repetitions 3]

WORKER is a rendered worker and PYTHON an interpreter that has its packages; everything runs on this machine, in the flash
tier. What is compared takes turns within one run, so that the machine's other work meets both sides alike.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from figures import Figure, cpu_seconds_of, median, percentile95, show
from ops.client import job_input  # type: ignore[import-not-found]
from ops.control_plane import ControlPlane  # type: ignore[import-not-found]
from ops.local_worker import PROJECT, LocalWorker  # type: ignore[import-not-found]
from pypdf import PdfReader, PdfWriter  # type: ignore[import-not-found]

HERE = Path(__file__).parent

#: Documents parsed at a time, and the pages of the documents: a realistic set, and the smallest there are.
CONCURRENCIES = (2, 1)
LONG = (60, 40, 20)
SHORT = (1,) * 10

#: Least share of MinerU's own speed, for long documents and for those of one page; most milliseconds added to a job, most CPU
#: seconds added to the SDK's import.
SPEED_GOAL, SHORT_GOAL, LATENCY_GOAL, IMPORT_GOAL = 0.95, 0.9, 10, 0.3

#: Jobs of each kind whose latency is taken, and starts of each interpreter.
JOBS, STARTS = 60, 9

#: Free places of the workers whose latency is taken: with a single one, the bare SDK rests for a second after every job.
PLACES = 4

#: Seconds a document may take on the slowest machine.
PATIENCE = 600

SPEED_NOTE = (
    "Measured: from the first document's submission as base64 to the last result at the control plane. Baseline: "
    "mineru.parse_async in a plain process, on the same files and as many at a time; it writes no results. While every place is "
    "taken, the worker has one job more at hand (MINERU_LOOK_AHEAD); the bare SDK rests for a second whenever it is full, which "
    "makes one one-page document per second and place."
)
LATENCY_NOTE = (
    "From the SDK's start of a job (its log line) to its result at the control plane; the SDK's own wait for a tick of up to 0.1 s "
    "before that is left out on both sides. Of a document's time, debug.phases.engine (MinerU's parse and the writing of its "
    "outputs) is taken off. Added: what remains, less the median of the no-op handler, which was sent the same document. "
    "Baseline and ratio: the no-op handler's time, and what remains of ours in multiples of it."
)
IMPORT_NOTE = (
    "CPU seconds of fresh interpreters, byte code compiled. Measured: import runpod and worker.bootstrap, which leaves the engine "
    "for later; the goal is on what that is above import runpod, the baseline."
)


# Documents.


def document(pages: int, folder: Path) -> Path:
    """A PDF of that many pages, those of the sample report over and over: text, tables, a chart and a picture."""
    writer = PdfWriter()
    for page in islice(cycle(PdfReader(PROJECT / "samples" / "report.pdf").pages), pages):
        writer.add_page(page)
    path = folder / f"{pages}-pages.pdf"
    writer.write(path)
    return path


def sent(path: Path) -> dict[str, Any]:
    """A job's input with the document inside it."""
    return dict(job_input(path.read_bytes(), path.name))


# Both sides.


@dataclass(frozen=True)
class Timed:
    """One job: seconds from the SDK's start of it to its result, and the worker's output."""

    seconds: float
    output: dict[str, Any]


class Served:
    """A worker process under a control plane of its own; make it with ``serving``."""

    def __init__(self, control_plane: Any) -> None:
        self._control_plane = control_plane
        self._started: asyncio.Queue[tuple[str, float]] = asyncio.Queue()

    def listen(self, line: str) -> None:
        """Note when the SDK says that it starts a job."""
        if "Started." in line:
            self._started.put_nowait((line, time.monotonic()))

    async def parse_all(self, paths: Sequence[Path]) -> float:
        """Submit the documents together; seconds until every result is there. Fails if one is an error."""
        inputs = [sent(path) for path in paths]
        begun = time.monotonic()
        jobs = [self._control_plane.submit(job_input) for job_input in inputs]
        for job in jobs:
            await job.finished(PATIENCE)
        seconds = time.monotonic() - begun
        for job in jobs:
            assert "markdown" in (job.output or {}), job.error
        return seconds

    async def answer(self, job_input: dict[str, Any]) -> Timed:
        """Have one job done and timed, with no other in progress."""
        while not self._started.empty():  # The lines of jobs that nobody timed.
            self._started.get_nowait()
        job = self._control_plane.submit(job_input)
        await job.finished(PATIENCE)
        assert job.error is None, job.error
        line, started = await asyncio.wait_for(self._started.get(), PATIENCE)
        assert job.id in line, line
        return Timed(job.ended - started, job.output)


@asynccontextmanager
async def serving(environment: dict[str, str], command: Sequence[str] = ()) -> AsyncIterator[Served]:
    """The rendered worker, or another command, ready for jobs."""
    async with ControlPlane() as control_plane:
        served = Served(control_plane)
        options = {"command": command} if command else {}
        async with LocalWorker(control_plane, environment=environment, on_line=served.listen, **options) as worker:
            await worker.wait_ready()
            yield served


class Direct:
    """MinerU in a plain process; make it with ``direct``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    async def parse_all(self, paths: Sequence[Path], concurrency: int, within: float = PATIENCE) -> float:
        """Seconds that parsing the documents takes, so many at a time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"paths": [str(path) for path in paths], "concurrency": concurrency}).encode() + b"\n")
        return float(await asyncio.wait_for(self._process.stdout.readline(), within))


@asynccontextmanager
async def direct(folder: Path) -> AsyncIterator[Direct]:
    """The plain process, with the worker's log levels and an empty home as the worker's."""
    quiet = {"HOME": str(folder), "MINERU_MODEL_SOURCE": "local", "MINERU_LOG_LEVEL": "warning", "LOGURU_LEVEL": "WARNING"}
    command, pipe = (sys.executable, HERE / "direct.py"), asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **quiet}, stdin=pipe, stdout=pipe)
    try:
        yield Direct(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


# What is measured.


async def speed(repetitions: int, folder: Path) -> list[Figure]:
    """Pages per second through the worker, against MinerU called directly."""
    figures = []
    async with direct(folder) as plain:
        for concurrency in CONCURRENCIES:
            async with serving({"MINERU_CONCURRENCY": str(concurrency)}) as worker:
                for lengths in (LONG, SHORT):
                    paths = [document(pages, folder) for pages in lengths]
                    ours, theirs = await taking_turns(worker, plain, paths, concurrency, repetitions)
                    figures.append(compared(lengths, concurrency, ours, theirs))
    return figures


async def taking_turns(
    worker: Served, plain: Direct, paths: Sequence[Path], concurrency: int, repetitions: int
) -> tuple[list[float], list[float]]:
    """Seconds that one set of documents takes on either side; every other time the other side begins."""
    await worker.parse_all(paths[-1:])
    await plain.parse_all(paths[-1:], concurrency)
    ours, theirs = [], []
    for repetition in range(repetitions):
        if repetition % 2:
            theirs.append(await plain.parse_all(paths, concurrency))
            ours.append(await worker.parse_all(paths))
        else:
            ours.append(await worker.parse_all(paths))
            theirs.append(await plain.parse_all(paths, concurrency))
    return ours, theirs


def compared(lengths: Sequence[int], concurrency: int, ours: Sequence[float], theirs: Sequence[float]) -> Figure:
    """Pages per second of both sides."""
    long = max(lengths) > 1
    what = f"PDFs of {', '.join(map(str, lengths))} pages" if long else f"{len(lengths)} PDFs of one page"
    goal = SPEED_GOAL if long else SHORT_GOAL
    mine, direct_speed = (sum(lengths) / median(seconds) for seconds in (ours, theirs))
    return Figure(
        f"{what}, {concurrency} at a time",
        mine,
        "pages/s",
        direct_speed,
        goal=f"ratio {goal}",
        met=mine / direct_speed >= goal,
    )


async def latency(folder: Path) -> list[Figure]:
    """Milliseconds that the worker's rooms add to a job, against a no-op handler on the bare SDK."""
    document_job, probe_job = sent(document(1, folder)), {"probe": True}
    no_op_command = (sys.executable, str(HERE / "no_op.py"))
    no_ops, documents, probes = [], [], []
    async with serving({"CONCURRENCY": str(PLACES)}, no_op_command) as bare, serving({"MINERU_CONCURRENCY": str(PLACES)}) as worker:
        await worker.answer(document_job)
        await bare.answer(document_job)
        for _ in range(JOBS):
            no_ops.append((await bare.answer(document_job)).seconds)
            parsed = await worker.answer(document_job)
            documents.append(parsed.seconds - parsed.output["debug"]["phases"]["engine"])
            probes.append((await worker.answer(probe_job)).seconds)
    baseline = median(no_ops)
    goal = f"{LATENCY_GOAL} ms"
    figures: list[Figure] = []
    for what, seconds in (("one-page PDF", documents), ("probe", probes)):
        added, late = median(seconds) - baseline, percentile95(seconds) - baseline
        figures += [
            Added(f"{what}, added in the median", added, "ms", baseline, goal, added * 1000 < LATENCY_GOAL),
            Added(f"{what}, added at the 95th percentile", late, "ms", baseline),
        ]
    return figures


class Added(Figure):
    """A figure that counts from the baseline up."""

    @property
    def ratio(self) -> float | None:
        """The whole, baseline and what was added, over the baseline."""
        return (self.measured + self.baseline) / self.baseline if self.baseline else None


def importing(folder: Path) -> list[Figure]:
    """CPU seconds that importing the worker takes above importing the SDK."""
    sdk, both = "import runpod", "import runpod, worker.bootstrap"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = str(PROJECT)
    took: dict[str, list[float]] = {sdk: [], both: []}
    for start in range(STARTS + 1):
        for code, seconds in took.items():
            spent = cpu_seconds_of((sys.executable, "-c", code), environment, folder)
            if start:  # The first one compiles.
                seconds.append(spent)
    above = median(ours - theirs for ours, theirs in zip(took[both], took[sdk], strict=True))
    goal = f"{IMPORT_GOAL} s above"
    return [
        Figure("import runpod, worker.bootstrap", median(took[sdk]) + above, "s", median(took[sdk]), goal, above < IMPORT_GOAL),
        Figure("the part above import runpod", above, "s"),
    ]


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure a rendered worker.")
    parser.add_argument("--only", choices=("speed", "latency", "import"), help="one of the tables")
    parser.add_argument("--repetitions", type=int, default=3, help="turns of each side on each set of documents")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        if options.only in (None, "import"):
            show(f"Import, median of {STARTS} starts", importing(folder), IMPORT_NOTE)
        if options.only in (None, "latency"):
            show(f"Added latency, {JOBS} jobs of each kind in turn", asyncio.run(latency(folder)), LATENCY_NOTE)
        if options.only in (None, "speed"):
            title = f"Speed, flash tier, median of {options.repetitions} turns, {os.cpu_count()} cores"
            show(title, asyncio.run(speed(options.repetitions, folder)), SPEED_NOTE)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
