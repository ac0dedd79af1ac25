"""Weights: downloaded at a revision into the layout MinerU expects, once for a volume, or found in the platform's cache."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest
from model_hub import COMMIT, Hub

from worker import choices, models, weights
from worker.models import Model, ModelUnavailable
from worker.settings import Settings

VLM = "MinerU2.5-Pro-2605-1.2B"
FOLDER = Path(__file__).parent.parent


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub that publishes every model of models.json, each path a small file or a folder of one, and a file more."""
    listed = json.loads(models.CATALOGUE.read_text("utf-8"))
    files = {}
    for entry in listed.values():
        paths = entry.get("paths", ["config.json", "model.safetensors"])
        named = [path if "." in path.rpartition("/")[2] else f"{path}/weights.bin" for path in paths]
        files[entry["repo"]] = {path: path.encode() for path in [*named, "unwanted/readme.md"]}
    with Hub(files) as running:
        yield running


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A network volume, attached and empty."""
    folder = tmp_path / "runpod-volume"
    folder.mkdir()
    return folder


def settings(tmp_path: Path, **values: object) -> Settings:
    """A worker's settings with everything below ``tmp_path``."""
    places = {"home": tmp_path / "home", "image_models_dir": tmp_path / "image", "volume": tmp_path / "runpod-volume"}
    return Settings.model_validate({"weights": "volume", **places, **values})


def lacking(settings: Settings, name: str = VLM) -> list[str]:
    """What an engine that lacks a model says."""
    return [str(settings.models_dir / name / models.MARKER)]


