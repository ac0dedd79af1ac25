"""A worker process: what it is given, what is heard of it, and how it ends."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ops.control_plane import ControlPlane
from ops.local_worker import LocalWorker, WorkerError

PRINT_ENVIRONMENT = "import json, os; print(json.dumps({**os.environ, 'cwd': os.getcwd()}))"


def local_worker(control_plane: ControlPlane, program: str, **options: Any) -> LocalWorker:
    return LocalWorker(control_plane, command=(sys.executable, "-c", program), **options)


async def environment_of(worker: LocalWorker) -> dict[str, str]:
    async with worker:
        await worker.wait()
    environment: dict[str, str] = json.loads(worker.log)
    return environment


async def test_it_starts_in_a_home_and_a_working_folder_of_its_own(control_plane: ControlPlane) -> None:
    worker = local_worker(control_plane, PRINT_ENVIRONMENT)
    environment = await environment_of(worker)
    assert Path(environment["HOME"]).parent == Path(environment["cwd"]).parent == worker.folder
    assert environment["HOME"] != str(Path.home())
    assert not worker.folder.exists()


async def test_of_this_process_it_inherits_all_but_the_platforms_variables(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RUNPOD_REALTIME_PORT", "PYTHONDONTWRITEBYTECODE", "KEPT"):
        monkeypatch.setenv(name, "1")
    environment = await environment_of(local_worker(control_plane, PRINT_ENVIRONMENT, environment={"MINERU_TIER": "basic"}))
    assert {"RUNPOD_REALTIME_PORT", "PYTHONDONTWRITEBYTECODE"}.isdisjoint(environment)
    assert (environment["KEPT"], environment["MINERU_TIER"]) == ("1", "basic")


async def test_one_that_ends_before_it_serves_is_reported_with_its_last_words(control_plane: ControlPlane) -> None:
    async with local_worker(control_plane, "raise SystemExit('no model here')") as worker:
        with pytest.raises(WorkerError, match=r"exit code 1[\s\S]*no model here"):
            await worker.wait_ready()


async def test_one_that_never_serves_is_reported_too(control_plane: ControlPlane) -> None:
    async with local_worker(control_plane, "import time; print('hm', flush=True); time.sleep(60)") as worker:
        await worker.line("hm")
        with pytest.raises(TimeoutError, match=r"did not serve[\s\S]*hm"):
            await worker.wait_ready(within=0.01)


async def test_sigterm_ends_it_with_its_own_exit_code(control_plane: ControlPlane) -> None:
    program = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(7)); print('up', flush=True); time.sleep(60)"
    async with local_worker(control_plane, program) as worker:
        await worker.line("up")
        assert await worker.terminate() == worker.returncode == 7


async def test_a_kill_takes_its_children_along(control_plane: ControlPlane) -> None:
    program = "import subprocess; child = subprocess.Popen(['sleep', '60']); print(child.pid, flush=True); child.wait()"
    async with local_worker(control_plane, program) as worker:
        await worker.line("")
        assert await worker.kill() == -9
        child = Path("/proc", worker.log)
        for _ in range(100):  # Whoever adopted the child still has to clear it away.
            if not await asyncio.to_thread(child.exists) or "(sleep) Z" in await asyncio.to_thread((child / "stat").read_text):
                return
            await asyncio.sleep(0.05)
    pytest.fail("The child outlived its worker.")


async def test_every_line_is_passed_on_even_after_one_that_is_too_long(control_plane: ControlPlane) -> None:
    heard: list[str] = []
    async with local_worker(control_plane, "print('x' * 3_000_000); print('after')", on_line=heard.append) as worker:
        await worker.wait()
    assert heard[-1] == "after"
