"""A plan for an endpoint: what every idle timeout and every least number of workers would cost, and how long jobs would wait.

The times of boots, restores and pages are the founding experiment's (``FOUNDING_TIMES``), or what ``ops coldstart`` measured.
"""

import json
import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from ops.findings import FOUNDING, Finding, number, read_lines, seconds
from ops.simulation.arrivals import DAY, HOUR, Arrivals
from ops.simulation.run import Overloaded, simulate
from ops.simulation.scenario import KINDS, Result, Scenario, Times

#: How many times the fastest setting's p95 a cheaper one's may be, where no p95 is asked for.
SLACK: Final = 1.5

#: Seconds of a month, as bills have it.
MONTH: Final = 730 * HOUR

#: Seconds the founding worker took for one page once it ran, and its longest run: documents, their pages, seconds of GPU in all
#: (its author's posts, May 2026). From both follow the seconds of a job and those of each page.
ONE_PAGE: Final = 4.65
LONG_RUN: Final = (36, 5039, 4675.0)


def _founding_times() -> Times:
    documents, pages, in_all = LONG_RUN
    page = (in_all - documents * ONE_PAGE) / (pages - documents)
    pulled, first_restore, boot, second_restore = (wall - ONE_PAGE for wall, _ in FOUNDING)
    return Times((boot,), (first_restore, second_restore), job=ONE_PAGE - page, page=page, pull=pulled - boot)


#: The founding experiment's times, with the pull that its first request waited for.
FOUNDING_TIMES: Final = _founding_times()


def measured_times(path: Path) -> Times:
    """The times in a file that ``ops coldstart`` wrote; without a pull, which it does not see.

    Its documents have one page: what lies outside the engine is counted for the job, the rest for the page, which is more than a
    page of a long document takes. Raises ``ValueError`` for a file that does not tell.
    """
    try:
        seen = [finding for finding in read_lines(path) if not finding.error]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read as what `python -m ops coldstart` writes: {error}") from None
    boots, restores = (tuple(_start(finding) for finding in seen if finding.kind == kind) for kind in ("fresh", "restored"))
    lacking = "fresh boot" if not boots else "restore" if not restores else "warm worker" if not _warm(seen) else ""
    if lacking:
        raise ValueError(f"{path} holds no request that met a {lacking}; `python -m ops coldstart --hosts AABB` gives all three.")
    warm = _warm(seen)
    page = statistics.median(finding.parse or 0 for finding in warm)
    return Times(boots, restores, job=max(0.0, statistics.median(finding.execution for finding in warm) - page), page=page)


def _start(finding: Finding) -> float:
    """How long the start took: as the platform saw it, else what the job waited for."""
    return finding.queue if finding.start is None else finding.start


def _warm(seen: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in seen if finding.kind == "warm" and finding.parse]


@dataclass(frozen=True)
class Point:
    """One setting and what it gave; ``price`` in dollars per worker second. ``result`` is None where ``overloaded`` says why."""

    idle_timeout: float
    workers_min: int
    price: float
    result: Result | None
    overloaded: str = ""

    @property
    def month(self) -> float:
        """Dollars a month, if it goes on like this."""
        return self.known.billed / max(self.known.seconds, 1) * MONTH * self.price

    @property
    def thousand(self) -> float:
        """Dollars for 1,000 pages."""
        return self.known.billed * self.price / max(self.known.pages, 1) * 1000

    @property
    def known(self) -> Result:
        """The result; raises ``LookupError`` for an overloaded point."""
        if self.result is None:
            raise LookupError(self.overloaded)
        return self.result

    @property
    def name(self) -> str:
        """The setting in words."""
        return f"an idle timeout of {self.idle_timeout:g} s and workers_min {self.workers_min}"

    def share(self, kind: str) -> float:
        """The share of jobs, 0 to 1, that met this."""
        return self.known.met[kind] / max(self.known.jobs, 1)


def sweep(
    scenario: Scenario,
    arrivals: Arrivals,
    idle_timeouts: Sequence[float],
    workers_min: Sequence[int],
    price: float,
    processes: int = 1,
) -> Iterator[Point]:
    """Simulate each setting, several at a time, and give each as it is done; all meet the same arrivals.

    Raises ``ValueError`` for settings that cannot work, and for a file of arrivals that cannot be read.
    """
    settings = [
        replace(scenario, idle_timeout=idle, workers_min=least) for least, idle in product(sorted(set(workers_min)), idle_timeouts)
    ]
    if processes == 1:
        yield from (simulated(setting, arrivals, price) for setting in settings)
        return
    with ProcessPoolExecutor(min(processes, len(settings)), get_context("spawn")) as pool:
        try:
            for done in as_completed([pool.submit(simulated, setting, arrivals, price) for setting in settings]):
                yield done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def simulated(scenario: Scenario, arrivals: Arrivals, price: float) -> Point:
    """One point of the plan."""
    try:
        result, why = simulate(scenario, arrivals), ""
    except Overloaded as error:
        result, why = None, str(error)
    return Point(scenario.idle_timeout, scenario.workers_min, price, result, why)


