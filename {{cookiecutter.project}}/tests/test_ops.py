"""The commands as an operator runs them: in processes of their own, with what they print and how they exit."""

import asyncio
import contextlib
import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from conftest import SdkWorker

from ops.commands.common import SAMPLE_ENDINGS
from ops.control_plane import ControlPlane
from ops.local_worker import PROJECT

Command = asyncio.subprocess.Process

#: Answers as the worker does, with the input's name as the document's text.
PARSER = """
async def handle(job):
    wish = job["input"]
    if wish["file_name"] == "bad.csv":
        return {"error": "The document holds no table."}
    boot = {"kind": "fresh", "phases": {"warmup": 1.5}}
    return {"pages": 1, "markdown": wish["file_name"], "asked": wish, "boot": boot}
"""


@pytest.fixture
async def started(tmp_path: Path) -> AsyncIterator[list[Command]]:
    """The commands a test has started; those still running at its end are ended by force."""
    commands: list[Command] = []
    yield commands
    for command in commands:
        if command.returncode is None:
            os.killpg(command.pid, signal.SIGKILL)
            await command.wait()


@pytest.fixture
def ops(started: list[Command]) -> "Ops":
    return Ops(started)


class Ops:
    """Starts ``python -m ops`` with the given arguments."""

    def __init__(self, started: list[Command]) -> None:
        self._started = started

    async def start(self, *arguments: object) -> Command:
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ops", *map(str, arguments)),
            cwd=PROJECT,
            env={**os.environ, "COLUMNS": "200"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        self._started.append(command)
        return command

    async def run(self, *arguments: object) -> tuple[int, str]:
        """Exit code and everything printed."""
        command = await self.start(*arguments)
        printed, _ = await command.communicate()
        assert command.returncode is not None
        return command.returncode, printed.decode()


async def heard(command: Command, part: str) -> str:
    """What the command prints up to the line with ``part`` in it."""
    assert command.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(60):
        while not lines or part not in lines[-1]:
            line = await command.stdout.readline()
            assert line, "".join(lines)
            lines.append(line.decode())
    return "".join(lines)


@pytest.fixture
def documents(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "good.csv", tmp_path / "bad.csv"]
    for path in paths:
        path.write_bytes(b"a,b\n")
    return paths


async def test_parse_writes_what_came_and_exits_with_1_if_any_document_failed(
    control_plane: ControlPlane, sdk_worker: SdkWorker, ops: Ops, documents: list[Path], tmp_path: Path
) -> None:
    await sdk_worker(PARSER)
    code, printed = await ops.run("parse", *documents, "--url", control_plane.url, "--output", tmp_path / "out")
    assert code == 1
    assert "bad.csv: The document holds no table." in printed
    assert (tmp_path / "out/good/markdown.md").read_text() == "good.csv"


async def test_parse_passes_every_wish_on_under_its_name_in_the_api(
    control_plane: ControlPlane, sdk_worker: SdkWorker, ops: Ops, documents: list[Path], tmp_path: Path
) -> None:
    await sdk_worker(PARSER)
    wishes = ["--tier", "basic", "--pages", "1-2", "--ocr-mode", "ocr", "--format", "markdown", "--format", "images"]
    code, printed = await ops.run("parse", documents[0], *wishes, "--url", control_plane.url, "--output", tmp_path / "out")
    assert code == 0, printed
    (job,) = control_plane.jobs.values()
    asked = {name: value for name, value in job.input.items() if name not in ("file_b64", "file_name")}
    formats = ["markdown", "images"]
    assert asked == {"basename": "good", "tier": "basic", "page_range": "1-2", "ocr_mode": "ocr", "formats": formats}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_run_serves_the_example_it_prints_and_leaves_no_worker_behind(ops: Ops, number: signal.Signals) -> None:
    command = await ops.start("run", "--port", "0")
    printed = await heard(command, "is serving")
    (example,) = [shlex.split(line) for line in printed.splitlines() if line.startswith("  curl")]
    _, url, _, body = example
    async with httpx.AsyncClient(timeout=60) as client:
        answer = (await client.post(url, content=body)).json()
    assert answer["status"] == "COMPLETED", answer
    assert workers_of(url)
    command.send_signal(number)
    await heard(command, "Stopped.")
    assert await command.wait() == 0
    assert workers_of(url) == []


def workers_of(url: str) -> list[str]:
    """The processes, by id, that serve the control plane at ``url``."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"RUNPOD_WEBHOOK_GET_JOB={url.removesuffix('/runsync')}".encode() in environment.read_bytes():
                found.append(environment.parent.name)
    return found


async def test_run_on_a_taken_port_says_so(ops: Ops, control_plane: ControlPlane) -> None:
    code, printed = await ops.run("run", "--port", control_plane.url.rsplit(":", 1)[1])
    assert (code, "The port is taken" in printed) == (1, True)


async def test_run_ends_with_the_workers_last_words_if_it_cannot_boot(ops: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINERU_CONCURRENCY", "many")
    code, printed = await ops.run("run", "--port", "0")
    assert code == 1
    assert "before it served" in printed
    assert "MINERU_CONCURRENCY" in printed


async def test_demo_parses_every_sample_and_shows_the_first(ops: Ops, tmp_path: Path) -> None:
    code, printed = await ops.run("demo", "--output", tmp_path)
    assert code == 0, printed
    samples = [path for path in (PROJECT / "samples").iterdir() if path.suffix in SAMPLE_ENDINGS]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.stem for path in samples)
    for part in ("boot phase", "imports", "fresh", "Where to look next", *(path.name for path in samples)):
        assert part in printed


async def test_help_of_every_command_gives_an_example(ops: Ops) -> None:
    for command in ("run", "parse", "demo", "batch", "coldstart", "deploy", "destroy", "logs", "plan"):
        assert f"Example: python -m ops {command}" in (await ops.run(command, "--help"))[1]
