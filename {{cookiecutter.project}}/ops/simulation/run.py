"""What jobs meet on an endpoint that scales to zero, and what it costs: a simulation of its hosts, workers and snapshots.

    result = simulate(Scenario(times, idle_timeout=60), Arrivals("office", rate=100))

The rules are those of ops/freeze.py. A job waits in one queue, first come, first served, and goes to the place that has been free
for longest. The first worker is started at once, a further one when the first in the queue has waited for ``queue_delay`` and no
other is starting, or, with ``request_count``, when there are more jobs than that for each worker. A start on a host that keeps a
snapshot restores it; any other boots. A worker without jobs for ``idle_timeout`` is frozen, unless that leaves fewer than
``workers_min``. It is billed from the beginning of its boot or restore to its freeze.

Left out: taking a snapshot takes no time; jobs neither fail nor expire; a worker takes a job only when it has a place; a job takes
as long beside others in its worker as alone.

simpy runs the lives of the workers: pulls, boots, restores, idle timeouts and looks at the queue. Arrivals and ends of jobs are
thousands of times more; between two events of simpy only queue and places change, so that a plain loop takes them from a heap, in
the order of time with simpy's.
"""

import math
import random
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush, heapreplace
from typing import Any, Final

import simpy

from ops.simulation.arrivals import Arrivals
from ops.simulation.histogram import Histogram
from ops.simulation.hosts import Host, Hosts
from ops.simulation.scenario import FRESH, KINDS, RESTORED, WARM, Result, Scenario

#: Most jobs that may wait; more are an endpoint that can never keep up.
MOST_WAITING: Final = 1_000_000
#: Seconds by which an event may come early, since simpy adds delays up.
ROUNDING: Final = 1e-6
#: Later than everything; the heap's guard lies beyond it.
LATEST: Final = 1e300

Life = Generator[simpy.Event, Any, None]
#: Hears what jobs met (a place in ``KINDS``) and their latencies in seconds, in the order of arrival, now and then.
Observe = Callable[[Sequence[int], Sequence[float]], object]


class Overloaded(ValueError):
    """The workers can never keep up with the arrivals."""


def simulate(scenario: Scenario, arrivals: Arrivals, observe: Observe = lambda met, latencies: None) -> Result:
    """Let ``arrivals`` come to an endpoint that was at zero until then. The same arguments give the same result.

    Raises ``Overloaded``, and ``ValueError`` for a file of arrivals that cannot be read.
    """
    return _Simulation(scenario, observe).run(arrivals)


