"""Ways to freeze a worker's process tree and bring it back, as a platform may do when it scales to zero.

``criu`` writes the tree to disk, ends it and makes it anew from there: the same processes by id, on the same files, with every
connection to the outside closed. ``sigstop`` and ``cgroup`` leave it in memory and keep the processor from it. Which of them
RunPod's FlashBoot resembles is not published.
"""

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

import psutil

Name = Literal["criu", "sigstop", "cgroup"]

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

#: Seconds a cgroup may take to freeze, and between two looks at it.
CGROUP_PATIENCE, CGROUP_LOOK = 10.0, 0.01


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


def choose(name: str) -> tuple[Mechanism, str]:
    """The mechanism of this name, or with ``auto`` the one nearest to the real thing, and then why it is not criu.

    Raises ``ValueError`` in the user's words for one that is unknown or cannot work here.
    """
    if name not in ("auto", *MECHANISMS):
        raise ValueError(f"{name!r} is no mechanism; choose auto, {', '.join(MECHANISMS)}.")
    mechanism: Mechanism = MECHANISMS["criu" if name == "auto" else name]
    reason = mechanism.missing()
    if not reason:
        return mechanism, ""
    if name == "auto" and not Sigstop().missing():
        return Sigstop(), f"Frozen by SIGSTOP and not by CRIU: {reason}"
    raise ValueError(f"The mechanism {mechanism.name} does not work here. {reason}")


def tree(pid: int) -> list[psutil.Process]:
    """The process and all that it started, itself first; empty once it has ended."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


class Sigstop:
    """SIGSTOP to the whole process group, which stays in memory; SIGCONT brings it back. Anywhere but on Windows."""

    name: Name = "sigstop"

    def missing(self) -> str:
        return "" if os.name == "posix" else "Windows has no SIGSTOP; use WSL."

    async def snapshot(self, pid: int, folder: Path, log: Path) -> Image:
        begun, size = time.monotonic(), _memory(pid)
        _signal_group(pid, signal.SIGSTOP)
        return Image(pid, folder, log, _length(log), size, time.monotonic() - begun)

    async def restore(self, image: Image) -> None:
        _signal_group(image.pid, signal.SIGCONT)

    async def discard(self, image: Image) -> None:
        with contextlib.suppress(SnapshotError):
            _signal_group(image.pid, signal.SIGKILL)


class Cgroup:
    """The freezer of cgroup v2, as containers are paused: no process of the tree sees a signal. Needs a writable hierarchy."""

    name: Name = "cgroup"

    def missing(self) -> str:
        mount = _cgroup_mount()
        if mount is None:
            return "There is no cgroup v2 hierarchy mounted here."
        return "" if os.access(mount, os.W_OK) else f"{mount} is not writable; run as root."

    async def snapshot(self, pid: int, folder: Path, log: Path) -> Image:
        begun, size = time.monotonic(), _memory(pid)
        group = _cgroup_of(pid) / f"worker-{pid}"
        try:
            group.mkdir()
            self._enter(group, pid)
            await self._set(group, frozen=True)
        except (OSError, TimeoutError) as error:
            self._leave(group, pid)
            raise SnapshotError(f"The cgroup {group} could not be frozen: {error or 'it took too long'}.") from error
        return Image(pid, group, log, _length(log), size, time.monotonic() - begun)

    async def restore(self, image: Image) -> None:
        try:
            await self._set(image.folder, frozen=False)
        except (OSError, TimeoutError) as error:
            raise SnapshotError(f"The cgroup {image.folder} could not be thawed: {error or 'it took too long'}.") from error
        self._leave(image.folder, image.pid)

    async def discard(self, image: Image) -> None:
        """A process that is killed in a frozen cgroup ends all the same."""
        with contextlib.suppress(SnapshotError):
            _signal_group(image.pid, signal.SIGKILL)
        async with asyncio.timeout(CGROUP_PATIENCE):
            while image.folder.exists():
                # Busy until the last of its processes has been cleared away.
                with contextlib.suppress(OSError):
                    image.folder.rmdir()
                await asyncio.sleep(CGROUP_LOOK)

    @staticmethod
    def _enter(group: Path, pid: int) -> None:
        for process in tree(pid):
            (group / "cgroup.procs").write_text(str(process.pid), "ascii")

    def _leave(self, group: Path, pid: int) -> None:
        """Back to where the tree came from; a group that is not needed any more goes."""
        with contextlib.suppress(OSError):
            self._enter(group.parent, pid)
            group.rmdir()

    @staticmethod
    async def _set(group: Path, *, frozen: bool) -> None:
        (group / "cgroup.freeze").write_text(str(int(frozen)), "ascii")
        async with asyncio.timeout(CGROUP_PATIENCE):
            while f"frozen {int(frozen)}" not in (group / "cgroup.events").read_text("ascii"):  # noqa: ASYNC110 (it tells no one)
                await asyncio.sleep(CGROUP_LOOK)


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
        return Image(pid, folder, log, _length(log), size, time.monotonic() - begun, tuple(processes))

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


MECHANISMS: Final[dict[str, Mechanism]] = {"criu": Criu(), "cgroup": Cgroup(), "sigstop": Sigstop()}


def _signal_group(pid: int, number: signal.Signals) -> None:
    """Signal the process group that ``pid`` leads."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError) as error:
        raise SnapshotError(f"There is no process group {pid} that could be sent {number.name}.") from error


def _memory(pid: int) -> int:
    """Bytes of memory that the tree occupies."""
    size = 0
    for process in tree(pid):
        with contextlib.suppress(psutil.Error):
            size += process.memory_info().rss
    return size


def _length(file: Path) -> int:
    return file.stat().st_size


def _disk(folder: Path) -> int:
    """Bytes of disk that the files below ``folder`` occupy."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def _cgroup_mount() -> Path | None:
    """Where cgroup v2 is mounted, if it is."""
    try:
        mounts = Path("/proc/self/mounts").read_text("utf-8").splitlines()
    except OSError:
        return None
    return next((Path(line.split()[1]) for line in mounts if line.split()[2] == "cgroup2"), None)


def _cgroup_of(pid: int) -> Path:
    """The folder of the cgroup v2 that a process is in; raises ``SnapshotError`` if there is none."""
    mount = _cgroup_mount()
    paths = [line for line in Path("/proc", str(pid), "cgroup").read_text("utf-8").splitlines() if line.startswith("0::")]
    if mount is None or not paths:
        raise SnapshotError(f"Process {pid} is in no cgroup v2.")
    return mount / paths[0].removeprefix("0::").lstrip("/")


def _shared_memory(pid: int) -> set[Path]:
    """The named segments of shared memory that the tree has mapped or opened."""
    found: set[Path] = set()
    for process in tree(pid):
        folder = Path("/proc", str(process.pid))
        with contextlib.suppress(OSError):
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
