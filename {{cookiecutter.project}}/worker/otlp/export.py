"""What leaves the worker: exporters that belong to one process, texts masked, and OpenTelemetry's complaints as log lines."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import requests
import structlog
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import Status

from worker import choices
from worker.log import log, redact

#: Seconds between two exports. The platform scales an idle worker to zero after 5 s by default and then freezes it without
#: a word, so what a job has left must be gone by then; flushing at a job's end would make the job wait for the collector.
EXPORT_EVERY: Final = 2.0

#: Seconds between two log lines about telemetry that does not get through.
COMPLAIN_EVERY: Final = 600.0


class _OwnProcess:
    """Part of an exporter: whether this process may export.

    OpenTelemetry restarts its threads in a forked child, such as the SDK's heartbeat, which would send everything again.
    """

    _owner = os.getpid()

    def _mine(self) -> bool:
        return os.getpid() == self._owner


class Spans(_OwnProcess, OTLPSpanExporter):
    """Sends spans, every text in them masked."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return super().export([_redacted(span) for span in spans]) if self._mine() else SpanExportResult.SUCCESS


class Points(_OwnProcess, OTLPMetricExporter):
    """Sends metrics."""

    def export(self, *arguments: Any, **options: Any) -> MetricExportResult:
        return super().export(*arguments, **options) if self._mine() else MetricExportResult.SUCCESS


class Logs(_OwnProcess, OTLPLogExporter):
    """Sends log lines, which ``Bridge`` has masked."""

    def export(self, batch: Sequence[Any]) -> LogRecordExportResult:
        return super().export(batch) if self._mine() else LogRecordExportResult.SUCCESS


class Bridge:
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


class Complaints(logging.Handler):
    """OpenTelemetry's own warnings, as one line of ours for each of its modules every ``COMPLAIN_EVERY`` seconds."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._last: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now - self._last.get(record.name, -COMPLAIN_EVERY) >= COMPLAIN_EVERY:
            self._last[record.name] = now
            log.warning("telemetry does not get through", detail=record.getMessage(), origin=record.name)


def reader(session: requests.Session) -> PeriodicExportingMetricReader:
    """What collects the metrics now and then and sends them over ``session``."""
    return PeriodicExportingMetricReader(Points(session=session), export_interval_millis=interval("OTEL_METRIC_EXPORT_INTERVAL"))


def interval(variable: str) -> float:
    """Milliseconds between exports: OpenTelemetry's variable where it is set, else ours."""
    return float(os.environ.get(variable) or EXPORT_EVERY * 1000)


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
