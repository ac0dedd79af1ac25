"""How this process came to serve: its identity, how long each step of its boot took, when it was frozen, and what a job met."""

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

from worker.freeze_watch import Evidence, Stop, Watch, kernel_boot_id

#: What a job meets: the first one of this process, a process that has worked before, one that was frozen and brought back
#: since the job before, or one that something stopped without saying what.
Kind = Literal["fresh", "warm", "restored", "unsure"]

#: The kinds that follow a stop, and so have evidence.
STOPPED: Final = ("restored", "unsure")


class Boot:
    """One process's boot. ``describe`` is the ``boot`` block of responses and log lines, ``attributes`` the same for telemetry."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex[:12]
        self.phases: dict[str, float] = {}
        #: Whether compiled code was found on the volume: hit, miss, or off where there is none to look on.
        self.compile_cache: Literal["hit", "miss", "off"] = "off"
        #: What the warm-up read in its fixture, parse by parse, to compare with after a restore.
        self.fixture_read: list[str] = []
        self.restores = 0
        self._frozen_seconds = 0.0
        self._evidence: tuple[Evidence, ...] = ()
        self._started = time.monotonic()
        self._jobs = 0
        self._watch: Watch | None = None
        self._lock = threading.Lock()
        # What the next job meets because of a stop, and the stop that nothing was renewed after yet.
        self._meets: Kind | None = None
        self._stop: Stop | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Record how long a step of the boot takes, in seconds, also when it fails."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.phases[name] = round(time.monotonic() - begun, 3)

    def watch(self, on_stop: Callable[[], object]) -> None:
        """Notice from now on when this process is stopped; ``on_stop`` is then called in another thread and must not block.

        It starts a thread: call it when the heartbeat has been forked.
        """

        def stopped(stop: Stop) -> None:
            self.note(stop)
            on_stop()

        self._watch = Watch(stopped)
        self._watch.start()

    def note(self, stop: Stop) -> None:
        """Count a stop, for the next job to meet; one that follows another before any job adds to it."""
        with self._lock:
            earlier = self._meets is not None
            self.restores += stop.kind == "restored"
            self._frozen_seconds = round(stop.seconds + (self._frozen_seconds if earlier else 0), 3)
            self._evidence = tuple(dict.fromkeys((*(self._evidence if earlier else ()), *stop.evidence)))
            self._meets = "restored" if "restored" in (stop.kind, self._meets) else "unsure"
            self._stop = Stop("restored" if self._meets == "restored" else "unsure", self._frozen_seconds, self._evidence)

    def take_stop(self) -> Stop | None:
        """The stop that nothing was renewed after yet, for whoever renews; None if there is none or it was taken."""
        with self._lock:
            stop, self._stop = self._stop, None
            return stop

    def admit(self) -> Kind:
        """Say what the job that starts now has met. A stop just now is noticed first, which takes a millisecond at most."""
        if self._watch is not None:
            self._watch.look()
        with self._lock:
            self._jobs += 1
            meets, self._meets = self._meets, None
            return meets or ("fresh" if self._jobs == 1 else "warm")

    def describe(self, kind: Kind) -> dict[str, Any]:
        """Everything told of this process, as JSON.

        ``id``, ``kind``, ``age`` (seconds since the boot, a freeze counts where the clock ran on), ``host``, ``kernel_boot_id``,
        ``restores`` since the boot, ``frozen_seconds`` of the last stop, ``phases`` (seconds each), ``compile_cache``; and
        ``evidence``, the signs of the stop, for a job that met one.
        """
        with self._lock:
            described = {
                "id": self.id,
                "kind": kind,
                "age": round(time.monotonic() - self._started, 3),
                "host": host(),
                "kernel_boot_id": kernel_boot_id(),
                "restores": self.restores,
                "frozen_seconds": self._frozen_seconds,
                "phases": dict(self.phases),
                "compile_cache": self.compile_cache,
            }
            return {**described, "evidence": list(self._evidence)} if kind in STOPPED else described

    def attributes(self, kind: Kind) -> dict[str, str | int | float]:
        """The description as flat values: ``boot_kind``, ``boot_phases.warmup``, ``boot_evidence`` with commas between."""
        flat: dict[str, str | int | float] = {}
        for name, value in self.describe(kind).items():
            if isinstance(value, dict):
                flat.update((f"boot_{name}.{part}", seconds) for part, seconds in value.items())
            elif value is not None:
                flat[f"boot_{name}"] = ",".join(value) if isinstance(value, list) else value
        return flat


def host() -> str:
    """The platform's name for this worker's host where it gives one, else the machine's name, asked anew each time."""
    return os.environ.get("RUNPOD_POD_HOSTNAME") or os.uname().nodename
