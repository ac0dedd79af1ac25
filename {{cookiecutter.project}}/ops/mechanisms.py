"""Ways to freeze a worker's process tree and bring it back, as a platform may do when it scales to zero.

``criu`` keeps the tree on disk; ``sigstop`` and ``cgroup`` leave it in memory and keep the processor from it. Which of them
RunPod's FlashBoot resembles is not published.
"""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final

from ops.criu import Criu
from ops.snapshots import Image, Mechanism, Name, SnapshotError, length, memory, tree

#: Seconds a cgroup may take to freeze, and between two looks at it.
CGROUP_PATIENCE, CGROUP_LOOK = 10.0, 0.01


class Sigstop:
    """SIGSTOP to the whole process group, which stays in memory; SIGCONT brings it back. Anywhere but on Windows."""

    name: Name = "sigstop"

    def missing(self) -> str:
        return "" if os.name == "posix" else "Windows has no SIGSTOP; use WSL."

    async def snapshot(self, pid: int, folder: Path, log: Path) -> Image:
        begun, size = time.monotonic(), memory(pid)
        _signal_group(pid, signal.SIGSTOP)
        return Image(pid, folder, log, length(log), size, time.monotonic() - begun)

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
        begun, size = time.monotonic(), memory(pid)
        group = _cgroup_of(pid) / f"worker-{pid}"
        try:
            group.mkdir()
            self._enter(group, pid)
            await self._set(group, frozen=True)
        except (OSError, TimeoutError) as error:
            self._leave(group, pid)
            raise SnapshotError(f"The cgroup {group} could not be frozen: {error or 'it took too long'}.") from error
        return Image(pid, group, log, length(log), size, time.monotonic() - begun)

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


MECHANISMS: Final[dict[str, Mechanism]] = {"criu": Criu(), "cgroup": Cgroup(), "sigstop": Sigstop()}


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


def _signal_group(pid: int, number: signal.Signals) -> None:
    """Signal the process group that ``pid`` leads."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError) as error:
        raise SnapshotError(f"There is no process group {pid} that could be sent {number.name}.") from error


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
