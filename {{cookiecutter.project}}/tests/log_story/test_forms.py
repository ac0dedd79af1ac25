"""Lines of every form, and of none."""

import itertools
import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from log_story import POST_3, POST_4, VLLM, job, story
from ops.commands.logs import _record
from ops.logs import timeline
from ops.logs.lines import read

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
