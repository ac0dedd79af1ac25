"""The SDK's internals that ``worker/sdk.py`` uses: where they are, what they take, and whether they are awaited."""

import ast
import asyncio
import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import runpod
from runpod.serverless.modules.worker_state import JobsProgress

from worker import sdk
from worker.choices import SDK_SUPPORTED

SOURCE = Path(sdk.__file__)
SERVERLESS = "runpod.serverless.modules."

#: Each internal: its signature, and async where it is a coroutine function. A class stands for its constructor.
SHAPES = {
    "rp_fitness.register_fitness_check": "(func)",
    "rp_fitness.run_fitness_checks": "async ()",
    "rp_ping.Heartbeat": "(pool_connections, retries)",
    "rp_ping.Heartbeat.start_ping": "(self, mirror, test)",
    "rp_ping.Heartbeat.process_loop": "(mirror, test)",
    "worker_state.PingJobMirror": "(capacity, ctx)",
    "worker_state.JobsProgress": "()",
    "worker_state.JobsProgress.set_mirror": "(self, mirror)",
    "rp_scale.JobScaler": "(config)",
    "rp_scale.JobScaler.run": "async (self)",
    "rp_scale.JobScaler.kill_worker": "(self)",
    "rp_scale.JobScaler.handle_shutdown": "(self, signum, frame)",
    "rp_scale.JobScaler.handle_job": "async (self, session, job)",
    "rp_scale.JobScaler.stop_job": "async (self, job_id)",
    "rp_scale._handle_uncaught_exception": "(exc_type, exc_value, exc_traceback)",
    "rp_job.run_job": "async (handler, job)",
    "rp_job.get_job": "async (session, num_jobs)",
    "rp_job.get_stop_signals": "async (session)",
    "rp_job._job_stop_url": "()",
    "rp_http._transmit": "async (client_session, url, job_data)",
    "rp_http.send_result": "async (session, job_data, job, is_stream)",
}

#: What a JobScaler holds that ``sdk.py`` reads or replaces, by type.
HELD: dict[str, type | str] = {
    "_shutdown_event": asyncio.Event,
    "jobs_queue": asyncio.Queue,
    "job_progress": JobsProgress,
    "jobs_fetcher": "rp_job.get_job",
    "stop_signals_fetcher": "rp_job.get_stop_signals",
    "jobs_handler": "rp_job.handle_job",
}


def found(path: str) -> Any:
    """The internal at ``module.name…``; fails naming the SDK's release and what is missing."""
    module, *names = path.split(".")
    thing: Any = importlib.import_module(SERVERLESS + module)
    for name in names:
        assert hasattr(thing, name), f"runpod {runpod.__version__} has no {path}; worker/sdk.py needs it"
        thing = getattr(thing, name)
    return thing


def shape(thing: Any) -> str:
    parameters = ", ".join(inspect.signature(thing).parameters)
    return f"{'async ' if inspect.iscoroutinefunction(thing) else ''}({parameters})"


def used() -> set[str]:
    """Every ``module.name`` of the SDK that sdk.py mentions, and every attribute of its scaler."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    modules = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == SERVERLESS.rstrip(".")
        for alias in node.names
    }
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    direct = {
        f"{node.value.id}.{node.attr}" for node in attributes if isinstance(node.value, ast.Name) and node.value.id in modules
    }
    scaler = {
        f"rp_scale.JobScaler.{node.attr}" for node in attributes if isinstance(node.value, ast.Name) and node.value.id == "scaler"
    }
    return direct | scaler


@pytest.mark.parametrize("path", SHAPES)
def test_an_internal_is_where_it_was_and_takes_what_it_took(path: str) -> None:
    assert shape(found(path)) == SHAPES[path], f"runpod {runpod.__version__}: {path} has changed"


@pytest.mark.parametrize("name", HELD)
async def test_a_scaler_holds_what_it_held(name: str) -> None:
    scaler = found("rp_scale.JobScaler")({"handler": None})
    assert hasattr(scaler, name), f"runpod {runpod.__version__}: a JobScaler holds no {name}; worker/sdk.py needs it"
    kind, held = HELD[name], getattr(scaler, name)
    assert held is found(kind) if isinstance(kind, str) else isinstance(held, kind)


def test_the_result_url_is_kept_where_it_was() -> None:
    assert isinstance(found("rp_http.JOB_DONE_URL"), str)


def test_the_job_take_and_job_stop_urls_are_made_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    rp_job = importlib.import_module(SERVERLESS + "rp_job")
    monkeypatch.setattr(rp_job, "JOB_GET_URL", "http://platform/v2/e/job-take/w?gpu=x")
    assert rp_job._job_get_url(1).startswith("http://platform/v2/e/job-take/w?gpu=x&job_in_progress=")
    assert "/job-take-batch/w?gpu=x&batch_size=3" in rp_job._job_get_url(3)
    assert rp_job._job_stop_url() == "http://platform/v2/e/job-stop/w?gpu=x"


def test_everything_that_is_used_is_checked_here() -> None:
    checked = {*SHAPES, "rp_http.JOB_DONE_URL", *(f"rp_scale.JobScaler.{name}" for name in HELD)}
    assert used() - checked == set()
    assert {path for path in checked if path.count(".") == 1} - used() <= {"rp_job.get_job", "rp_job.get_stop_signals"}


def test_only_sdk_py_imports_the_internals() -> None:
    trees = {path.name: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCE.parent.glob("*.py")}
    importing = {
        name
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(SERVERLESS.rstrip("."))
    }
    assert importing == {"sdk.py"}


def test_the_installed_release_is_one_that_is_supported() -> None:
    assert runpod.__version__ in SDK_SUPPORTED, f"runpod {runpod.__version__} is not among {', '.join(SDK_SUPPORTED)}"