@dataclass
class _Simulation:
    scenario: Scenario
    observe: Observe
    environment: simpy.Environment = field(default_factory=simpy.Environment)
    active: int = 0
    starting: int = 0
    billed: float = 0

    def __post_init__(self) -> None:
        #: The queue: arrival and service time of each; the hosts of the free places; the ends of running jobs with their hosts.
        self.waiting: deque[tuple[float, float]] = deque()
        self.places: deque[int] = deque()
        self.ends: list[tuple[float, int]] = [(math.inf, -1)]
        self.met: list[int] = []
        self.latencies: list[float] = []
        self.starts = dict.fromkeys(KINDS[1:], 0)
        self._random = random.Random(self.scenario.seed)  # noqa: S311 (nothing secret)
        self.hosts = Hosts(self.scenario, self._random)
        self._look_at = math.inf
        self._grown = self.environment.event()

    # Arrivals and jobs.

    def run(self, arrivals: Arrivals) -> Result:
        times, histogram, met = self.scenario.times, Histogram(), [0] * len(KINDS)
        waits, pages_in_all = 0.0, 0
        self._look_by(0)
        for moments, pages in arrivals.chunks():
            services = times.job + times.page * pages
            self._take(moments.tolist(), services.tolist())
            pages_in_all += int(pages.sum())
            waits -= float(services.sum()) - self._told(histogram, met)
        self._advance(LATEST)
        waits += self._told(histogram, met)
        end = max(self.environment.now, arrivals.seconds, *(host.last for host in self.hosts))
        billed = self.billed + sum(end - host.begun for host in self.hosts if host.begun is not None)
        p50, p95, p99 = (histogram.percentile(share) for share in (0.5, 0.95, 0.99))
        jobs = histogram.count
        counts = dict(zip(KINDS, met, strict=True))
        return Result(jobs, pages_in_all, counts, self.starts, p50, p95, p99, waits / max(1, jobs), billed, end)

    def _told(self, histogram: Histogram, met: list[int]) -> float:
        """Count what was recorded since the last time, and forget it; returns the sum of its latencies."""
        histogram.add(self.latencies)
        for kind in range(len(met)):
            met[kind] += self.met.count(kind)
        self.observe(self.met, self.latencies)
        total = math.fsum(self.latencies)
        self.met.clear()
        self.latencies.clear()
        return total

    def _take(self, moments: list[float], services: list[float]) -> None:
        """Let these jobs arrive."""
        hosts, waiting, places, ends = self.hosts, self.waiting, self.places, self.ends
        met, latencies, peek, count = self.met, self.latencies, self.environment.peek, self.scenario.request_count
        for arrival, service in zip(moments, services, strict=True):
            if ends[0][0] <= arrival or peek() <= arrival:
                self._advance(arrival)
            if places:
                number = places.popleft()
                host = hosts[number]
                met.append(host.met)
                host.met = WARM
                latencies.append(service)
                heappush(ends, (arrival + service, number))
            else:
                waiting.append((arrival, service))
                if not count and self._may_grow():
                    self._look_by(arrival + self.scenario.queue_delay if self.active else arrival)
                if len(waiting) > MOST_WAITING:
                    raise Overloaded(self._too_many(arrival))
            if count and len(ends) - 1 + len(waiting) > self.active * count and self.active < self.scenario.workers_max:
                self._look_by(arrival)

    def _advance(self, until: float) -> None:
        """Let everything happen up to this time that is under way."""
        ends, waiting, environment = self.ends, self.waiting, self.environment
        event = environment.peek()
        while True:
            end, number = ends[0]
            if event <= end:
                if event > until:
                    return
                environment.step()
                event = environment.peek()
            elif end > until:
                return
            elif waiting:
                arrival, service = waiting.popleft()
                heapreplace(ends, (end + service, number))
                self.met.append(WARM)
                self.latencies.append(end + service - arrival)
            else:
                heappop(ends)
                self.hosts[number].last = end
                self.places.append(number)

    def _too_many(self, now: float) -> str:
        workers, places = self.scenario.workers_max, self.scenario.concurrency
        return (
            f"{MOST_WAITING:,} jobs wait after {now / 3600:,.1f} hours: {workers} workers of {places} places cannot keep up. "
            "More workers, more places in each, or fewer jobs would."
        )

    # Workers.

    def _look_by(self, moment: float) -> None:
        """Have the queue looked at by this time, whose past is over."""
        if moment < self._look_at:
            self._look_at = moment
            self.environment.process(self._look(moment))

    def _look(self, moment: float) -> Life:
        """Start the workers that are wanted; and look again when one may be, which a start or a freeze does, too."""
        environment = self.environment
        yield environment.timeout(max(0.0, moment - environment.now))
        if moment != self._look_at:
            return  # An earlier one took its place.
        self._look_at = math.inf
        while self._worker_wanted() and (host := self.hosts.choose()):
            environment.process(self._life(host))
            host.free = False
            self.active += 1
            self.starting += 1
            if self.active > self.scenario.workers_min:
                self._grown.succeed()
                self._grown = environment.event()
        due = self.waiting[0][0] + self.scenario.queue_delay if self.waiting else 0
        if due - ROUNDING > environment.now and self._may_grow():
            self._look_by(due)

    def _may_grow(self) -> bool:
        """Whether a job that waits may get a further worker; a start that ends, and a freeze, have the queue looked at again."""
        return self.active < self.scenario.workers_max and not self.starting

    def _worker_wanted(self) -> bool:
        """Whether a further worker is to be started now: the rule of ``ops.freeze.Platform``, and that of request counts."""
        scenario, now = self.scenario, self.environment.now
        if self.active < scenario.workers_min:
            return True
        if self.active >= scenario.workers_max:
            return False
        if scenario.request_count:
            return self._inside() > self.active * scenario.request_count
        if not self.waiting:
            return False
        delayed = now - self.waiting[0][0] >= scenario.queue_delay - ROUNDING
        return not self.active or (delayed and not self.starting)

    def _inside(self) -> int:
        """The jobs that wait or run."""
        return len(self.waiting) + len(self.ends) - 1

    def _life(self, host: Host) -> Life:
        """One worker, from its start to its freeze."""
        environment, scenario, times = self.environment, self.scenario, self.scenario.times
        if not host.image:
            yield environment.timeout(times.pull)
            host.image = True
        host.begun = environment.now
        host.met = RESTORED if environment.now < host.kept_until else FRESH
        self.starts[KINDS[host.met]] += 1
        yield environment.timeout(self._random.choice(times.restores if host.met == RESTORED else times.boots))
        self.starting -= 1
        self._serve(host)
        self._look_by(environment.now)
        yield from self._until_idle(host)
        for _ in range(scenario.concurrency):
            self.places.remove(host.number)
        self.active -= 1
        self.billed += environment.now - host.begun
        life = scenario.snapshot_life
        host.kept_until = environment.now + (self._random.expovariate(1 / life) if life < math.inf else life)
        host.begun, host.free, host.freed = None, True, environment.now
        self._look_by(environment.now)

    def _serve(self, host: Host) -> None:
        """Fill a new worker's places from the queue."""
        host.last = now = self.environment.now
        for _ in range(self.scenario.concurrency):
            if not self.waiting:
                self.places.append(host.number)
                continue
            arrival, service = self.waiting.popleft()
            self.met.append(host.met)
            host.met = WARM
            self.latencies.append(now + service - arrival)
            heappush(self.ends, (now + service, host.number))

    def _until_idle(self, host: Host) -> Life:
        """Wait until the worker has been without jobs for long enough and may go. A busy one is looked at again no sooner than it
        could be."""
        environment, patience = self.environment, self.scenario.idle_timeout
        since = host.last
        while True:
            yield environment.timeout(max(0.0, since + patience - environment.now))
            idle = self.places.count(host.number) == self.scenario.concurrency
            since = host.last if idle else environment.now
            if not idle or environment.now - since < patience - ROUNDING:
                continue
            if self.active <= self.scenario.workers_min:
                yield self._grown
            elif self.scenario.request_count and self._inside() > (self.active - 1) * self.scenario.request_count:
                since = environment.now  # Without it another would be started.
            else:
                return
