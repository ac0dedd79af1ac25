"""What a restore saves beside a fresh boot, by mechanism; and what makes a snapshot smaller. Tables of figures and goals.

    PYTHONPATH=WORKER PYTHON benchmarks/freeze.py [--engine vllm-cpu] [--requests 6]

WORKER is a rendered worker and PYTHON an interpreter that has its packages: those of ``make test``, or with ``--engine vllm-cpu``
those of ``make test-engine``. CRIU needs root. What is compared takes turns within one run.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from figures import Figure, show
from ops.coldstart import Experiment, Run, document, run_here  # type: ignore[import-not-found]
from ops.local_worker import COMMAND, DEFAULTS, PROJECT  # type: ignore[import-not-found]
from ops.mechanisms import MECHANISMS  # type: ignore[import-not-found]

#: Most of a fresh boot's time to a result that a restore may take, and in multiples of a warm worker's.
FRESH_GOAL, WARM_GOAL = 0.035, 1.5
#: Seconds a boot may take that compiles its engine.
BOOT = 900

#: A worker that puts its memory in order before it serves.
TRIMMED = """
import ctypes, gc
from worker import bootstrap
warm_up = bootstrap.warm_up
async def trimmed(*arguments):
    await warm_up(*arguments)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
bootstrap.warm_up = trimmed
bootstrap.main([])
"""


@dataclass(frozen=True)
class Smaller:
    """One way to a smaller snapshot: another command, or other variables."""

    command: tuple[str, ...] = COMMAND
    environment: tuple[tuple[str, str], ...] = ()


#: Tried against the worker as it is; the cache of keys and values is vLLM's alone.
SMALLER = {
    "as it is": Smaller(),
    "garbage collected, heap trimmed": Smaller(command=(sys.executable, "-c", TRIMMED)),
    "one memory arena": Smaller(environment=(("MALLOC_ARENA_MAX", "1"),)),
}
ENGINE_SMALLER = {"KV cache of 4 GB instead of 1": Smaller(environment=(("VLLM_CPU_KVCACHE_SPACE", "4"),))}

NOTE = (
    "Result: one page, from its submission at zero workers to its result. Baseline: the same after a fresh boot on another host, "
    "or from a worker that is warm. criu writes the process tree to disk and makes it anew; sigstop leaves it in memory."
)
SMALLER_NOTE = "Baseline: the worker as it is. Bytes of disk of the CRIU image; pages that were never touched are not in it."


def experiment(environment: Mapping[str, str], requests: int) -> Experiment:
    """Pairs of a fresh boot on one host after the other, each with a restore."""
    file = next(iter(sorted((PROJECT / "samples").glob("*.pdf"))))
    names = tuple("ABCDEFGH"[: requests // 2])
    order = tuple(name for name in names for _ in range(2))
    return Experiment(
        document(file), requests=requests, hosts=names, order=order, boot_patience=BOOT, environment=dict(environment)
    )


def results(run: Run, kind: str) -> float:
    """The median seconds to a result of the requests of one kind."""
    return statistics.median(float(finding.wall) for finding in run.findings if finding.did == kind)


async def restores(wanted: Experiment) -> list[Figure]:
    """A restore beside a fresh boot and a warm parse, for each mechanism that works here."""
    figures = []
    for name in ("criu", "sigstop"):
        if reason := MECHANISMS[name].missing():
            print(f"{name}: {reason}")
            continue
        run = await run_here(wanted, MECHANISMS[name])
        wrong = [finding for finding in run.findings if finding.error or finding.did != finding.said]
        if wrong:
            raise SystemExit(f"A request failed, or its worker called it wrongly: {wrong}")
        restored, fresh, warm = (results(run, kind) for kind in ("restored", "fresh", "warm"))
        figures += [
            Figure(f"{name}: restored beside fresh", restored, "s", fresh, f"≤ {FRESH_GOAL}", restored / fresh <= FRESH_GOAL),
            Figure(f"{name}: restored beside warm", restored, "s", warm, f"≤ {WARM_GOAL}", restored / warm <= WARM_GOAL),
            Figure(f"{name}: taking a snapshot", statistics.median(image.seconds for image in run.images), "s"),
            Figure(f"{name}: its size", statistics.median(image.size for image in run.images) / 1e6, "MB"),
        ]
    return figures


async def sizes(wanted: Experiment, ways: Mapping[str, Smaller]) -> list[Figure]:
    """The size of a CRIU snapshot, and what a restore from it takes, by each way."""
    if MECHANISMS["criu"].missing():
        return []
    taken = {}
    for name, way in ways.items():
        environment = {**wanted.environment, **dict(way.environment)}
        two = replace(wanted, requests=2, hosts=("A",), order=("A", "A"), command=way.command, environment=environment)
        run = await run_here(two, MECHANISMS["criu"])
        taken[name] = (run.images[0].size / 1e6, results(run, "restored"))
    base = taken["as it is"]
    return [
        figure
        for name, (size, restored) in taken.items()
        for figure in (
            Figure(f"{name}: snapshot", size, "MB", base[0]),
            Figure(f"{name}: restored", restored, "s", base[1]),
        )
    ]


async def detector() -> Figure:
    """CPU seconds of a process that does nothing but watch for freezes, per second."""
    code = "import time\nfrom worker.freeze_watch import Watch\nWatch(lambda stop: None).start()\nbefore = time.process_time()\n"
    code += "time.sleep(60)\nprint((time.process_time() - before) / 60)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=PROJECT, stdout=asyncio.subprocess.PIPE)
    begun = time.monotonic()
    said, _ = await process.communicate()
    share = float(said)
    return Figure(
        f"detector, CPU per second over {time.monotonic() - begun:.0f} s", share * 1000, "ms/s", None, "≤ 1", share <= 1e-3
    )


async def measure(engine: str, requests: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(DEFAULTS)
        ways = dict(SMALLER)
        if engine:
            from ops import cpu_engine  # type: ignore[import-not-found]

            cpu_engine.declare_operators()
            environment = cpu_engine.environment(cpu_engine.build_models(Path(folder))) | {"MINERU_OCR_MODE": "ocr"}
            ways |= ENGINE_SMALLER
        wanted = experiment(environment, requests)
        show(f"First result after a restore ({engine or 'flash'})", [*await restores(wanted), await detector()], NOTE)
        show(f"What makes a snapshot smaller ({engine or 'flash'})", await sizes(wanted, ways), SMALLER_NOTE)


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("", "vllm-cpu"), default="", help="vllm-cpu: with vLLM on the processor")
    parser.add_argument("--requests", type=int, default=6, help="requests of each mechanism, half of them restores")
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.engine, arguments.requests))


if __name__ == "__main__":
    main()
