"""``python -m ops logs``: what it prints, draws and refuses."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
from PIL import Image as Picture
from typer.testing import CliRunner, Result

from log_story import BANNER, LOGS, POST_3, POST_4, VLLM, job, stamped, story
from ops.commands.logs import logs as command
from ops.endpoint import Rest
from ops.local_worker import PROJECT
from ops.logs import chart
from ops.rest_server.server import RestServer, RestSettings


def logs(*arguments: object, columns: int = 100) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    program = "import typer; from ops.commands.logs import logs; typer.run(logs)"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": str(columns), "RUNPOD_API_KEY": ""}
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def logs_here(*arguments: str, text: str = "") -> Result:
    """The command in this process."""
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, list(arguments), input=text)


def test_the_command_draws_a_timeline_and_says_what_each_request_met() -> None:
    run = logs(LOGS / "post-request-4.log", LOGS / "post-request-3.log", LOGS / "worker-vllm.log", columns=80)
    assert run.returncode == 0, run.stderr
    assert max(map(len, run.stdout.splitlines()[:-1])) <= 80
    rows = [line for line in run.stdout.splitlines() if "▒" in line and "boot" not in line]
    assert [sum(row.count(letter) for letter in "FRW") for row in rows] == [1, 3]
    assert "5 requests: 2 met a fresh boot, 2 met a restore, 1 met a warm worker." in run.stdout
    assert "worker-vllm.log:2: 2026-03-11T17:56:48.123456789Z engine.py" in run.stderr


def test_json_gives_a_line_for_each_request_of_standard_input() -> None:
    run = logs_here("-", "--json", text="\n".join(POST_3 + POST_4))
    records = [json.loads(line) for line in run.stdout.splitlines()]
    assert [(record["kind"], record["seconds"], record["begun"]) for record in records] == [
        ("fresh", 5.58, "04:47:28"),
        ("restored", 4.58, "04:51:25"),
    ]
    assert records[0]["phases"]["engine_weights"] == 18.41


def test_parts_of_a_workers_log_may_come_in_any_order(tmp_path: Path) -> None:
    parts = {"later.log": stamped(*job(4, "b")), "earlier.log": stamped(BANNER, *job(1, "a"))}
    for name, lines in parts.items():
        (tmp_path / name).write_text("".join(f"[9k2mzt5w1cx0pq] {line}\n" for line in lines))
    run = logs_here(*(str(tmp_path / name) for name in parts), "--json")
    assert [json.loads(line)["kind"] for line in run.stdout.splitlines()] == ["fresh", "warm"]


def test_nothing_understood_is_an_error_that_names_the_known_forms() -> None:
    run = logs_here("-", text="a,b\n1,2\n")
    assert run.exit_code == 1
    assert "None of 2 lines was understood" in run.stderr
    assert "SDK" in run.stderr
    assert "stdin:1: a,b" in run.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [((), 2, "Name log files"), (("nowhere.log",), 1, "nowhere.log cannot be read"), (("-", "--worker", "a"), 2, "--endpoint")],
)
def test_what_cannot_be_read_is_told_in_plain_words(arguments: Sequence[str], code: int, message: str) -> None:
    run = logs_here(*arguments)
    assert (run.exit_code, message in " ".join(run.stderr.split())) == (code, True), run.stderr


def test_the_chart_shows_every_process(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    files = chart.draw(story(POST_3 + POST_4), "Two requests", tmp_path)
    svg = files[0].read_text("utf-8")
    for word in ("Two requests", "weights", "restored", "231 s", "04:51:25"):
        assert word in svg
    with Picture.open(files[1]) as picture:
        assert len(picture.convert("RGB").resize((200, 50)).getcolors(10_000) or ()) > 20


async def test_a_live_endpoint_is_asked_for_the_logs_of_all_its_workers() -> None:
    body = {
        "name": "reader",
        "type": "QUEUE",
        "image": "registry.example.com/reader:1",
        "gpu": {"pools": ["AMPERE_24"]},
        "workers": {"min": 2, "max": 2},
        "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
    }
    async with RestServer(RestSettings(boot=0.1)) as server, Rest(server.url) as rest:
        endpoint = await rest.create(body)
        first, second = server.endpoints[endpoint["id"]].workers
        for worker, day, lines in ((first, "2026-05-26T", POST_3), (second, "", VLLM)):
            for at, said in (line.split(" ", 1) for line in lines):
                await worker.say(said, at=f"{day}{at.removesuffix('Z')}Z")
        live = ("--endpoint", endpoint["id"], "--url", server.url)
        both, one, gone = await asyncio.gather(
            asyncio.to_thread(logs, *live, "--json"),
            asyncio.to_thread(logs, *live, "--worker", second.id, "--idle-timeout", 1e9),
            asyncio.to_thread(logs, "--endpoint", "nothing", "--url", server.url),
        )
    kinds = [(record["worker"], record["kind"]) for record in map(json.loads, both.stdout.splitlines())]
    assert sorted(kinds) == sorted([(first.id, "fresh"), *((second.id, kind) for kind in ("fresh", "warm", "restored"))])
    assert "3 requests: 1 met a fresh boot, 2 met a warm worker" in one.stdout
    assert (gone.returncode, "endpoint not found" in gone.stderr.lower()) == (1, True), gone.stderr
