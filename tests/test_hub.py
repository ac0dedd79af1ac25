"""The Hub's files: what the platform reads fits the answers and the catalogue, in every combination."""

import json
from typing import Any

import jsonschema
import pytest
from combinations import CONTEXT, Answers, pairwise
from conftest import Bake, BakedProject


def read(project: BakedProject, name: str) -> Any:
    return json.loads(project.read(name))


@pytest.fixture(scope="module", params=pairwise(), ids=lambda answers: "-".join(answers[name] for name in ("stack", "gpu", "tier")))
def answers(request: pytest.FixtureRequest) -> Answers:
    """One combination of answers."""
    return dict(request.param)


@pytest.fixture(scope="module")
def project(bake_into: Bake, tmp_path_factory: pytest.TempPathFactory, answers: Answers) -> BakedProject:
    """The worker of that combination."""
    return bake_into(tmp_path_factory.mktemp("hub"), **answers)


def test_both_files_have_the_form_that_the_hub_reads(project: BakedProject) -> None:
    for name, schema in {"hub": "hub.schema", "tests": "hub-tests.schema"}.items():
        jsonschema.validate(read(project, f".runpod/{name}.json"), read(project, f"tests/{schema}.json"))


def test_hosts_and_cards_are_those_that_the_stack_and_the_pool_allow(project: BakedProject, answers: Answers) -> None:
    page, tests = read(project, ".runpod/hub.json")["config"], read(project, ".runpod/tests.json")["config"]
    stack, pool = CONTEXT["_stacks"][answers["stack"]], CONTEXT["_gpus"][answers["gpu"]]
    assert page["allowedCudaVersions"] == tests["allowedCudaVersions"] == stack["cuda_versions"]
    assert f'NVIDIA_REQUIRE_CUDA="cuda>={stack["cuda"]}"' in project.read("Dockerfile")
    assert (page["gpuIds"], tests["gpuTypeId"]) == (answers["gpu"], pool["card_id"])


def test_the_form_s_defaults_are_the_answers(project: BakedProject, answers: Answers) -> None:
    entries = {entry["key"]: entry for entry in read(project, ".runpod/hub.json")["config"]["env"]}
    for name in ("tier", "weights", "concurrency", "telemetry"):
        assert str(entries[f"MINERU_{name.upper()}"]["input"]["default"]) == str(answers[name])


def test_no_preset_needs_models_that_a_baked_image_lacks(bake: Bake) -> None:
    presets = read(bake(tier="basic", weights="baked"), ".runpod/hub.json")["config"]["presets"]
    assert [preset["defaults"] for preset in presets] == [{"MINERU_TIER": "flash"}, {"MINERU_TIER": "basic"}]


def test_the_stack_without_a_flash_tier_offers_none(bake: Bake) -> None:
    assert '"flash"' not in bake(stack="mineru-3.4").read(".runpod/hub.json")


@pytest.mark.parametrize("description", ['"quoted" and \\ back', "für Ärzte 🎉", "{{ braces }} {% percent %}", "</script>&'"])
def test_the_description_arrives_as_it_was_given(bake: Bake, description: str) -> None:
    assert read(bake(description=description), ".runpod/hub.json")["description"] == description
