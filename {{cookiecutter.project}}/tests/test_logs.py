"""What ``ops logs`` tells of the founding experiment's logs, of real workers', and of whatever else a log may hold."""

import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from conftest import OBEDIENT, PROGRAM
from documents import SAMPLES, sent
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture
from typer.testing import CliRunner, Result

from ops.commands.logs import _record
from ops.commands.logs import logs as command
from ops.control_plane import ControlPlane
from ops.endpoint import Rest
from ops.freeze import Endpoint, Platform
from ops.local_worker import DEFAULTS, PROJECT
from ops.logs import chart, timeline
from ops.logs.hearing import tell
from ops.logs.lines import read
from ops.logs.story import Story
from ops.rest_server.server import RestServer, RestSettings

LOGS = Path(__file__).parent / "logs"


def lines_of(name: str) -> list[str]:
    return (LOGS / f"{name}.log").read_text("utf-8").splitlines()


POST_3, POST_4, VLLM = (lines_of(name) for name in ("post-request-3", "post-request-4", "worker-vllm"))
JOB = ["Jobs in queue: 1", "{id} | Started.", "{id} | Finished."]


def story(lines: Iterable[str], idle_timeout: float = 5) -> Story:
    return tell(read(lines, "worker.log"), idle_timeout)


def met(lines: Iterable[str], idle_timeout: float = 5) -> list[str]:
    return [request.kind for request in story(lines, idle_timeout).requests]


def stamped(*pieces: tuple[float, str]) -> list[str]:
    """Lines as the platform's log viewer shows them, each at a number of seconds."""
    return [f"{datetime.fromtimestamp(1_770_000_000 + at, UTC).isoformat()} {text}" for at, text in sorted(pieces, key=_at)]


def _at(piece: tuple[float, str]) -> float:
    return piece[0]


def job(at: float, name: str, took: float = 1) -> list[tuple[float, str]]:
    """A job of the SDK's."""
    return [(at, "INFO   | Jobs in queue: 1"), (at, f"INFO   | {name} | Started."), (at + took, f"INFO   | {name} | Finished.")]


BANNER = (0.0, "--- Starting Serverless Worker |  Version 1.12.0 ---")


# The founding experiment.


def test_request_3_of_the_post_met_a_fresh_boot_of_known_steps() -> None:
    (request,) = story(POST_3).requests
    assert (request.kind, request.outcome, request.took) == ("fresh", "done", 5.58)
    assert "a boot sequence just before it: fitness checks, warm-up" in request.why
    phases = {name: round(seconds, 2) for name, seconds in request.process.phases.items()}
    assert phases == {
        "fitness": 1.29,
        "imports": 5.0,
        "engine_process": 32.0,
        "engine_weights": 18.41,
        "engine_compile": 22.81,
        "engine_init": 30.66,
        "engine": 87.26,
        "warmup": 101.5,
    }


def test_request_4_of_the_post_met_a_restore_also_without_what_was_before() -> None:
    assert met(POST_4) == ["restored"]
    (_, request) = story(POST_3 + POST_4).requests
    assert (request.kind, request.took) == ("restored", 4.58)
    assert request.why == "no boot sequence after 231 s of silence"
    (gap,) = request.process.gaps
    assert (gap.ended - gap.begun, gap.sure) == (231, True)


def test_the_logs_of_runpods_own_vllm_worker_are_told_apart() -> None:
    told = story(VLLM)
    assert [(request.kind, request.outcome) for request in told.requests] == [
        ("fresh", "done"),
        ("warm", "done"),
        ("restored", "failed"),
    ]
    assert told.requests[2].why.endswith("EngineCore_DP0 is process 469 as before")
    (process,) = told.processes
    assert process.phases == {
        "engine_weights": 6.214133,
        "engine_compile": 24.87,
        "engine_graphs": 9,
        "engine_init": 45.1,
        "engine": 74.85,
    }
    assert [line.number for line in told.odd] == [2]


# What the evidence is, and is not.


