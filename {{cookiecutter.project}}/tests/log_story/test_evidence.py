"""What ``ops logs`` tells of the founding experiment's logs, of real workers', and of whatever else a log may hold."""

import pytest

from log_story import BANNER, JOB, POST_3, POST_4, VLLM, job, met, stamped, story
from ops.logs import timeline

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
