"""A collector that keeps what it is sent, and a job to tell it of."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from worker import telemetry
from worker.log import log

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


def run_a_job(job_id: str = "job-1") -> None:
    with telemetry.job(job_id, boot_id="boot-1", boot_kind="fresh") as told:
        with telemetry.phase("source"):
            told.set(suffix="pdf", document_bytes=1000, tier="flash")
        with telemetry.phase("engine"):
            told.set(pages=3)
        with telemetry.phase("result"):
            told.set(result_bytes=200)
        log.info("done", requestId=job_id, boot={"kind": "fresh"})
