"""The simulation against what is known: queueing formulas, the founding experiment, and a run of the local platform."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("simpy")

from programs import quick_command  # noqa: E402
from simulated import SHORT, Seen, trace  # noqa: E402

from ops.control_plane import ControlPlane  # noqa: E402
from ops.findings import FOUNDING  # noqa: E402
from ops.freeze import Platform  # noqa: E402
from ops.hosts import Endpoint  # noqa: E402
from ops.jobs import Job  # noqa: E402
from ops.plan import FOUNDING_TIMES  # noqa: E402
from ops.simulation.arrivals import Arrivals, Pages  # noqa: E402
from ops.simulation.run import MOST_WAITING, Overloaded, simulate  # noqa: E402
from ops.simulation.scenario import Result, Scenario, Times  # noqa: E402

# Queueing formulas.


def erlang_wait(workers: int, load: float, service: float) -> float:
    """Mean wait of M/M/c after Erlang C: ``load`` is the share of time that each worker is busy."""
    offered = workers * load
    last = offered**workers / math.factorial(workers) / (1 - load)
    waits = last / (sum(offered**number / math.factorial(number) for number in range(workers)) + last)
    return waits * service / (workers * (1 - load))


def waited(workers: int, load: float, pages: str, concurrency: int = 1) -> tuple[float, float]:
    """Mean wait in service times, with workers that are always there, over twelve seeds; and the half of its 99.9 % interval."""
    times = Times((1e-6,), (1e-6,), job=0, page=0.001)
    scenario = Scenario(times, 1e6, workers, workers, concurrency, hosts=workers)
    rate = 3600 * load * workers * concurrency
    means = [simulate(scenario, Arrivals("poisson", rate, 30_000 / rate / 24, Pages(pages), seed)).wait for seed in range(12)]
    return statistics.mean(means), 4.44 * statistics.stdev(means) / math.sqrt(len(means))  # Student's t, 11 degrees of freedom


@pytest.mark.parametrize(("workers", "load"), [(1, 0.6), (2, 0.7), (5, 0.8)])
def test_waits_are_those_of_m_m_c(workers: int, load: float) -> None:
    mean, half = waited(workers, load, "geometric:1000")  # as good as exponential: its deviation is 0.9995 of its mean
    assert half < 0.1 * mean
    assert abs(mean - erlang_wait(workers, load, 1.0)) < half


def test_waits_are_those_of_m_d_1() -> None:
    mean, half = waited(1, 0.6, "1000")
    assert half < 0.1 * mean
    assert abs(mean - 0.6 / (2 * (1 - 0.6))) < half


def test_the_waits_for_one_worker_are_exactly_lindleys() -> None:
    arrivals, seen = Arrivals(rate=1, days=200, pages=Pages("geometric:1000")), Seen()
    simulate(Scenario(Times((1e-6,), (1e-6,), 0, 3), 1e9, 1, 1), arrivals, seen)
    times, pages = (np.concatenate(parts) for parts in zip(*arrivals.chunks(), strict=True))
    wait, waits = 0.0, [0.0]
    for gap, service in zip(np.diff(times), 3 * pages[:-1], strict=True):
        wait = max(0.0, wait + service - gap)
        waits.append(wait)
    assert seen.latencies == pytest.approx(waits + 3 * pages, abs=1e-3)


def test_a_worker_with_four_places_waits_like_four_with_one() -> None:
    mean, half = waited(1, 0.7, "geometric:1000", concurrency=4)
    assert abs(mean - erlang_wait(4, 0.7, 1.0)) < half


# The founding experiment.


@pytest.mark.parametrize("pull", [0, FOUNDING_TIMES.pull])
def test_the_founding_experiments_four_requests_are_reproduced(tmp_path: Path, pull: float) -> None:
    seen, hosts = Seen(), tuple("AB".index(host) for _, host in FOUNDING)
    scenario = Scenario(replace(FOUNDING_TIMES, pull=pull), hosts=2, workers_max=1, order=hosts)
    result = simulate(scenario, trace(tmp_path / "four.csv", 0, 1000, 2000, 3000), seen)
    assert seen.met == ["fresh", "restored", "fresh", "restored"]
    walls = [122 + pull, 7.6, 122 + pull, 7.4]
    assert seen.latencies == pytest.approx(walls, abs=0.21)
    assert seen.latencies[0] == pytest.approx(FOUNDING[0][0] if pull else 122)
    assert result.billed == pytest.approx(2 * 122 + 2 * 7.5 + 4 * 5, abs=0.3), "boot and idle are billed, a pull is not"


# The local platform.


async def here(control_plane: ControlPlane, platform: Platform, groups: Sequence[int], seconds: float) -> list[Job]:
    """Send groups of so many jobs, each job of so many seconds; a group once the endpoint is at zero after the last."""
    jobs: list[Job] = []
    for count in groups:
        group = [control_plane.submit({"seconds": seconds}) for _ in range(count)]
        jobs += [await job.finished() for job in group]
        await platform.scaled_to_zero()
    return jobs


@pytest.mark.parametrize(
    ("workers_max", "order", "groups", "expected"),
    [
        (1, "AABA", (2, 1, 1, 1), ["fresh", "warm", "restored", "fresh", "restored"]),
        # A job that waits gets a further worker, on the next host.
        (2, "ABABA", (1, 2, 2), ["fresh", "fresh", "restored", "restored", "restored"]),
    ],
    ids=["one worker", "a further worker"],
)
async def test_jobs_meet_the_same_on_the_local_platform(
    tmp_path: Path, control_plane: ControlPlane, workers_max: int, order: str, groups: tuple[int, ...], expected: list[str]
) -> None:
    duration, idle, delay = (0.1, 1.5, 4.0) if workers_max == 1 else (2.0, 0.5, 0.3)
    endpoint = Endpoint(("A", "B"), tuple(order), idle_timeout=idle, workers_max=workers_max, queue_delay=delay)
    async with Platform(control_plane, endpoint, command=quick_command(tmp_path)) as platform:
        jobs = await here(control_plane, platform, groups, duration)
        met = [platform.truth(job)[0] for job in jobs]
    # The quickest of each kind, since a slower one could have a worker of the simulation still idle when the next group comes.
    boot, restore = (min(start.seconds or 0 for start in platform.starts if start.kind == kind) for kind in ("fresh", "restored"))
    scenario = Scenario(
        Times((boot,), (restore,), duration, 0),
        idle,
        0,
        workers_max,
        queue_delay=delay,
        hosts=2,
        order=tuple(map("AB".index, order)),
    )
    seen = Seen()
    simulate(scenario, trace(tmp_path / "trace.csv", *(job.created for job in jobs)), seen)
    assert met == expected, "the local platform"
    assert seen.met == expected, "the simulation"


# Every job, once.

SCENARIOS = {
    "one worker": Scenario(SHORT, 5, workers_max=1),
    "several, of two places": Scenario(SHORT, 2, 1, 5, concurrency=2, snapshot_life=60),
    "no delay": Scenario(SHORT, 0.5, 0, 8, queue_delay=0, pick="round-robin"),
    "by request count": Scenario(SHORT, 1, 2, 6, concurrency=3, request_count=2, pick="recent"),
    "as many hosts as workers": Scenario(replace(SHORT, pull=20), 1, 3, 3, hosts=3),
}


@pytest.mark.parametrize("source", ["poisson", "steady", "daily", "office", "bursts:40"])
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_every_arrival_is_served_once_and_none_before_it_came(scenario: Scenario, source: str) -> None:
    arrivals, seen = Arrivals(source, 300, 2.5), Seen()
    result = simulate(scenario, arrivals, seen)
    came = np.concatenate([times for times, _ in arrivals.chunks()])
    pages = np.concatenate([pages for _, pages in arrivals.chunks()])
    assert (np.diff(came) >= 0).all()
    assert result.jobs == len(came) == len(seen.latencies) == sum(result.met.values())
    assert result.pages == pages.sum()
    assert (np.array(seen.latencies) >= SHORT.job + SHORT.page * pages - 1e-6).all()
    assert all(result.met[kind] <= starts for kind, starts in result.starts.items())
    assert result.billed <= scenario.workers_max * result.seconds


def test_the_same_seed_gives_the_same_result_and_another_another() -> None:
    def run(seed: int) -> Result:
        return simulate(replace(SCENARIOS["several, of two places"], seed=seed), Arrivals(rate=200, days=2, seed=seed))

    assert run(1) == run(1) != run(2)


# What settings do.


@pytest.mark.parametrize("seed", range(5))
def test_a_longer_idle_timeout_never_means_more_starts_or_more_fresh_ones(seed: int) -> None:
    # Holds for one worker and steps of at least a boot: then no gap that the shorter one bridges outlasts the longer one.
    scenario = Scenario(SHORT, workers_max=1, hosts=200, pick="round-robin", seed=seed)
    starts = [
        simulate(replace(scenario, idle_timeout=idle), Arrivals(rate=20, days=1, seed=seed)).starts
        for idle in (2, 10, 60, 300, 1200)
    ]
    for shorter, longer in pairwise(starts):
        assert sum(longer.values()) < sum(shorter.values())
        assert longer["fresh"] <= shorter["fresh"]


def test_workers_min_are_started_once_billed_all_the_time_and_always_warm() -> None:
    result = simulate(Scenario(SHORT, 1, 2, 2), Arrivals(rate=50, days=0.25))
    assert result.starts == {"fresh": 2, "restored": 0}
    assert result.billed == pytest.approx(2 * 0.25 * 86400)


def test_a_snapshot_that_others_evict_is_not_restored(tmp_path: Path) -> None:
    arrivals = trace(tmp_path / "hourly.csv", *range(0, 360_000, 3600))
    lives = [simulate(Scenario(SHORT, 1, hosts=1, workers_max=1, snapshot_life=life), arrivals) for life in (1, 3600, math.inf)]
    assert [result.starts["fresh"] for result in (lives[0], lives[2])] == [100, 1]
    assert 40 < lives[1].starts["fresh"] < 85  # of 99, a share of 1 - 1/e is expected


@pytest.mark.parametrize(("pick", "fresh"), [("recent", 1), ("round-robin", 6), ("random", 6)])
def test_how_hosts_are_picked_says_how_many_fresh_boots_there_are(tmp_path: Path, pick: str, fresh: int) -> None:
    arrivals = trace(tmp_path / "hourly.csv", *range(0, 360_000, 3600))
    assert simulate(Scenario(SHORT, 1, hosts=6, pick=pick), arrivals).starts == {"fresh": fresh, "restored": 100 - fresh}


@pytest.mark.parametrize("second", [0.5, 2], ids=["came during the boot", "came after it"])
def test_a_job_waits_for_the_queue_delay_before_it_gets_a_further_worker(tmp_path: Path, second: float) -> None:
    seen, times = Seen(), Times((1.0,), (0.1,), job=60, page=0)
    simulate(Scenario(times, 1000, workers_max=2, queue_delay=4), trace(tmp_path / "two.csv", 0, second), seen)
    assert seen.latencies == pytest.approx([61, 4 + 1 + 60])


def test_by_request_count_a_worker_is_started_for_every_so_many_jobs(tmp_path: Path) -> None:
    times = Times((1.0,), (0.1,), job=60, page=0)
    arrivals = trace(tmp_path / "five.csv", 0, 0, 0, 0, 0)
    for count, starts in ((1, 5), (2, 3), (5, 1)):
        result = simulate(Scenario(times, 1000, workers_max=8, request_count=count), arrivals)
        assert result.starts["fresh"] == starts


def test_arrivals_that_can_never_be_served_are_told_and_not_kept_for_ever() -> None:
    with pytest.raises(Overloaded, match="1 workers of 1 places cannot keep up"):
        simulate(Scenario(SHORT, workers_max=1), Arrivals(rate=1e6, days=MOST_WAITING / 1e6))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers_min": 4}, "Workers are 4 to 3"),
        ({"hosts": 2}, "3 workers need as many hosts, one each; there are 2"),
        ({"pick": "best"}, "'best'; say random, recent, round-robin"),
        ({"order": (9,)}, "there are 8, from 0 on"),
        ({"idle_timeout": 0}, "must be more than 0"),
        ({"queue_delay": -1}, "cannot be less than 0"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scenario(SHORT, **settings)
