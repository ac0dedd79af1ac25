"""Whether this process was stopped and brought back: a thread that looks at clocks and counters twice a second.

No single sign is trusted, since the platform's mechanism is not published. A restored process tree (CRIU) shows another
start time and less CPU time than it had. A frozen one (SIGSTOP, cgroup freezer) shows neither: its clocks ran on while it
stood still, so it is told by a gap between two looks that nothing else explains. What else makes a gap is measured: time in
the run queue (a loaded machine), waits for Python's lock, work done meanwhile, and pages read back from swap.

Limits: a tree restored within ``TICK`` is told all the same; a freeze is surely told from ``TICK + SHORTEST`` seconds on, and
its length is known to ``TICK``. A wall clock that jumps alone is an operator, a laptop's sleep or the snapshot of a whole
virtual machine: it is named ``unsure``, as is a gap that the evidence half explains.
"""

import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

#: Seconds between two looks. One costs 0.2 ms or less.
TICK: Final = 0.5
#: Seconds of unexplained gap that count as a freeze.
SHORTEST: Final = 1.0
#: Seconds of a clock step that are taken for one; corrections of a running clock are slewed or smaller.
CLOCK_STEP: Final = 1.0
#: Seconds that one page read back from a busy disk may take.
MAJOR_FAULT: Final = 0.1
#: Seconds that one look may take before it is taken again: whatever came between its readings would look like a jump.
STEADY: Final = 0.02
#: Seconds a caller waits for a look it asked for.
LOOK_PATIENCE: Final = 2.0
#: Looks taken again at most; on a machine so loaded, one reading must do.
STEADY_TRIES: Final = 10

#: Changes with every start of the host's kernel; the same value means the same running host (Linux, random(4)).
KERNEL_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"

#: The start time in /proc/self/stat, counted from after the command, which ends with the last parenthesis: proc_pid_stat(5).
START_FIELD: Final = 22 - 3

Evidence = Literal[
    "start_time_changed",
    "cpu_time_went_back",
    "kernel_changed",
    "stood_still",
    "wall_clock_jumped",
    "suspended",
    "swapped",
    "starved",
    "no_proc",
]


@dataclass(frozen=True)
class Sample:
    """One look. Times in seconds; ``wait``, ``wakes`` and ``faults`` are the watching thread's; None where the system has none.

    ``cpu`` is the process's CPU time, ``wait`` the time spent runnable in the run queue, ``wakes`` the voluntary context
    switches, ``faults`` the major page faults, ``started`` the thread's start in clock ticks, ``kernel`` the host's boot id.
    """

    wall: float
    monotonic: float
    boottime: float | None
    cpu: float
    wait: float | None
    wakes: int | None
    faults: int | None
    started: int | None
    kernel: str | None


@dataclass(frozen=True)
class Stop:
    """What two looks say: ``restored`` where it is certain, else ``unsure``; for how many seconds, and the signs it is told by."""

    kind: Literal["restored", "unsure"]
    seconds: float
    evidence: tuple[Evidence, ...]


def judge(before: Sample, after: Sample) -> Stop | None:
    """Whether the process was stopped between two looks that are ``TICK`` apart at most; None where it was not."""
    jump = (after.wall - before.wall) - (after.monotonic - before.monotonic)
    still, explained, signs = _gap(before, after)
    jumped = _jumped(before, after, jump)
    proof = _proof(before, after)
    # A freeze began somewhere within the tick: half of it is the best guess.
    seconds = round(max(jump, still + TICK / 2 if still else 0.0, 0.0), 3)
    if proof:
        return Stop("restored", seconds, (*proof, *jumped, *signs))
    if signs == ("stood_still",) and explained < still:
        return Stop("restored", seconds, (*signs, *jumped))
    if signs or jumped:
        return Stop("unsure", seconds, (*signs, *jumped))
    return None


def _proof(before: Sample, after: Sample) -> tuple[Evidence, ...]:
    """Signs that nothing but a restored process shows."""
    proof: list[Evidence] = []
    if None not in (before.started, after.started) and before.started != after.started:
        proof.append("start_time_changed")
    if after.cpu < before.cpu:
        proof.append("cpu_time_went_back")
    if None not in (before.kernel, after.kernel) and before.kernel != after.kernel:
        proof.append("kernel_changed")
    return tuple(proof)


