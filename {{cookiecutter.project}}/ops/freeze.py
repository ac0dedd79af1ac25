"""The platform on this machine: hosts, scale to zero after idling, snapshots, restores, and a scaler that starts workers.

    async with ControlPlane() as control_plane, Platform(control_plane, Endpoint(hosts=("A", "B"))) as platform:
        job = await control_plane.submit({"probe": True}).finished()
        platform.truth(job)                 # what the job really met: fresh, restored or warm
        await platform.scaled_to_zero()     # its worker lies frozen on its host

As the founding experiment found it: a snapshot belongs to one host and one image, a start on the same host with the same image
restores it, any other start is a fresh boot. ``starts`` and ``freezes`` record what was really done, against which a worker's own
account can be checked. A host runs one worker at a time and keeps one snapshot.
"""

import asyncio
import hashlib
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ops.control_plane import ControlPlane
from ops.freezable import FreezableWorker
from ops.hosts import Endpoint, Freeze, Host, Kind, Start
from ops.jobs import Changes, Job
from ops.local_worker import COMMAND, PROJECT
from ops.mechanisms import Sigstop
from ops.snapshots import Mechanism, SnapshotError

#: Seconds between two looks at who has idled for long enough; jobs that arrive are not waited for this way.
LOOK: Final = 0.05


