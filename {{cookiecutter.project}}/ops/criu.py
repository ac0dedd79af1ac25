"""Freezing by CRIU: the tree is written to disk, ended, and made anew from there.

The same processes by id, on the same files, with every connection to the outside closed. A permission to use AMX, which Linux
grants to a process (arch_prctl), is not brought back (seen with CRIU 4.2): what computes by AMX before it is frozen dies at the
next computation after it.
"""

import asyncio
import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import psutil

from ops.snapshots import Image, Name, SnapshotError, length, tree

#: Oldest CRIU that works: 4.1.1 fails on TCP sockets of kernel 6.18, and 3.17 on its vDSO (both tried).
CRIU_SINCE: Final = (4, 2)
#: For dump and restore alike. link-remap: files that are open and deleted, as semaphores are. file-locks: locks held.
#: tcp-close: connections come back closed, as after a time away; a client reconnects.
CRIU_FLAGS: Final = ("--link-remap", "--file-locks", "--tcp-close")
#: Seconds that CRIU may take; 3.3 GB took 7.
CRIU_PATIENCE: Final = 120
#: Where shared memory lies, and what CRIU calls its names for files that had none.
SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 (the kernel's place, not one of our choosing)
LINK_REMAP: Final = "link_remap.*"

#: Seconds until ended processes have been cleared away, and between two looks at them.
REAP_PATIENCE, REAP_LOOK = 10.0, 0.01


class Criu:
    """Checkpoint and restore in userspace. The program is ``criu`` on the PATH, or what the variable CRIU names; needs root."""

    name: Name = "criu"

    @property
    def program(self) -> str | None:
        """The program, as found; None if there is none."""
        return shutil.which(os.environ.get("CRIU") or "criu")

    def missing(self) -> str:
        wanted = ".".join(map(str, CRIU_SINCE))
        if sys.platform != "linux":
            return "CRIU is for Linux only."
        if self.program is None:
            named = os.environ.get("CRIU")
            where = f"CRIU={named} names no program" if named else "There is no criu on the PATH"
            return f"{where}; install CRIU {wanted} or newer, or name it by the variable CRIU."
        if os.geteuid() != 0:
            return "CRIU needs root; run this with sudo, or in a container with --privileged."
        said = subprocess.run([self.program, "--version"], capture_output=True, text=True, timeout=CRIU_PATIENCE, check=False)
        version = re.search(r"Version: (\d+)\.(\d+)", said.stdout)
        if version is None:
            return f"{self.program} does not say its version: {(said.stdout + said.stderr).strip()[:200]!r}."
        if tuple(map(int, version.groups())) < CRIU_SINCE:
            return f"{self.program} is CRIU {'.'.join(version.groups())}; {wanted} or newer is needed."
        return ""

    async def snapshot(self, pid: int, folder: Path, log: Path) -> Image:
        begun = time.monotonic()
        async with _alone_in(SHARED_MEMORY):
            kept = folder / "shared-memory"
            await asyncio.to_thread(kept.mkdir, parents=True)
            segments, processes = _shared_memory(pid), tree(pid)
            before = set(SHARED_MEMORY.glob(LINK_REMAP))
            try:
                await self._run("dump", folder, "--tree", str(pid))
            except SnapshotError:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            segments |= set(SHARED_MEMORY.glob(LINK_REMAP)) - before
            await _move(sorted(segments), kept)
            size = await asyncio.to_thread(_disk, folder)
        return Image(pid, folder, log, length(log), size, time.monotonic() - begun, tuple(processes))

    async def restore(self, image: Image) -> None:
        await _gone(image.ended)
        async with _alone_in(SHARED_MEMORY):
            kept = sorted((image.folder / "shared-memory").iterdir())
            await _move(kept, SHARED_MEMORY)
            # CRIU brings open files back at the length they had.
            os.truncate(image.log, image.log_size)
            try:
                await self._run("restore", image.folder, "--restore-detached")
            except SnapshotError:
                for file in kept:
                    (SHARED_MEMORY / file.name).unlink(missing_ok=True)
                raise
        shutil.rmtree(image.folder, ignore_errors=True)

    async def discard(self, image: Image) -> None:
        shutil.rmtree(image.folder, ignore_errors=True)

    async def _run(self, action: str, folder: Path, *options: str) -> None:
        """Run CRIU; raises ``SnapshotError`` with the errors of its own log."""
        arguments = (action, "--images-dir", str(folder), "--log-file", f"{action}.log", *CRIU_FLAGS, *options)
        silent = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(str(self.program), *arguments, stdin=silent, stdout=silent, stderr=silent)
        try:
            async with asyncio.timeout(CRIU_PATIENCE):
                code = await process.wait()
        except TimeoutError:
            process.kill()
            raise SnapshotError(f"criu {action} was not done within {CRIU_PATIENCE} s.") from None
        if code:
            log = folder / f"{action}.log"
            lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
            errors = [line for line in lines if "Error" in line] or lines[-3:] or ["it wrote no log"]
            raise SnapshotError(f"criu {action} ended with {code}: {' | '.join(errors[:3])}")


def _disk(folder: Path) -> int:
    """Bytes of disk that the files below ``folder`` occupy."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def _shared_memory(pid: int) -> set[Path]:
    """The named segments of shared memory that the tree has mapped or opened."""
    found: set[Path] = set()
    for process in tree(pid):
        folder = Path("/proc", str(process.pid))
        with suppress(OSError):
            maps = (folder / "maps").read_text("utf-8", "replace")
            found |= {Path(name) for name in re.findall(rf"{SHARED_MEMORY}/\S+", maps)}
            found |= {path for path in map(Path.readlink, (folder / "fd").iterdir()) if path.is_relative_to(SHARED_MEMORY)}
    return {path for path in found if path.exists()}


async def _gone(processes: tuple[psutil.Process, ...]) -> None:
    """Wait until the ids of ended processes are free again, since they come back under the same; process 1 may take seconds."""
    try:
        async with asyncio.timeout(REAP_PATIENCE):
            while any(process.is_running() for process in processes):  # noqa: ASYNC110 (they are others' children)
                await asyncio.sleep(REAP_LOOK)
    except TimeoutError:
        raise SnapshotError("Processes that are in the snapshot have not been cleared away; is process 1 an init?") from None


@asynccontextmanager
async def _alone_in(folder: Path) -> AsyncIterator[None]:
    """Keep others on this machine from dumping or restoring: two dumps could give their files there the same names."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        await asyncio.to_thread(fcntl.flock, opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


async def _move(files: list[Path], target: Path) -> None:
    """Move files between shared memory and a folder, with their holes: a segment is mostly room that was never used."""
    if not files:
        return
    copy = await asyncio.create_subprocess_exec("cp", "-a", "--sparse=always", *files, target)
    if await copy.wait():
        raise SnapshotError(f"Shared memory could not be copied to {target}; is the disk full?")
    for file in files:
        file.unlink()
