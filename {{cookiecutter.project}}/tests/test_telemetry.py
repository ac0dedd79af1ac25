"""Telemetry reaches a collector when it is on, costs nothing when it is off, and never gets in a job's way."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from worker import log as logs
from worker import telemetry
from worker.errors import SourceFailed
from worker.log import log
from worker.settings import Settings

PROJECT = Path(__file__).parent.parent
MESSAGES: dict[str, Any] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
}


def plain(attributes: list[Any]) -> dict[str, Any]:
    """OTLP attributes as a dict; integers arrive as strings in protobuf's JSON."""
    return {one["key"]: next(iter(one["value"].values())) for one in attributes}


class Collector(ThreadingHTTPServer):
    """An OTLP/HTTP receiver on loopback, and a web server for everything else; ``answering`` cleared, it leaves callers hanging."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.answering = threading.Event()
        self.answering.set()
        self.connections = 0
        self.received: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []

    def _all(self, path: str, resources: str, scopes: str, items: str) -> list[dict[str, Any]]:
        return [
            {**item, "resource": plain(resource["resource"]["attributes"])}
            for where, message in list(self.received)
            if where == path
            for resource in message[resources]
            for scope in resource[scopes]
            for item in scope[items]
        ]

    def spans(self) -> dict[str, dict[str, Any]]:
        found = self._all("/v1/traces", "resourceSpans", "scopeSpans", "spans")
        return {span["name"]: {**span, "attributes": plain(span.get("attributes", []))} for span in found}

    def metrics(self) -> dict[str, dict[str, Any]]:
        """The first data point of every metric as it last arrived."""
        found = self._all("/v1/metrics", "resourceMetrics", "scopeMetrics", "metrics")
        kinds = ("sum", "gauge", "histogram")
        points = {metric["name"]: next(metric[kind] for kind in kinds if kind in metric)["dataPoints"][0] for metric in found}
        return {name: {**point, "attributes": plain(point.get("attributes", []))} for name, point in points.items()}

    def logs(self) -> dict[str, dict[str, Any]]:
        found = self._all("/v1/logs", "resourceLogs", "scopeLogs", "logRecords")
        return {line["body"]["stringValue"]: {**line, "attributes": plain(line.get("attributes", []))} for line in found}


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Collector

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.answering.wait()
        if self.path in MESSAGES:
            self.server.received.append((self.path, MessageToDict(MESSAGES[self.path].FromString(body))))
        self.server.headers.append(dict(self.headers))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_POST()

    def do_PUT(self) -> None:
        self.do_POST()

    def log_message(self, *_: object) -> None:
        pass


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


def run_a_job(job_id: str = "job-1") -> None:
    with telemetry.job(job_id, boot_id="boot-1", boot_kind="fresh") as told:
        with telemetry.phase("source"):
            told.set(suffix="pdf", document_bytes=1000, tier="flash")
        with telemetry.phase("engine"):
            told.set(pages=3)
        with telemetry.phase("result"):
            told.set(result_bytes=200)
        log.info("done", requestId=job_id, boot={"kind": "fresh"})


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


def test_a_job_is_one_span_with_a_span_for_each_phase(sending: Collector) -> None:
    run_a_job()
    telemetry.flush(5)
    spans = sending.spans()
    assert {spans[name]["parentSpanId"] for name in ("source", "engine", "result")} == {spans["parse"]["spanId"]}
    assert spans["parse"]["attributes"] == {
        "mineru.job_id": "job-1",
        "mineru.boot_id": "boot-1",
        "mineru.boot_kind": "fresh",
        "mineru.suffix": "pdf",
        "mineru.document_bytes": "1000",
        "mineru.tier": "flash",
        "mineru.pages": "3",
        "mineru.result_bytes": "200",
        "mineru.outcome": "done",
    }


def test_everything_says_which_worker_it_comes_from(sending: Collector) -> None:
    run_a_job()
    telemetry.flush(5)
    resource = sending.spans()["parse"]["resource"]
    assert resource["service.instance.id"] == "boot-1"
    assert resource["runpod.endpoint_id"] == "endpoint-1"
    assert resource["runpod.pod_id"] == "pod-1"
    assert {"service.name", "service.version", "host.name", "runpod.gpu_pool"} <= resource.keys()


def test_metrics_count_jobs_pages_and_bytes(sending: Collector) -> None:
    run_a_job()
    run_a_job()
    telemetry.flush(5)
    metrics = sending.metrics()
    assert metrics["mineru.jobs"]["attributes"] == {"tier": "flash", "boot_kind": "fresh", "outcome": "done"}
    counted = {name: metrics[f"mineru.{name}"]["asInt"] for name in ("jobs", "pages", "document.size", "result.size")}
    assert counted == {"jobs": "2", "pages": "6", "document.size": "2000", "result.size": "400"}


def test_metrics_time_the_job_and_its_phases(sending: Collector) -> None:
    run_a_job()
    telemetry.flush(5)
    metrics = sending.metrics()
    assert {metrics[f"mineru.{name}.duration"]["count"] for name in ("job", "source", "engine", "result")} == {"1"}


def test_metrics_show_jobs_in_progress_and_the_age_of_the_worker(sending: Collector) -> None:
    with telemetry.job("job-1"):
        telemetry.flush(5)
        assert sending.metrics()["mineru.jobs.in_flight"]["asInt"] == "1"
    telemetry.flush(5)
    assert sending.metrics()["mineru.jobs.in_flight"].get("asInt", "0") == "0"
    assert sending.metrics()["mineru.boot.age"]["asDouble"] > 0


def test_metrics_tell_of_the_boots_steps_and_of_freezes(sending: Collector) -> None:
    telemetry.booted({"warmup": 1.5})
    telemetry.stopped("restored", 3600.0)
    telemetry.flush(5)
    metrics = sending.metrics()
    phase, stops = metrics["mineru.boot.phase.duration"], metrics["mineru.stops"]
    assert (phase["asDouble"], phase["attributes"]) == (1.5, {"phase": "warmup"})
    assert (stops["asInt"], stops["attributes"]) == ("1", {"boot_kind": "restored"})
    assert metrics["mineru.stop.duration"]["sum"] == 3600.0


def test_log_lines_arrive_within_their_job(sending: Collector) -> None:
    run_a_job()
    telemetry.flush(5)
    line = sending.logs()["done"]
    assert line["severityText"] == "INFO"
    assert line["attributes"]["requestId"] == "job-1"
    assert line["spanId"] == sending.spans()["parse"]["spanId"]


def test_log_lines_are_still_written(sending: Collector, capsys: pytest.CaptureFixture[str]) -> None:
    log.info("done", requestId="job-1")
    assert json.loads(capsys.readouterr().out)["message"] == "done"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(SourceFailed("no such host"), "refused"), (RuntimeError("broken"), "failed"), (asyncio.CancelledError(), "cancelled")],
)
def test_an_error_is_recorded_and_passes_through(sending: Collector, error: BaseException, outcome: str) -> None:
    with pytest.raises(type(error)), telemetry.job("job-1"):
        raise error
    telemetry.flush(5)
    span = sending.spans()["parse"]
    assert span["attributes"]["mineru.outcome"] == sending.metrics()["mineru.jobs"]["attributes"]["outcome"] == outcome
    assert (span["status"].get("code") == "STATUS_CODE_ERROR") is (outcome != "cancelled")


def test_secrets_are_masked_in_spans_errors_and_logs(sending: Collector) -> None:
    url = "https://user:hunter22@example.org/a.pdf?X-Amz-Signature=hunter22"
    with telemetry.job("job-1", origin=url) as told:
        told.fail(SourceFailed(f"cannot reach {url}"))
        log.warning(f"refused {url}", source={"url": url}, header="Authorization: Bearer hunter22hunter22")
    telemetry.flush(5)
    assert sending.spans()["parse"]["events"]
    assert sending.logs()
    assert "hunter22" not in json.dumps(sending.received)


async def test_downloads_are_traced_without_telling_the_host(sending: Collector) -> None:
    async with httpx.AsyncClient() as client:
        with telemetry.job("job-1"):
            await client.get(f"{sending.url}/a.pdf?signature=hunter22")
    assert not {"traceparent", "tracestate"} & {name.lower() for name in sending.headers[0]}
    telemetry.flush(5)
    spans = sending.spans()
    assert spans["GET"]["parentSpanId"] == spans["parse"]["spanId"]
    assert "hunter22" not in json.dumps(sending.received)


async def test_uploads_are_traced_from_their_thread(sending: Collector) -> None:
    client = boto3.client("s3", endpoint_url=sending.url, region_name="x", aws_access_key_id="a", aws_secret_access_key="b")
    with telemetry.job("job-1"):
        await asyncio.to_thread(client.put_object, Bucket="results", Key="a.zip", Body=b"")
    telemetry.flush(5)
    spans = sending.spans()
    assert spans["S3.PutObject"]["parentSpanId"] == spans["parse"]["spanId"]


async def test_jobs_at_the_same_time_keep_their_own_phases(sending: Collector) -> None:
    async def run(job_id: str) -> None:
        with telemetry.job(job_id):
            await asyncio.sleep(0)
            with telemetry.phase("engine"):
                await asyncio.sleep(0)

    await asyncio.gather(run("a"), run("b"))
    telemetry.flush(5)
    spans = sending._all("/v1/traces", "resourceSpans", "scopeSpans", "spans")
    jobs = {span["spanId"] for span in spans if span["name"] == "parse"}
    assert {span["parentSpanId"] for span in spans if span["name"] == "engine"} == jobs
    assert len(jobs) == 2


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
