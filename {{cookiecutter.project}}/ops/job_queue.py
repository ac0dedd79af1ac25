"""The queue behind the local control plane: jobs in, to workers, and out again, without any HTTP."""

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

from ops.jobs import Changes, Job, Limits, Ping, Status, Worker

#: Takes of one job before it fails: its worker died each time.
MOST_ATTEMPTS: Final = 2


class Queue:
    """Every job and worker of one endpoint, and the moves between them. Used from one event loop only."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.workers: dict[str, Worker] = {}
        self.retried = 0
        self.arrivals = Changes()
        self._waiting: list[Job] = []

    @property
    def waiting(self) -> tuple[Job, ...]:
        """The jobs no worker has taken, next first."""
        return tuple(self._waiting)

    def worker(self, worker_id: str) -> Worker:
        """The worker of this id, made known on first mention."""
        return self.workers.setdefault(worker_id, Worker(worker_id))

    def join(self, worker_id: str) -> Worker:
        """Expect a new process under this id; what was known of an earlier one that has ended is forgotten."""
        if worker_id in self.workers and self.workers[worker_id].gone:
            del self.workers[worker_id]
        return self.worker(worker_id)

    def submit(self, job_input: Any, limits: Limits, prefix: str = "") -> Job:
        """Queue a job; ``prefix`` begins its id."""
        job = Job(job_input, prefix + str(uuid.uuid4()), limits)
        self.jobs[job.id] = job
        error = f"The job was not done within its lifetime of {limits.ttl:g} s."
        self._later(job, limits.ttl, lambda: self.stop(job, Status.TIMED_OUT, error))
        self._enqueue(job)
        return job

    async def take(self, worker: Worker, most: int, hold: float, connected: Callable[[], bool]) -> list[Job]:
        """Hand up to ``most`` jobs to ``worker``; none after ``hold`` seconds without any.

        ``connected`` is asked before a job leaves the queue: a job is never handed to a connection that has closed.
        """
        worker.polls += 1
        worker.gone = False
        worker.changes.notify()
        try:
            await self.arrivals.until(lambda: bool(self._waiting) and not (worker.refreshed or worker.asleep), hold)
        except TimeoutError:
            return []
        if not connected():
            return []
        jobs, self._waiting = self._waiting[:most], self._waiting[most:]
        for job in jobs:
            self._start(job, worker)
        return jobs

    def put_back(self, job: Job) -> None:
        """The worker never received the job: it is next again, as if it had not been taken."""
        if job.status is Status.IN_PROGRESS:
            self._leave_worker(job)
            job.attempts -= 1
            self._enqueue(job, first=True)

    def finish(self, job: Job, status: Status, output: Any = None, error: Any = None) -> None:
        """End the job, unless it has ended: the first end counts."""
        if job.status.final:
            return
        if job in self._waiting:
            self._waiting.remove(job)
        self._leave_worker(job)
        job.status, job.output, job.error, job.ended = status, output, error, time.monotonic()
        self._clear_timers(job)
        self._later(job, job.limits.retention, lambda: self.jobs.pop(job.id, None))
        job.changes.notify()

    def stop(self, job: Job, status: Status = Status.CANCELLED, error: str | None = None) -> None:
        """End the job from outside; the worker that has it is sent a stop signal."""
        if job.status is Status.IN_PROGRESS:
            worker = self.worker(str(job.worker))
            worker.to_stop.append(job.id)
            self.finish(job, status, error=error)
            worker.changes.notify()
        else:
            self.finish(job, status, error=error)

    async def stop_signals(self, worker: Worker, hold: float, connected: Callable[[], bool]) -> list[str]:
        """The ids of the jobs ``worker`` must stop; none after ``hold`` seconds without any, or without a connection."""
        try:
            await worker.changes.until(lambda: bool(worker.to_stop), hold)
        except TimeoutError:
            return []
        signals: list[str] = []
        if connected():
            signals, worker.to_stop = worker.to_stop, []
        return signals

    def retry(self, job: Job) -> bool:
        """Queue a failed or timed out job again, without its output; false for any other job."""
        if job.status not in (Status.FAILED, Status.TIMED_OUT):
            return False
        self._clear_timers(job)
        job.output = job.error = job.ended = None
        job.attempts = 0
        self.retried += 1
        self._enqueue(job)
        return True

    def purge(self) -> int:
        """Cancel every job that no worker has taken; returns how many."""
        waiting = self.waiting
        for job in waiting:
            self.stop(job)
        return len(waiting)

    def record(self, worker: Worker, ping: Ping) -> None:
        """Keep a heartbeat."""
        worker.pings.append(ping)
        worker.changes.notify()

    def refresh(self, worker: Worker) -> None:
        """The worker asked to be replaced: it gets no more jobs."""
        worker.refreshed = True
        worker.changes.notify()

    def sleep(self, worker: Worker) -> None:
        """The worker is about to be frozen: it gets no jobs, not even on a poll that is in the air."""
        worker.asleep = True

    def wake(self, worker: Worker) -> None:
        """The worker runs again, and a poll that it left in the air gets the next job."""
        worker.asleep = False
        self.arrivals.notify()

    def lose(self, worker: Worker) -> None:
        """The worker's process has ended: the jobs it had are next again, or fail after ``MOST_ATTEMPTS`` takes."""
        worker.gone = True
        for job in list(worker.jobs.values()):
            if job.attempts >= MOST_ATTEMPTS:
                self.finish(job, Status.FAILED, error=f"{job.attempts} workers ended while they had this job.")
            else:
                self._leave_worker(job)
                self._enqueue(job, first=True)
        worker.changes.notify()

    def close(self) -> None:
        """Forget every timer; the jobs stay as they are."""
        for job in self.jobs.values():
            self._clear_timers(job)

    def _enqueue(self, job: Job, *, first: bool = False) -> None:
        job.status, job.worker, job.taken = Status.IN_QUEUE, None, None
        self._waiting.insert(0 if first else len(self._waiting), job)
        job.changes.notify()
        self.arrivals.notify()

    def _start(self, job: Job, worker: Worker) -> None:
        taken, limit = time.monotonic(), job.limits.execution
        job.status, job.worker, job.taken = Status.IN_PROGRESS, worker.id, taken
        job.attempts += 1
        worker.jobs[job.id] = job

        def expire() -> None:
            if job.taken == taken:
                self.stop(job, Status.TIMED_OUT, f"The job ran longer than its execution timeout of {limit:g} s.")

        self._later(job, limit, expire)
        job.changes.notify()
        worker.changes.notify()

    def _leave_worker(self, job: Job) -> None:
        if job.worker is not None:
            worker = self.worker(job.worker)
            worker.jobs.pop(job.id, None)
            worker.idle_since = time.monotonic()
            worker.changes.notify()

    @staticmethod
    def _later(job: Job, seconds: float, move: Callable[[], object]) -> None:
        job.timers.append(asyncio.get_running_loop().call_later(seconds, move))

    @staticmethod
    def _clear_timers(job: Job) -> None:
        while job.timers:
            job.timers.pop().cancel()
