"""The catalogue is whole, and whatever repeats it says the same."""

import ast
import re
import tomllib
from typing import Any

import pytest
from combinations import CONTEXT, choices
from conftest import TEMPLATE, Bake, load

GPUS = {name: pool for name, pool in CONTEXT["_gpus"].items() if name != "_origin"}
STACKS = {name: stack for name, stack in CONTEXT["_stacks"].items() if name != "_origin"}
PROMPTS = CONTEXT["__prompts__"]


def literal(source: str, name: str) -> list[str]:
    """The values of a ``Name = Literal[…]`` in Python source."""
    assignments = [node for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    [value] = [node.value for node in assignments if ast.unparse(node.targets[0]) == name]
    assert isinstance(value, ast.Subscript)
    return list(ast.literal_eval(value.slice))


def test_every_question_has_a_prompt_and_every_choice_a_label() -> None:
    assert PROMPTS.keys() == choices().keys()
    for name, values in CONTEXT.items():
        if isinstance(values, list) and not name.startswith("_"):
            assert list(PROMPTS[name]) == ["__prompt__", *values]


@pytest.mark.parametrize("name", GPUS)
def test_gpu_label_is_the_catalogue_s(name: str) -> None:
    pool = GPUS[name]
    price = f"${pool['price']}/s" if pool["price"] else "price on request"
    assert PROMPTS["gpu"][name] == f"{name}: {', '.join(pool['cards'])} ({pool['memory_gb']} GB, {price})"


def test_questions_offer_what_the_catalogue_holds() -> None:
    assert set(CONTEXT["gpu"]) == set(GPUS)
    assert set(CONTEXT["stack"]) == set(STACKS)
    assert set(CONTEXT["tier"]) == set(CONTEXT["_tiers"]) - {"_origin"}
    assert all(set(stack["tiers"]) <= set(CONTEXT["tier"]) for stack in STACKS.values())


def test_every_pool_has_every_field() -> None:
    for pool in GPUS.values():
        assert pool.keys() == {"cards", "memory_gb", "compute_capability", "price", "card_id", "concurrency"}
        assert pool["cards"]
        assert all(re.fullmatch(r"\d+\.\d", capability) for capability in pool["compute_capability"])
        assert pool["price"] is None or re.fullmatch(r"0\.\d{5}", pool["price"])


def test_every_stack_has_every_field() -> None:
    versions = {"mineru", "vllm", "torch", "transformers", "runpod", "python", "cuda", "driver"}
    serves = {"cuda_versions", "compute_capability", "tiers", "suffixes", "runpod_supported"}
    for stack in STACKS.values():
        assert stack.keys() == versions | serves
        assert stack["cuda_versions"][0] == stack["cuda"]
        assert "3.12" in stack["python"]


def test_every_table_says_where_its_facts_come_from() -> None:
    tables: dict[str, Any] = {name: CONTEXT[name] for name in ("_gpus", "_stacks", "_tiers", "_limits")}
    assert all(table["_origin"].endswith(".") for table in tables.values())


@pytest.mark.parametrize(("name", "question"), [("Tier", "tier"), ("Stack", "stack"), ("Model", "model"), ("Weights", "weights")])
def test_the_worker_s_types_name_the_choices(bake: Bake, name: str, question: str) -> None:
    assert set(literal(bake().read("worker/choices.py"), name)) == set(CONTEXT[question])


@pytest.mark.parametrize("stack", STACKS)
def test_the_worker_asks_for_the_catalogue_s_versions(bake: Bake, stack: str) -> None:
    project = tomllib.loads(bake(stack=stack).read("pyproject.toml"))
    facts = STACKS[stack]
    asked = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["gpu"]]
    exact = {tuple(line.split("==")) for line in asked + project["tool"]["uv"]["constraint-dependencies"] if "==" in line}
    assert {(re.sub(r"\[.*\]", "", name), version) for name, version in exact} == {
        (name, facts[name]) for name in ("mineru", "runpod", "vllm", "torch", "transformers")
    }
    assert project["project"]["requires-python"].startswith(f">={facts['python'][0]},")


@pytest.mark.parametrize("stack", STACKS)
def test_the_locks_hold_the_catalogue_s_versions(bake: Bake, stack: str) -> None:
    worker = bake(stack=stack)
    for profile, names in {"cpu": ["mineru", "runpod"], "gpu": ["mineru", "runpod", "vllm", "torch", "transformers"]}.items():
        locked = dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", worker.read(f"locks/{profile}.txt"), re.MULTILINE))
        assert {name: locked[name] for name in names} == {name: STACKS[stack][name] for name in names}


@pytest.mark.parametrize("name", GPUS)
def test_concurrency_is_by_default_what_the_pool_s_memory_allows(bake: Bake, name: str) -> None:
    stack = "mineru-4.0"
    assert f"CONCURRENCY: Final[int] = {GPUS[name]['concurrency']}\n" in bake(stack=stack, gpu=name).read("worker/choices.py")
    assert 1 <= int(GPUS[name]["concurrency"]) <= GPUS[name]["memory_gb"] / 8


@pytest.mark.parametrize("stack", STACKS)
def test_supported_versions_are_the_same_wherever_they_stand(bake: Bake, stack: str) -> None:
    facts, project = STACKS[stack], bake(stack=stack)
    pinned = tomllib.loads(project.read("pyproject.toml"))["project"]
    assert {f"runpod=={facts['runpod']}", f"mineru=={facts['mineru']}"} <= set(pinned["dependencies"])
    assert f"vllm=={facts['vllm']}" in pinned["optional-dependencies"]["gpu"]
    assert facts["runpod"] in facts["runpod_supported"]
    assert f"SDK_SUPPORTED: Final[tuple[str, ...]] = {tuple(facts['runpod_supported'])}".replace("'", '"') in project.read(
        "worker/choices.py"
    )
    others = ", ".join(release for release in facts["runpod_supported"] if release != facts["runpod"])
    for row in (f"| RunPod SDK | {facts['runpod']} | {others} |", f"| MinerU | {facts['mineru']} |", f"| vLLM | {facts['vllm']} |"):
        assert row in project.read("README.md")


def test_the_readme_lists_every_pool_with_what_the_catalogue_says_of_it() -> None:
    hook = load(TEMPLATE / "hooks" / "pre_gen_project.py")
    readme = (TEMPLATE / "README.md").read_text("utf-8").splitlines()
    rows = [row for row in readme if row.startswith("| `") and row.split("`")[1] in GPUS]
    for (name, pool), row in zip(GPUS.items(), rows, strict=True):
        stacks = ", ".join(stack.removeprefix("mineru-") for stack, facts in STACKS.items() if hook.runs_on(facts, pool))
        price, cards = pool["price"] or "on request", ", ".join(pool["cards"])
        assert row == f"| `{name}` | {cards} | {pool['memory_gb']} | {price} | {pool['concurrency']} | {stacks} |"
