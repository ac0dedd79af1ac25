"""The worker's GitHub workflow: what runs there is sound, pinned and allowed little."""

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest
import yaml
from conftest import Bake

SCRIPTS = Path(sysconfig.get_path("scripts"))
NAME = ".github/workflows/ci.yml"


@pytest.fixture(params=["mineru-4.0", "mineru-3.4"])
def workflow(request: pytest.FixtureRequest, bake: Bake) -> Path:
    """The workflow of a render of each stack."""
    return bake(stack=request.param, ci=True).path / NAME


def test_actionlint_and_zizmor_find_nothing(workflow: Path) -> None:
    for command in (["actionlint"], ["zizmor", "--offline", "--quiet", "--persona=pedantic", "--no-progress"]):
        result = subprocess.run([SCRIPTS / command[0], *command[1:], workflow], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr


def test_every_action_is_pinned_to_a_commit_and_says_its_version(workflow: Path) -> None:
    used = re.findall(r"uses: (.*)", workflow.read_text("utf-8"))
    assert used
    assert [line for line in used if not re.fullmatch(r"\S+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


def test_every_command_is_one_of_the_worker_s_own(workflow: Path) -> None:
    jobs = yaml.safe_load(workflow.read_text("utf-8"))["jobs"]
    makefile = (workflow.parents[2] / "Makefile").read_text("utf-8")
    targets = re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE)
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    made = {command.split()[1] for command in commands if command.startswith("make ")}
    assert made == {"test", "image", "image-cpu", "audit", "drift", "lock"}
    assert made <= set(targets)


def test_tests_run_on_every_python_that_the_stack_supports(workflow: Path) -> None:
    project = (workflow.parents[2] / "pyproject.toml").read_text("utf-8")
    versions = yaml.safe_load(workflow.read_text("utf-8"))["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert f'requires-python = ">={versions[0]},<3.{int(versions[-1].split(".")[1]) + 1}"' in project
