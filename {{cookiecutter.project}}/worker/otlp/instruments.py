"""What is measured: the worker's own metrics, and a job as it is told while it runs."""

import asyncio
import time
from typing import Final

from opentelemetry.metrics import CallbackOptions, Histogram, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.trace import Span, Status, StatusCode

from worker import choices
from worker.errors import InvalidRequest, SourceFailed
from worker.telemetry import Job, Phase, Value

#: Upper bounds of the histograms' buckets, in seconds: a page of CSV takes hundredths, a scanned book minutes.
BUCKETS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

_LOADED: Final = time.monotonic()


class Told(Job):
    """A job being told: its span, and what its metrics need at the end."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.attributes: dict[str, Value] = {}
        self.outcome = "done"

    def set(self, **attributes: Value) -> None:
        self.attributes.update(attributes)
        self._span.set_attributes({f"mineru.{name}": value for name, value in attributes.items()})

    def fail(self, error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError):
            self.outcome = "cancelled"
            return
        self.outcome = "refused" if isinstance(error, (InvalidRequest, SourceFailed)) else "failed"
        self._span.record_exception(error)
        self._span.set_status(Status(StatusCode.ERROR, str(error)))


class Metrics:
    """The worker's own instruments."""

    def __init__(self, provider: MeterProvider) -> None:
        meter = provider.get_meter("worker", choices.TEMPLATE_VERSION)

        def seconds(name: str, description: str) -> Histogram:
            return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=BUCKETS)

        self._jobs = meter.create_counter("mineru.jobs", "{job}", "Jobs ended, by outcome: done, refused, failed, cancelled.")
        self._sums = {
            "pages": meter.create_counter("mineru.pages", "{page}", "Pages parsed."),
            "document_bytes": meter.create_counter("mineru.document.size", "By", "Bytes of documents taken in."),
            "result_bytes": meter.create_counter("mineru.result.size", "By", "Bytes of results delivered."),
        }
        self._duration = seconds("mineru.job.duration", "A job from its start in the worker to its end.")
        self.phases: dict[Phase, Histogram] = {
            "source": seconds("mineru.source.duration", "Bringing a document to local disk."),
            "engine": seconds("mineru.engine.duration", "Parsing a document."),
            "result": seconds("mineru.result.duration", "Packing and delivering a result."),
        }
        self.in_flight = meter.create_up_down_counter("mineru.jobs.in_flight", "{job}", "Jobs in progress.")
        self.boot_phases = meter.create_gauge("mineru.boot.phase.duration", "s", "A step of this process's boot.")
        self.stops = meter.create_counter("mineru.stops", "{stop}", "Freezes noticed, by kind: restored, unsure.")
        self.frozen = seconds("mineru.stop.duration", "How long a freeze lasted.")
        meter.create_observable_gauge("mineru.boot.age", [_age], "s", "Time since this process started.")

    def add(self, told: Told, duration: float) -> None:
        """Count an ended job of ``duration`` seconds."""
        by: dict[str, Value] = {name: told.attributes[name] for name in ("tier", "boot_kind") if name in told.attributes}
        self._jobs.add(1, {**by, "outcome": told.outcome})
        self._duration.record(duration, {**by, "outcome": told.outcome})
        for name, counter in self._sums.items():
            amount = told.attributes.get(name)
            if isinstance(amount, (int, float)):
                counter.add(amount, by)


def _age(_: CallbackOptions) -> list[Observation]:
    return [Observation(time.monotonic() - _LOADED)]
