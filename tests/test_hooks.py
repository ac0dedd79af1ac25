"""Answers that cannot work are refused before anything is rendered, each with the answer that would."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from combinations import CONTEXT, defaults, refused
from conftest import TEMPLATE, Bake, load
from cookiecutter.exceptions import FailedHookException

PRE_GEN = load(TEMPLATE / "hooks" / "pre_gen_project.py")

#: The default pool with smaller cards, as a catalogue could list it one day.
SIX_GB = {"AMPERE_24": {"memory_gb": 6}}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "project with capitals and spaces": ({"project": "My Worker"}, "project=my-worker would work"),
    "project that begins with a digit": ({"project": "2nd"}, "project=worker-2nd would work"),
    "project that begins with a hyphen": ({"project": "-x"}, "project=x would work"),
    "project that ends in a hyphen": ({"project": "x-"}, "project=x would work"),
    "project with two hyphens": ({"project": "a--b"}, "project=a-b would work"),
    "project with an underscore": ({"project": "a_b"}, "project=a-b would work"),
    "project in another alphabet": ({"project": "Zoë-文書"}, "project=zoe would work"),
    "project with a newline": ({"project": "a\n"}, "project=a would work"),
    "project too long": ({"project": "a" * 64}, f"project={'a' * 63} would work"),
    "project named as a Windows device": ({"project": "aux"}, "project=worker-aux would work"),
    "description too long": ({"description": "é" * 191}, "description has 191 characters and the Hub keeps 190"),
    "flash tier on 3.4": (
        {"stack": "mineru-3.4", "tier": "flash"},
        "tier=basic, tier=standard, tier=advanced or stack=mineru-4.0 would work",
    ),
    "Blackwell card on 3.4": ({"stack": "mineru-3.4", "gpu": "BLACKWELL_96"}, "compute capability 12.0 (RTX PRO 6000)"),
    "Blackwell card on 3.4, the way out": ({"stack": "mineru-3.4", "gpu": "BLACKWELL_180"}, "stack=mineru-4.0, gpu=ADA_24"),
    "card too small": ({"_gpus": SIX_GB}, "has cards of 6 GB, and tier=standard with model=local needs 8 GB"),
    "card too small, the way out": ({"_gpus": SIX_GB}, "tier=basic, tier=flash or model=remote would work"),
    "fewest workers above the most": (
        {"workers_min": "4", "workers_max": "3"},
        "workers_min=3 or workers_max=4 would work",
    ),
    "no worker at all": ({"workers_max": "0"}, "workers_max=0 is outside 1 to 1000: workers_max=1 would work"),
    "too many workers": ({"workers_max": "1001"}, "workers_max=1000 would work"),
    "negative workers": ({"workers_min": "-1"}, "workers_min=-1 is outside 0 to 1000: workers_min=0 would work"),
    "workers in words": ({"workers_min": "two"}, "workers_min is 'two'; it must be a whole number"),
    "leading zero": ({"workers_max": "03"}, "workers_max is '03'; it must be a whole number"),
    "digits of another script": ({"concurrency": "٣"}, "concurrency is '٣'; it must be a whole number"),
    "fraction": ({"idle_timeout": "1.5"}, "idle_timeout is '1.5'; it must be a whole number"),
    "code for a number": ({"concurrency": "1 if 1 else __import__('os')"}, "it must be a whole number"),
    "no number": ({"concurrency": ""}, "concurrency is ''; it must be a whole number"),
    "idle timeout of nothing": ({"idle_timeout": "0"}, "idle_timeout=1 would work"),
    "idle timeout too long": ({"idle_timeout": "3601"}, "idle_timeout=3600 would work"),
    "choice that a release took away": (
        {"weights": "cached", "_retired": {"weights": {"cached": "volume"}}},
        "weights=cached was retired, and weights=volume takes its place",
    ),
    "too much at once": ({"concurrency": "65"}, "concurrency=64 would work"),
}

ACCEPTED: dict[str, dict[str, Any]] = {
    "defaults": {},
    "longest project": {"project": "a" * 63},
    "shortest project": {"project": "a"},
    "project with digits": {"project": "mineru-4-worker2"},
    "longest description": {"description": "é" * 190},
    "flash tier on 4.0": {"tier": "flash"},
    "Blackwell card on 4.0": {"gpu": "BLACKWELL_96"},
    "Hopper card on 3.4": {"stack": "mineru-3.4", "gpu": "HOPPER_141"},
    "remote model with a tier that needs none by default": {"tier": "flash", "model": "remote"},
    "small card, remote model": {"_gpus": SIX_GB, "model": "remote"},
    "small card, small tier": {"_gpus": SIX_GB, "tier": "basic"},
    "card that just fits": {"_gpus": {"AMPERE_24": {"memory_gb": 8}}},
    "as many at least as at most": {"workers_min": "3", "workers_max": "3"},
    "all limits": {"workers_min": "1000", "workers_max": "1000", "idle_timeout": "3600", "concurrency": "64"},
    "all lower limits": {"workers_min": "0", "workers_max": "1", "idle_timeout": "1", "concurrency": "1"},
}


@pytest.mark.parametrize(("answers", "message"), REFUSED.values(), ids=REFUSED)
def test_refuses(bake: Bake, tmp_path: Path, capfd: pytest.CaptureFixture[str], answers: dict[str, Any], message: str) -> None:
    with pytest.raises(FailedHookException):
        bake(**answers)
    told = capfd.readouterr().err
    assert "These answers cannot work:" in told
    assert message in told.encode().decode("unicode_escape") if "\\" in told and not message.isascii() else message in told
    assert not list((tmp_path / "render-0").iterdir())


@pytest.mark.parametrize("answers", ACCEPTED.values(), ids=ACCEPTED)
def test_accepts(bake: Bake, answers: dict[str, Any]) -> None:
    assert bake(**answers).files()


def test_names_every_problem_at_once(bake: Bake, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FailedHookException):
        bake(project="X", tier="flash", stack="mineru-3.4", gpu="BLACKWELL_96", workers_max="many", idle_timeout="0")
    told = capfd.readouterr().err.splitlines()
    assert [line.split()[1].split("=")[0] for line in told if line.startswith("  - ")] == [
        "project",
        "tier",
        "gpu",
        "workers_max",
        "idle_timeout",
    ]


@pytest.mark.parametrize("answers", [answers for answers, _ in REFUSED.values() if not {"_gpus", "_retired"} & answers.keys()])
def test_every_answer_that_a_refusal_names_would_work(answers: dict[str, Any]) -> None:
    [problem] = refused(answers)
    ways_out = re.findall(r"([a-z_]+)=([\w.-]+)", problem.rpartition(": ")[2])
    assert ways_out or "description" in answers
    for name, value in ways_out:
        assert refused({**answers, name: value}) == []


def test_says_three_commands_when_done(bake: Bake, capfd: pytest.CaptureFixture[str]) -> None:
    bake(project="paper-mill")
    commands = [line.strip() for line in capfd.readouterr().out.splitlines() if line.startswith("  ")]
    assert commands == ["cd paper-mill", 'git init && git add --all && git commit --message "As generated"', "make demo"]


@pytest.mark.parametrize("hook", ["pre_gen_project", "post_gen_project"])
def test_a_hook_is_plain_python_before_it_is_rendered(hook: str) -> None:
    assert load(TEMPLATE / "hooks" / f"{hook}.py").__doc__


def test_the_defaults_are_whole() -> None:
    assert defaults().keys() == {name for name in CONTEXT if not name.startswith("_")}


# What cookiecutter drops without a word.

PRESET = "default_context: {author: Zoe, stack: mineru-2, gpu: ADA_24}"


def generate(template: Path, folder: Path, preset: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Generate by command line, as a user whose own configuration is ``preset``."""
    (folder / "preset.yaml").write_text(f"{preset}\nreplay_dir: {folder.as_posix()}\n")
    options = ["--no-input", "--config-file", str(folder / "preset.yaml"), "--output-dir", str(folder)]
    command = [sys.executable, "-m", "cookiecutter", str(template), *options, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


TELLS = pytest.mark.skipif(sys.platform == "win32", reason="Windows tells no process what its parent was called with")


@TELLS
def test_an_answer_to_no_question_is_named(template: Path, tmp_path: Path) -> None:
    outcome = generate(template, tmp_path, "", "stak=mineru-3.4", "gpu=ADA_24")
    assert outcome.returncode != 0
    assert "stak=mineru-3.4 answers no question; did you mean stack?" in outcome.stderr
    assert "gpu=ADA_24" not in outcome.stderr


@TELLS
def test_answers_lost_to_a_bad_configuration_are_named(template: Path, tmp_path: Path) -> None:
    outcome = generate(template, tmp_path, PRESET)
    assert outcome.returncode != 0
    assert "presets stack: mineru-2, which is not one of mineru-4.0, mineru-3.4; of that file cookiecutter then took none of " in (
        outcome.stderr
    )
    assert "took none of stack, gpu." in outcome.stderr


def test_a_sound_configuration_and_questions_of_other_templates_are_fine(template: Path, tmp_path: Path) -> None:
    outcome = generate(
        template, tmp_path, PRESET.replace("mineru-2", "mineru-3.4").replace("author", "email: z@example.com, author")
    )
    assert outcome.returncode == 0, outcome.stderr
    assert 'stack = "mineru-3.4"' in (tmp_path / "mineru-worker" / "pyproject.toml").read_text("utf-8")


def test_a_retired_choice_is_the_last_of_its_question_and_leads_to_one_that_is_offered() -> None:
    for question, successors in PRE_GEN.catalogue(CONTEXT, "_retired").items():
        assert CONTEXT[question][-len(successors) :] == list(successors)
        assert set(successors.values()) <= set(CONTEXT[question]) - successors.keys()
