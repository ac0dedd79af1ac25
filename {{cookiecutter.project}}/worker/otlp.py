"""Telemetry that is on: OpenTelemetry's SDK, its OTLP exporters and its instrumentation of httpx and botocore, put together.

Only ``telemetry`` imports this module, and only when there is something to send: it loads all of OpenTelemetry.
"""

import asyncio
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import requests
import structlog
from opentelemetry import propagate
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.metrics import CallbackOptions, Histogram, Observation
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import Span, Status, StatusCode

from worker import boot, choices
from worker.errors import InvalidRequest, SourceFailed
from worker.freeze_watch import kernel_boot_id
from worker.log import log, redact
from worker.telemetry import Job, Phase, Signal, Value

#: Seconds between two exports. The platform scales an idle worker to zero after 5 s by default and then freezes it without
#: a word, so what a job has left must be gone by then; flushing at a job's end would make the job wait for the collector.
EXPORT_EVERY: Final = 2.0

#: Seconds between two log lines about telemetry that does not get through.
COMPLAIN_EVERY: Final = 600.0

#: Upper bounds of the histograms' buckets, in seconds: a page of CSV takes hundredths, a scanned book minutes.
BUCKETS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

#: The process metrics asked of OpenTelemetry's instrumentation; the host's own would be its neighbours' as well.
PROCESS_METRICS: Final[dict[str, list[str] | None]] = {
    "process.cpu.time": ["user", "system"],
    "process.cpu.utilization": ["user", "system"],
    "process.memory.usage": None,
    "process.thread.count": None,
}

_BOTOCORE: Final[Any] = BotocoreInstrumentor()  # type: ignore[no-untyped-call]
_LOADED: Final = time.monotonic()


class Pipeline:
    """Everything between the worker and the collector; one per process."""

    def __init__(self, signals: Sequence[Signal], boot_id: str) -> None:
        self._sessions = [requests.Session() for _ in range(3)]
        traces, metrics, logs = self._sessions
        resource = Resource.create(identity(boot_id))
        # Not registered with OpenTelemetry as the process's own, nor to be shut down at exit, which could take half a minute.
        self._tracing = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._metering = MeterProvider(
            [_reader(metrics)] if "metrics" in signals else [], resource=resource, shutdown_on_exit=False
        )
        self._logging = LoggerProvider(resource=resource, shutdown_on_exit=False)
        if "traces" in signals:
            self._tracing.add_span_processor(
                BatchSpanProcessor(_Spans(session=traces), schedule_delay_millis=_interval("OTEL_BSP_SCHEDULE_DELAY"))
            )
        if "logs" in signals:
            self._logging.add_log_record_processor(
                BatchLogRecordProcessor(_Logs(session=logs), schedule_delay_millis=_interval("OTEL_BLRP_SCHEDULE_DELAY"))
            )
        self._tracer = self._tracing.get_tracer("worker", choices.TEMPLATE_VERSION)
        self._metrics = _Metrics(self._metering)
        self._complaints = _Complaints()
        self._bridge = _Bridge(self._logging)
        self._instrument()

    def _instrument(self) -> None:
        providers = {"tracer_provider": self._tracing, "meter_provider": self._metering}
        # The worker calls hosts of documents and S3: strangers, who are not sent the trace's ids unless asked for.
        silent = CompositePropagator([])
        if "OTEL_PROPAGATORS" not in os.environ:
            propagate.set_global_textmap(silent)
        HTTPXClientInstrumentor().instrument(**providers)
        _BOTOCORE.instrument(**providers, propagator=silent)
        SystemMetricsInstrumentor(config=PROCESS_METRICS).instrument(meter_provider=self._metering)
        logging.getLogger("opentelemetry").addHandler(self._complaints)
        logging.getLogger("opentelemetry").propagate = False
        processors: list[Any] = structlog.get_config()["processors"]
        after = (
            processors.index(structlog.processors.format_exc_info) + 1 if structlog.processors.format_exc_info in processors else 0
        )
        structlog.configure(processors=[*processors[:after], self._bridge, *processors[after:]])

    @contextmanager
    def job(self, job_id: str, attributes: Mapping[str, Value]) -> Iterator[Job]:
        """The job's span, and its metrics when it ends."""
        begun = time.monotonic()
        self._metrics.in_flight.add(1)
        with self._tracer.start_as_current_span("parse", record_exception=False, set_status_on_exception=False) as span:
            told = _Told(span)
            told.set(job_id=job_id, **attributes)
            try:
                yield told
            except BaseException as error:
                told.fail(error)
                raise
            finally:
                span.set_attribute("mineru.outcome", told.outcome)
                self._metrics.in_flight.add(-1)
                self._metrics.add(told, time.monotonic() - begun)

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """A span within the job's, and the phase's duration."""
        begun = time.monotonic()
        with self._tracer.start_as_current_span(name):
            try:
                yield
            finally:
                self._metrics.phases[name].record(time.monotonic() - begun)

    def booted(self, phases: Mapping[str, float]) -> None:
        """Keep the boot's steps as values that are sent again and again."""
        for name, seconds in phases.items():
            self._metrics.boot_phases.set(seconds, {"phase": name})

    def stopped(self, kind: str, seconds: float) -> None:
        """Count a freeze and its length."""
        self._metrics.stops.add(1, {"boot_kind": kind})
        self._metrics.frozen.record(seconds, {"boot_kind": kind})

    def flush(self, timeout: float) -> None:
        """Export what is waiting; returns after ``timeout`` seconds at the latest, whatever the collector does."""
        flushes = [provider.force_flush for provider in (self._tracing, self._metering, self._logging)]
        _all_within(timeout, flushes)

    def renew(self) -> None:
        """Close the pooled connections; the next export opens new ones."""
        for session in self._sessions:
            session.close()

    def stop(self, timeout: float) -> None:
        """Flush, and undo what the constructor did to the process."""
        deadline = time.monotonic() + timeout
        self.flush(timeout)
        structlog.configure(processors=[one for one in structlog.get_config()["processors"] if one is not self._bridge])
        for instrumentor in (HTTPXClientInstrumentor(), _BOTOCORE, SystemMetricsInstrumentor()):
            instrumentor.uninstrument()
        shutdowns = [provider.shutdown for provider in (self._tracing, self._metering, self._logging)]
        _all_within(max(0, deadline - time.monotonic()), shutdowns)
        logging.getLogger("opentelemetry").removeHandler(self._complaints)


