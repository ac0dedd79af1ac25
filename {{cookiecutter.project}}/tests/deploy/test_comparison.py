"""How the declared endpoint differs from the live one."""

import copy
from pathlib import Path
from typing import Any

import pytest

from deploy import ENVIRONMENT, changed, read
from ops.deploy import comparison, declaration
from ops.deploy.comparison import Change


@pytest.fixture
def live(body: dict[str, Any]) -> dict[str, Any]:
    """The endpoint as the platform describes it once it is what the file says."""
    described = copy.deepcopy(body) | {
        "id": "e1",
        "name": "reader -fb",
        "args": "",
        "ports": [],
        "createdAt": "2026-08-20T00:00:00Z",
    }
    described["gpu"]["pools"].reverse()
    described["scaling"]["queueDelay"] = 4.0
    return described


def test_nothing_differs_from_what_was_deployed(body: dict[str, Any], live: dict[str, Any]) -> None:
    assert comparison.changes(body, live) == []


@pytest.mark.parametrize(
    ("group", "value", "field", "update"),
    [
        ("image", "old:1", "image", {"image": "registry.example.com/reader:1"}),
        ("flashboot", "OFF", "flashboot", {"flashboot": "FLASHBOOT"}),
        ("name", "other", "name", {"name": "reader"}),
        ("registry", "cred", "registry", {"registry": None}),
        ("networkVolumes", [], "networkVolumes", {"networkVolumes": ["vol1"]}),
        ("workers", {"max": 9}, "workers.max", {"workers": {"max": 3}}),
        ("scaling", {"queueDelay": 9}, "scaling.queueDelay", {"scaling": {"type": "QUEUE_DELAY", "queueDelay": 4}}),
        ("gpu", {"count": 2}, "gpu.count", {"gpu": {"count": 1}}),
        ("gpu", {"minCudaVersion": None}, "gpu.minCudaVersion", {"gpu": {"minCudaVersion": "13.0"}}),
    ],
)
def test_only_what_differs_is_changed(
    body: dict[str, Any], live: dict[str, Any], group: str, value: Any, field: str, update: dict[str, Any]
) -> None:
    live[group] = {**live[group], **value} if isinstance(value, dict) else value
    differing = comparison.changes(body, live)
    assert [change.field for change in differing] == [field]
    assert comparison.update(body, differing) == update


@pytest.mark.parametrize(("name", "value"), [("pools", ["ADA_24"]), ("excludedTypes", [])])
def test_pools_are_sent_with_the_cards_left_out_of_them(body: dict[str, Any], live: dict[str, Any], name: str, value: Any) -> None:
    live["gpu"][name] = value
    asked = comparison.update(body, comparison.changes(body, live))
    assert asked == {"gpu": {"pools": ["AMPERE_24", "ADA_24"], "excludedTypes": ["NVIDIA L4"]}}


def test_a_floor_is_taken_away_where_versions_are_named(file: Path, live: dict[str, Any]) -> None:
    body = declaration.request(read(file, changed('min_cuda_version = "13.0"', 'allowed_cuda_versions = ["13.0"]')), ENVIRONMENT)
    asked = comparison.update(body, comparison.changes(body, live))
    assert asked == {"gpu": {"allowedCudaVersions": ["13.0"], "minCudaVersion": ""}}


def test_a_variable_that_only_the_live_endpoint_has_is_taken_away(body: dict[str, Any], live: dict[str, Any]) -> None:
    live["env"] = {**live["env"], "BY_HAND": "1"}
    differing = comparison.changes(body, live)
    assert differing == [Change("env.BY_HAND", "1", None)]
    assert comparison.update(body, differing) == {"env": body["env"]}


def test_secrets_are_masked_and_references_to_them_are_not(body: dict[str, Any]) -> None:
    shown = comparison.masked({**body, "env": {**body["env"], "PIN": "1234", "MY_API_KEY": "abc"}}, ["PIN"])["env"]
    masked = {key for key, value in shown.items() if value == comparison.MASK}
    assert masked == {"PIN", "MY_API_KEY", "BUCKET_ACCESS_KEY_ID"}
    assert shown["BUCKET_SECRET_ACCESS_KEY"] == declaration.reference("bucket")
