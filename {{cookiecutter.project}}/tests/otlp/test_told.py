"""What a collector is told of jobs, boots and freezes: all of it, and no secret."""

import asyncio
import json

import boto3
import httpx
import pytest

from otlp import Collector, run_a_job
from worker import telemetry
from worker.errors import SourceFailed
from worker.log import log


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
