"""What a long document takes of memory in a worker, beside MinerU alone. A table of figures and goals.

    PYTHONPATH=WORKER PYTHON benchmarks/memory.py [--pages 500] [--repetitions 1]

WORKER is a rendered worker and PYTHON an interpreter that has its packages; everything runs on this machine, in the flash
tier. Linux only. What is compared takes turns within one run, each time in a fresh process that has parsed one page before.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from figures import Figure, median, show
from ops.control_plane import ControlPlane  # type: ignore[import-not-found]
from ops.local_worker import LocalWorker  # type: ignore[import-not-found]
from serving import direct, document

#: Most memory of a worker's process tree in multiples of MinerU's own.
GOAL = 1.3
#: Seconds between two looks at the memory, and seconds that the document may take.
LOOK, PATIENCE = 0.1, 1800
#: How a job asks for its result: the least and the most that a worker has to hand back.
WISHES: Mapping[str, Mapping[str, object]] = {
    "inline, Markdown": {"transport": "inline", "formats": ["markdown"]},
    "inline, everything but images": {
        "transport": "inline",
        "formats": ["markdown", "structured_content", "middle_json", "model_output"],
    },
    "archive, everything": {
        "transport": "archive",
        "formats": ["markdown", "structured_content", "middle_json", "model_output", "images"],
    },
}
NOTE = (
    "Peak of the proportional set size (PSS) of the process and all its children, looked at ten times a second. Baseline: "
    "mineru.parse_async in a plain process, on the same file, which keeps and writes nothing. A result above the platform's "
    "20 MB ends in an error, and is measured all the same."
)


class Peak:
    """The most memory, in MB, that a process and its children held at the same time; make it with ``watching``."""

    def __init__(self) -> None:
        self.megabytes = 0.0

    def look(self, process: psutil.Process) -> None:
        """Take one look."""
        now = 0
        for one in (process, *process.children(recursive=True)):
            try:
                now += one.memory_full_info().pss
            except psutil.NoSuchProcess:  # It has just ended.
                continue
        self.megabytes = max(self.megabytes, now / 1e6)


@asynccontextmanager
async def watching(pid: int) -> AsyncIterator[Peak]:
    """Watch the memory of a process and its children."""
    peak, process = Peak(), psutil.Process(pid)

    async def watch() -> None:
        while True:
            await asyncio.to_thread(peak.look, process)
            await asyncio.sleep(LOOK)

    task = asyncio.create_task(watch())
    try:
        yield peak
    finally:
        task.cancel()


async def of_mineru(short: Path, long: Path, folder: Path) -> float:
    """Peak of MinerU alone, in MB."""
    async with direct(folder) as plain:
        await plain.parse_all([short], 1)
        async with watching(plain.pid) as peak:
            await plain.parse_all([long], 1, PATIENCE)
        return peak.megabytes


async def of_worker(short: Path, long: Path, wish: Mapping[str, object]) -> float:
    """Peak of a worker's process tree, in MB, with one job at a time."""
    environment = {"MINERU_CONCURRENCY": "1", "MINERU_VOLUME_ROOTS": str(long.parent), "MINERU_MAX_PAGES": "0"}
    async with ControlPlane() as control_plane, LocalWorker(control_plane, environment=environment) as worker:
        await worker.wait_ready()
        await control_plane.submit({"volume_path": str(short), **wish}).finished(PATIENCE)
        async with watching(worker.pid) as peak:
            job = await control_plane.submit({"volume_path": str(long), **wish}).finished(PATIENCE)
        assert job.error is None or "the limit is" in job.error, job.error
        return peak.megabytes


async def measure(pages: int, repetitions: int, folder: Path) -> list[Figure]:
    """Every way of handing back, beside MinerU alone."""
    short, long = document(1, folder), document(pages, folder)
    sides: dict[str, Callable[[], Awaitable[float]]] = {
        "": lambda: of_mineru(short, long, folder),
        **{name: (lambda wish=wish: of_worker(short, long, wish)) for name, wish in WISHES.items()},  # type: ignore[misc]
    }
    peaks = defaultdict(list)
    for _ in range(repetitions):
        for name, side in sides.items():
            peaks[name].append(await side())
    baseline = median(peaks.pop(""))
    return [
        Figure(name, median(each), "MB", baseline, f"ratio {GOAL}", median(each) / baseline <= GOAL) for name, each in peaks.items()
    ]


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the memory that a rendered worker takes.")
    parser.add_argument("--pages", type=int, default=500, help="pages of the document")
    parser.add_argument("--repetitions", type=int, default=1, help="turns of each side")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        figures = asyncio.run(measure(options.pages, options.repetitions, Path(name)))
    show(f"Memory for a PDF of {options.pages} pages, flash tier, {os.cpu_count()} cores", figures, NOTE)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
