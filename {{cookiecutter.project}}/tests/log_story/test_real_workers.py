"""The logs of real workers are told as it was."""

import asyncio
import json
import time
from pathlib import Path

import pytest
from documents import TABLE
from programs import sdk_command

from log_story import stamped, story
from ops.control_plane import ControlPlane
from ops.freeze import Platform
from ops.hosts import Endpoint
from ops.local_worker import DEFAULTS


@pytest.mark.skipif(DEFAULTS["MINERU_TIER"] != "flash", reason="the worker of this stack needs models to warm up")
@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_a_real_worker_is_told_as_it_was(control_plane: ControlPlane, log_format: str, tmp_path: Path) -> None:
    lines: list[str] = []
    environment = {"MINERU_LOG_FORMAT": log_format, "MINERU_TEMP_DIR": str(tmp_path)}
    if log_format == "json":
        environment["RUNPOD_ENDPOINT_ID"] = "local"
    truth, said = {}, {}
    async with Platform(
        control_plane, Endpoint(hosts=("A",), idle_timeout=1), environment=environment, on_line=lambda _, line: lines.append(line)
    ) as platform:
        for wait in (False, False, True):
            if wait:
                await platform.scaled_to_zero()
                await asyncio.sleep(2)
            done = await control_plane.submit(TABLE).finished()
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
    lines: list[tuple[float, str]] = []
    begun = time.monotonic()
    truth = {}
    async with Platform(
        control_plane,
        Endpoint(hosts=("A",), idle_timeout=3),
        command=sdk_command(tmp_path),
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