def _jumped(before: Sample, after: Sample, jump: float) -> tuple[Evidence, ...]:
    """A wall clock that moved apart from the monotonic one; the machine slept if Linux's boottime, which counts that, did too."""
    if abs(jump) < CLOCK_STEP:
        return ()
    if before.boottime is None or after.boottime is None:
        return ("wall_clock_jumped",)
    slept = (after.boottime - before.boottime) - (after.monotonic - before.monotonic)
    return ("suspended",) if abs(slept - jump) < CLOCK_STEP else ("wall_clock_jumped",)


def _gap(before: Sample, after: Sample) -> tuple[float, float, tuple[Evidence, ...]]:
    """Seconds beyond ``TICK`` between two looks: those that nothing explains, those explained, and what they are signs of."""
    over = after.monotonic - before.monotonic - TICK
    if over < SHORTEST:
        return 0.0, 0.0, ()
    if None in (before.wait, after.wait, before.wakes, after.wakes, before.faults, after.faults):
        return over, 0.0, ("stood_still", "no_proc")
    waited = after.wait - before.wait  # type: ignore[operator]
    for_python = (after.wakes - before.wakes) * sys.getswitchinterval()  # type: ignore[operator]
    explained = waited + for_python + max(0.0, after.cpu - before.cpu)
    still = over - explained
    if still < SHORTEST:
        return 0.0, explained, ()
    if (after.faults - before.faults) * MAJOR_FAULT >= still:  # type: ignore[operator]
        return still, explained, ("stood_still", "swapped")
    if explained >= still:
        return still, explained, ("stood_still", "starved")
    return still, explained, ("stood_still",)


class Watch:
    """Looks twice a second in a thread of its own, and whenever it is asked to; each stop it finds goes to ``on_stop``, once.

    ``on_stop`` is called in that thread and must not block: a thread that waits for something else looks frozen.
    """

    def __init__(self, on_stop: Callable[[Stop], object]) -> None:
        self._on_stop = on_stop
        self._thread = threading.Thread(target=self._run, name="freeze-watch", daemon=True)
        self._asked, self._looked = threading.Event(), threading.Event()

    def start(self) -> None:
        """Begin to look; returns after the first time."""
        self._thread.start()
        self._looked.wait(LOOK_PATIENCE)

    def look(self) -> None:
        """Have it look now, and wait for that; for what must be judged right at once, such as a job that has just come."""
        if self._thread.is_alive():
            self._looked.clear()
            self._asked.set()
            self._looked.wait(LOOK_PATIENCE)

    def _run(self) -> None:
        before = take()
        while True:
            self._looked.set()
            self._asked.wait(TICK)
            self._asked.clear()
            after = take()
            stop = judge(before, after)
            if stop:
                self._on_stop(stop)
            before = after


def take() -> Sample:
    """Look once; called by the thread that looks twice a second."""
    for _ in range(STEADY_TRIES):
        sample = _read()
        if time.monotonic() - sample.monotonic < STEADY and abs(time.time() - sample.wall) < CLOCK_STEP:
            break
    return sample


def _read() -> Sample:
    boottime = time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else None
    monotonic, wall = time.monotonic(), time.time()
    usage = resource.getrusage(resource.RUSAGE_THREAD) if hasattr(resource, "RUSAGE_THREAD") else None
    wait = _proc("/proc/thread-self/schedstat").split()
    stat = _proc("/proc/self/stat").rpartition(b")")[2].split()
    return Sample(
        wall=wall,
        monotonic=monotonic,
        boottime=boottime,
        cpu=time.process_time(),
        wait=int(wait[1]) / 1e9 if wait else None,
        wakes=usage.ru_nvcsw if usage else None,
        faults=usage.ru_majflt if usage else None,
        started=int(stat[START_FIELD]) if stat else None,
        kernel=kernel_boot_id(),
    )


def kernel_boot_id() -> str | None:
    """The host kernel's boot id; None where the kernel is not Linux."""
    return _proc(KERNEL_BOOT_ID).decode("ascii", errors="replace").strip() or None


def _proc(path: str) -> bytes:
    """A small file of /proc; empty where there is none. Read plainly: through pathlib it takes three times as long."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(file, 4096)
    except OSError:
        return b""
    finally:
        os.close(file)
