"""What a render says of itself, who changes which file, and the workflows that keep it up to date."""

import json
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import upstream
import yaml
from combinations import CONTEXT
from conftest import TEMPLATE, Bake

# What a render says of itself.


def test_the_version_and_the_answers_stand_where_people_look(bake: Bake) -> None:
    project = bake(stack="mineru-3.4", telemetry=True)
    version, state = CONTEXT["_version"], json.loads(project.read(".cruft.json"))
    assert state["commit"] == f"v{version}"
    stamp = tomllib.loads(project.read("pyproject.toml"))["tool"]["template"]
    answers = state["context"]["cookiecutter"]
    assert answers.keys() == {name for name in CONTEXT if not name.startswith("_")}
    assert stamp == {"version": version, **{name: answers[name] for name in answers.keys() - {"project", "description", "author"}}}
    told = subprocess.run(
        [sys.executable, "-m", "worker", "--version"], cwd=project.path, check=True, capture_output=True, text=True
    )
    assert told.stdout.startswith(f"mineru-worker, made by template {version} with stack=mineru-3.4 tier=standard ")
    assert "worker=choices.TEMPLATE_VERSION" in re.search(r'log\.info\("booting".*', project.read("worker/bootstrap.py"))[0]  # type: ignore[index]


@pytest.mark.parametrize(
    ("typed", "address"),
    {
        "gh:somebody/template": "https://github.com/somebody/template.git",
        "git@example.com:somebody/template.git": "git@example.com:somebody/template.git",
        "https://example.com/template.git": "https://example.com/template.git",
    }.items(),
)
def test_the_template_s_address_is_one_that_git_can_clone(template: Path, typed: str, address: str) -> None:
    from cookiecutter.utils import create_env_with_context

    answers = {name: value[0] if isinstance(value, list) else value for name, value in CONTEXT.items()}
    context = {"cookiecutter": {**answers, "_template": typed}}
    text = (template / upstream.INNER / ".cruft.json").read_text("utf-8")
    state = json.loads(create_env_with_context(context).from_string(text).render(**context))
    assert state["template"] == address


# Who changes which file.


def owner(name: str) -> str | None:
    """The class of a worker's file."""
    for kind in ("user", "shared", "template"):
        if any(fnmatchcase(name, pattern) for pattern in CONTEXT["_ownership"][kind]):
            return kind
    return None


@pytest.mark.parametrize("stack", ["mineru-4.0", "mineru-3.4"])
def test_every_file_has_an_owner_and_every_pattern_a_file(bake: Bake, stack: str) -> None:
    files = bake(stack=stack).files()
    assert [name for name in files if owner(name) is None] == []
    patterns = [pattern for kind in ("user", "shared", "template") for pattern in CONTEXT["_ownership"][kind]]
    assert [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in files)] == []
    assert len(patterns) == len(set(patterns))


def test_cruft_and_the_reader_are_told_the_same(bake: Bake) -> None:
    project = bake()
    assert tomllib.loads(project.read("pyproject.toml"))["tool"]["cruft"]["skip"] == CONTEXT["_ownership"]["user"]
    rows = re.findall(r"^\| (?:yours|shared|the template's) \| (.*?) \|", project.read("docs/upgrades.md"), re.MULTILINE)
    for kind, row in zip(("user", "shared", "template"), rows, strict=True):
        assert re.findall(r"`(.*?)`", row) == CONTEXT["_ownership"][kind]


def sound(workflow: Path) -> dict[str, Any]:
    """A workflow that actionlint and zizmor find nothing in, and whose actions are pinned to commits."""
    for command in (["actionlint"], ["zizmor", "--offline", "--quiet", "--persona=pedantic", "--no-progress"]):
        program = Path(sys.executable).with_name(command[0])
        outcome = subprocess.run([program, *command[1:], workflow], capture_output=True, text=True, check=False)
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    text = workflow.read_text("utf-8")
    used = re.findall(r"uses: (.*)", text)
    assert [line for line in used if not re.fullmatch(r"\S+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []
    return dict(yaml.safe_load(text))


def test_the_weekly_workflow_is_sound_and_runs_the_worker_s_own_commands(bake: Bake) -> None:
    name = ".github/workflows/update.yml"
    [job] = sound(bake().path / name)["jobs"].values()
    assert [step["run"].split()[:2] for step in job["steps"] if step.get("run", "").startswith("make")] == [["make", "update"]]
    assert name not in bake(ci=False).files()


def test_the_template_s_own_workflow_is_sound_and_renders_on_three_systems() -> None:
    systems = sound(TEMPLATE / ".github" / "workflows" / "render.yml")["jobs"]["render"]["strategy"]["matrix"]["system"]
    assert [system.partition("-")[0] for system in systems] == ["ubuntu", "windows", "macos"]
