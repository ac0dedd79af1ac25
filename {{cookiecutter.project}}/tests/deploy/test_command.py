"""``deploy`` and ``destroy`` as an operator runs them: processes of their own, against a REST v2 server of this machine."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ops.deploy import declaration
from ops.endpoint import Rest
from ops.local_worker import PROJECT
from ops.rest_server.server import RestServer, RestSettings

#: What the file of these tests says of workers.
WORKERS = "min = 0\nmax = 3"
TEXT = f"""
name = "reader"
image = "registry.example.com/reader:1"
disk = 40
flashboot = "FLASHBOOT"
execution_timeout = 600
network_volumes = ["vol1"]
[gpu]
pools = ["AMPERE_24"]
[workers]
{WORKERS}
[scaling]
type = "QUEUE_DELAY"
value = 4
[env]
MINERU_MODEL_VLM_SERVER_URL = "https://vlm.example.com/v1"
[secrets]
from_environment = ["BUCKET_SECRET_ACCESS_KEY"]
"""


@pytest.fixture
async def server() -> AsyncIterator[RestServer]:
    async with RestServer(RestSettings(boot=1.5)) as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "endpoint.toml"
    path.write_text(TEXT, "utf-8")
    return path


def workers(file: Path, *, least: int = 0, most: int = 3) -> None:
    """Have the file say how many workers."""
    file.write_text(TEXT.replace(WORKERS, f"min = {least}\nmax = {most}"), "utf-8")


async def ops(*arguments: object, said: str = "", **variables: str) -> tuple[int, str, str]:
    """Exit code, output and errors of ``python -m ops``, which hears what is ``said``."""
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ops", *map(str, arguments)),
        cwd=PROJECT,
        env={**os.environ, "COLUMNS": "200", "RUNPOD_API_KEY": "", "BUCKET_SECRET_ACCESS_KEY": "s3cr3t", **variables},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, errors = await command.communicate(said.encode())
    assert command.returncode is not None
    assert b"Traceback" not in errors, errors.decode()
    return command.returncode, printed.decode(), errors.decode()


def written(server: RestServer) -> list[tuple[str, str, Any]]:
    """The requests that were to change something."""
    return [(method, path, json.loads(text or "null")) for method, path, text in server.requests if method != "GET"]


async def made(server: RestServer, file: Path) -> str:
    """The id of an endpoint that is what the file says."""
    body = declaration.request(declaration.read(file), {"BUCKET_SECRET_ACCESS_KEY": "s3cr3t"})
    async with Rest(server.url) as rest:
        return str((await rest.create(body))["id"])


async def test_deploy_creates_then_finds_nothing_to_change_then_changes_what_differs(server: RestServer, file: Path) -> None:
    deploy = ("deploy", "--file", file, "--url", server.url)
    code, printed, _ = await ops(*deploy)
    assert (code, "is created." in printed, "No worker runs until there is a job" in printed) == (0, True, True)
    for command in ("parse FILE", "batch FOLDER", "coldstart"):
        assert f"-m ops {command} --url http://127.0.0.1:8000 --endpoint local\n" in printed
    code, printed, _ = await ops(*deploy)
    assert (code, "nothing to change." in printed) == (0, True)
    workers(file, least=1)
    code, printed, _ = await ops(*deploy, "--image", "registry.example.com/reader:2", "--no-wait", "--json")
    told = json.loads(printed)
    assert (code, told["action"], [change["field"] for change in told["changes"]]) == (0, "updated", ["image", "workers.min"])
    (_, _, body), change = written(server)
    assert (body["flashboot"], body["env"]["BUCKET_SECRET_ACCESS_KEY"]) == ("FLASHBOOT", "s3cr3t")
    assert change == ("PATCH", "/v2/serverless/local", {"image": "registry.example.com/reader:2", "workers": {"min": 1}})
    assert [path for _, path, _ in server.requests if "workers" in path] == []


async def test_a_dry_run_shows_the_request_without_its_secrets_and_sends_nothing(server: RestServer, file: Path) -> None:
    workers(file, least=1)
    code, printed, errors = await ops("deploy", "--file", file, "--url", server.url, "--dry-run")
    assert (code, server.requests) == (0, [])
    assert json.loads(printed)["env"]["BUCKET_SECRET_ACCESS_KEY"] == "(secret)"
    assert "s3cr3t" not in printed + errors
    assert "1 worker runs around the clock, which costs about $492" in errors


async def test_a_diff_shows_what_would_change_without_its_secrets_and_changes_nothing(server: RestServer, file: Path) -> None:
    await made(server, file)
    workers(file, most=5)
    changes = len(written(server))
    code, printed, errors = await ops("deploy", "--file", file, "--url", server.url, "--diff", BUCKET_SECRET_ACCESS_KEY="n3w")
    assert (code, len(written(server))) == (0, changes)
    assert "  workers.max: 3 → 5\n" in printed
    assert '  env.BUCKET_SECRET_ACCESS_KEY: "(secret)" → "(secret)"\n' in printed
    assert not re.search("s3cr3t|n3w", printed + errors)


async def test_deploy_waits_until_the_workers_serve(server: RestServer, file: Path) -> None:
    workers(file, least=2)
    code, printed, _ = await ops("deploy", "--file", file, "--url", server.url)
    told = [line.split(maxsplit=2)[2] for line in printed.splitlines() if " s  " in line]
    card = "on NVIDIA RTX A5000, EU-RO-1"
    ids = [worker.id for worker in server.endpoints["local"].workers]
    assert told == [*(f"{one} is booting {card}" for one in ids), *(f"{one} is ready {card}" for one in ids)]
    assert (code, "2 workers serve." in printed) == (0, True)


async def test_a_worker_that_cannot_boot_ends_the_wait_with_its_last_words(server: RestServer, file: Path) -> None:
    workers(file, least=1)
    (worker,) = server.endpoints[await made(server, file)].workers
    worker.fate, worker.boot = "UNHEALTHY", 0
    await worker.say("MINERU_HOME holds no models")
    code, _, errors = await ops("deploy", "--file", file, "--url", server.url)
    assert (code, f"Worker {worker.id} is unhealthy" in errors, "  MINERU_HOME holds no models" in errors) == (1, True, True)


async def test_waiting_for_cards_that_do_not_come_ends_with_a_way_out(server: RestServer, file: Path) -> None:
    workers(file, least=1)
    (worker,) = server.endpoints[await made(server, file)].workers
    worker.fate = "THROTTLED"
    code, printed, errors = await ops("deploy", "--file", file, "--url", server.url, "--timeout", 1)
    assert (code, "is waiting for a card\n" in printed) == (1, True)
    assert "0 of 1 workers serve; the endpoint stays" in errors
    assert "more pools in gpu.pools" in errors


async def test_of_two_endpoints_with_the_name_one_has_to_be_named(server: RestServer, file: Path) -> None:
    first, second = await made(server, file), await made(server, file)
    code, _, errors = await ops("deploy", "--file", file, "--url", server.url)
    assert (code, f"2 endpoints are named reader; say which one you mean: --endpoint {first} or {second}." in errors) == (1, True)
    code, printed, _ = await ops("deploy", "--file", file, "--url", server.url, "--endpoint", second)
    assert (code, f"Endpoint {second} (reader) is as declared" in printed) == (0, True)


async def test_an_endpoint_of_another_kind_is_left_alone(server: RestServer, file: Path) -> None:
    async with Rest(server.url) as rest:
        scaling = {"type": "REQUEST_COUNT", "requestCount": 1}
        gpu = {"pools": ["AMPERE_24"]}
        await rest.create({"name": "reader", "type": "LOAD_BALANCER", "image": "a:1", "gpu": gpu, "scaling": scaling})
    code, _, errors = await ops("deploy", "--file", file, "--url", server.url)
    assert (code, "is a LOAD_BALANCER endpoint, which cannot be changed" in errors) == (1, True)


async def test_refusals_and_bad_options_are_told_by_exit_codes(file: Path) -> None:
    async with RestServer(RestSettings(api_key="right")) as server:
        code, _, errors = await ops("deploy", "--file", file, "--url", server.url)
    assert (code, "set RUNPOD_API_KEY" in errors, server.endpoints) == (1, True, {})
    assert (await ops("deploy", "--file", file, "--dry-run", "--diff"))[0] == 2


async def test_destroy_asks_first_and_is_done_once(server: RestServer, file: Path) -> None:
    workers(file, least=1)
    endpoint = await made(server, file)
    server.spent[endpoint] = 12.5
    destroy = ("destroy", "--file", file, "--url", server.url)
    code, _, errors = await ops(*destroy, said="n\n")
    assert (code, list(server.endpoints)) == (1, [endpoint])
    assert f"Endpoint {endpoint} (reader) has 1 worker and has cost $12.50 in the last 30 days." in errors
    code, printed, _ = await ops(*destroy, said="y\n")
    assert (code, printed.strip(), server.endpoints) == (0, f"Endpoint {endpoint} is deleted.", {})
    code, printed, _ = await ops(*destroy, "--yes")
    assert (code, "There is no endpoint named reader; nothing to destroy." in printed) == (0, True)


async def test_destroy_of_an_id_that_is_not_known_fails(server: RestServer) -> None:
    code, _, errors = await ops("destroy", "--endpoint", "gone", "--url", server.url, "--yes")
    assert (code, "Endpoint not found" in errors) == (1, True)


async def test_the_server_that_the_readme_starts_can_be_deployed_to(file: Path) -> None:
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ops.rest_server", "--port", "0"), cwd=PROJECT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert command.stdout is not None
        line = (await command.stdout.readline()).decode()
        url = line.partition("--url ")[2].partition(". ")[0]
        code, printed, _ = await ops("deploy", "--file", file, "--url", url)
        assert (code, "Endpoint local (reader) is created." in printed) == (0, True)
    finally:
        command.terminate()
    assert await command.wait() == 0
