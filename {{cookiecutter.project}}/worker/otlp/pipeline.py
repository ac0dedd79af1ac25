"""OpenTelemetry's SDK, its OTLP exporters and its instrumentation of httpx and botocore, put together."""

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
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from worker import boot, choices
from worker.freeze_watch import kernel_boot_id
from worker.otlp.export import Bridge, Complaints, Logs, Spans, interval, reader
from worker.otlp.instruments import Metrics, Told
from worker.telemetry import Job, Phase, Signal, Value

#: The process metrics asked of OpenTelemetry's instrumentation; the host's own would be its neighbours' as well.
PROCESS_METRICS: Final[dict[str, list[str] | None]] = {
    "process.cpu.time": ["user", "system"],
    "process.cpu.utilization": ["user", "system"],
    "process.memory.usage": None,
    "process.thread.count": None,
}

_BOTOCORE: Final[Any] = BotocoreInstrumentor()  # type: ignore[no-untyped-call]


class Pipeline:
    """Everything between the worker and the collector; one per process."""

    def __init__(self, signals: Sequence[Signal], boot_id: str) -> None:
        self._sessions = [requests.Session() for _ in range(3)]
        traces, metrics, logs = self._sessions
        resource = Resource.create(identity(boot_id))
        # Not registered with OpenTelemetry as the process's own, nor to be shut down at exit, which could take half a minute.
        self._tracing = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._metering = MeterProvider([reader(metrics)] if "metrics" in signals else [], resource=resource, shutdown_on_exit=False)
        self._logging = LoggerProvider(resource=resource, shutdown_on_exit=False)
        if "traces" in signals:
            self._tracing.add_span_processor(
                BatchSpanProcessor(Spans(session=traces), schedule_delay_millis=interval("OTEL_BSP_SCHEDULE_DELAY"))
            )
        if "logs" in signals:
            self._logging.add_log_record_processor(
                BatchLogRecordProcessor(Logs(session=logs), schedule_delay_millis=interval("OTEL_BLRP_SCHEDULE_DELAY"))
            )
        self._tracer = self._tracing.get_tracer("worker", choices.TEMPLATE_VERSION)
        self._metrics = Metrics(self._metering)
        self._complaints = Complaints()
        self._bridge = Bridge(self._logging)
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
            told = Told(span)
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


def _all_within(timeout: float, calls: Sequence[Callable[[], object]]) -> None:
    """Make the calls at the same time in threads that cannot hold up the process; leave those that take too long."""
    threads = [threading.Thread(target=call, daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
