"""Freezes told from what looks like one: a table of what two looks may show, and real processes, stopped, starved or stuck."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from marks import needs_proc

from worker import freeze_watch
from worker.freeze_watch import TICK, Sample, Stop, judge

PROJECT = Path(__file__).parent.parent

#: A process of 100 s; everything is known of it.
BEFORE = Sample(wall=1e9, monotonic=100.0, boottime=100.0, cpu=7.0, wait=1.0, wakes=200, faults=3, started=5000, kernel="a")


def later(seconds: float = TICK, *, wall: float | None = None, boottime: float | None = None, **changes: Any) -> Sample:
    """The next look after so many monotonic seconds of an idle process; ``wall`` and ``boottime`` go with them unless given."""
    after = replace(
        BEFORE,
        monotonic=BEFORE.monotonic + seconds,
        wall=BEFORE.wall + (seconds if wall is None else wall),
        boottime=100.0 + (seconds if boottime is None else boottime),
        cpu=BEFORE.cpu + 0.001,
        wakes=201,
    )
    return replace(after, **changes)


def told(after: Sample, before: Sample = BEFORE) -> tuple[str, float, tuple[str, ...]] | None:
    stop = judge(before, after)
    return (stop.kind, stop.seconds, stop.evidence) if stop else None


# What two looks show.

THREE_DAYS = 3 * 24 * 3600.0


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(later(), id="a tick"),
        pytest.param(later(0.01), id="two looks in a row"),
        pytest.param(later(wall=TICK + 0.9), id="a small step of the clock"),
        pytest.param(later(wall=TICK - 0.9), id="a small step back"),
        pytest.param(later(TICK + 0.9), id="a short delay"),
        pytest.param(later(31, wait=31.4), id="starved for 31 s"),
        pytest.param(later(31, wait=15.5, cpu=22.5), id="half starved and half at work"),
        pytest.param(later(31, wakes=200 + 31 * 197), id="another thread held Python's lock for 31 s"),
        pytest.param(later(31, cpu=37.9), id="other threads worked for 31 s"),
    ],
)
def test_what_is_no_freeze(after: Sample) -> None:
    assert told(after) is None


@pytest.mark.parametrize(
    ("after", "seconds", "evidence"),
    [
        pytest.param(later(61), 60.75, ("stood_still",), id="frozen, with both clocks running"),
        pytest.param(later(61, cpu=8.0), 59.751, ("stood_still",), id="frozen at work"),
        pytest.param(later(61, wait=11.0), 50.75, ("stood_still",), id="frozen, then starved"),
        pytest.param(later(61, faults=103), 60.75, ("stood_still",), id="frozen, and read back from swap"),
        pytest.param(later(started=9000), 0.0, ("start_time_changed",), id="restored at once"),
        pytest.param(
            later(wall=TICK + THREE_DAYS, started=9000, cpu=0.1),
            THREE_DAYS,
            ("start_time_changed", "cpu_time_went_back", "wall_clock_jumped"),
            id="restored after 3 days",
        ),
        pytest.param(later(cpu=0.1), 0.0, ("cpu_time_went_back",), id="less CPU time than before"),
        pytest.param(later(wall=TICK + 9, kernel="b"), 9.0, ("kernel_changed", "wall_clock_jumped"), id="on another machine"),
        pytest.param(later(61, wall=3661), 3600.0, ("stood_still", "wall_clock_jumped"), id="frozen while the clock was set"),
    ],
)
def test_what_is_a_restore(after: Sample, seconds: float, evidence: tuple[str, ...]) -> None:
    found = told(after)
    assert found is not None
    assert (found[0], found[2]) == ("restored", evidence)
    assert found[1] == pytest.approx(seconds, abs=0.02)


@pytest.mark.parametrize(
    ("after", "evidence"),
    [
        pytest.param(later(wall=TICK + THREE_DAYS), ("wall_clock_jumped",), id="the clock jumped 3 days: set, or a whole machine"),
        pytest.param(later(wall=TICK - 60), ("wall_clock_jumped",), id="the clock was set back"),
        pytest.param(later(wall=TICK + 3600, boottime=TICK + 3600), ("suspended",), id="the laptop slept"),
        pytest.param(later(11, faults=203), ("stood_still", "swapped"), id="swapped out"),
        pytest.param(later(31, wait=20.0), ("stood_still", "starved"), id="starved for two thirds of the gap"),
    ],
)
def test_what_cannot_be_told_is_unsure(after: Sample, evidence: tuple[str, ...]) -> None:
    found = told(after)
    assert found is not None
    assert (found[0], found[2]) == ("unsure", evidence)


def test_without_proc_a_gap_is_unsure_and_a_tick_is_nothing() -> None:
    def blind(sample: Sample) -> Sample:
        return replace(sample, boottime=None, wait=None, wakes=None, faults=None, started=None, kernel=None)

    assert told(blind(later()), blind(BEFORE)) is None
    found = told(blind(later(31)), blind(BEFORE))
    assert found is not None
    assert (found[0], found[2]) == ("unsure", ("stood_still", "no_proc"))
    jumped = told(blind(later(wall=3600)), blind(BEFORE))
    assert jumped is not None
    assert jumped[2] == ("wall_clock_jumped",)


def test_a_look_works_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freeze_watch, "_proc", lambda _: b"")
    monkeypatch.delattr("resource.RUSAGE_THREAD", raising=False)
    sample = freeze_watch.take()
    assert (sample.wait, sample.wakes, sample.started, sample.kernel) == (None, None, None, None)


def test_a_stop_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = iter([BEFORE, later(61), *(later(61 + TICK * number) for number in range(1, 1000))])
    monkeypatch.setattr(freeze_watch, "take", lambda: next(samples))
    stops: list[Stop] = []
    watch = freeze_watch.Watch(stops.append)
    watch.start()
    for _ in range(3):
        watch.look()
    assert [stop.kind for stop in stops] == ["restored"]


# Real processes.

#: Runs each line it is given, and says what a job that comes then would meet.
PROGRAM = """
import ctypes, json, sys, time
from worker.boot import Boot
boot = Boot()
boot.watch(lambda: None)
print(boot.admit(), flush=True)
for line in sys.stdin:
    exec(line)
    print(json.dumps(boot.describe(boot.admit())), flush=True)