def choose(points: Sequence[Point], p95: float | None = None) -> Point | None:
    """The cheapest point whose 95 % of jobs are done within ``p95`` seconds, or if none is, the fastest.

    Without ``p95`` it may be up to ``SLACK`` times that of the fastest. None if every point is overloaded.
    """
    possible = [point for point in points if point.result]
    if not possible:
        return None
    fastest = min(possible, key=lambda point: (point.known.p95, point.month))
    most = SLACK * fastest.known.p95 if p95 is None else p95
    within = [point for point in possible if point.known.p95 <= most]
    return min(within, key=lambda point: (point.month, point.known.p95), default=fastest)


def frontier(points: Sequence[Point]) -> list[Point]:
    """The points than which none is both cheaper and faster, the cheapest first."""
    best: list[Point] = []
    for point in sorted((point for point in points if point.result), key=lambda point: (point.month, point.known.p95)):
        if not best or point.known.p95 < best[-1].known.p95:
            best.append(point)
    return best


def advice(points: Sequence[Point], p95: float | None = None) -> str:
    """What to set, and what the alternatives would give, in a few sentences."""
    chosen = choose(points, p95)
    if chosen is None:
        return points[0].overloaded
    said = [f"Set {chosen.name}: {_gives(chosen)}, and {_percent(chosen.share('fresh'))} of jobs meet a fresh boot."]
    if p95 is not None and chosen.known.p95 > p95:
        said.insert(0, f"No setting here has a p95 within {seconds(p95)}; more workers, always or at most, might. The fastest:")
    cheapest, fastest = frontier(points)[0], frontier(points)[-1]
    if cheapest is not chosen:
        said.append(f"The cheapest, {cheapest.name}: {_gives(cheapest)}.")
    if fastest is not chosen and fastest is not cheapest:
        said.append(f"The fastest, {fastest.name}: {_gives(fastest)}.")
    return " ".join(said)


def _gives(point: Point) -> str:
    return f"p95 is {seconds(point.known.p95)} at {dollars(point.month)} a month, {dollars(point.thousand)} per 1,000 pages"


def table(points: Sequence[Point], chosen: Point | None) -> Table:
    """Every point in a line, the chosen one marked."""
    results = [point.result for point in points if point.result]
    over = f"{results[0].jobs:,} jobs in {number(results[0].seconds / DAY)} days. " if results else ""
    shown = Table(box=None, header_style="bold", pad_edge=False, caption_justify="left")
    shown.caption = f"{over}Times in seconds, from arrival to result. Share of jobs by what they met."
    for name in ("", "min", "idle", "p50", "p95", "p99", "fresh", "restored", "warm", "$/month", "$/1,000\npages"):
        shown.add_column(name, justify="right", no_wrap=True)
    for point in points:
        setting = ("→" if point is chosen else "", str(point.workers_min), f"{point.idle_timeout:g}")
        if point.result is None:
            shown.add_row(*setting, *[""] * 7, "[red]overloaded[/red]")
            continue
        times = (number(value) for value in (point.result.p50, point.result.p95, point.result.p99))
        shares = (_percent(point.share(kind)) for kind in reversed(KINDS))
        row = (*setting, *times, *shares, dollars(point.month), dollars(point.thousand))
        shown.add_row(*row, style="bold" if point is chosen else None)
    return shown


def line(point: Point, chosen: Point | None) -> str:
    """A point as a line of JSON; seconds and dollars."""
    told: dict[str, Any] = asdict(point)
    told |= told.pop("result") or {}
    if point.result:
        told |= {"dollars_a_month": point.month, "dollars_per_1000_pages": point.thousand}
    return json.dumps({**told, "chosen": point is chosen})


def dollars(value: float) -> str:
    """An amount for people: $1,234, $12.30, $0.0042."""
    return f"${value:,.0f}" if value >= 1000 else f"${value:.2f}" if value >= 0.1 or not value else f"${value:.2g}"


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %" if share >= 0.1 or not share else f"{share * 100:.2g} %"
