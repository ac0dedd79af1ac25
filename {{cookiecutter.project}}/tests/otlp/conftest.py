"""A collector, and telemetry that is on for one test."""

import os
import threading
from collections.abc import Iterator

import pytest

from otlp import Collector
from worker import log as logs
from worker import telemetry
from worker.settings import Settings


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.answering.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def switched_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings with telemetry on, and no OpenTelemetry variable set; whatever was started ends with the test."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RUNPOD_ENDPOINT_ID", "endpoint-1")
    monkeypatch.setenv("RUNPOD_POD_ID", "pod-1")
    monkeypatch.setenv("MINERU_TELEMETRY", "true")
    settings = Settings()
    logs.configure(settings)
    yield settings
    telemetry.stop(1)


@pytest.fixture
def sending(switched_on: Settings, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Collector:
    """Telemetry that is on and sends to the collector, which is returned."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    telemetry.setup(switched_on, boot_id="boot-1")
    return collector