class Platform:
    """Runs an endpoint's workers under ``control_plane``; an async context manager that ends them all on leaving.

    Raises, on leaving and by cancelling what runs inside, ``WorkerError`` or ``TimeoutError`` when a fresh boot fails: the next
    would, too. ``on_line`` gets a worker's id and each line of its log.
    """

    def __init__(
        self,
        control_plane: ControlPlane,
        endpoint: Endpoint | None = None,
        *,
        mechanism: Mechanism | None = None,
        command: Sequence[str] = COMMAND,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str, str], object] = lambda worker, line: None,
    ) -> None:
        self.endpoint = endpoint or Endpoint()
        self.mechanism: Mechanism = mechanism or Sigstop()
        self.hosts = {name: Host(name) for name in self.endpoint.hosts}
        self.starts: list[Start] = []
        self.freezes: list[Freeze] = []
        self._control_plane = control_plane
        self._command = tuple(command)
        self._environment = dict(environment or {})
        #: What a snapshot is of, set anew by ``deploy``.
        self.image = image_id(self._command, self._environment)
        self._on_line = on_line
        self._order: Iterator[str] = iter(self.endpoint.order)
        self._next: str | None = None
        self._random = random.Random(self.endpoint.seed)  # noqa: S311 (a choice of host, to be made the same again)
        self._numbers = count(1)
        self._changes = Changes()
        self._tasks = asyncio.TaskGroup()
        #: What may be broken off when the platform closes: the scaler, and boots that nobody waits for.
        self._endless: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._endless.add(self._tasks.create_task(self._scale()))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for task in self._endless:
            task.cancel()
        try:
            await self._tasks.__aexit__(kind, error, trace)
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            workers = [host.worker for host in self.hosts.values() if host.worker is not None]
            await asyncio.gather(*(worker.close() for worker in workers))

    @property
    def active(self) -> list[Host]:
        """The hosts whose worker serves or is about to."""
        return [host for host in self.hosts.values() if host.state in ("starting", "serving")]

    async def scaled_to_zero(self, within: float | None = 60) -> None:
        """Wait until no worker runs and none is on its way; raises ``TimeoutError`` after ``within`` seconds."""
        await self._changes.until(lambda: all(host.free for host in self.hosts.values()), within)

    async def deploy(self, environment: Mapping[str, str]) -> None:
        """Change the workers' variables: another image, which no snapshot fits. Running workers serve on until they idle."""
        self._environment = dict(environment)
        self.image = image_id(self._command, self._environment)
        for name in self.hosts:
            await self.evict(name)

    async def evict(self, name: str) -> bool:
        """Drop the snapshot on a host, as a platform does that needs the room; false if there is none."""
        host = self.hosts[name]
        if host.state != "frozen" or host.worker is None:
            return False
        worker, host.worker, host.state = host.worker, None, "empty"
        await worker.close()
        return True

    def truth(self, job: Job) -> tuple[Kind, Start]:
        """What a job that was taken really met, and the start of the worker that took it; raises ``LookupError`` without one."""
        taken = job.taken or 0
        start = max(
            (start for start in self.starts if start.worker == job.worker and start.begun <= taken),
            key=lambda start: start.begun,
            default=None,
        )
        if start is None:
            raise LookupError(f"Job {job.id} was taken by no worker of this platform.")
        others = (other for other in self._control_plane.jobs.values() if other.worker == job.worker and other is not job)
        first = not any(start.begun <= (other.taken or 0) < taken for other in others)
        return (start.kind if first else "warm"), start

    async def _scale(self) -> None:
        """Start workers for jobs that wait, freeze those that idle, and forget those that ended, for as long as this runs."""
        queue = self._control_plane.queue
        while True:
            for host in self.hosts.values():
                self._look_after(host)
            if self._worker_wanted() and (name := self._choose()):
                host = self.hosts[name]
                host.state = "starting"
                starting = self._tasks.create_task(self._start(host))
                self._endless.add(starting)
                starting.add_done_callback(self._endless.discard)
                continue
            handled = len(queue.waiting)
            try:
                await queue.arrivals.until(lambda: len(queue.waiting) > handled, LOOK)  # noqa: B023 (used up before it changes)
            except TimeoutError:
                continue

    def _look_after(self, host: Host) -> None:
        worker = host.worker
        if worker is None or host.state != "serving":
            return
        if worker.returncode is not None:
            self._empty(host)
            self._tasks.create_task(worker.close())
        elif self._idle(host) and len(self.active) > self.endpoint.workers_min:
            # Now, and not when the task gets to run: a job that came between would be frozen with it.
            self._control_plane.queue.sleep(worker.record)
            host.state = "freezing"
            self._tasks.create_task(self._freeze(host, worker))

    def _idle(self, host: Host) -> bool:
        record = self._control_plane.workers[host.worker.id] if host.worker else None
        if record is None or record.jobs or record.refreshed or self._control_plane.queue.waiting:
            return False
        return time.monotonic() - max(host.since, record.idle_since or 0) >= self.endpoint.idle_timeout

    def _worker_wanted(self) -> bool:
        """Whether a further worker is to be started now: up to the minimum, for the first job, or for one that waits too long."""
        active = self.active
        waiting = self._control_plane.queue.waiting
        if len(active) < self.endpoint.workers_min:
            return True
        if not waiting or len(active) >= self.endpoint.workers_max:
            return False
        delayed = time.monotonic() - waiting[0].created >= self.endpoint.queue_delay
        return not active or (delayed and all(host.state == "serving" for host in active))

    def _choose(self) -> str | None:
        """The host of the next start: the next in the order, or a free one at random; None if it, or every one, is busy."""
        self._next = self._next or next(self._order, None)
        if self._next is not None:
            name = self._next
            if not self.hosts[name].free:
                return None
            self._next = None
            return name
        free = [host.name for host in self.hosts.values() if host.free]
        return self._random.choice(free) if free else None

    async def _start(self, host: Host) -> None:
        """Restore what lies on the host if it is of this image, else boot; raises what keeps a fresh worker from serving."""
        note = ""
        if host.worker is not None and host.image == self.image:
            note = await self._restore(host, host.worker)
            if not note:
                return
        if host.worker is not None:
            await host.worker.close()
        await self._boot(host, note)

    async def _restore(self, host: Host, worker: FreezableWorker) -> str:
        """Bring a frozen worker back; returns why that failed, or nothing."""
        start = Start(worker.id, host.name, "restored", frozen=time.monotonic() - host.since)
        self.starts.append(start)
        try:
            await worker.thaw()
        except SnapshotError as error:
            self.starts.remove(start)
            return str(error)
        self._serving(host, start)
        return ""

    async def _boot(self, host: Host, note: str) -> None:
        name = f"{host.name}-{next(self._numbers)}"
        worker = FreezableWorker(
            self._control_plane,
            mechanism=self.mechanism,
            worker_id=name,
            command=self._command,
            environment={**self._environment, "RUNPOD_POD_HOSTNAME": host.name},
            on_line=lambda line: self._on_line(name, line),
        )
        host.worker, host.image = worker, self.image
        start = Start(name, host.name, "fresh", note=note)
        self.starts.append(start)
        await worker.start()
        await worker.wait_ready(self.endpoint.boot_patience)
        self._serving(host, start)

    def _serving(self, host: Host, start: Start) -> None:
        start.seconds = time.monotonic() - start.begun
        host.state, host.since = "serving", time.monotonic()
        self._changes.notify()

    async def _freeze(self, host: Host, worker: FreezableWorker) -> None:
        """Scale one worker to zero; one of an image that is no more, or that cannot be frozen, is ended."""
        note = "" if host.image == self.image else "its image is not the endpoint's any more"
        try:
            image = None if note else await worker.freeze()
        except SnapshotError as error:
            image, note = None, str(error)
        self.freezes.append(Freeze(host.name, image, note))
        if image is None:
            await worker.close()
            self._empty(host)
            return
        host.state, host.since = "frozen", time.monotonic()
        self._changes.notify()

    def _empty(self, host: Host) -> None:
        host.worker, host.state = None, "empty"
        self._changes.notify()


def image_id(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """A digest of everything that a worker's process is made of: code, Python, command and variables."""
    digest = hashlib.sha256(json.dumps([sys.version, list(command), sorted(environment.items())]).encode())
    for path in sorted(Path(PROJECT, "worker").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
