"""How this process came to serve: its identity, how long each step of its boot took, and what a job met."""

import os
import platform
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

Kind = Literal["fresh", "warm"]

#: Changes with every start of the host's kernel; the same value means the same running host (Linux, random(4)).
KERNEL_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"


class Boot:
    """One process's boot. ``describe`` is the ``boot`` block of every response and the fields of every log line."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex[:12]
        self.phases: dict[str, float] = {}
        #: Whether compiled code was found on the volume: hit, miss, or off where there is none to look on.
        self.compile_cache: Literal["hit", "miss", "off"] = "off"
        self._started = time.monotonic()
        self._jobs = 0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Record how long a step of the boot takes, in seconds, also when it fails."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.phases[name] = round(time.monotonic() - begun, 3)

    def admit(self) -> Kind:
        """Say what the job that starts now has met: ``fresh`` for the first of this process, ``warm`` for every later one."""
        self._jobs += 1
        return "fresh" if self._jobs == 1 else "warm"

    def describe(self, kind: Kind) -> dict[str, Any]:
        """Identity, kind, age in seconds, host, phases in seconds, and what the compile cache gave."""
        return {
            "id": self.id,
            "kind": kind,
            "age": round(time.monotonic() - self._started, 3),
            "host": host(),
            "kernel_boot_id": kernel_boot_id(),
            "phases": dict(self.phases),
            "compile_cache": self.compile_cache,
        }


def host() -> str:
    """The platform's name for this worker's host where it gives one, else the machine's name."""
    return os.environ.get("RUNPOD_POD_HOSTNAME") or platform.node()


def kernel_boot_id() -> str | None:
    """The host kernel's boot id; None where the kernel is not Linux."""
    try:
        return Path(KERNEL_BOOT_ID).read_text(encoding="ascii").strip()
    except OSError:
        return None
