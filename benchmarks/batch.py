"""Many small documents through `ops batch`: real workers on several hosts, one of them killed, every document accounted for.

    PYTHONPATH=WORKER PYTHON benchmarks/batch.py [--documents 1000] [--workers 4] [--killed 1]

WORKER is a rendered worker and PYTHON an interpreter that has its packages. The command runs in a process of its own against the
local control plane; the local platform starts a worker on another host whenever a job has waited for too long, as RunPod's
autoscaling does. Tier flash: a table, a web page, a letter and a page of PDF in turn, each with a number that its Markdown must
have.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docx import Document  # type: ignore[import-not-found]
from ops.control_plane import ControlPlane  # type: ignore[import-not-found]
from ops.freeze import Platform  # type: ignore[import-not-found]
from ops.hosts import Endpoint  # type: ignore[import-not-found]
from ops.local_worker import PROJECT  # type: ignore[import-not-found]
from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]
from rich.console import Console
from rich.table import Table

#: Seconds that a job waits before a further worker is started for it (the platform's default), and without jobs until one stops.
QUEUE_DELAY, IDLE_TIMEOUT = 4, 30
#: Seconds between two looks at how far the batch is, to know when to kill a worker.
LOOK = 0.1


# Documents.


def table(path: Path, number: int) -> None:
    """Two columns."""
    path.write_text(f"tide,metres\nhigh {number},4.9\nlow,0.6\n", "utf-8")


def web_page(path: Path, number: int) -> None:
    """A web page."""
    text = f"The gauge was read at the hour numbered {number}."
    page = f"<!doctype html><html><head><title>Tides</title></head><body><h1>Tides</h1><p>{text}</p></body></html>"
    path.write_text(page, "utf-8")


def letter(path: Path, number: int) -> None:
    """A Word document."""
    document = Document()
    document.add_heading("To the harbour master", 1)
    document.add_paragraph(f"The barrier was closed under the number {number}.")
    document.save(str(path))


def leaf(path: Path, number: int) -> None:
    """A page of PDF with a text layer."""
    canvas = Canvas(str(path), pagesize=(595, 842))
    for line in range(12):
        canvas.drawString(70, 760 - 16 * line, f"On line {line} the water of leaf {number} rises and falls as the moon has it.")
    canvas.save()


KINDS: dict[str, Callable[[Path, int], None]] = {".csv": table, ".html": web_page, ".docx": letter, ".pdf": leaf}


def write(folder: Path, count: int) -> None:
    """``count`` documents, named by number, of each kind in turn."""
    folder.mkdir()
    for number in range(count):
        ending, make = list(KINDS.items())[number % len(KINDS)]
        make(folder / f"{number:05d}{ending}", number)


def accounted(output: Path, count: int) -> list[int]:
    """The numbers of the documents whose result is not there or is another's."""
    found = {int(path.parent.name): path.read_text("utf-8") for path in output.glob("*/markdown.md")}
    return [number for number in range(count) if str(number) not in found.get(number, "")]


# The run.


async def kill_some(platform: Any, control_plane: Any, documents: int, kills: int) -> None:
    """Kill a worker that has jobs, so many times, evenly spread over the batch; nothing of this is told to the client."""
    for turn in range(1, kills + 1):
        while sum(job.status == "COMPLETED" for job in control_plane.jobs.values()) < documents * turn / (kills + 1):  # noqa: ASYNC110 (no event counts)
            await asyncio.sleep(LOOK)
        busy = [host for host in platform.hosts.values() if host.worker and control_plane.workers[host.worker.id].jobs]
        if busy:
            os.killpg(busy[0].worker.pid, signal.SIGKILL)


async def run(documents: int, workers: int, kills: int, folder: Path) -> None:
    """Write the documents, run the command, and print what became of them."""
    write(folder / "in", documents)
    hosts = tuple("ABCDEFGH"[:workers])
    endpoint = Endpoint(hosts=hosts, workers_max=workers, queue_delay=QUEUE_DELAY, idle_timeout=IDLE_TIMEOUT)
    environment = {"MINERU_TIER": "flash"}
    async with ControlPlane() as control_plane, Platform(control_plane, endpoint, environment=environment) as platform:
        killing = asyncio.create_task(kill_some(platform, control_plane, documents, kills))
        begun = time.monotonic()
        command = ("batch", folder / "in", "--url", control_plane.url, "--output", folder / "out", "--json")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ops", *map(str, command)), cwd=PROJECT, stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await process.communicate()
        seconds = time.monotonic() - begun
        killing.cancel()
        jobs = list(control_plane.jobs.values())
        starts = Counter((start.host, start.kind) for start in platform.starts)
    summary = json.loads(printed.splitlines()[-1])["summary"]
    missing = accounted(folder / "out", documents)
    shares = Counter(job.worker for job in jobs)
    rows = {
        "documents sent, finished, missing": f"{documents}, {summary['finished']}, {len(missing)}",
        "jobs at the control plane, documents with two": f"{len(jobs)}, {doubles(jobs)}",
        "seconds, documents per second": f"{seconds:.1f}, {documents / seconds:.1f}",
        "of a job: p50, p95": f"{summary['p50_seconds']:.2f} s, {summary['p95_seconds']:.2f} s",
        "jobs taken a second time, their worker having died": str(sum(job.attempts > 1 for job in jobs)),
        "workers started": ", ".join(f"{count} {kind} on {host}" for (host, kind), count in sorted(starts.items())),
        "share of each worker": ", ".join(f"{worker} {count / len(jobs):.1%}" for worker, count in sorted(shares.items())),
        "summary": json.dumps(summary),
    }
    shown = Table(title=f"A batch of {documents} documents, {workers} workers, {os.cpu_count()} cores", title_justify="left")
    shown.add_column("what")
    shown.add_column("measured", overflow="fold")
    for what, measured in rows.items():
        shown.add_row(what, measured)
    Console(width=132).print(shown)
    if missing or doubles(jobs) or process.returncode:
        sys.exit(f"Not every document was accounted for: {missing[:20]} missing, exit code {process.returncode}.")


def doubles(jobs: list[Any]) -> int:
    """Documents that more than one job was sent for."""
    return sum(count > 1 for count in Counter(job.input["file_name"] for job in jobs).values())


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=4, help="the most workers, and the hosts there are")
    parser.add_argument("--killed", type=int, default=1, help="workers killed in the middle of their jobs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        asyncio.run(run(arguments.documents, arguments.workers, arguments.killed, Path(folder)))


if __name__ == "__main__":
    main()