@pytest.mark.parametrize(
    ("silence", "idle_timeout", "kind"),
    [(3, 5, "warm"), (8, 5, "unsure"), (16, 5, "restored"), (16, 60, "warm"), (80, 60, "restored"), (1e6, 1e9, "warm")],
)
def test_a_silence_is_measured_against_the_idle_timeout(silence: float, idle_timeout: float, kind: str) -> None:
    lines = stamped(BANNER, *job(1, "a"), *job(2 + silence, "b"))
    assert met(lines, idle_timeout) == ["fresh", kind]


def test_a_worker_frozen_before_its_first_job_is_not_called_fresh() -> None:
    assert met(stamped(BANNER, *job(600, "a"))) == ["restored"]


def test_a_worker_that_speaks_while_it_idles_was_not_frozen() -> None:
    polls = [(2.0 + 4 * number, "DEBUG  | JobScaler.get_jobs | No jobs acquired.") for number in range(20)]
    assert met(stamped(BANNER, *job(1, "a"), *polls, *job(80, "b"))) == ["fresh", "warm"]


def test_a_request_beside_another_meets_a_warm_worker() -> None:
    assert met(stamped(BANNER, *job(1, "a", took=100), (60, "INFO   | b | Started."))) == ["fresh", "warm"]


def test_without_times_only_a_boot_is_evidence() -> None:
    told = story([BANNER[1], *(line.format(id=name) for name in "ab" for line in ("INFO   | " + part for part in JOB))])
    assert [request.kind for request in told.requests] == ["fresh", "unsure"]
    assert "no times" in told.requests[1].why


def test_lines_without_times_between_others_are_no_silence() -> None:
    without = [line.format(id="a") for line in ("INFO   | " + part for part in JOB)]
    assert met([*stamped(BANNER), *without, *stamped(*job(900, "b"))]) == ["fresh", "unsure"]


def test_another_engine_process_without_a_boot_leaves_it_open() -> None:
    lines = [*VLLM[:18], *(line.replace("pid=469", "pid=512") for line in VLLM[18:])]
    told = story(lines)
    assert told.requests[2].kind == "unsure"
    assert "EngineCore_DP0 is process 512, and was 469" in told.requests[2].why


def test_an_engine_that_starts_within_a_request_makes_it_a_fresh_one() -> None:
    start, end = job(1, "a", took=60)[1:]
    engine = (50, "INFO 03-11 17:58:01 [core.py:218] init engine (profile, create kv cache, warmup model) took 45.1 s")
    (request,) = story(stamped(start, engine, end)).requests
    assert (request.kind, request.process.phases) == ("fresh", {"engine_init": 45.1})


def test_a_boot_that_never_served_is_a_process_of_its_own() -> None:
    boot = [(0, "INFO   | Running 2 fitness check(s)..."), (9, "ERROR  | Worker is unhealthy, exiting.")]
    again = [(30, "INFO   | Running 2 fitness check(s)..."), (31, "INFO   | All fitness checks passed. (900.00ms)"), *job(31, "a")]
    told = story(stamped(*boot, *again))
    assert [(process.failed, len(process.requests)) for process in told.processes] == [(True, 0), (False, 1)]
    assert [request.kind for request in told.requests] == ["fresh"]


def test_a_log_that_begins_within_a_job_says_so() -> None:
    lines = stamped((0, "INFO   | a | Finished."), *job(1, "b"), *job(60, "c"))
    told = story(lines)
    assert [request.kind for request in told.requests] == ["unsure", "warm", "restored"]
    assert "begins after the request did" in told.requests[0].why


def test_a_request_without_an_end_is_told_as_such() -> None:
    (request,) = story(POST_3[:-1]).requests
    assert (request.outcome, timeline.duration(request)) == ("", None)


# Forms.


