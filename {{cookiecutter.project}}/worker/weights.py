"""Brings the models that MinerU needs to where it looks for them, from where this worker keeps them.

baked: the image holds them. volume: a network volume does; the first worker downloads them to it, under a lock, and later
ones find them. cached: the platform's model cache holds the vision-language model, and the image the small ones, since an
endpoint caches one model only. MinerU looks into one folder with a folder for each model, and keeps its locks there; that one
is the worker's own, and links lead from it to the real files.
"""

import os
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import filelock

from worker import models
from worker.errors import NO_ROOM
from worker.log import log
from worker.models import Model, ModelUnavailable
from worker.settings import Settings

#: The platform's model cache, below the network volume's mount (RunPod documentation, model caching).
CACHE: Final = "huggingface-cache/hub"

#: Our models on a network volume, one folder for each revision, so that an upgrade disturbs no worker in service.
ON_VOLUME: Final = "mineru/models"


def provide(settings: Settings, missing: Iterable[str]) -> None:
    """Put in place each model that one of the ``missing`` paths, as the engine gives them, belongs to.

    Blocks: the first worker on an empty volume downloads gigabytes. Does nothing where MinerU may download by itself.

    Raises:
        ModelUnavailable: saying which model is missing, where it was looked for, and what to do.
    """
    if settings.model_source != "local":
        return
    folders = {Path(path).relative_to(settings.models_dir).parts[0] for path in missing}
    for model in [models.named(name) for name in sorted(folders)]:
        source = settings.image_models_dir / model.name
        if not models.is_complete(model, source):
            source = _kept(settings, model)
        _check(model, source)
        _link(model, source, settings.models_dir / model.name)
        log.info("model in place", model=model.repo, revision=model.revision, weights=settings.weights, folder=str(source))


def _kept(settings: Settings, model: Model) -> Path:
    """Where the model lies if it is not in the image."""
    if settings.weights == "volume":
        return _on_volume(settings, model)
    if settings.weights == "cached":
        return _in_cache(settings, model)
    raise ModelUnavailable(
        f"{model.name} is not in this image: there is no complete {settings.image_models_dir / model.name}. "
        "Build the image with its weights, or set MINERU_WEIGHTS=volume and attach a network volume."
    )


def _on_volume(settings: Settings, model: Model) -> Path:
    """The model's folder on the network volume, filled if need be."""
    if not settings.volume.is_dir():
        raise ModelUnavailable(
            f"MINERU_WEIGHTS=volume, and there is no {settings.volume} (MINERU_VOLUME): attach a network volume to the endpoint."
        )
    home = settings.volume / ON_VOLUME
    folder = home / f"{model.name}@{model.revision}"
    if models.is_complete(model, folder):
        return folder
    try:
        home.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(home / f"{folder.name}.lock", timeout=settings.weights_timeout):
            if not models.is_complete(model, folder):
                _fill(model, folder)
    except filelock.Timeout:
        raise ModelUnavailable(
            f"Another worker has been downloading {model.repo} to {folder} for more than "
            f"MINERU_WEIGHTS_TIMEOUT={settings.weights_timeout:g} s; if none is, delete {folder.name}.lock there."
        ) from None
    except OSError as error:
        full = error.errno in NO_ROOM
        advice = "the volume is full, give it more room" if full else f"let the image's user, {os.getuid()}, write there"
        raise ModelUnavailable(f"{model.repo} cannot be written to {folder} ({error.strerror}): {advice}.") from error
    return folder


def _fill(model: Model, folder: Path) -> None:
    """Download beside ``folder`` and rename: no worker ever sees half a model, and a download that was cut off goes on."""
    log.info("downloading a model to the volume", model=model.repo, revision=model.revision, folder=str(folder))
    partial = folder.with_name(f"{folder.name}.partial")
    models.fetch(model, partial)
    if folder.exists():
        folder.rename(folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.broken"))
    partial.rename(folder)


def _in_cache(settings: Settings, model: Model) -> Path:
    """The snapshot of the model in the platform's cache. Its folders have been seen in lower case, whatever the model's name."""
    cache = settings.volume / CACHE
    wanted = f"models--{model.repo.replace('/', '--')}".lower()
    repos = [path for path in (sorted(cache.iterdir()) if cache.is_dir() else []) if path.name.lower() == wanted]
    snapshots = [path for repo in repos if (repo / "snapshots").is_dir() for path in sorted((repo / "snapshots").iterdir())]
    chosen = [path for path in snapshots if path.name == model.revision] or [path for path in snapshots if path.name == _main(path)]
    if chosen or snapshots:
        return (chosen or snapshots)[0]
    raise ModelUnavailable(
        f"MINERU_WEIGHTS=cached, and {cache} holds no snapshot of {model.repo}: set the endpoint's model to {model.repo}, "
        "or choose other weights."
    )


def _main(snapshot: Path) -> str:
    """The commit that the snapshot's repository calls main; empty if it does not say."""
    try:
        return (snapshot.parent.parent / "refs" / "main").read_text("utf-8").strip()
    except OSError:
        return ""


def _check(model: Model, folder: Path) -> None:
    """Every file that the model is known by is there."""
    lacking = models.missing(model, folder)
    if lacking:
        raise ModelUnavailable(f"{model.name} is incomplete: {folder} lacks {', '.join(lacking)}.")


def _link(model: Model, source: Path, place: Path) -> None:
    """Make ``place`` a folder of links into ``source``, with MinerU's marker; a folder of its own, since a cache is read-only."""
    if place == source:
        return
    fresh = place.with_name(f".{place.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for entry in source.iterdir():
        if entry.name not in (models.MARKER, models.DOWNLOAD_STATE):
            (fresh / entry.name).symlink_to(entry)
    models.mark(model, fresh)
    shutil.rmtree(place, ignore_errors=True)
    fresh.rename(place)
