"""endpoint.toml: the endpoint that a worker is deployed as is what was answered, in every combination."""

import json
import tomllib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest
from combinations import CONTEXT, Answers, defaults, pairwise
from conftest import TEMPLATE, Bake
from cookiecutter.utils import create_env_with_context


@dataclass(frozen=True)
class Rendered:
    """The files that say how a worker of these answers is deployed: endpoint.toml and the settings of the Hub's page."""

    answers: Answers

    @cached_property
    def text(self) -> str:
        return self._render("endpoint.toml")

    @cached_property
    def declared(self) -> dict[str, Any]:
        return tomllib.loads(self.text)

    @cached_property
    def hub(self) -> dict[str, Any]:
        return dict(json.loads(self._render(".runpod/hub.json"))["config"])

    def _render(self, name: str) -> str:
        """One file, with cookiecutter's own means: whole workers take a hundred times as long."""
        context = {"cookiecutter": CONTEXT | defaults() | self.answers}
        source = (TEMPLATE / "{{cookiecutter.project}}" / name).read_text("utf-8")
        return str(create_env_with_context(context).from_string(source).render(context))


@pytest.fixture(scope="module", params=pairwise(), ids=lambda answers: "-".join(answers[name] for name in ("stack", "gpu", "tier")))
def rendered(request: pytest.FixtureRequest) -> Rendered:
    """One combination of answers."""
    return Rendered(dict(request.param))


def test_a_whole_worker_holds_the_same_file(bake: Bake) -> None:
    assert bake().read("endpoint.toml") == Rendered(defaults()).text


def test_workers_and_cards_are_those_that_were_asked_for(rendered: Rendered) -> None:
    content, answers = rendered.declared, rendered.answers
    answered = [int(answers[name]) for name in ("workers_min", "workers_max", "idle_timeout")]
    assert [content["workers"][name] for name in ("min", "max", "idle_timeout")] == answered
    assert (content["gpu"]["pools"], content["flashboot"]) == ([answers["gpu"]], "FLASHBOOT")


def test_hosts_have_the_cuda_that_the_stack_needs(rendered: Rendered) -> None:
    gpu, stack = rendered.declared["gpu"], CONTEXT["_stacks"][rendered.answers["stack"]]
    assert gpu["min_cuda_version"] == stack["cuda"] == rendered.hub["allowedCudaVersions"][0]
    assert "allowed_cuda_versions" not in gpu


def test_name_and_image_are_the_projects(rendered: Rendered) -> None:
    content = rendered.declared
    assert content["name"] == rendered.answers["project"]
    assert content["image"].startswith(f"your-registry/{content['name']}:")


def test_the_hubs_page_deploys_the_same(rendered: Rendered) -> None:
    content, page = rendered.declared, rendered.hub
    fixed = {entry["key"]: entry["value"] for entry in page["env"] if "value" in entry}
    assert fixed.items() <= content["env"].items()
    assert (content["disk"], content["gpu"]["count"]) == (page["containerDiskInGb"], page["gpuCount"])


def test_what_only_its_owner_knows_is_asked_for_where_it_is_needed(rendered: Rendered) -> None:
    content, text = rendered.declared, rendered.text
    assert ("MINERU_MODEL_VLM_SERVER_URL" in content["env"]) is (rendered.answers["model"] == "remote")
    assert ("keeps its weights there" in text) is (rendered.answers["weights"] == "volume")
    assert ("OTEL_EXPORTER_OTLP_ENDPOINT" in text) is rendered.answers["telemetry"]


def test_every_line_fits_and_none_is_left_of_the_template(rendered: Rendered) -> None:
    lines = rendered.text.split("\n")
    assert max(map(len, lines)) <= 132
    assert [line for line in lines if "{{" in line or "{%" in line or line != line.rstrip()] == []
    assert (lines[0][:1], lines[-1], lines[-2] != "") == ("#", "", True)
