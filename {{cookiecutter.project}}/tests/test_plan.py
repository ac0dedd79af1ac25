"""The plan: what is chosen and said, its times and prices, its chart, and the command."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from four_requests import FOUR, WARM
from rich.console import Console
from typer.testing import CliRunner

pytest.importorskip("numpy")
pytest.importorskip("simpy")

from ops import findings, plan, plan_chart, prices
from ops.commands.plan import plan as plan_command
from ops.local_worker import PROJECT
from ops.simulation.arrivals import Arrivals
from ops.simulation.scenario import Result, Scenario

#: Runs the command and gives its exit code, standard output and errors.
Command = Callable[..., Any]

RESULT = Result(1000, 5000, {"warm": 700, "restored": 290, "fresh": 10}, {"restored": 290, "fresh": 10}, 5, 10, 100, 1, 7300, 730)


def point(idle: float, least: int, dollars: float, p95: float) -> plan.Point:
    """A point that costs so many dollars a month."""
    price = dollars / (7300 * 3600)  # 10 workers on average, and 730 hours a month of 730 simulated seconds
    return plan.Point(idle, least, price, replace(RESULT, p95=p95))


CHEAP, MIDDLE, FAST, WASTEFUL = point(5, 0, 10, 120), point(60, 0, 40, 14), point(5, 1, 500, 10), point(900, 1, 600, 10)
FULL = plan.Point(5, 0, 1, None, "1,000,000 jobs wait.")
POINTS = [CHEAP, MIDDLE, FAST, WASTEFUL]


# What is chosen.


@pytest.mark.parametrize(("p95", "chosen"), [(None, MIDDLE), (200, CHEAP), (15, MIDDLE), (10, FAST), (5, FAST)])
def test_the_cheapest_that_is_fast_enough_is_chosen(p95: float | None, chosen: plan.Point) -> None:
    assert plan.choose(POINTS[::-1], p95) is chosen


def test_an_overloaded_point_is_never_chosen() -> None:
    assert plan.choose([FULL, FAST]) is FAST
    assert plan.choose([FULL]) is None
    assert plan.advice([FULL]) == "1,000,000 jobs wait."


def test_money_is_the_billed_seconds_at_the_price() -> None:
    cost = plan.Point(5, 0, 0.001, RESULT)
    assert cost.month == pytest.approx(7300 / 730 * 730 * 3600 * 0.001)
    assert cost.thousand == pytest.approx(7300 * 0.001 / 5)


def test_the_advice_names_the_setting_and_what_the_others_would_give() -> None:
    assert plan.advice(POINTS) == (
        "Set an idle timeout of 60 s and workers_min 0: p95 is 14.0 s at $40.00 a month, $0.0022 per 1,000 pages, and 1 % of jobs "
        "meet a fresh boot. The cheapest, an idle timeout of 5 s and workers_min 0: p95 is 120 s at $10.00 a month, $0.00056 per "
        "1,000 pages. The fastest, an idle timeout of 5 s and workers_min 1: p95 is 10.0 s at $500.00 a month, $0.028 per 1,000 "
        "pages."
    )
    assert plan.advice(POINTS, 5).startswith("No setting here has a p95 within 5.0 s")


def test_the_table_fits_80_columns_and_marks_the_chosen_point() -> None:
    console = Console(width=80, record=True)
    console.print(plan.table([*POINTS, FULL], MIDDLE))
    shown = console.export_text()
    assert "…" not in shown
    assert [line.split()[1:3] for line in shown.splitlines() if "→" in line] == [["0", "60"]]
    assert "overloaded" in shown


# Times and prices.


def test_the_founding_times_follow_from_the_founding_numbers() -> None:
    times = plan.FOUNDING_TIMES
    documents, pages, in_all = plan.LONG_RUN
    assert times.job + times.page == pytest.approx(4.65)
    assert documents * times.job + pages * times.page == pytest.approx(in_all)
    assert times.pull + times.boots[0] + 4.65 == pytest.approx(456)


def test_measured_times_are_those_of_the_requests_that_met_each_kind(tmp_path: Path) -> None:
    path = tmp_path / "coldstart.jsonl"
    failed = replace(FOUR[0], start=99.0, error="dead")
    findings.write_lines([replace(FOUR[0], start=4.0), *FOUR[1:], *WARM, failed], {"mechanism": "criu"}, path)
    times = plan.measured_times(path)
    assert times.boots == pytest.approx((4.0, 4.8))
    assert times.restores == pytest.approx((0.3, 0.3))
    assert (times.job, times.page) == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize(
    ("seen", "lacking"), [(FOUR, "warm worker"), ([FOUR[0], *WARM], "restore"), ([FOUR[1], *WARM], "fresh boot")]
)
def test_a_measurement_that_lacks_a_kind_is_refused(tmp_path: Path, seen: list[findings.Finding], lacking: str) -> None:
    findings.write_lines(seen, {}, tmp_path / "lines.jsonl")
    with pytest.raises(ValueError, match=f"no request that met a {lacking}"):
        plan.measured_times(tmp_path / "lines.jsonl")


@pytest.mark.parametrize("text", ["no json", '{"number": 1}', "[1]"])
def test_a_file_that_is_no_measurement_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "lines.jsonl").write_text(text)
    with pytest.raises(ValueError, match="cannot be read as what `python -m ops coldstart` writes"):
        plan.measured_times(tmp_path / "lines.jsonl")


def test_a_pool_has_its_published_price_or_says_that_there_is_none() -> None:
    assert prices.price("AMPERE_24") == 0.00019
    with pytest.raises(ValueError, match="say --price"):
        prices.price("ADA_32_PRO")
    with pytest.raises(ValueError, match=r"no GPU pool; the pools are .*AMPERE_24"):
        prices.price("A5000")


# The chart.


def test_the_chart_shows_every_setting_and_marks_the_chosen_one(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    apart = [point for point in POINTS if point is not WASTEFUL]
    svg, png = plan_chart.draw([*apart, FULL], MIDDLE, "Cost and latency", tmp_path)
    words = svg.read_text("utf-8")
    for part in (
        "Cost and latency",
        "workers_min 0",
        "workers_min 1",
        "chosen: idle 60 s, $40.00 a month, p95 14.0 s",
        ">5 s<",
        ">60 s<",
    ):
        assert part in words
    assert png.stat().st_size > 10_000


def test_points_that_lie_on_each_other_share_a_label(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    svg, _ = plan_chart.draw([FAST, replace(WASTEFUL, price=FAST.price)], FAST, "Two", tmp_path)
    assert ">5 to 900 s<" in svg.read_text("utf-8")


# The command.


@pytest.fixture
def command(tmp_path: Path) -> Command:
    app = typer.Typer()
    app.command()(plan_command)
    return lambda *arguments: CliRunner().invoke(app, ["--days", "2", "--output", str(tmp_path), *map(str, arguments)])


def test_the_command_prints_a_plan_and_writes_it_down(command: Command, tmp_path: Path) -> None:
    run = command("--idle-timeout", "5,600", "--processes", 2, "--p95", 60)
    assert run.exit_code == 0, run.output
    assert "Set an idle timeout of" in run.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"plan.jsonl", "plan.svg", "plan.png"}


def test_json_is_a_line_per_setting_and_the_same_however_many_processes(command: Command) -> None:
    runs = [command("--json", "--processes", count).stdout for count in (1, 2)]
    assert runs[0] == runs[1]
    lines: list[dict[str, Any]] = [json.loads(line) for line in runs[0].splitlines()]
    assert [(line["workers_min"], line["idle_timeout"]) for line in lines[:2]] == [(0, 5.0), (0, 15.0)]
    assert sum(line["chosen"] for line in lines) == 1
    assert {"p50", "p95", "p99", "met", "dollars_a_month", "dollars_per_1000_pages"} <= set(lines[0])


def test_more_jobs_than_the_workers_can_do_fail_with_the_reason(command: Command) -> None:
    run = command("--rate", 1e6, "--idle-timeout", 5, "--workers-min", 0)
    assert run.exit_code == 1
    assert "cannot keep up" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arrivals", "sometimes"], "'sometimes', which is no pattern and no file; say poisson, steady"),
        (["--arrivals", "bursts:0"], "no pattern and no file"),
        (["--pages", "few"], "Pages are 'few'"),
        (["--rate", "0"], "both must be more than 0"),
        (["--idle-timeout", "5;6"], "--idle-timeout is '5;6'; write whole numbers with commas"),
        (["--workers-min", "0.5"], "--workers-min is '0.5'; write whole numbers with commas"),
        (["--workers-min", "9"], "Workers are 9 to 3"),
        (["--gpu", "ADA_32_PRO"], "say --price"),
        (["--measured", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (["--price", "-1"], "--price"),
    ],
)
def test_what_cannot_be_planned_is_refused_with_what_can(command: Command, arguments: list[str], message: str) -> None:
    run = command(*arguments)
    assert run.exit_code == 2, run.output
    assert message in " ".join(run.stderr.split())


def test_without_its_packages_the_command_names_them_and_how_to_get_them() -> None:
    hidden = "import sys; sys.modules['simpy'] = None; import typer; from ops.commands.plan import plan; typer.run(plan)"
    run = subprocess.run([sys.executable, "-c", hidden], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "lacks simpy, which `make plan` installs" in run.stderr


def test_every_setting_meets_the_same_arrivals() -> None:
    points = list(plan.sweep(Scenario(plan.FOUNDING_TIMES), Arrivals(days=2), [5, 600], [0, 1], 0.0002))
    assert len({(point.known.jobs, point.known.pages) for point in points}) == 1
    assert [point.workers_min for point in points] == [0, 0, 1, 1]
