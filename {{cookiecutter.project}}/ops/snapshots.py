"""What a frozen process tree is, whichever way it was frozen, and the processes that it is made of."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import psutil

Name = Literal["criu", "sigstop", "cgroup"]


class SnapshotError(RuntimeError):
    """A tree could not be frozen or brought back; the message says what the mechanism said."""


@dataclass(frozen=True)
class Image:
    """One frozen tree: its root process, the folder for what has to be kept, and what it took.

    ``size`` is in bytes, of disk for criu and of memory for the others; ``seconds`` is how long freezing took; ``ended`` are the
    processes that are in the image only.
    """

    pid: int
    folder: Path
    log: Path
    log_size: int
    size: int
    seconds: float
    ended: tuple[psutil.Process, ...] = ()


class Mechanism(Protocol):
    """One way to freeze. ``missing`` says in a sentence what keeps it from working here, and is empty if nothing does."""

    @property
    def name(self) -> Name: ...

    def missing(self) -> str: ...

    async def snapshot(self, pid: int, folder: Path, log: Path) -> Image:
        """Freeze the tree below ``pid``, which writes its output to ``log``; ``folder`` may be filled and does not exist yet.

        Raises ``SnapshotError``, and then the tree runs as before.
        """

    async def restore(self, image: Image) -> None:
        """Let the tree run again; raises ``SnapshotError``, and then nothing of it runs."""

    async def discard(self, image: Image) -> None:
        """End the tree where it is frozen, and remove the image."""


def tree(pid: int) -> list[psutil.Process]:
    """The process and all that it started, itself first; empty once it has ended."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def runs(process: psutil.Process) -> bool:
    """Whether a process has not ended; a zombie has, and only waits for its parent to take note."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def memory(pid: int) -> int:
    """Bytes of memory that the tree occupies."""
    size = 0
    for process in tree(pid):
        with contextlib.suppress(psutil.Error):
            size += process.memory_info().rss
    return size


def length(file: Path) -> int:
    """Bytes that a file holds."""
    return file.stat().st_size
