"""The Hub's page: its form is the worker's settings, and what the Hub tests with is what the worker accepts."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ops import hub
from worker import request
from worker.settings import Settings

FOLDER = Path(__file__).parent
FIELDS = {entry["key"]: entry["input"] for entry in hub.form() if "input" in entry}


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize(("name", "schema"), [("hub.json", "hub.schema.json"), ("tests.json", "hub-tests.schema.json")])
def test_the_hub_can_read_it(name: str, schema: str) -> None:
    jsonschema.validate(read(hub.FILE.with_name(name)), read(FOLDER / schema))


def test_the_form_is_up_to_date() -> None:
    text = hub.FILE.read_text("utf-8")
    assert text == hub.render(text), "run make hub"


def test_every_setting_is_in_the_form_or_left_out_on_purpose() -> None:
    named = {hub.variable(name, field) for name, field in Settings.model_fields.items() if name not in hub.LEFT_OUT}
    assert named == FIELDS.keys()
    assert set(hub.LEFT_OUT) < Settings.model_fields.keys()


@pytest.mark.parametrize("key", FIELDS)
def test_the_worker_accepts_what_the_form_offers(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    field = FIELDS[key]
    offered = [option["value"] for option in field.get("options", [])]
    offered += [field[name] for name in ("trueValue", "falseValue", "max", "default") if name in field]
    monkeypatch.setenv("BUCKET_NAME", "needed-for-s3")
    for value in offered:
        monkeypatch.setenv(key, str(value))
        Settings()


def test_a_description_too_long_for_the_hub_is_refused() -> None:
    page = read(hub.FILE)
    page["config"]["env"][-1]["input"]["description"] = "x" * 191
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(page, read(FOLDER / "hub.schema.json"))


def test_the_worker_accepts_the_hub_s_tests() -> None:
    for test in read(hub.FILE.with_name("tests.json"))["tests"]:
        request.read(test["input"], Settings())


def test_the_platform_waits_as_long_as_the_worker_may_boot() -> None:
    dockerfile = (FOLDER.parent / "Dockerfile").read_text("utf-8")
    [seconds] = [entry["value"] for entry in hub.form() if entry["key"] == "RUNPOD_INIT_TIMEOUT"]
    assert f"RUNPOD_INIT_TIMEOUT={seconds} " in dockerfile
