"""Optional OpenTelemetry: one trace per job, metrics of the worker, and its log lines, sent by OTLP over HTTP.

``MINERU_TELEMETRY`` turns it on; where it goes and how is said by OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_EXPORTER_OTLP_HEADERS and the others that its SDK reads). Off, nothing of OpenTelemetry is imported and every call here
returns at once. On, everything is sent from background threads: a collector that is slow or down costs a job nothing but
the telemetry itself.

A job is told in a straight line::

    with telemetry.job(job_id, boot_kind=kind) as told:
        with telemetry.phase("source"):
            ...
        told.set(suffix=document.suffix, document_bytes=document.size)
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final, Literal

from worker.log import log
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.otlp.pipeline import Pipeline

Signal = Literal["traces", "metrics", "logs"]
Phase = Literal["source", "engine", "result"]
Value = str | int | float | bool

SIGNALS: Final[tuple[Signal, ...]] = ("traces", "metrics", "logs")

_pipeline: "Pipeline | None" = None


class Job:
    """What is told about one job. With telemetry off it keeps nothing.

    Some attributes feed a counter at the job's end: ``pages``, ``document_bytes`` and ``result_bytes``; ``tier`` and
    ``boot_kind`` divide them.
    """

    def set(self, **attributes: Value) -> None:
        """Add attributes to the job's span, ``mineru.`` and the name each."""

    def fail(self, error: BaseException) -> None:
        """Record that the job ended with ``error``; for a handler that turns it into a response itself."""


_UNTOLD: Final = Job()


def setup(settings: Settings, boot_id: str = "") -> None:
    """Start sending, if the settings say so; later calls do nothing. ``boot_id`` names this process (service.instance.id).

    Call it after ``log.configure``, which would undo the bridge for log lines. Never raises: telemetry that cannot work stays
    off, with a warning that says why.
    """
    global _pipeline
    if not settings.telemetry or _pipeline is not None:
        return
    signals = _wanted()
    if not signals:
        log.warning(
            "telemetry is on and has nowhere to go: set OTEL_EXPORTER_OTLP_ENDPOINT, such as http://collector:4318; it stays off"
        )
        return
    if "grpc" in os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", ""):
        log.warning(
            "telemetry speaks OTLP over HTTP only, OTEL_EXPORTER_OTLP_PROTOCOL asks for gRPC: set http/protobuf; it stays off"
        )
        return
    try:
        from worker.otlp.pipeline import Pipeline

        _pipeline = Pipeline(signals, boot_id)
    except Exception as error:
        log.warning("telemetry cannot start; it stays off", error=f"{type(error).__name__}: {error}")


@contextmanager
def job(job_id: str, **attributes: Value) -> Iterator[Job]:
    """Tell of one job: its span, named "parse", and at its end the metrics. An exception that passes through is recorded."""
    if _pipeline is None:
        yield _UNTOLD
        return
    with _pipeline.job(job_id, attributes) as told:
        yield told


def phase(name: Phase) -> AbstractContextManager[object]:
    """Tell of one step of the job in progress: a span within the job's, and its duration."""
    return nullcontext() if _pipeline is None else _pipeline.phase(name)


def flush(timeout: float) -> None:
    """Send what is waiting, for at most ``timeout`` seconds. Blocks: call it where the worker shuts down, not within a job."""
    if _pipeline is not None:
        _pipeline.flush(timeout)


def renew() -> None:
    """Drop the connections to the collector after a restore: the other end has long forgotten them."""
    if _pipeline is not None:
        _pipeline.renew()


def booted(phases: Mapping[str, float]) -> None:
    """Tell how long each step of the boot took, in seconds."""
    if _pipeline is not None:
        _pipeline.booted(phases)


def stopped(kind: str, seconds: float) -> None:
    """Tell that the process was frozen for ``seconds``; ``kind`` is restored, or unsure."""
    if _pipeline is not None:
        _pipeline.stopped(kind, seconds)


def stop(timeout: float) -> None:
    """Flush for at most ``timeout`` seconds and turn telemetry off for good."""
    global _pipeline
    pipeline, _pipeline = _pipeline, None
    if pipeline is not None:
        pipeline.stop(timeout)


def _wanted() -> tuple[Signal, ...]:
    """The signals that have somewhere to go, by OpenTelemetry's variables: an endpoint and not the exporter ``none``."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ()
    everything = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    return tuple(
        signal
        for signal in SIGNALS
        if (everything or os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"))
        and os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip().lower() != "none"
    )