"""


class Process:
    """A watched process: ``ask`` has it run a line of Python and returns its boot's description."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", PROGRAM]
        self.process = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.writing, self.reading = self.process.stdin, self.process.stdout
        assert self.reading.readline() == "fresh\n"

    def ask(self, line: str = "pass") -> dict[str, Any]:
        self.writing.write(line + "\n")
        self.writing.flush()
        answer: dict[str, Any] = json.loads(self.reading.readline())
        return answer

    def stop(self, seconds: float) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(self.process.pid, signal.SIGCONT)


@pytest.fixture
def start() -> Iterator[Callable[[], Process]]:
    started: list[Process] = []

    def start() -> Process:
        started.append(Process())
        return started[-1]

    yield start
    for process in started:
        with process.process:
            process.process.kill()


@needs_proc
def test_a_stopped_process_is_restored_once_and_its_next_job_warm_again(start: Callable[[], Process]) -> None:
    process = start()
    process.stop(2)
    met = [process.ask() for _ in range(2)]
    assert [boot["kind"] for boot in met] == ["restored", "warm"]
    assert met[0]["evidence"] == ["stood_still"]
    assert 1 <= met[0]["frozen_seconds"] <= 3
    assert met[1]["restores"] == 1
    assert "evidence" not in met[1]


@needs_proc
@pytest.mark.parametrize(
    "line",
    [
        pytest.param("time.sleep(2.5)", id="a blocked loop"),
        pytest.param("ctypes.PyDLL(None).usleep(2_500_000)", id="a call that holds Python's lock"),
        pytest.param("sum(i * i for i in range(15_000_000))", id="work"),
    ],
)
def test_a_process_that_is_stuck_is_not_restored(start: Callable[[], Process], line: str) -> None:
    assert start().ask(line)["kind"] == "warm"


@needs_proc
def test_a_process_that_held_pythons_lock_and_was_frozen_in_it_is_restored(start: Callable[[], Process]) -> None:
    process = start()
    process.writing.write("ctypes.PyDLL(None).usleep(1_000_000)\n")
    process.writing.flush()
    process.stop(3)
    assert json.loads(process.reading.readline())["kind"] == "restored"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="pins processes to one core, which only Linux can")
def test_a_starved_process_is_not_restored(start: Callable[[], Process]) -> None:
    process = start()
    core = {min(os.sched_getaffinity(0))}
    os.sched_setaffinity(process.process.pid, core)
    os.setpriority(os.PRIO_PROCESS, process.process.pid, 19)
    rivals = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        for rival in rivals:
            os.sched_setaffinity(rival.pid, core)
        assert process.ask("time.sleep(2)")["kind"] == "warm"
    finally:
        for rival in rivals:
            rival.kill()
            rival.wait()


#: Where the two kinds of control groups are mounted, and how each freezes and thaws.
FREEZERS = [
    pytest.param(Path("/sys/fs/cgroup"), "cgroup.freeze", "1", "0", id="v2"),
    pytest.param(Path("/sys/fs/cgroup/unified"), "cgroup.freeze", "1", "0", id="v2 beside v1"),
    pytest.param(Path("/sys/fs/cgroup/freezer"), "freezer.state", "FROZEN", "THAWED", id="v1"),
]


@pytest.mark.parametrize(("root", "file", "freeze", "thaw"), FREEZERS)
def test_a_process_in_a_frozen_group_is_restored(
    start: Callable[[], Process], root: Path, file: str, freeze: str, thaw: str
) -> None:
    group = root / f"freeze-watch-{os.getpid()}"
    with suppress(OSError):
        group.mkdir()
    if not (group / file).exists():
        with suppress(OSError):
            group.rmdir()
        pytest.skip(f"needs a writable control group at {root} with {file}")
    process = start()
    home = root / "cgroup.procs"
    try:
        (group / "cgroup.procs").write_text(str(process.process.pid))
        (group / file).write_text(freeze)
        time.sleep(2)
        (group / file).write_text(thaw)
        assert process.ask()["kind"] == "restored"
    finally:
        (group / file).write_text(thaw)
        home.write_text(str(process.process.pid))
        group.rmdir()


@needs_proc
def test_a_group_that_may_use_little_of_the_cpu_is_not_restored(start: Callable[[], Process]) -> None:
    group = Path(f"/sys/fs/cgroup/cpu/freeze-watch-{os.getpid()}")
    with suppress(OSError):
        group.mkdir()
    if not (group / "cpu.cfs_quota_us").exists():
        pytest.skip("needs a writable control group of version 1 at /sys/fs/cgroup/cpu")
    process = start()
    try:
        (group / "cpu.cfs_period_us").write_text("1000000")
        (group / "cpu.cfs_quota_us").write_text("20000")
        (group / "cgroup.procs").write_text(str(process.process.pid))
        assert process.ask("sum(1 for _ in iter(lambda: time.thread_time() < 0.1, False))")["kind"] == "warm"
    finally:
        (group.parent / "cgroup.procs").write_text(str(process.process.pid))
        group.rmdir()
