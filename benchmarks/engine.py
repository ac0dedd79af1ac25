"""What byte code, the compile cache and the warm-up save of a boot with vLLM. A table of figures and goals.

    PYTHONPATH=WORKER PYTHON benchmarks/engine.py [--repetitions 1]

WORKER is a rendered worker and PYTHON an interpreter that has its engine's packages (``make test-engine`` installs them);
everything runs on this machine's processor, with the tiny model of ``ops/tiny_vlm.py``. What is compared takes turns.
"""

import argparse
import asyncio
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from figures import Figure, median, show
from ops import cpu_engine  # type: ignore[import-not-found]
from ops.control_plane import ControlPlane  # type: ignore[import-not-found]
from ops.local_worker import LocalWorker  # type: ignore[import-not-found]
from ops.wire import Settings  # type: ignore[import-not-found]

#: Seconds a boot may take that compiles everything anew.
BOOT = 900

#: Most share of a plain boot that ours may take.
BOOT_GOAL = 0.5

#: A boot without byte code: none is read, none is written. The folder is empty.
NO_BYTE_CODE = {"PYTHONPYCACHEPREFIX": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}

#: What each worker is: variables on top of the engine's, and whether it finds the code that an earlier boot compiled.
WORKERS: Mapping[str, tuple[Mapping[str, str], bool]] = {
    "ours": ({}, True),
    "no compile cache": ({}, False),
    "no byte code": (NO_BYTE_CODE, True),
    "plain": (NO_BYTE_CODE, False),
    "no warm-up": ({"MINERU_WARMUP": "skip"}, True),
    "another tier's warm-up": ({"MINERU_TIER": "flash"}, True),
}

NOTE = (
    "Boot: from the start of the process to its first question for a job. First job: one page without a text layer, from its "
    "submission to its result. Byte code: Python's own, of every package. Compile cache: what vLLM and torch.compile kept from an "
    "earlier boot. Other tier: the worker warmed up on flash, which loads no model, and the job asks for standard."
)


async def boot_and_first_job(home: Path, name: str) -> tuple[float, float]:
    """Seconds of a worker's boot and of its first job."""
    variables, compiled = WORKERS[name]
    if not compiled:
        shutil.rmtree(home / "compiled", ignore_errors=True)
    async with ControlPlane(Settings(hold=1)) as control_plane:
        environment = {**cpu_engine.environment(home), **variables}
        begun = time.monotonic()
        async with LocalWorker(control_plane, environment=environment) as worker:
            await worker.wait_ready(BOOT)
            booted = time.monotonic() - begun
            begun = time.monotonic()
            job = await control_plane.submit({**cpu_engine.scan(1), "tier": "standard"}).finished(BOOT)
            answered = time.monotonic() - begun
    if job.error or job.output["markdown"] != cpu_engine.MARKDOWN:
        raise SystemExit(f"The worker with {name} did not parse the page: {job.error or job.output}")
    return booted, answered


async def measure(repetitions: int) -> list[Figure]:
    """The table's lines; boots of every kind in turn, after one that compiles what the others may find."""
    boots, jobs = defaultdict(list), defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        home = cpu_engine.build_models(Path(folder))
        await boot_and_first_job(home, "ours")
        kept = shutil.copytree(home / "compiled", Path(folder) / "kept")
        for _ in range(repetitions):
            for name in WORKERS:
                shutil.copytree(kept, home / "compiled", dirs_exist_ok=True)
                booted, answered = await boot_and_first_job(home, name)
                print(f"{name}: boot {booted:.1f} s, first job {answered:.1f} s", flush=True)
                boots[name].append(booted)
                jobs[name].append(answered)
    boot, job = ({name: median(values) for name, values in taken.items()} for taken in (boots, jobs))
    share = boot["ours"] / boot["plain"]
    return [
        Figure("boot, beside a plain one", boot["ours"], "s", boot["plain"], f"≤ {BOOT_GOAL}", share <= BOOT_GOAL),
        Figure("boot, beside one without compile cache", boot["ours"], "s", boot["no compile cache"]),
        Figure("boot, beside one without byte code", boot["ours"], "s", boot["no byte code"]),
        Figure("first job, beside one without warm-up", job["ours"], "s", job["no warm-up"]),
        Figure("first job, beside one after another tier's warm-up", job["ours"], "s", job["another tier's warm-up"]),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=1, help="boots of each kind")
    arguments = parser.parse_args()
    if reason := cpu_engine.missing():
        raise SystemExit(reason)
    cpu_engine.declare_operators()
    show("A boot with vLLM, and the first job after it", asyncio.run(measure(arguments.repetitions)), NOTE)


if __name__ == "__main__":
    main()