def identity(boot_id: str) -> dict[str, Value]:
    """What tells this worker's telemetry from others': resource attributes. OTEL_RESOURCE_ATTRIBUTES adds to them."""
    named = {
        "service.name": os.environ.get("OTEL_SERVICE_NAME") or choices.PROJECT,
        "service.version": choices.TEMPLATE_VERSION,
        "service.instance.id": boot_id or uuid.uuid4().hex[:12],
        "host.name": boot.host(),
        "host.kernel_boot_id": kernel_boot_id() or "",
        "runpod.endpoint_id": os.environ.get("RUNPOD_ENDPOINT_ID", ""),
        "runpod.pod_id": os.environ.get("RUNPOD_POD_ID", ""),
        "runpod.gpu_pool": choices.GPU,
        "mineru.stack": choices.STACK,
    }
    return {name: value for name, value in named.items() if value}


class _Told(Job):
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


class _Metrics:
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

    def add(self, told: _Told, duration: float) -> None:
        """Count an ended job of ``duration`` seconds."""
        by: dict[str, Value] = {name: told.attributes[name] for name in ("tier", "boot_kind") if name in told.attributes}
        self._jobs.add(1, {**by, "outcome": told.outcome})
        self._duration.record(duration, {**by, "outcome": told.outcome})
        for name, counter in self._sums.items():
            amount = told.attributes.get(name)
            if isinstance(amount, (int, float)):
                counter.add(amount, by)


class _Bridge:
    """A structlog processor that sends each line on as an OTLP log record and leaves it as it is."""

    def __init__(self, provider: LoggerProvider) -> None:
        self._logger = provider.get_logger("worker", choices.TEMPLATE_VERSION)

    def __call__(self, _: Any, method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        level = str(event.get("level", method)).upper()
        fields = {name: _plain(value) for name, value in event.items() if name not in ("event", "level", "ts")}
        self._logger.emit(
            timestamp=time.time_ns(),
            severity_text=level,
            severity_number=_SEVERITIES.get(level, SeverityNumber.INFO),
            body=redact(str(event.get("event", ""))),
            attributes=fields,
        )
        return event


_SEVERITIES: Final = {
    "DEBUG": SeverityNumber.DEBUG,
    "INFO": SeverityNumber.INFO,
    "WARNING": SeverityNumber.WARN,
    "ERROR": SeverityNumber.ERROR,
    "CRITICAL": SeverityNumber.FATAL,
}


class _Complaints(logging.Handler):
    """OpenTelemetry's own warnings, as one line of ours for each of its modules every ``COMPLAIN_EVERY`` seconds."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._last: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now - self._last.get(record.name, -COMPLAIN_EVERY) >= COMPLAIN_EVERY:
            self._last[record.name] = now
            log.warning("telemetry does not get through", detail=record.getMessage(), origin=record.name)


class _OwnProcess:
    """Part of an exporter: whether this process may export.

    OpenTelemetry restarts its threads in a forked child, such as the SDK's heartbeat, which would send everything again.
    """

    _owner = os.getpid()

    def _mine(self) -> bool:
        return os.getpid() == self._owner


class _Spans(_OwnProcess, OTLPSpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return super().export([_redacted(span) for span in spans]) if self._mine() else SpanExportResult.SUCCESS


class _Points(_OwnProcess, OTLPMetricExporter):
    def export(self, *arguments: Any, **options: Any) -> MetricExportResult:
        return super().export(*arguments, **options) if self._mine() else MetricExportResult.SUCCESS


class _Logs(_OwnProcess, OTLPLogExporter):
    def export(self, batch: Sequence[Any]) -> LogRecordExportResult:
        return super().export(batch) if self._mine() else LogRecordExportResult.SUCCESS


def _reader(session: requests.Session) -> PeriodicExportingMetricReader:
    return PeriodicExportingMetricReader(_Points(session=session), export_interval_millis=_interval("OTEL_METRIC_EXPORT_INTERVAL"))


def _interval(variable: str) -> float:
    """Milliseconds between exports: OpenTelemetry's variable where it is set, else ours."""
    return float(os.environ.get(variable) or EXPORT_EVERY * 1000)


def _age(_: CallbackOptions) -> list[Observation]:
    return [Observation(time.monotonic() - _LOADED)]


def _redacted(span: ReadableSpan) -> ReadableSpan:
    """The span with every text in it masked as a log line is: attributes, events such as exceptions, and status."""
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_plain(dict(span.attributes or {})),
        events=[Event(event.name, _plain(dict(event.attributes or {})), event.timestamp) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code, redact(span.status.description)) if span.status.description else span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _plain(value: Any) -> Any:
    """The value as OTLP can carry it, its texts masked."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return redact(str(value))


def _all_within(timeout: float, calls: Sequence[Callable[[], object]]) -> None:
    """Make the calls at the same time in threads that cannot hold up the process; leave those that take too long."""
    threads = [threading.Thread(target=call, daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