def provide(hub: Hub, tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Have a worker's process put the vision-language model in place; huggingface_hub reads where its hub is at import."""
    code = (
        "from pathlib import Path; from worker import weights, models; from worker.settings import Settings; s = Settings()\n"
        f"weights.provide(s, [str(s.models_dir / {VLM!r} / models.MARKER)])"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HF_ENDPOINT": hub.url,
        "HOME": str(tmp_path),
        "MINERU_HOME": str(tmp_path / "home"),
        "MINERU_IMAGE_MODELS_DIR": str(tmp_path / "image"),
        "MINERU_VOLUME": str(tmp_path / "runpod-volume"),
        "MINERU_WEIGHTS": "volume",
        **variables,
    }
    return subprocess.run([sys.executable, "-c", code], cwd=FOLDER, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", json.loads(models.CATALOGUE.read_text("utf-8")))
def test_a_model_is_fetched_with_what_it_needs_and_nothing_else(hub: Hub, tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-m", "worker.models", "fetch", name, str(tmp_path / "model")]
    subprocess.run(command, cwd=FOLDER, env={**os.environ, "HF_ENDPOINT": hub.url, "HOME": str(tmp_path)}, check=True)
    model = models.named(name)
    assert models.is_complete(model, tmp_path / "model")
    assert models.missing(model, tmp_path / "model") == []
    assert (tmp_path / "model" / "unwanted").exists() is not bool(model.paths)


def test_a_file_that_the_hub_lists_and_does_not_send_fails_the_download(hub: Hub, tmp_path: Path) -> None:
    hub.absent = {"model.safetensors"}
    command = [sys.executable, "-m", "worker.models", "fetch", VLM, str(tmp_path / "model")]
    environment = {**os.environ, "HF_ENDPOINT": hub.url}
    run = subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True, check=False)
    assert "ModelUnavailable" in run.stderr
    assert not models.is_complete(models.named(VLM), tmp_path / "model")


def test_an_unreachable_hub_does_not_pass_half_a_model_for_whole(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "runpod-volume" / weights.ON_VOLUME / f"{VLM}@{models.named(VLM).revision}.partial"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    run = provide(hub, tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert "cannot be downloaded" in run.stderr
    assert not (tmp_path / "home" / "models" / VLM).exists()


def test_the_first_worker_fills_the_volume_and_the_next_finds_it_filled(hub: Hub, tmp_path: Path, volume: Path) -> None:
    first = provide(hub, tmp_path)
    assert first.returncode == 0, first.stderr
    sent = len(hub.downloads)
    second = provide(hub, tmp_path / "other", MINERU_VOLUME=str(volume))
    assert second.returncode == 0, second.stderr
    assert len(hub.downloads) == sent == 3
    for worker in (tmp_path, tmp_path / "other"):
        assert (worker / "home" / "models" / VLM / "config.json").read_bytes() == b"config.json"
        assert (worker / "home" / "models" / VLM / ".mineru_complete").is_file()


def test_two_workers_at_once_download_once(hub: Hub, tmp_path: Path, volume: Path) -> None:
    runs = []
    threads = [
        threading.Thread(target=lambda home=home: runs.append(provide(hub, home, MINERU_VOLUME=str(volume))))
        for home in (tmp_path / "a", tmp_path / "b")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.returncode for run in runs] == [0, 0]
    assert sorted(hub.downloads) == ["config.json", "model.safetensors", "unwanted/readme.md"]


def test_a_lock_that_is_never_released_is_named(tmp_path: Path, volume: Path) -> None:
    model = models.named(VLM)
    (volume / weights.ON_VOLUME).mkdir(parents=True)
    configured = settings(tmp_path, weights_timeout=0.1)
    lock = volume / weights.ON_VOLUME / f"{VLM}@{model.revision}.lock"
    with filelock.FileLock(lock), pytest.raises(ModelUnavailable, match=f"MINERU_WEIGHTS_TIMEOUT=0.1 s.*{lock.name}"):
        weights.provide(configured, lacking(configured))


def test_without_a_volume_the_error_says_to_attach_one(tmp_path: Path) -> None:
    configured = settings(tmp_path)
    with pytest.raises(ModelUnavailable, match="attach a network volume"):
        weights.provide(configured, lacking(configured))


def test_another_revision_of_a_volume_s_model_is_another_folder(tmp_path: Path, volume: Path) -> None:
    model = Model(VLM, "opendatalab/x", "other")
    folder = volume / weights.ON_VOLUME / f"{VLM}@main"
    folder.mkdir(parents=True)
    models.mark(models.named(VLM), folder)
    assert not models.is_complete(model, folder)


@pytest.mark.parametrize("lower", [False, True])
def test_the_platform_s_cache_is_found_whatever_the_case_of_its_folders(tmp_path: Path, volume: Path, lower: bool) -> None:
    name = f"models--opendatalab--{VLM}"
    snapshot = volume / weights.CACHE / (name.lower() if lower else name) / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    configured = settings(tmp_path, weights="cached")
    weights.provide(configured, lacking(configured))
    assert (configured.models_dir / VLM / "config.json").read_text() == "{}"
    assert not (snapshot / models.MARKER).exists()


def test_of_several_cached_snapshots_the_one_that_main_names_is_taken(tmp_path: Path, volume: Path) -> None:
    repo = volume / weights.CACHE / f"models--opendatalab--{VLM}"
    for commit in ("aaa", "bbb", "ccc"):
        (repo / "snapshots" / commit).mkdir(parents=True)
        (repo / "snapshots" / commit / "config.json").write_text(commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("bbb\n")
    configured = settings(tmp_path, weights="cached")
    weights.provide(configured, lacking(configured))
    assert (configured.models_dir / VLM / "config.json").read_text() == "bbb"


def test_an_incomplete_cache_names_the_missing_file_and_its_folder(tmp_path: Path, volume: Path) -> None:
    snapshot = volume / weights.CACHE / f"models--opendatalab--{VLM}" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    configured = settings(tmp_path, weights="cached")
    with pytest.raises(ModelUnavailable, match=rf"{COMMIT} lacks config\.json"):
        weights.provide(configured, lacking(configured))


def test_an_empty_cache_says_which_model_the_endpoint_must_name(tmp_path: Path) -> None:
    configured = settings(tmp_path, weights="cached")
    with pytest.raises(ModelUnavailable, match=f"set the endpoint's model to opendatalab/{VLM}"):
        weights.provide(configured, lacking(configured))


def test_what_is_in_the_image_is_used_whatever_the_mode(tmp_path: Path) -> None:
    configured = settings(tmp_path, weights="cached")
    folder = configured.image_models_dir / VLM
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    models.mark(models.named(VLM), folder)
    weights.provide(configured, lacking(configured))
    assert (configured.models_dir / VLM / "config.json").resolve() == folder / "config.json"


def test_an_image_without_its_weights_says_so(tmp_path: Path) -> None:
    configured = settings(tmp_path, weights="baked")
    with pytest.raises(ModelUnavailable, match="Build the image with its weights"):
        weights.provide(configured, lacking(configured))


def test_where_mineru_may_download_nothing_is_done(tmp_path: Path) -> None:
    configured = settings(tmp_path, model_source="huggingface")
    weights.provide(configured, lacking(configured))
    assert not configured.models_dir.exists()


def test_pinning_writes_the_commits_down(hub: Hub, tmp_path: Path) -> None:
    package = tmp_path / "worker"
    package.mkdir()
    for name in ("__init__.py", "models.py", "models.json"):
        (package / name).write_bytes((FOLDER / "worker" / name).read_bytes())
    environment = {**os.environ, "HF_ENDPOINT": hub.url}
    subprocess.run([sys.executable, "-m", "worker.models", "pin"], cwd=tmp_path, env=environment, check=True)
    pinned = json.loads((package / "models.json").read_text())
    assert {entry["revision"] for entry in pinned.values()} == {COMMIT}


@pytest.mark.skipif(choices.STACK != "mineru-4.0", reason="MinerU 3 has no list of its models")
def test_the_list_of_models_is_mineru_s() -> None:
    from mineru.model.registry import MODEL_REPOS_BY_NAME

    for name, repo in MODEL_REPOS_BY_NAME.items():
        model = models.named(name)
        assert model.repo == repo.repos["huggingface"]
        assert set(model.paths) == {path.relative_path for path in repo.required_paths()}


@pytest.mark.skipif(choices.STACK != "mineru-4.0", reason="MinerU 3 has no marker")
@pytest.mark.usefixtures("volume")
def test_mineru_takes_a_fetched_and_linked_model_for_complete(hub: Hub, tmp_path: Path) -> None:
    provide(hub, tmp_path).check_returncode()
    code = f"from mineru.model import registry; print(registry.get_model_repo({VLM!r}).ensure() / 'config.json')"
    environment = {**os.environ, "MINERU_HOME": str(tmp_path / "home"), "MINERU_MODEL_SOURCE": "local"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert Path(run.stdout.strip()).read_bytes() == b"config.json"
