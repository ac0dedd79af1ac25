"""Compiled code: kept on the volume for the next worker with the same stack and GPU architecture, and for no other."""

import os
import shutil
from pathlib import Path

import pytest

from worker import caches
from worker.settings import Settings


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No compiler's variable is set before or after, and only what a test puts there is found as a program."""
    monkeypatch.setattr(os, "environ", {**os.environ, "PATH": str(tmp_path / "bin")})
    for name in caches.FOLDERS:
        os.environ.pop(name, None)


@pytest.fixture
def worker(tmp_path: Path) -> Settings:
    """A worker with a volume and an RTX A5000, whose own disk is empty."""
    (tmp_path / "volume").mkdir()
    gpu(tmp_path, "8.6")
    return Settings.model_validate({"home": tmp_path / "home", "volume": tmp_path / "volume"})


def gpu(tmp_path: Path, capability: str) -> None:
    """Put a driver's tool on the path that reports a GPU of this compute capability."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir(exist_ok=True)
    tool.write_text(f"#!/bin/sh\necho {capability}\n")
    tool.chmod(0o755)


def boot(settings: Settings, compiles: str = "") -> str:
    """One worker's boot on an empty disk: it compiles a file of that name unless the volume had it."""
    shutil.rmtree(settings.home, ignore_errors=True)
    cache = caches.open_cache(settings)
    file = settings.home / "compiled" / "vllm" / "torch_compile_cache" / compiles
    if compiles and not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(300_000))
    return cache.close()


def test_the_first_boot_misses_and_the_next_hits(worker: Settings) -> None:
    assert [boot(worker, "graph"), boot(worker, "graph")] == ["miss", "hit"]


def test_what_a_boot_adds_is_there_for_the_one_after_it(worker: Settings) -> None:
    assert [boot(worker, "a"), boot(worker, "b"), boot(worker, "b")] == ["miss", "miss", "hit"]


def test_another_architecture_has_a_cache_of_its_own(worker: Settings, tmp_path: Path) -> None:
    boot(worker, "graph")
    gpu(tmp_path, "8.9")
    assert boot(worker, "graph") == "miss"


def test_without_a_volume_or_a_gpu_or_when_told_it_is_off(worker: Settings, tmp_path: Path) -> None:
    assert boot(worker.model_copy(update={"volume": tmp_path / "none"})) == "off"
    assert boot(worker.model_copy(update={"compile_cache": False})) == "off"
    (tmp_path / "bin" / "nvidia-smi").unlink()
    assert boot(worker) == "off"


def test_the_compilers_are_pointed_at_the_folder_unless_told_otherwise(worker: Settings) -> None:
    os.environ["TRITON_CACHE_DIR"] = "/elsewhere"
    caches.open_cache(worker)
    assert os.environ["VLLM_CACHE_ROOT"] == str(worker.home / "compiled" / "vllm")
    assert os.environ["TRITON_CACHE_DIR"] == "/elsewhere"
