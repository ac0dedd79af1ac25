"""Standard output and error of a worker that no reader can hold up: one who has gone, or one who is there and does not read.

A full pipe stops whoever writes to it, so a thread writes, and what it cannot keep up with is dropped and counted. Lines keep
their order and are never mixed. A process that is forked off, such as the heartbeat, has no such thread and writes by itself.
"""

import atexit
import os
import queue
import sys
import threading
import time
from typing import Any, Final, TextIO

from worker.log import log

#: Characters that may wait to be written: minutes of an ordinary log.
MOST_WAITING: Final = 1_000_000
#: Seconds that the last lines may take to be written when the worker ends.
LAST_LINES: Final = 2.0
#: Seconds between two looks at whether they are.
LOOK: Final = 0.01


def outlive_readers() -> None:
    """Have standard output and error lead nowhere once nobody reads them, so that a job is not lost for a line about it."""
    sys.stdout, sys.stderr = _Stream(sys.stdout), _Stream(sys.stderr)


def write_in_background() -> None:
    """Let a thread write from now on, so that a reader who does not read stops no job. Call it when the heartbeat is forked."""
    _writer.start()


def drain(seconds: float = LAST_LINES) -> None:
    """Return when everything has been written, or after so many seconds."""
    _writer.drain(seconds)


class _Writer:
    """Writes texts to file descriptors, in a thread once it is started."""

    def __init__(self) -> None:
        self._texts: queue.SimpleQueue[tuple[int, str]] | None = None
        self._waiting = 0
        self._dropped = 0
        self._telling = False
        # One that a signal's handler can take again.
        self._lock = threading.RLock()

    def start(self) -> None:
        self._texts = queue.SimpleQueue()
        threading.Thread(target=self._run, args=(self._texts,), name="log", daemon=True).start()
        os.register_at_fork(after_in_child=self.__init__)  # type: ignore[misc]
        atexit.register(drain)

    def put(self, descriptor: int, text: str) -> None:
        """Write the text, or have it written; one too many is dropped."""
        if self._texts is None:
            _write(descriptor, text)
            return
        with self._lock:
            if self._waiting + len(text) > MOST_WAITING and not self._telling:
                self._dropped += 1
                return
            self._tell_of_dropped()
            self._waiting += len(text)
            self._texts.put((descriptor, text))

    def drain(self, seconds: float) -> None:
        with self._lock:
            self._tell_of_dropped()
        end = time.monotonic() + seconds
        while self._waiting and time.monotonic() < end:
            time.sleep(LOOK)

    def _tell_of_dropped(self) -> None:
        dropped, self._dropped = self._dropped, 0
        if dropped:
            self._telling = True
            log.warning("lines of this log were dropped: nobody read it for a while", lines=dropped)
            self._telling = False

    def _run(self, texts: "queue.SimpleQueue[tuple[int, str]]") -> None:
        while True:
            descriptor, text = texts.get()
            _write(descriptor, text)
            with self._lock:
                self._waiting -= len(text)


class _Stream:
    """A text stream in the place of one of Python's own; it hands on whole lines."""

    def __init__(self, stream: TextIO) -> None:
        stream.flush()
        self._stream = stream
        self._descriptor = stream.fileno()
        self._begun = threading.local()

    def write(self, text: str) -> int:
        begun: str = getattr(self._begun, "text", "") + text
        lines, newline, self._begun.text = begun.rpartition("\n")
        if newline:
            _writer.put(self._descriptor, lines + newline)
        return len(text)

    def flush(self) -> None:
        begun, self._begun.text = getattr(self._begun, "text", ""), ""
        if begun:
            _writer.put(self._descriptor, begun)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _write(descriptor: int, text: str) -> None:
    """Write everything, past Python's buffers. Half a surrogate pair, which has no bytes, is written as its escape."""
    left = text.encode(errors="backslashreplace")
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
    except OSError:
        return  # A log that cannot be written, as on a full disk, costs no job.


_writer: Final = _Writer()
