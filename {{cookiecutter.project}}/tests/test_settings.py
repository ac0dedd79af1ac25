"""The knobs: names as operators know them, refusals with the variable's name, secrets that do not show."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from worker.settings import Settings


def test_values_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINERU_CONCURRENCY", "4")
    monkeypatch.setenv("BUCKET_NAME", "results")
    monkeypatch.setenv("MINERU_VOLUME_ROOTS", "/a:/b")
    settings = Settings()
    assert (settings.concurrency, settings.bucket_name, settings.volume_roots) == (4, "results", (Path("/a"), Path("/b")))


def test_the_founding_workers_switch_still_skips_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINERU_SKIP_WARMUP", "1")
    assert Settings().warmup_mode == "skip"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINERU_CONCURRENCY", "")
    assert Settings().concurrency >= 1


def test_s3_as_the_default_transport_needs_a_bucket() -> None:
    with pytest.raises(ValidationError, match="needs BUCKET_NAME"):
        Settings(transport="s3")


def test_secrets_do_not_show_in_a_dump(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUCKET_SECRET_ACCESS_KEY", "hunter2hunter2")
    settings = Settings()
    assert "hunter2" not in f"{settings!r} {settings.model_dump(mode='json')}"


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_a_bad_variable_stops_the_worker_with_its_name_and_value() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "worker"],
        env={"PATH": "/usr/bin:/bin", "MINERU_CONCURRENCY": "many"},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert "MINERU_CONCURRENCY" in run.stderr
    assert "'many'" in run.stderr
