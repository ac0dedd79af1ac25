"""A worker on this machine that can be frozen and brought back, with the same id, the same folders and one log."""

import asyncio
import contextlib
import io
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

import psutil

from ops.jobs import Changes
from ops.local_worker import LocalWorker
from ops.snapshots import Image, Mechanism, SnapshotError, runs

Result = TypeVar("Result")

#: Seconds between two looks at the log file, and at whether a restored process still runs.
LOG_LOOK, LIFE_LOOK = 0.05, 0.1

#: Exit code of a process that was restored: only its parent is told, and that is not this process any more.
UNKNOWN_EXIT: Final = -1000


class FreezableWorker(LocalWorker):
    """A ``LocalWorker`` that survives in a snapshot. Its log goes to a file, since a pipe cannot be brought back.

    ``freeze`` and ``thaw`` alternate; one that is frozen when it is closed is discarded.
    """

    def __init__(self, *arguments: Any, mechanism: Mechanism, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.image: Image | None = None
        self._mechanism = mechanism
        self._moves = Changes()
        self._frozen = False
        self._thawed = False
        self._over = False

    @property
    def returncode(self) -> int | None:
        """The exit code, ``UNKNOWN_EXIT`` for a process that was restored; None while it runs or is frozen."""
        return self._life.result() if self._life is not None and self._life.done() else None

    async def freeze(self) -> Image:
        """Freeze the process tree; from now on the control plane gives it no jobs.

        Raises ``SnapshotError`` if that cannot be done; the worker serves on.
        """
        return await _to_the_end(self._freeze())

    async def thaw(self) -> None:
        """Bring it back, ready for jobs; raises ``SnapshotError`` if that cannot be done, and then it has ended."""
        await _to_the_end(self._thaw())

    async def discard(self) -> None:
        """Drop the snapshot, and the worker with it; does nothing for one that is not frozen."""
        image, self.image = self.image, None
        if image is not None:
            await self._mechanism.discard(image)
            self._move(thawed=False)
            await self.wait()

    async def close(self) -> None:
        """End the process, frozen or not, and remove its folders."""
        await self.discard()
        await super().close()

    async def _freeze(self) -> Image:
        self._control_plane.queue.sleep(self.record)
        self._frozen, self._thawed = True, False
        try:
            self.image = await self._mechanism.snapshot(self.pid, self.folder / "image", self._log_file)
        except SnapshotError:
            self._move(thawed=True)
            self._control_plane.queue.wake(self.record)
            raise
        return self.image

    async def _thaw(self) -> None:
        image, self.image = self.image, None
        if image is None:
            raise RuntimeError(f"Worker {self.id} is not frozen.")
        try:
            await self._mechanism.restore(image)
        except SnapshotError:
            await self._mechanism.discard(image)
            self._move(thawed=False)
            raise
        self._move(thawed=True)
        self._control_plane.queue.wake(self.record)

    def _move(self, *, thawed: bool) -> None:
        self._frozen, self._thawed = False, thawed
        self._moves.notify()

    async def _ended(self) -> int:
        """Wait for an end that is not the way into a snapshot."""
        code = await super()._ended()
        while self._frozen:
            await self._moves.until(lambda: not self._frozen, None)
            if not self._thawed:
                break
            await _end_of(self.pid)
            code = UNKNOWN_EXIT
        self._over = True
        return code

    @property
    def _log_file(self) -> Path:
        return self.folder / "log"

    def _open_log(self) -> tuple[int, int]:
        writing = os.open(self._log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        return os.open(self._log_file, os.O_RDONLY), writing

    async def _listen(self, log: io.FileIO) -> None:
        """Follow the log file to the end it has when the process has ended."""
        rest, over = b"", False
        with log:
            while not over:
                over = self._over
                *lines, rest = (rest + log.read()).split(b"\n")
                for line in lines:
                    self._heard(line)
                await asyncio.sleep(LOG_LOOK)


async def _to_the_end(operation: Coroutine[Any, Any, Result]) -> Result:
    """Await an operation that is not broken off when its caller is: half a restore would leave processes that nobody ends."""
    task = asyncio.ensure_future(operation)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


async def _end_of(pid: int) -> None:
    """Wait for the end of a process that is no child of this one."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        while runs(process):  # noqa: ASYNC110 (it tells no one)
            await asyncio.sleep(LIFE_LOOK)
