"""Checks before serving: each names what is missing, where, and what to do."""

from pathlib import Path

import pytest

from worker import fitness
from worker.engine import Engine
from worker.settings import Settings


def test_a_temp_folder_that_can_be_written_and_has_room_passes(tmp_path: Path) -> None:
    fitness.check_temp_folder(Settings(temp_dir=tmp_path, min_free_disk_mb=1))


def test_a_temp_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(fitness.Unfit, match=r"MINERU_TEMP_DIR=.*absent cannot be written \(No such file or directory\)"):
        fitness.check_temp_folder(Settings(temp_dir=tmp_path / "absent"))


def test_too_little_disk_is_told_in_numbers(tmp_path: Path) -> None:
    with pytest.raises(fitness.Unfit, match=r"MB free, MINERU_MIN_FREE_DISK_MB asks for 1000000000"):
        fitness.check_temp_folder(Settings(temp_dir=tmp_path, min_free_disk_mb=1_000_000_000))


async def test_missing_models_are_named_unless_mineru_may_download_or_nothing_is_warmed_up(tmp_path: Path) -> None:
    def settings(**choices: str) -> Settings:
        return Settings.model_validate({"tier": "standard", "home": tmp_path, **choices})

    engine = Engine(settings())
    await engine.start()
    with pytest.raises(fitness.Unfit, match="tier standard needs model files that are not here: "):
        fitness.check_models(settings(), engine)
    fitness.check_models(settings(model_source="huggingface"), engine)
    fitness.check_models(settings(warmup="skip"), engine)
