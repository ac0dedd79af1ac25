"""What a worker writes to its log reaches a reader in order, and a reader who does not read holds nothing up."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

PROGRAM = """
import os, sys, threading, time
from worker import log_stream
from worker.log import configure, log
from worker.settings import Settings

configure(Settings(log_format="json"))
log_stream.outlive_readers()
log_stream.write_in_background()
sys.stdin.readline()
"""

#: Twice as much as may wait to be written, and more than any pipe holds.
FLOOD = "for number in range(2500): print(f'{number:04} ' + 1000 * 'x')\n"


@pytest.fixture
def start() -> Iterator[Callable[[str], "subprocess.Popen[bytes]"]]:
    """Run code in a process whose output nobody reads yet, from when it is told to go on."""
    started = []

    def run(code: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-c", PROGRAM + code]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        started.append(process)
        stream(process.stdin).write(b"\n")
        stream(process.stdin).flush()
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def stream(found: "IO[bytes] | None") -> Any:
    assert found is not None
    return found


def wait_for(path: Path) -> None:
    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)


def read(process: "subprocess.Popen[bytes]") -> list[str]:
    return process.communicate(timeout=30)[0].decode().splitlines()


def test_lines_of_both_streams_come_whole_and_in_order(start: Callable[[str], "subprocess.Popen[bytes]"]) -> None:
    lines = read(start("for number in range(500): print(number, file=(sys.stdout, sys.stderr)[number % 2])"))
    assert lines == [str(number) for number in range(500)]


def test_lines_of_two_threads_are_not_mixed(start: Callable[[str], "subprocess.Popen[bytes]"]) -> None:
    say = "def say(name):\n    for number in range(300): print(name, number, sep='', flush=True)\n"
    threads = "threads = [threading.Thread(target=say, args=(name,)) for name in 'ab']\n"
    lines = read(start(say + threads + "for thread in threads: thread.start()\nfor thread in threads: thread.join()"))
    for name in "ab":
        assert [line for line in lines if line[0] == name] == [f"{name}{number}" for number in range(300)]


def test_a_reader_who_does_not_read_holds_nobody_up_and_learns_how_much_was_dropped(
    start: Callable[[str], "subprocess.Popen[bytes]"], tmp_path: Path
) -> None:
    written = tmp_path / "written"
    process = start(FLOOD + f"open({str(written)!r}, 'w').close()\nsys.stdin.readline()\nlog_stream.drain(20)\nprint('last')")
    wait_for(written)
    lines = process.communicate(b"\n", timeout=30)[0].decode().splitlines()
    kept = [int(line[:4]) for line in lines[:-1] if line[0] != "{"]
    dropped = sum(json.loads(line)["lines"] for line in lines if line[0] == "{")
    assert kept == sorted(kept)
    assert dropped == 2500 - len(kept) > 0
    assert lines[-1] == "last"


def test_the_last_lines_are_written_before_the_end(start: Callable[[str], "subprocess.Popen[bytes]"]) -> None:
    lines = read(start("for number in range(500): print(number)\nlog_stream.drain()\nos._exit(0)"))
    assert lines[-1] == "499"


def test_an_end_with_nobody_reading_waits_no_longer_than_it_may(start: Callable[[str], "subprocess.Popen[bytes]"]) -> None:
    assert start(FLOOD + "log_stream.drain(0.1)\nos._exit(7)").wait(30) == 7


def test_half_a_surrogate_pair_is_written_as_its_escape(start: Callable[[str], "subprocess.Popen[bytes]"]) -> None:
    assert read(start("print('half \\ud800')")) == ["half \\ud800"]
