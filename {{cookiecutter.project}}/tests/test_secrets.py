"""No secret is told: every way to fail is driven with marked secrets, and all that the worker says is searched for them."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web

from ops.client import job_input
from ops.control_plane import ControlPlane
from ops.corpus_pdf import sound_pdf
from ops.faults import Fault
from ops.local_worker import LocalWorker
from ops.wire import Settings
from worker import choices

#: Every secret that the worker is given has this in it.
MARK: Final = "5ec7e7"

pytestmark = pytest.mark.skipif("flash" not in choices.TIERS, reason="parses a document without a model, which MinerU 3 cannot")


@pytest.fixture
def settings() -> Settings:
    return Settings(api_key=f"{MARK}platformkey", hold=1, ping_interval=1)


@pytest.fixture
async def refusing() -> AsyncIterator[str]:
    """A server that says no to everything, and repeats what it was sent: a bucket, a collector and a source of documents."""

    async def refuse(request: web.Request) -> web.Response:
        if request.path.startswith("/moved"):
            return web.Response(status=302, headers={"location": f"http://[/?signature={MARK}redirect"})
        repeated = f"{request.headers.get('authorization')} {request.url}"
        return web.Response(status=403, text=f"<Error><Code>Odd</Code><Message>{repeated}</Message></Error>")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", refuse)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def worker(control_plane: ControlPlane, refusing: str, tmp_path: Path) -> AsyncIterator[LocalWorker]:
    environment = {
        "BUCKET_NAME": "results",
        "BUCKET_ENDPOINT_URL": f"http://user:{MARK}endpoint@{refusing}",
        "BUCKET_ACCESS_KEY_ID": f"{MARK}keyid",
        "BUCKET_SECRET_ACCESS_KEY": f"{MARK}bucketkey",
        "BUCKET_REGION": "nowhere",
        "MINERU_MODEL_VLM_API_KEY": f"{MARK}modelkey",
        "MINERU_SOURCE_ALLOW_PRIVATE": "1",
        "MINERU_TELEMETRY": "1",
        "MINERU_TEMP_DIR": str(tmp_path),
        "MINERU_LOG_LEVEL": "debug",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{refusing}",
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {MARK}collectorkey",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
    }
    async with LocalWorker(control_plane, environment=environment, json_logs=True) as worker:
        yield await worker.wait_ready()


def failures(server: str) -> dict[str, Any]:
    """A job's input for each way to fail, by what is wrong."""
    document = job_input(sound_pdf(), "one.pdf")
    signed = f"X-Amz-Signature={MARK}signature&token={MARK}token"
    return {
        "refused": {"file_url": f"http://user:{MARK}password@{server}/a.pdf?{signed}"},
        "redirected": {"file_url": f"http://{server}/moved?{signed}"},
        "unreachable": {"file_url": f"http://user:{MARK}password@127.0.0.1:1/a.pdf?{signed}"},
        "metadata": {"file_url": f"http://user:{MARK}password@169.254.169.254/?{signed}"},
        "scheme": {"file_url": f"ftp://user:{MARK}password@127.0.0.1/a.pdf?{signed}"},
        "port": {"file_url": f"http://user:{MARK}/password@127.0.0.1/a.pdf"},
        "at": {"file_url": f"http://user:pass@{MARK}word@127.0.0.1:1/a.pdf"},
        "too long": {"file_url": f"http://user:{MARK}password@127.0.0.1/?{signed}" + "a" * 9000},
        "wrong field": {"volume_path": f"https://user:{MARK}password@127.0.0.1/a.pdf?{signed}"},
        "wrong type": {"file_url": {"url": f"http://user:{MARK}password@127.0.0.1/a.pdf?{signed}"}},
        "unknown field": {**document, "authorization": f"Bearer {MARK}bearertoken"},
        "bearer": {**document, "tier": f"Bearer {MARK}bearertoken"},
        "bucket": {**document, "transport": "s3"},
        "damaged": {"file_b64": "JVBERi0xLjcK"},
        "probe": {"probe": True},
    }


async def test_no_secret_is_in_a_log_an_error_a_traceback_or_a_probe(
    control_plane: ControlPlane, worker: LocalWorker, refusing: str
) -> None:
    for action in (403, "drop", "truncate"):
        control_plane.faults += [Fault(where, action) for where in ("result", "take", "stop", "ping")]
    jobs = {name: control_plane.submit(job_input) for name, job_input in failures(refusing).items()}
    for job in jobs.values():
        await job.finished(90)
    assert await worker.terminate() == 0
    said = {name: json.dumps([job.output, job.error]) for name, job in jobs.items()}
    assert {name for name, job in jobs.items() if not job.error} == {"probe"}
    assert not [(name, text) for name, text in said.items() if MARK in text]
    assert not [line for line in worker.lines if MARK in line]
    assert "traceback" in said["bucket"]
    assert re.search(r"telemetry|export", worker.log, re.IGNORECASE), "the collector's refusal was not told"
