"""What a freeze makes stale, renewed before the next job: connections, credentials, randomness, names, folders, the heartbeat.

Nothing of a document's download outlives its job, so there is nothing of it to renew. A clock that jumped needs nothing
either: whatever expires is signed and checked by the clock of the moment.
"""

import asyncio
import difflib
import os
import random
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from worker import bucket, polls, sdk, telemetry
from worker.boot import Boot
from worker.errors import Garbled
from worker.log import log
from worker.settings import Settings

#: Seconds after which a connection whose other end says nothing counts as dead: a probe each second, five unanswered ones.
PROBE_EVERY, PROBES, UNACKNOWLEDGED = 1, 5, 10

#: How alike the fixture's Markdown must be to the warm-up's, 1 for equal: a GPU's rounding may turn a letter, not a page.
ALIKE: Final = 0.9

#: The environment that the platform gave to the container's first process.
FIRST_ENVIRONMENT: Final = Path("/proc/1/environ")


class Renewal:
    """Renews, once after each stop that ``boot`` noted. ``read_fixture`` parses the warm-up's fixture and returns its Markdown."""

    def __init__(self, settings: Settings, boot: Boot, read_fixture: Callable[[], Awaitable[str]]) -> None:
        self._settings = settings
        self._boot = boot
        self._read_fixture = read_fixture
        self._renewing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._garbled: Garbled | None = None

    def begin(self) -> None:
        """Renew soon, without a job: none could come over a connection that died in the freeze. Call it on the event loop."""
        task = asyncio.create_task(self.finish(alone=True))
        # Nobody awaits it, and the event loop alone would let it be collected.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self, *, alone: bool = False) -> None:
        """Return when everything is renewed; at once where nothing is stale. ``alone`` is true where no job waits for it.

        Raises:
            Garbled: the self-test failed, now or before; not where ``alone``, since the next job will meet it.
        """
        async with self._renewing:
            stop = self._boot.take_stop()
            if stop is not None:
                polls.give_up()
                changed = self._renew()
                telemetry.stopped(stop.kind, stop.seconds)
                log.info(
                    stop.kind,
                    frozen_seconds=stop.seconds,
                    evidence=stop.evidence,
                    restores=self._boot.restores,
                    **changed,
                    boot=self._boot.describe(stop.kind),
                )
                if self._settings.selftest_after_restore:
                    await self._test()
        if self._garbled and not alone:
            raise self._garbled

    def _renew(self) -> dict[str, object]:
        """Take every step, also after one that fails; returns what there is to tell of them."""
        steps: dict[str, Callable[[], object]] = {
            "connections": probe_connections,
            "s3": bucket.renew,
            "telemetry": telemetry.renew,
            "random": reseed,
            "environment": adopt_environment,
            "temp_folder": lambda: self._settings.temp_dir.mkdir(parents=True, exist_ok=True),
            "heartbeat_restarted": sdk.renew_heartbeat,
        }
        told: dict[str, object] = {}
        for name, step in steps.items():
            try:
                outcome = step()
            except Exception as error:
                log.error("not renewed after a freeze", what=name, error=f"{type(error).__name__}: {error}")
            else:
                told |= {name: outcome} if outcome else {}
        return told

    async def _test(self) -> None:
        """Read the fixture again and compare: memory that came back damaged parses on, and garbles."""
        if not self._boot.fixture_read:
            log.warning("no self-test after the restore: the warm-up read nothing to compare with")
            return
        try:
            text = await self._read_fixture()
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
        alike = max(difflib.SequenceMatcher(None, text, before, autojunk=False).ratio() for before in self._boot.fixture_read)
        if alike < ALIKE:
            log.error("the self-test failed, the worker is to be replaced", alike=round(alike, 2), read=text[:200])
            self._garbled = Garbled(
                f"This worker was frozen and came back damaged: only {round(alike * 100)} % of a known page reads as before. The "
                "worker is being replaced; send the document again."
            )


def probe_connections() -> None:
    """Have the kernel find out which of this process's TCP connections are dead, and break those within ``UNACKNOWLEDGED`` seconds.

    The other end has forgotten a connection that was silent in a long freeze, or a router between has; left alone, a request
    over it waits for many minutes.
    """
    folder = Path("/proc/self/fd")
    for file in list(folder.iterdir()) if folder.exists() else ():
        try:
            if not file.is_socket():
                continue
            with socket.socket(fileno=os.dup(int(file.name))) as connection:
                if connection.type == socket.SOCK_STREAM and connection.family in (socket.AF_INET, socket.AF_INET6):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PROBE_EVERY)
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_EVERY)
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED * 1000)
        except OSError:  # Closed meanwhile.
            continue


def reseed() -> None:
    """Give every generator in use a new seed: two restores of one snapshot would draw the same numbers, TLS's included."""
    random.seed(os.urandom(32))
    ssl.RAND_add(os.urandom(32), 32.0)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(list(os.urandom(32)))
    if torch := sys.modules.get("torch"):
        torch.manual_seed(int.from_bytes(os.urandom(8), "little", signed=True))


def adopt_environment(path: Path = FIRST_ENVIRONMENT) -> list[str]:
    """Take over the RUNPOD_ variables of the container's first process that differ; returns their names.

    A process's own environment comes back as it was frozen. Only where another process is the container's first one, and was
    not frozen with it, is there anything new to read; the SDK keeps its own addresses, which it read at its import.
    """
    try:
        given = path.read_bytes() if os.getpid() != 1 else b""
    except OSError:
        return []
    pairs = [variable.split("=", 1) for variable in os.fsdecode(given).split("\0") if "=" in variable]
    changed = {name: value for name, value in pairs if name.startswith("RUNPOD_") and os.environ.get(name) != value}
    os.environ.update(changed)
    return sorted(changed)
