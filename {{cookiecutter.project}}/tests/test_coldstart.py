"""The cold-start experiment: run whole with the real worker, on a live endpoint's API, and what is made of its records."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from four_requests import FOUR, WARM, finding
from PIL import Image as Picture
from programs import sdk_command

from ops import coldstart, coldstart_chart, findings, mechanisms
from ops.client import Client
from ops.control_plane import ControlPlane
from ops.findings import Finding
from ops.freeze import Platform
from ops.hosts import Endpoint
from ops.local_worker import DEFAULTS, PROJECT

# The whole of it.


def ops(*arguments: object, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``python -m ops`` with no one to answer it."""
    command = [sys.executable, "-m", "ops", *map(str, arguments)]
    variables = {**os.environ, "COLUMNS": "100", **(environment or {})}
    return subprocess.run(
        command, cwd=PROJECT, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.skipif(DEFAULTS["MINERU_TIER"] != "flash", reason="the worker of this stack needs models to warm up")
@pytest.mark.parametrize("mechanism", ["sigstop", "criu"])
def test_four_requests_on_two_hosts_are_told_apart_rightly(mechanism: str, tmp_path: Path) -> None:
    if reason := mechanisms.MECHANISMS[mechanism].missing():
        pytest.skip(reason)
    run = ops("coldstart", "--mechanism", mechanism, "--idle-timeout", 1, "--output", tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    seen = findings.read_lines(tmp_path / "coldstart.jsonl")
    assert [finding.did for finding in seen] == ["fresh", "restored", "fresh", "restored", "warm", "warm", "warm"]
    assert [finding.host for finding in seen[:4]] == list("AABB")
    assert [finding.said for finding in seen[:4]] == [finding.did for finding in seen[:4]]
    # A busy machine may stop a warm worker for seconds, and it is right to wonder.
    assert {finding.said for finding in seen[4:]} <= {"warm", "unsure"}
    assert "2 met a fresh boot and 2 met a restore" in run.stdout
    assert "4 snapshots were taken" in run.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"coldstart.jsonl", "coldstart.svg", "coldstart.png"}


#: Answers as the worker does, at once.
AT_ONCE = """
async def handle(job):
    return {"boot": {"kind": "fresh", "host": "far-away", "phases": {"warmup": 2.0}}, "debug": {"phases": {"engine": 0.1}}}
"""


@pytest.fixture
def quick(tmp_path: Path) -> tuple[str, ...]:
    return sdk_command(tmp_path, AT_ONCE)


async def test_on_a_live_endpoint_every_request_waits_for_its_worker_to_be_gone(
    control_plane: ControlPlane, quick: tuple[str, ...]
) -> None:
    experiment = coldstart.Experiment({"probe": True}, requests=2, idle_timeout=1, frozen=0.5)
    async with Platform(control_plane, Endpoint(hosts=("A",), idle_timeout=0.8), command=quick) as platform:
        async with Client(control_plane.url) as client:
            seen = await coldstart.run_live(experiment, client)
        assert [start.kind for start in platform.starts] == ["fresh", "restored"]
    assert [(finding.did, finding.said, finding.host) for finding in seen[:2]] == [(None, "fresh", "far-away")] * 2
    assert seen[0].wall == seen[0].queue + seen[0].execution


async def test_a_live_run_costs_nothing_until_its_cost_has_been_agreed_to(control_plane: ControlPlane, tmp_path: Path) -> None:
    live = ("coldstart", "--endpoint", "local", "--url", control_plane.url, "--price", "0.0002", "--output", tmp_path)
    run = await asyncio.to_thread(ops, *live)
    assert run.returncode == 1
    assert "4 requests of up to 125 s each" in run.stderr
    assert "$0.10 in all" in run.stderr
    assert control_plane.jobs == {}


async def test_a_live_endpoint_that_does_not_take_the_key_is_told(tmp_path: Path, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    run = await asyncio.to_thread(
        ops, "coldstart", "--endpoint", "local", "--url", url, "--requests", 1, "--yes", "--json", "--output", tmp_path
    )
    assert run.returncode == 1
    assert "does not answer" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mechanism", "docker"], "'docker' is no mechanism"),
        (["--hosts", "A1"], "name the host of each start by a letter"),
        (["--hosts", "free:99"], "a number of hosts from 1 to 26"),
        (["--engine", "cuda"], "'cuda' is no engine"),
        (["--variant", "wrong-loop"], "wrong-loop needs --engine vllm-cpu"),
        (["--variant", "other-tier"], "other-tier needs --engine vllm-cpu"),
    ],
)
def test_what_cannot_be_run_is_refused_with_what_can(arguments: list[str], message: str) -> None:
    run = ops("coldstart", *arguments)
    assert run.returncode == (2 if "--engine" in arguments else 1)
    assert message in " ".join(run.stderr.split())


