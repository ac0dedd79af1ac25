"""A worker process on this machine, serving a local control plane: started clean, listened to, and ended by force if need be."""

import asyncio
import contextlib
import io
import os
import signal
import sys
import tempfile
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ops.control_plane import ControlPlane
from ops.jobs import Changes, Worker
from worker import choices

PROJECT: Final = Path(__file__).parent.parent

#: What a worker is unless told otherwise: one that needs no GPU and no model, so that it runs anywhere.
COMMAND: Final = (sys.executable, "-m", "worker")
DEFAULTS: Final = {"MINERU_TIER": "flash"}
if "flash" not in choices.TIERS:
    # MinerU 3 has no such tier, but takes Office documents without a model as long as nothing is warmed up.
    DEFAULTS.update(MINERU_TIER="basic", MINERU_WARMUP="skip")

#: Log lines kept in memory, and those an error repeats.
LINES_KEPT: Final = 2000
LINES_SHOWN: Final = 20
#: Longest log line in bytes: the SDK cuts its own at 4096 characters, a JSON line with a traceback can be longer.
LINE_LIMIT: Final = 1_000_000

#: Seconds a worker gets to end by itself when it is closed, and to let go of its log afterwards.
PATIENCE: Final = 30
LOG_PATIENCE: Final = 2


class WorkerError(RuntimeError):
    """The worker's process ended before it served; the message holds its exit code and its last log lines."""


class LocalWorker:
    """One worker process; an async context manager that starts it and, on leaving, ends it.

    Every process gets a home and a working folder of its own, both empty: credentials in the home folder would win over
    the environment, and files of an earlier process could be taken for its own. Of this process's environment it
    inherits all but RUNPOD_ variables; ``environment`` comes on top. Each line of its log goes to ``on_line``.
    """

    def __init__(
        self,
        control_plane: ControlPlane,
        *,
        worker_id: str | None = None,
        command: Sequence[str] = COMMAND,
        environment: Mapping[str, str] | None = None,
        json_logs: bool = False,
        on_line: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.id = worker_id or f"local-{uuid.uuid4().hex[:8]}"
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._control_plane = control_plane
        self._command = tuple(command)
        self._environment = dict(environment or {})
        self._json_logs = json_logs
        self._on_line = on_line
        self._written = Changes()
        self._process: asyncio.subprocess.Process | None = None
        self._life: asyncio.Task[int] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="worker-", ignore_cleanup_errors=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._started().pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        return None if self._process is None else self._process.returncode

    @property
    def log(self) -> str:
        """The last lines it wrote, as one text."""
        return "\n".join(self.lines)

    @property
    def record(self) -> Worker:
        """What the control plane knows of it."""
        return self._control_plane.workers[self.id]

    @property
    def folder(self) -> Path:
        """Where its home and its working folder lie."""
        return Path(self._folder.name)

    async def start(self) -> None:
        """Start the process; it boots while you do something else, or ``wait_ready``."""
        home, working_folder = self.folder / "home", self.folder / "work"
        home.mkdir(exist_ok=True)
        working_folder.mkdir(exist_ok=True)
        reading, writing = self._open_log()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=working_folder,
                env=self._variables(home),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            os.close(writing)
        self._life = asyncio.create_task(self._accompany(os.fdopen(reading, "rb", 0)))

    async def wait_ready(self, within: float = 120) -> Self:
        """Wait until the worker asks for its first job.

        Raises ``WorkerError`` if its process ends before, and ``TimeoutError`` after ``within`` seconds.
        """
        polling = asyncio.create_task(self.record.until(lambda worker: worker.polls > 0, within))
        life = self._alive()
        await asyncio.wait({polling, life}, return_when=asyncio.FIRST_COMPLETED)
        if not polling.done():
            polling.cancel()
            raise WorkerError(
                f"The worker ended with exit code {self.returncode} before it served. Its last lines:\n{self._last_lines()}"
            )
        try:
            await polling
        except TimeoutError:
            raise TimeoutError(f"The worker did not serve within {within:g} s. Its last lines:\n{self._last_lines()}") from None
        return self

    async def line(self, part: str, within: float = 60) -> str:
        """The first log line with ``part`` in it, now or once it is written; raises ``TimeoutError`` after ``within`` seconds."""
        try:
            await self._written.until(lambda: any(part in line for line in self.lines), within)
        except TimeoutError:
            raise TimeoutError(f"No line with {part!r} within {within:g} s. The last lines:\n{self._last_lines()}") from None
        return next(line for line in self.lines if part in line)

    async def wait(self) -> int:
        """Wait for the process to end, whatever ends it, and return its exit code; its log is complete then."""
        return await asyncio.shield(self._alive())

    async def terminate(self, within: float = PATIENCE) -> int:
        """Send SIGTERM, as the platform does before it takes a worker away, and return the exit code.

        Raises ``TimeoutError`` if the process still runs after ``within`` seconds.
        """
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
        async with asyncio.timeout(within):
            return await self.wait()

    async def kill(self) -> int:
        """Send SIGKILL to the process and its children; returns the exit code."""
        if self.returncode is None:
            self._kill_group()
        return await self.wait()

    async def close(self) -> None:
        """End the process, by force after ``PATIENCE``, and remove its folders."""
        if self._process is not None:
            with contextlib.suppress(TimeoutError):
                await self.terminate()
            await self.kill()
        self._folder.cleanup()

    def _variables(self, home: Path) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")}
        inherited.pop("PYTHONDONTWRITEBYTECODE", None)  # Byte code is part of what a boot costs.
        return {
            **DEFAULTS,
            **inherited,
            "HOME": str(home),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(PROJECT), inherited.get("PYTHONPATH")))),
            "PYTHONUNBUFFERED": "1",
            **self._control_plane.worker_environment(self.id, json_logs=self._json_logs),
            **self._environment,
        }

    def _open_log(self) -> tuple[int, int]:
        """Two file descriptors: where the log is read, and where the process writes it.

        A pipe of our own: the heartbeat, a child of the worker, inherits it and may outlive the worker. asyncio's own pipe
        would then keep wait() from returning.
        """
        return os.pipe()

    async def _accompany(self, log: io.FileIO) -> int:
        """Read the log until the process has ended, then clear up after it; returns its exit code."""
        listening = asyncio.create_task(self._listen(log))
        code = await self._ended()
        self._kill_group()
        await asyncio.wait({listening}, timeout=LOG_PATIENCE)
        listening.cancel()
        self._control_plane.queue.lose(self.record)
        return code

    async def _ended(self) -> int:
        """Wait until the process has ended; returns its exit code."""
        return await self._started().wait()

    async def _listen(self, log: io.FileIO) -> None:
        reader = asyncio.StreamReader(limit=LINE_LIMIT)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), log)
        try:
            while True:
                try:
                    line = await reader.readline()
                except ValueError:  # Longer than the limit; the reader has dropped it.
                    continue
                if not line:
                    return
                self._heard(line)
        finally:
            transport.close()

    def _heard(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r\n")
        self.lines.append(text)
        self._written.notify()
        self._on_line(text)

    def _kill_group(self) -> None:
        """End what is left of the worker's process group: itself, or children that outlived it.

        A group of zombies answers ProcessLookupError on Linux and PermissionError on macOS.
        """
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _started(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("The worker has not been started.")
        return self._process

    def _alive(self) -> asyncio.Task[int]:
        if self._life is None:
            raise RuntimeError("The worker has not been started.")
        return self._life

    def _last_lines(self) -> str:
        return "\n".join(list(self.lines)[-LINES_SHOWN:]) or "(none)"
