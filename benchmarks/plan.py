"""What ``ops plan`` takes: ten million arrivals through every setting of its sweep, two at a time. A table of figures and goals.

    PYTHONPATH=WORKER PYTHON benchmarks/plan.py [--jobs 10000000] [--processes 2]

WORKER is a rendered worker and PYTHON an interpreter that has the packages of its ``make test``. Memory is the largest that one
simulating process took, for all the jobs and for a tenth of them.
"""

import argparse
import math
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

from figures import Figure, children_cpu_seconds, show
from ops.plan import FOUNDING_TIMES, sweep  # type: ignore[import-not-found]
from ops.simulation.arrivals import Arrivals  # type: ignore[import-not-found]
from ops.simulation.run import simulate  # type: ignore[import-not-found]
from ops.simulation.scenario import Scenario  # type: ignore[import-not-found]

#: Most seconds for all, and most that memory may grow from a tenth of the jobs to all of them.
SECONDS_GOAL, GROWTH_GOAL = 600, 1.1
#: Idle timeouts and least numbers of workers, as the command tries them.
IDLE_TIMEOUTS, WORKERS_MIN = (5, 15, 60, 300, 900), (0, 1)

#: A day's wave, so that workers come and go, which is the expensive part; jobs an hour and enough workers for its top.
ARRIVALS = Arrivals("daily", rate=15_000)
SCENARIO = Scenario(FOUNDING_TIMES, workers_max=80, hosts=120, concurrency=2, snapshot_life=3600)

NOTE = (
    "Sweep: 10 settings of idle timeout and workers_min, each with all the jobs. CPU time of each process, which is the wall-clock "
    "time on as many idle cores. One setting: wall-clock time in one process, idle timeout 60 s. MB: the largest resident size of "
    "a process that did nothing else."
)


def arrivals(jobs: int) -> Arrivals:
    """At least so many, in whole days."""
    return replace(ARRIVALS, days=math.ceil(jobs * 1.005 / ARRIVALS.rate / 24))


def alone(jobs: int) -> tuple[int, float, float]:
    """One setting: arrivals, the seconds they took, and the process's largest memory in MB."""
    begun = time.monotonic()
    served = simulate(replace(SCENARIO, idle_timeout=60), arrivals(jobs)).jobs
    return served, time.monotonic() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def in_new_process(jobs: int) -> tuple[int, float, float]:
    """``alone`` where nothing else took memory."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(alone, jobs).result()


def measure(jobs: int, processes: int) -> list[Figure]:
    """The table's lines."""
    few, _, little = in_new_process(jobs // 10)
    many, seconds, much = in_new_process(jobs)
    print(f"{many / seconds:,.0f} arrivals a second; {little:.1f} MB for {few:,}, {much:.1f} MB for {many:,}", flush=True)
    begun, before = time.monotonic(), children_cpu_seconds()
    points = list(sweep(SCENARIO, arrivals(jobs), IDLE_TIMEOUTS, WORKERS_MIN, 0.00019, processes))
    took, used = time.monotonic() - begun, (children_cpu_seconds() - before) / processes
    served = sum(point.known.jobs for point in points)
    print(f"{served:,} arrivals in {took:.0f} s, {used:.0f} s of CPU time in each of {processes} processes", flush=True)
    return [
        Figure(f"sweep of {len(points)} settings, {many:,} jobs each", used, "s", None, f"≤ {SECONDS_GOAL}", used <= SECONDS_GOAL),
        Figure(f"one setting, {many:,} jobs", seconds, "s"),
        Figure("memory, beside a tenth of the jobs", much, "MB", little, f"≤ {GROWTH_GOAL}", much <= GROWTH_GOAL * little),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000_000, help="arrivals of each setting, at least")
    parser.add_argument("--processes", type=int, default=2, help="settings simulated at a time")
    arguments = parser.parse_args()
    show("A plan of many jobs", measure(arguments.jobs, arguments.processes), NOTE)


if __name__ == "__main__":
    main()
