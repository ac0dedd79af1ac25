"""Each way of freezing: the tree stands still, comes back whole, and is gone when dropped; and where a way is missing, why."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ops import criu, mechanisms, snapshots
from ops.control_plane import ControlPlane
from ops.freezable import FreezableWorker
from ops.snapshots import Mechanism

#: Counts on, in a child, and shows a semaphore and shared memory that both have.
COUNTER = """
import multiprocessing, os, time
from multiprocessing.shared_memory import SharedMemory

def count(lock, name):
    memory = SharedMemory(name)
    while True:
        with lock:
            memory.buf[0] = (memory.buf[0] + 1) % 256
        time.sleep(0.02)

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    lock, memory = context.Lock(), SharedMemory(create=True, size=64)
    child = context.Process(target=count, args=(lock, memory.name), daemon=True)
    child.start()
    while True:
        with lock:
            print("counted", memory.buf[0], child.pid, flush=True)
        time.sleep(0.02)
"""


@pytest.fixture
async def counter(control_plane: ControlPlane, mechanism: Mechanism) -> AsyncIterator[FreezableWorker]:
    command = (sys.executable, "-c", COUNTER)
    async with FreezableWorker(control_plane, mechanism=mechanism, command=command) as worker:
        await worker.line("counted")
        yield worker


async def more(worker: FreezableWorker) -> None:
    """Wait until it has counted on."""
    worker.lines.clear()
    await worker.line("counted", 10)


async def test_a_frozen_tree_stands_still_and_comes_back_whole_time_after_time(counter: FreezableWorker) -> None:
    pids = [process.pid for process in snapshots.tree(counter.pid)]
    for _ in range(2):
        image = await counter.freeze()
        await asyncio.sleep(0.3)
        counter.lines.clear()
        await asyncio.sleep(0.3)
        assert (counter.log, counter.returncode, image.size > 1_000_000) == ("", None, True)
        await counter.thaw()
        await more(counter)
        first, last = counter.lines[0], await _later(counter)
        assert first.split()[1] != last.split()[1], "the child does not count"
    assert [process.pid for process in snapshots.tree(counter.pid)] == pids


async def _later(worker: FreezableWorker) -> str:
    await asyncio.sleep(0.5)
    return worker.lines[-1]


async def test_what_came_back_can_be_ended_and_its_end_is_noticed(counter: FreezableWorker) -> None:
    await counter.freeze()
    await counter.thaw()
    await more(counter)
    await counter.terminate(10)
    assert counter.returncode is not None
    assert counter.record.gone


async def test_a_dropped_snapshot_leaves_no_process_and_no_file(counter: FreezableWorker) -> None:
    processes = snapshots.tree(counter.pid)
    image = await counter.freeze()
    await counter.discard()
    assert counter.returncode is not None
    assert not any(map(snapshots.runs, processes))
    assert not image.folder.exists()
    assert list(criu.SHARED_MEMORY.glob(criu.LINK_REMAP)) == []


# What is missing is said.


def test_criu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRIU", "/nowhere/criu")
    assert "CRIU=/nowhere/criu names no program; install CRIU 4.2 or newer" in criu.Criu().missing()


@pytest.mark.parametrize(
    ("said", "user", "message"),
    [
        ("Version: 4.2", 1000, "needs root"),
        ("Version: 3.17.1", 0, "is CRIU 3.17; 4.2 or newer"),
        ("Version: 4.10", 0, ""),
        ("oh", 0, "does not say its version: 'oh'"),
    ],
)
def test_criu_that_cannot_work_is_told_with_what_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, user: int, message: str
) -> None:
    program = tmp_path / "criu"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("CRIU", str(program))
    monkeypatch.setattr("os.geteuid", lambda: user)
    reason = criu.Criu().missing()
    assert message in reason
    assert bool(message) == bool(reason)


def test_auto_falls_back_and_says_so_and_a_name_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRIU", "/nowhere/criu")
    chosen, note = mechanisms.choose("auto")
    assert (chosen.name, note.startswith("Frozen by SIGSTOP and not by CRIU")) == ("sigstop", True)
    with pytest.raises(ValueError, match="criu does not work here"):
        mechanisms.choose("criu")
    with pytest.raises(ValueError, match="'docker' is no mechanism; choose auto, criu"):
        mechanisms.choose("docker")
