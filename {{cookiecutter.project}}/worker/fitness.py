"""What must be true of this machine before the worker serves: checks of our own, run with the SDK's.

A check that raises ends the process; the platform is told its name and message and replaces the worker.
"""

import shutil
import tempfile

from worker import hooks, sdk, weights
from worker.boot import Boot
from worker.engine import Engine
from worker.settings import MB, Settings


class Unfit(RuntimeError):
    """This worker cannot serve; the message says what is missing, where, and what to do."""


def register(settings: Settings, engine: Engine, boot: Boot) -> None:
    """Register every check with the SDK, cheapest first."""

    def temp_folder() -> None:
        check_temp_folder(settings)

    async def models() -> None:
        with boot.phase("imports"):
            await engine.start()
        provide_models(settings, engine, boot)
        check_models(settings, engine)

    async def custom() -> None:
        await hooks.fitness_check(settings)

    sdk.register_fitness_check(temp_folder)
    sdk.register_fitness_check(models)
    sdk.register_fitness_check(custom)


def check_temp_folder(settings: Settings) -> None:
    """The folder for documents and results can be written and has room.

    Raises:
        Unfit: naming the folder, and the space it has and needs in MB.
    """
    folder = settings.temp_dir
    try:
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free // MB
    except OSError as error:
        raise Unfit(
            f"MINERU_TEMP_DIR={folder} cannot be written ({error.strerror}); name a folder the worker's user may write."
        ) from error
    if free < settings.min_free_disk_mb:
        raise Unfit(
            f"MINERU_TEMP_DIR={folder} has {free} MB free, MINERU_MIN_FREE_DISK_MB asks for {settings.min_free_disk_mb}; "
            "give the endpoint a larger container disk."
        )


def provide_models(settings: Settings, engine: Engine, boot: Boot) -> None:
    """Put the models of the default tier where MinerU looks for them, from the image, the volume or the platform's cache.

    Blocks: nothing else runs yet, and a thread would still be there when the heartbeat is forked.

    Raises:
        ModelUnavailable: saying which model is missing, where it was looked for, and what to do.
    """
    missing = engine.missing_models(settings.tier)
    if missing and settings.warmup_mode != "skip":
        with boot.phase("weights"):
            weights.provide(settings, missing)


def check_models(settings: Settings, engine: Engine) -> None:
    """The models that the default tier needs are here, unless MinerU may download them or nothing is to be warmed up.

    Raises:
        Unfit: naming every file that is missing.
    """
    if settings.model_source != "local" or settings.warmup_mode == "skip":
        return
    missing = engine.missing_models(settings.tier)
    if missing:
        raise Unfit(
            f"tier {settings.tier} needs model files that are not here: {', '.join(missing)}. "
            "Build the image with its weights, mount the volume that holds them, or set MINERU_TIER=flash."
        )