@pytest.mark.parametrize(
    "prefix",
    [
        lambda name, line: f"[{name}] {line}",
        lambda name, line: f"{name}[info]{line}",
        lambda name, line: f"{line.split(' ', 1)[0]} [{name}] [INFO] {line.split(' ', 1)[1]}",
        lambda name, line: json.dumps({"workerId": name, "level": "info", "message": line}),
        lambda name, line: json.dumps({"workerId": name, "dt": f"2026-05-26T{line[:8]}Z", "message": line[9:]}),
    ],
    ids=["brackets", "viewer", "time first", "JSON", "JSON with time"],
)
def test_interleaved_workers_are_told_apart_by_the_id_before_their_lines(prefix: Callable[[str, str], str]) -> None:
    names = ("ajfbuxqvd3ytyt", "9k2mzt5w1cx0pq")
    logs = ([prefix(name, line) for line in POST_3 + POST_4] for name in names)
    told = story(itertools.chain.from_iterable(zip(*logs, strict=True)))
    assert sorted((request.process.worker, request.kind) for request in told.requests) == sorted(
        (name, kind) for name in names for kind in ("fresh", "restored")
    )
    assert [process.boot_seconds for process in told.processes] == [103, 103]


def test_a_clock_without_dates_goes_on_past_midnight() -> None:
    lines = ["23:59:50 --- Starting Serverless Worker |  Version 1.12.0 ---", "23:59:58 a | Started.", "00:00:04 Finished."]
    at = [line.at for line in read(lines, "x")]
    assert at == [86390, 86398, 86404]


def test_vllms_own_times_fill_in_where_no_line_has_a_date() -> None:
    lines = [line.split(" ", 1)[1] for line in VLLM[:9]]
    (process,) = story(lines).processes
    assert process.boot_seconds == 81


def test_a_time_without_a_date_among_dated_lines_is_of_the_nearest_day() -> None:
    dated, clock = read(["2026-03-01T23:59:59Z a", "00:00:01 b"], "x")
    assert (clock.at or 0) - (dated.at or 0) == 2


def test_colours_do_not_hide_a_line() -> None:
    (line,) = read(["\x1b[32mINFO\x1b[0m   | \x1b[1ma\x1b[0m | Started.\r\n"], "x")
    assert (line.form, line.sign, line.request) == ("SDK", "started", "a")


# Real workers.


@pytest.mark.skipif(DEFAULTS["MINERU_TIER"] != "flash", reason="the worker of this stack needs models to warm up")
@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_a_real_worker_is_told_as_it_was(control_plane: ControlPlane, log_format: str, tmp_path: Path) -> None:
    lines: list[str] = []
    environment = {"MINERU_LOG_FORMAT": log_format, "MINERU_TEMP_DIR": str(tmp_path)}
    if log_format == "json":
        environment["RUNPOD_ENDPOINT_ID"] = "local"
    table = sent(SAMPLES / "table.csv")
    truth, said = {}, {}
    async with Platform(
        control_plane, Endpoint(hosts=("A",), idle_timeout=1), environment=environment, on_line=lambda _, line: lines.append(line)
    ) as platform:
        for wait in (False, False, True):
            if wait:
                await platform.scaled_to_zero()
                await asyncio.sleep(2)
            done = await control_plane.submit(table).finished()
            truth[done.id], said[done.id] = platform.truth(done)[0], done.output["boot"]["kind"]
        (start, _) = platform.starts
    told = story(lines)
    assert {request.id: request.kind for request in told.requests} == said
    # A busy machine may stop a worker for seconds, and it is right to wonder.
    assert all(kind in (truth[name], "unsure") for name, kind in said.items())
    assert list(truth.values()) == ["fresh", "warm", "restored"]
    (process,) = told.processes
    assert {"imports", "fitness", "warmup"} <= set(process.phases)
    assert 0 < (process.boot_seconds or 0) <= (start.seconds or 0)
    assert told.forms["worker"] + told.forms["SDK"] >= len(lines) - 1


def test_two_workers_of_ours_in_one_log_need_no_ids_before_their_lines() -> None:
    def ours(at: int, message: str, boot: dict[str, str], request: str | None = None) -> str:
        fields = {"ts": f"2026-11-24T16:26:{at}Z", "level": "INFO", "message": message, "requestId": request, "boot": boot}
        return json.dumps(fields)

    def sdk(message: str, request: str | None = None) -> str:
        return json.dumps({"requestId": request, "message": message, "level": "INFO"})

    one, other, met_by_x = {"id": "one"}, {"id": "other"}, {"id": "one", "kind": "fresh"}
    checks = sdk("Running 2 fitness check(s)...")
    lines = [
        *(ours(21, "booting", one), ours(22, "booting", other), checks, checks),
        *(ours(30, "serving", one), ours(31, "serving", other), sdk("Started.", "x")),
        *(ours(32, "starting job", met_by_x, "x"), ours(33, "done", met_by_x, "x")),
    ]
    told = story(lines)
    assert [(process.id, process.boot_seconds) for process in told.processes] == [("one", 9), ("other", 9)]
    assert [request.process.id for request in told.requests] == ["one"]


