"""Telemetry costs nothing when it is off, and gets in no job's way whatever the collector does."""

import json
import os
import subprocess
import sys
import threading

import pytest

from otlp import Collector, run_a_job
from worker import telemetry
from worker.settings import Settings


def test_off_nothing_of_opentelemetry_is_imported() -> None:
    code = (
        "import sys; from worker import telemetry; from worker.settings import Settings\n"
        "telemetry.setup(Settings(telemetry=False))\n"
        "with telemetry.job('1', tier='flash') as told, telemetry.phase('source'): told.set(pages=1); told.fail(ValueError())\n"
        "telemetry.flush(1); telemetry.renew(); telemetry.stop(1)\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'requests', 'worker.otlp'))])"
    )
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    assert (
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout == "[]\n"
    )


def test_a_collector_that_hangs_holds_up_neither_job_nor_shutdown(
    switched_on: Settings, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
    collector.answering.clear()

    def live() -> None:
        telemetry.setup(switched_on)
        run_a_job()
        telemetry.flush(0.2)
        run_a_job()
        telemetry.stop(0.2)

    life = threading.Thread(target=live, daemon=True)
    life.start()
    life.join(60)
    assert not life.is_alive()
    assert not collector.received


def test_a_collector_that_is_down_is_mentioned_once(
    switched_on: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "none")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    telemetry.setup(switched_on)
    for _ in range(5):
        run_a_job()
        telemetry.flush(5)
    output = capfd.readouterr()
    assert output.out.count("telemetry does not get through") == 1
    assert output.err == ""


def test_after_a_restore_connections_are_made_anew(sending: Collector) -> None:
    run_a_job()
    telemetry.flush(5)
    before = sending.connections
    telemetry.flush(5)
    assert sending.connections == before
    telemetry.renew()
    run_a_job("job-2")
    telemetry.flush(5)
    assert sending.connections == before + 3
    assert sending.spans()["parse"]["attributes"]["mineru.job_id"] == "job-2"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_sends_nothing(sending: Collector) -> None:
    if (child := os.fork()) == 0:
        run_a_job("child")
        telemetry.flush(5)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert sending.received == []


def test_only_signals_with_somewhere_to_go_are_sent(
    switched_on: Settings, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.url}/v1/traces")
    telemetry.setup(switched_on)
    run_a_job()
    telemetry.flush(5)
    assert {path for path, _ in collector.received} == {"/v1/traces"}


@pytest.mark.parametrize(
    ("variables", "hint"),
    [
        ({}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_SCHEDULE_DELAY": "soon"}, "soon"),
    ],
)
def test_telemetry_that_cannot_work_stays_off_and_says_why(
    switched_on: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    hint: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    telemetry.setup(switched_on)
    line = json.loads(capsys.readouterr().out)
    assert line["level"] == "WARNING"
    assert hint in json.dumps(line)
    assert telemetry._pipeline is None


def test_setting_up_twice_sends_once(sending: Collector, switched_on: Settings) -> None:
    telemetry.setup(switched_on, boot_id="boot-2")
    run_a_job()
    telemetry.flush(5)
    assert sending.spans()["parse"]["resource"]["service.instance.id"] == "boot-1"
    assert sending.metrics()["mineru.jobs"]["asInt"] == "1"
