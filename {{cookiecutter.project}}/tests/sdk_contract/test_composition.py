"""The SDK's own start, step by step, against what ``worker/sdk.py`` takes over and what it leaves out with a reason."""

import ast
import importlib
import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import runpod

from sdk_contract.steps import DONE_HERE, LEFT_OUT, REPLACED
from worker import sdk


def function(module: str, path: str) -> Callable[..., Any]:
    thing: Any = importlib.import_module(module)
    for name in path.split("."):
        thing = getattr(thing, name)
    return thing  # type: ignore[no-any-return]


def steps(of: Callable[..., Any]) -> dict[str, int]:
    """What a function calls, sets and registers, by name, with the line of the first time."""
    lines, first = inspect.getsourcelines(of)
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(textwrap.dedent("".join(lines)))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            name += f"({ast.unparse(node.args[0])})" if name == "signal.signal" else ""
            found.setdefault(name, first + node.lineno - 1)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, (ast.Attribute, ast.Subscript)):
                    found.setdefault(f"set {ast.unparse(target)}", first + target.lineno - 1)
    return found


def sdk_steps() -> dict[str, str]:
    """Every step of the replaced functions, with its file and line."""
    found: dict[str, str] = {}
    for name, place in REPLACED.items():
        of = function(*place)
        file = Path(inspect.getsourcefile(of) or "").name
        found |= {f"{name}: {step}": f"{file}:{line}" for step, line in steps(of).items()}
    return found


def test_every_step_of_the_sdk_is_taken_over_or_left_out_with_a_reason() -> None:
    known = {*DONE_HERE, *LEFT_OUT}
    new = [f"{step} ({place})" for step, place in sdk_steps().items() if step not in known]
    assert new == [], f"runpod {runpod.__version__} does something that steps.py does not account for: {', '.join(new)}"


def test_no_step_is_accounted_for_that_the_sdk_has_not() -> None:
    gone = ({*DONE_HERE, *LEFT_OUT}) - set(sdk_steps())
    assert gone == set(), f"runpod {runpod.__version__} no longer does: {', '.join(sorted(gone))}"


def test_no_step_is_both_taken_over_and_left_out() -> None:
    assert DONE_HERE.keys() & LEFT_OUT.keys() == set()


#: The names by which a step is taken here, where it is not by the SDK's own.
HERE = {
    "heartbeat.start_ping": "rp_ping.Heartbeat().start_ping",
    "JobsProgress": "worker_state.JobsProgress",
    "JobsProgress().set_mirror": "worker_state.JobsProgress().set_mirror",
    "PingJobMirror": "worker_state.PingJobMirror",
    "run_fitness_checks": "rp_fitness.run_fitness_checks",
    "self.run": "scaler.run",
    "signal.signal(signal.SIGTERM)": "loop.add_signal_handler",
    "signal.signal(signal.SIGINT)": "loop.add_signal_handler",
    "run_job": "rp_job.run_job",
    "send_result": "_post",
    "url_template.replace": "rp_http.JOB_DONE_URL.replace",
    "_transmit": "rp_http._transmit",
    "json.dumps": "asyncio.to_thread",
}


def test_each_step_is_taken_by_the_function_that_is_said_to() -> None:
    for step, said in DONE_HERE.items():
        place, _, name = step.partition(": ")
        if place == "worker.main":
            continue
        by = said.partition(",")[0]
        assert HERE.get(name, name) in steps(getattr(sdk, by)), f"{by} no longer takes the step {step}"


def test_what_the_sdk_would_lose_is_mended_where_serving_begins_and_ends() -> None:
    assert {"_ask_with_patience", "_finish_what_came_last", "set scaler.jobs_handler"} <= set(steps(sdk.serve))