# Hosts and variants.


@pytest.mark.parametrize(
    ("wish", "names", "order"),
    [("AABB", ("A", "B"), tuple("AABB")), ("BA", ("A", "B"), ("B", "A")), ("free", ("A", "B"), ()), ("free:3", tuple("ABC"), ())],
)
def test_hosts_are_forced_by_letters_or_left_free(wish: str, names: tuple[str, ...], order: tuple[str, ...]) -> None:
    assert coldstart.hosts(wish) == (names, order)


@pytest.fixture
def experiment() -> coldstart.Experiment:
    return coldstart.Experiment({"file_b64": ""}, environment={"MINERU_TIER": "standard"})


def test_without_warm_up_the_worker_is_told_to_skip_it(experiment: coldstart.Experiment) -> None:
    assert coldstart.vary(experiment, "no-warm-up", engine=False).environment["MINERU_WARMUP"] == "skip"


def test_another_tiers_warm_up_leaves_the_jobs_on_their_own(experiment: coldstart.Experiment) -> None:
    varied = coldstart.vary(experiment, "other-tier", engine=True)
    assert (varied.environment["MINERU_TIER"], varied.job_input["tier"]) == ("flash", "standard")


@pytest.mark.skipif(DEFAULTS["MINERU_TIER"] != "flash", reason="this stack has no vLLM on the CPU")
def test_the_wrong_loop_is_a_program_that_is_there(experiment: coldstart.Experiment) -> None:
    _, program, mode = coldstart.vary(experiment, "wrong-loop", engine=True).command
    assert (Path(program).is_file(), mode) == (True, "apart")


# What is made of the records.


def test_the_sentence_is_computed_from_what_was_seen() -> None:
    said = findings.sentence([*FOUR, *WARM])
    assert said == (
        "Of 4 requests after scale to zero, 2 met a fresh boot and 2 met a restore; a restored worker answered in 0.50 s, 0.100 of "
        "a fresh one's 5.0 s; 2.0 times a warm worker's 0.25 s; every worker said rightly which."
    )


def test_the_sentence_names_wrong_accounts_and_failures() -> None:
    said = findings.sentence([finding(1, "fresh", 5.0, error="EngineDeadError", said=""), finding(2, "restored", 0.5, said="warm")])
    assert "1 met a restore and 1 failed" in said
    assert "wrong on 2 (warm for restored)" in said


def test_an_unsure_worker_is_not_a_wrong_one() -> None:
    assert "rightly which, or that it was unsure, on 5" in findings.sentence([*FOUR, finding(5, "warm", 0.2, said="unsure")])


def test_with_more_requests_the_share_of_restores_has_an_interval() -> None:
    assert "restores are 25 % to 75 % of all with 95 % confidence" in findings.sentence(FOUR * 3)


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"), [(5, 10, 0.237, 0.763), (0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0), (0, 0, 0, 1)]
)
def test_the_interval_is_wilsons(hits: int, of: int, low: float, high: float) -> None:
    assert findings.wilson(hits, of) == pytest.approx((low, high), abs=0.001)


def test_the_table_shows_the_evidence_of_a_restore_and_the_phases_of_a_boot_on_80_columns() -> None:
    from rich.console import Console

    console = Console(width=80, record=True)
    console.print(findings.table([*FOUR, finding(6, "fresh", 5.0, said="warm", error="dead")]))
    shown = console.export_text()
    assert all(part in shown for part in ("imports 1.0", "warmup 2.0", "start time changed", "failed"))
    assert "…" not in shown


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    findings.write_lines(FOUR, {"mechanism": "criu"}, tmp_path / "lines.jsonl")
    assert findings.read_lines(tmp_path / "lines.jsonl") == FOUR


@pytest.mark.parametrize("request_", [*FOUR, *WARM, finding(9, "fresh", 0.1)], ids=lambda one: f"{one.kind}-{one.wall}")
def test_the_parts_of_a_bar_come_to_the_wall_clock_time(request_: Finding) -> None:
    parts = coldstart_chart.parts(request_)
    assert set(parts) <= set(coldstart_chart.COLOURS)
    if request_.number != 9:
        assert sum(parts.values()) == pytest.approx(request_.wall)


@pytest.mark.parametrize("seen", [[*FOUR, *WARM], FOUR * 10], ids=["bars", "points"])
def test_the_chart_names_its_numbers_and_leaves_the_background_to_the_page(seen: list[Finding], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    svg, png = coldstart_chart.draw(seen, "Cold starts", tmp_path)
    words = svg.read_text("utf-8")
    for part in ("Cold starts", "456 s", "122 s", "log scale"):
        assert part in words
    assert Picture.open(png).getpixel((0, 0))[3] == 0  # type: ignore[index]