#: Times of the test of the bare SDK are stretched by this, so that seconds of waiting stand for a platform's minutes.
STRETCH = 4


@pytest.mark.parametrize("json_logs", [True, False], ids=["JSON", "plain"])
async def test_a_bare_worker_of_the_sdk_is_told_as_it_was(control_plane: ControlPlane, json_logs: bool, tmp_path: Path) -> None:
    program = tmp_path / "worker.py"
    program.write_text(PROGRAM.replace("SOURCE", OBEDIENT))
    lines: list[tuple[float, str]] = []
    begun = time.monotonic()
    truth = {}
    async with Platform(
        control_plane,
        Endpoint(hosts=("A",), idle_timeout=3),
        command=(sys.executable, str(program)),
        environment={"RUNPOD_ENDPOINT_ID": "local"} if json_logs else {},
        on_line=lambda _, line: lines.append(((time.monotonic() - begun) * STRETCH, line)),
    ) as platform:
        for wait in (False, False, True):
            if wait:
                await platform.scaled_to_zero()
                await asyncio.sleep(3)
            done = await control_plane.submit({}).finished()
            truth[done.id] = platform.truth(done)[0]
            await asyncio.sleep(0.2)
    assert list(truth.values()) == ["fresh", "warm", "restored"]
    told = story(stamped(*lines), idle_timeout=3 * STRETCH)
    assert {request.id: request.kind for request in told.requests} == truth
    assert told.understood == len(lines)


# Anything at all.


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e400", '"many"', "null", "true", "[1]", "-1e308"])
def test_what_is_no_number_is_no_time_either(value: str) -> None:
    line = '{"ts": VALUE, "message": "done", "requestId": "a", "seconds": VALUE, "boot": {"id": "x", "kind": "fresh"} }'
    (request,) = story([line.replace("VALUE", value)]).requests
    assert request.begun is None
    assert request.took in (None, -1e308)


PARTS = st.sampled_from([*POST_3, *POST_4, *VLLM, *(line for _, line in job(0, "a"))])
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
NAMED = st.fixed_dictionaries(
    {},
    optional={
        "ts": JSON,
        "message": st.sampled_from(["booting", "serving", "done", "restored", "starting job", "Started."]) | JSON,
        "requestId": st.sampled_from(["a", "b"]) | JSON,
        "boot": st.fixed_dictionaries(
            {}, optional={"id": st.sampled_from(["x", "y"]) | JSON, "kind": JSON, "phases": JSON, "evidence": JSON}
        )
        | JSON,
        "workerId": JSON,
        "seconds": JSON,
        "frozen_seconds": JSON,
        "phases": JSON,
    },
)
LINES = (
    PARTS
    | st.builds(lambda line, at: line[at:], PARTS, st.integers(0, 60))
    | st.builds(lambda line, at: line[:at], PARTS, st.integers(0, 90))
    | st.builds(lambda left, right: left + right, PARTS, PARTS)
    | NAMED.map(json.dumps)
    | st.text()
)


@settings(max_examples=60, deadline=None)
@given(st.lists(LINES, max_size=25))
def test_whatever_a_log_holds_every_line_is_counted_and_the_rest_is_shown(lines: list[str]) -> None:
    told = story(lines)
    assert told.forms.total() == len(lines)
    assert len(told.odd) == min(3, told.forms["unknown"])
    list(timeline.timeline(told, 80))
    timeline.boots(told)
    timeline.requests(told)
    for request in told.requests:
        assert request.why
        json.dumps(_record(request))


# The command.


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
