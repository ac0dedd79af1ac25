"""The request that becomes of the file, and what its workers cost."""

from pathlib import Path
from typing import Any

import pytest

from deploy import ENVIRONMENT, changed, read
from ops.deploy import declaration, standing_cost
from ops.deploy.declaration import DeclarationError


def test_the_request_is_what_the_file_says_in_the_apis_words(body: dict[str, Any]) -> None:
    assert body == {
        "name": "reader",
        "type": "QUEUE",
        "image": "registry.example.com/reader:1",
        "registry": None,
        "disk": 40,
        "gpu": {
            "pools": ["AMPERE_24", "ADA_24"],
            "excludedTypes": ["NVIDIA L4"],
            "count": 1,
            "allowedCudaVersions": [],
            "minCudaVersion": "13.0",
        },
        "workers": {"min": 0, "max": 3, "idleTimeout": 5},
        "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
        "timeout": 600_000,
        "flashboot": "FLASHBOOT",
        "networkVolumes": ["vol1"],
        "dataCenterIds": [],
        "env": {
            "MINERU_MODEL_VLM_SERVER_URL": "https://vlm.example.com/v1",
            "MINERU_JOB_TIMEOUT": "570",
            "BUCKET_ACCESS_KEY_ID": "key-1",
            "BUCKET_SECRET_ACCESS_KEY": "{" + "{ RUNPOD_SECRET_bucket }" + "}",
        },
    }


def test_scaling_on_the_number_of_jobs_sends_no_idle_timeout(file: Path) -> None:
    text = changed('"QUEUE_DELAY"', '"REQUEST_COUNT"').replace("idle_timeout = 5\n", "")
    asked = declaration.request(read(file, text), ENVIRONMENT)
    assert (asked["workers"], asked["scaling"]) == ({"min": 0, "max": 3}, {"type": "REQUEST_COUNT", "requestCount": 4})


@pytest.mark.parametrize("environment", [{}, {"BUCKET_ACCESS_KEY_ID": ""}])
def test_a_secret_that_is_not_set_is_told_by_name(file: Path, environment: dict[str, str]) -> None:
    with pytest.raises(DeclarationError, match=r"BUCKET_ACCESS_KEY_ID \(secrets.from_environment\) is not set here"):
        declaration.request(read(file), environment)


@pytest.mark.parametrize(
    ("least", "pools", "words"),
    [
        (0, ["AMPERE_24"], ""),
        (1, ["AMPERE_24"], "1 worker runs around the clock, which costs about $492 in 30 days at the list price, with"),
        (2, ["AMPERE_24", "ADA_24"], "2 workers run around the clock, which costs about $985 to $1,607 in 30 days"),
        (
            1,
            ["AMPERE_24", "ADA_32_PRO"],
            "$492 in 30 days at the list price (without ADA_32_PRO, whose price is not known here), with",
        ),
        (1, ["ADA_32_PRO"], "which is billed at a price not known here (ADA_32_PRO), with or without jobs."),
    ],
)
def test_workers_that_always_run_are_told_with_their_cost(least: int, pools: list[str], words: str) -> None:
    told = standing_cost.sentence({"workers": {"min": least}, "gpu": {"pools": pools, "count": 1}})
    assert words in told if words else told == ""
