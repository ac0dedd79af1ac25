"""What is renewed after a freeze, step by step, and the self-test."""

import os
import random
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from documents import TABLE
from marks import needs_proc

from worker import bucket, restore, telemetry
from worker.boot import Boot
from worker.engine import Engine
from worker.errors import Garbled
from worker.freeze_watch import Stop
from worker.handler import Handler
from worker.settings import Settings

RESTORED = Stop("restored", 61.5, ("stood_still",))


# Each step.


async def nothing_read() -> str:
    return ""


def renewal(boot: Boot, read: Callable[[], Any] = nothing_read, **settings: Any) -> restore.Renewal:
    return restore.Renewal(Settings(**settings), boot, read)


async def test_nothing_is_renewed_without_a_stop_and_once_after_one(tmp_path: Path) -> None:
    boot, folder = Boot(), tmp_path / "temp"
    renewing = renewal(boot, temp_dir=folder)
    await renewing.finish()
    assert not folder.exists()
    boot.note(RESTORED)
    await renewing.finish()
    folder.rmdir()
    await renewing.finish()
    assert not folder.exists()


async def test_a_step_that_fails_is_logged_and_the_others_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise OSError("no entropy")

    monkeypatch.setattr(restore, "reseed", fail)
    boot = Boot()
    boot.note(RESTORED)
    await renewal(boot, temp_dir=tmp_path / "temp").finish()
    assert (tmp_path / "temp").is_dir()
    assert "no entropy" in capsys.readouterr().out


async def test_the_s3_client_and_the_collectors_connections_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    dropped = []
    monkeypatch.setattr(bucket, "renew", lambda: dropped.append("s3"))
    monkeypatch.setattr(telemetry, "renew", lambda: dropped.append("telemetry"))
    boot = Boot()
    boot.note(RESTORED)
    await renewal(boot).finish()
    assert dropped == ["s3", "telemetry"]


def test_two_restores_of_one_snapshot_draw_different_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    drawn: list[int] = []
    for _ in range(2):
        random.seed(1)
        numpy.random.seed(1)
        restore.reseed()
        drawn += [random.getrandbits(64), int(numpy.random.randint(2**62))]
    assert len(set(drawn)) == 4


def test_torch_is_reseeded_where_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(manual_seed=seeds.append))
    restore.reseed()
    restore.reseed()
    assert len(set(seeds)) == 2


@needs_proc
def test_open_connections_are_probed_by_the_kernel_and_stay_usable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as connection:
        accepted, _ = server.accept()
        connection.setblocking(False)
        restore.probe_connections()
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == restore.UNACKNOWLEDGED * 1000
        with accepted:
            connection.send(b"still here")
            assert accepted.recv(100) == b"still here"
        assert not connection.getblocking()


@needs_proc
def test_probing_leaves_no_file_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with socket.socket(), socket.socket(socket.AF_UNIX):
        restore.probe_connections()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_platforms_variables_are_taken_over_where_the_containers_first_process_has_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNPOD_POD_HOSTNAME", "old")
    monkeypatch.setenv("RUNPOD_POD_ID", "same")
    environment = tmp_path / "environ"
    environment.write_bytes(b"PATH=/elsewhere\0RUNPOD_POD_ID=same\0RUNPOD_POD_HOSTNAME=new=1\0")
    assert restore.adopt_environment(environment) == ["RUNPOD_POD_HOSTNAME"]
    assert os.environ["RUNPOD_POD_HOSTNAME"] == "new=1"
    assert os.environ["PATH"] != "/elsewhere"
    assert restore.adopt_environment(tmp_path / "none") == []


# The self-test.


def reading(text: str) -> Callable[[], Any]:
    async def read() -> str:
        return text

    return read


PAGE = "# Tides at Saltmere\n\nWhat raises the tide is the moon, and to a lesser part the sun.\n"


@pytest.mark.parametrize("text", [PAGE, PAGE.replace("lesser", "Iesser")], ids=["equal", "a letter turned"])
async def test_a_worker_that_reads_as_before_goes_on(text: str) -> None:
    boot = Boot()
    boot.fixture_read.append(PAGE)
    boot.note(RESTORED)
    await renewal(boot, reading(text), selftest_after_restore=True).finish()


async def test_a_worker_that_reads_garbage_answers_each_job_with_an_error_and_is_replaced() -> None:
    boot = Boot()
    boot.fixture_read.append(PAGE)
    boot.note(RESTORED)
    renewing = renewal(boot, reading("!!!!!!!!!!!!!!"), selftest_after_restore=True)
    await renewing.finish(alone=True)
    handler = Handler(Settings(), Engine(Settings()), boot, renewing)
    for _ in range(2):
        response = await handler.handle({"id": "job-1", "input": TABLE})
        assert "came back damaged" in response["error"]
        assert response["refresh_worker"] is True


async def test_a_worker_that_cannot_read_any_more_is_replaced_too() -> None:
    async def fail() -> str:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    boot = Boot()
    boot.fixture_read.append(PAGE)
    boot.note(RESTORED)
    with pytest.raises(Garbled):
        await renewal(boot, fail, selftest_after_restore=True).finish()


async def test_without_the_setting_nothing_is_read() -> None:
    boot = Boot()
    boot.fixture_read.append(PAGE)
    boot.note(RESTORED)
    await renewal(boot, reading("garbage")).finish()


def test_a_self_test_with_nothing_to_compare_with_is_refused() -> None:
    with pytest.raises(ValueError, match="MINERU_SELFTEST_AFTER_RESTORE=1 compares with what the warm-up read"):
        Settings(selftest_after_restore=True, skip_warmup=True)
