"""Every combination of answers renders a whole worker: its files, no other, and each of them well-formed."""

import ast
import json
import re
import subprocess
import sysconfig
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path, PurePosixPath

import pytest
import yaml
from combinations import Answers, allowed_pairs, pairwise
from conftest import TEMPLATE, Bake, BakedProject

WORKER = "{{cookiecutter.project}}"
SCRIPTS = Path(sysconfig.get_path("scripts"))
COMBINATIONS = pairwise()

BINARY = {".docx", ".pdf", ".png"}

#: Files under conditional names, and the answers that they come with.
CONDITIONAL: dict[str, Callable[[Answers], bool]] = {
    ".github/workflows/ci.yml": lambda answers: answers["ci"],
    ".github/workflows/update.yml": lambda answers: answers["ci"],
    "LICENSE": lambda _: True,
    "locks/cpu.txt": lambda _: True,
    "locks/dev.txt": lambda _: True,
    "locks/gpu.txt": lambda _: True,
    "tests/test_engine.py": lambda _: True,
    "tests/test_engine_contract.py": lambda _: True,
    "tests/test_engine_options.py": lambda _: True,
    "worker/engine.py": lambda _: True,
}

#: What runs vLLM on a processor, or needs a tier without models: of MinerU 4 alone.
ONLY_4 = {
    "locks/engine.txt",
    "ops/cpu_engine.py",
    "ops/stub_models.py",
    "ops/tiny_vlm.py",
    "tests/engine/__init__.py",
    "tests/engine/bound_engine.py",
    "tests/engine/careless_warm_up.py",
    "tests/engine/conftest.py",
    "tests/engine/engine_worker.py",
    "tests/engine/loops.py",
    "tests/engine/test_cpu_models.py",
    "tests/engine/test_engine_death.py",
    "tests/engine/test_engine_freeze.py",
    "tests/engine/test_engine_life.py",
    "tests/engine/test_event_loop.py",
    "tests/engine/test_remote_engine.py",
    "tests/test_faults.py",
    "tests/test_log_readers.py",
    "tests/test_memory.py",
    "tests/test_worker.py",
}
CONDITIONAL.update(dict.fromkeys(ONLY_4, lambda answers: answers["stack"] == "mineru-4.0"))

#: What must be gone from a rendered file. Workflows have doubled braces of their own, after a dollar sign.
MARKS = re.compile(r"(?<!\$)\{\{|\{%|%\}|\{##|##\}|\bcookiecutter\.(?!json\b)[a-z_]+\b")


@pytest.fixture(scope="session")
def rendered(bake_into: Bake, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], BakedProject]:
    """The worker of a combination, rendered once for all tests into a folder beside the others."""
    folder = tmp_path_factory.mktemp("combinations")
    return cache(lambda index: bake_into(folder / str(index), **COMBINATIONS[index]))


@pytest.fixture(scope="session")
def sources(template: Path) -> dict[str, Path]:
    """Every file of the worker in the template, by its unrendered name below the project's folder."""
    worker = template / WORKER
    return {path.relative_to(worker).as_posix(): path for path in worker.rglob("*") if path.is_file()}


@pytest.fixture(params=range(len(COMBINATIONS)), ids=lambda index: f"combination-{index}")
def index(request: pytest.FixtureRequest) -> int:
    """A combination's place in the list."""
    return int(request.param)


@pytest.fixture
def project(rendered: Callable[[int], BakedProject], index: int) -> BakedProject:
    """The worker of that combination."""
    return rendered(index)


def texts(project: BakedProject, *patterns: str) -> Iterator[tuple[str, str]]:
    """Name and content of each text file whose name fits one of the patterns; all of them if there is none."""
    for name in sorted(project.files()):
        wanted = not patterns or any(PurePosixPath(name).match(pattern) for pattern in patterns)
        if wanted and PurePosixPath(name).suffix not in BINARY:
            yield name, project.read(name)


def test_every_pair_of_answers_is_rendered() -> None:
    missing = [pair for pair in allowed_pairs() if not any(pair.items() <= answers.items() for answers in COMBINATIONS)]
    assert not missing


def test_has_the_expected_files_and_only_those(project: BakedProject, index: int, sources: dict[str, Path]) -> None:
    always = {name for name in sources if "{%" not in name}
    conditional = {name for name, comes in CONDITIONAL.items() if comes(COMBINATIONS[index])}
    assert project.files() == always | conditional


def test_every_conditional_file_of_the_template_is_expected_somewhere(sources: dict[str, Path]) -> None:
    conditional = {re.sub(r"\{%.*?%\}", "", name) for name in sources if "{%" in name}
    assert conditional == set(CONDITIONAL)


@pytest.mark.parametrize(
    ("licence", "words"), {"MIT": "MIT License", "Apache-2.0": "Apache License", "Proprietary": "All rights reserved"}.items()
)
def test_licence_is_the_chosen_one(bake: Bake, licence: str, words: str) -> None:
    assert words in bake(licence=licence).read("LICENSE")


@pytest.mark.parametrize("stack", ["mineru-4.0", "mineru-3.4"])
@pytest.mark.parametrize("name", ["worker/engine.py", "tests/test_engine.py", "locks/cpu.txt", "locks/dev.txt", "locks/gpu.txt"])
def test_what_differs_by_stack_comes_from_the_chosen_one(bake: Bake, sources: dict[str, Path], stack: str, name: str) -> None:
    folder, file = name.split("/")
    source = sources[f"{folder}/{{% if cookiecutter.stack == '{stack}' %}}{file}{{% endif %}}"]
    assert (bake(stack=stack).path / name).read_bytes() == source.read_bytes()


def test_no_marks_are_left(project: BakedProject) -> None:
    names = [name for name in project.files() if MARKS.search(name)]
    contents = [f"{name}: {mark[0]}" for name, text in texts(project) for mark in MARKS.finditer(text)]
    assert not names + contents


def test_python_compiles(project: BakedProject) -> None:
    for name, text in texts(project, "*.py"):
        ast.parse(text, name)


def test_data_files_parse(project: BakedProject) -> None:
    for parse, patterns in ((json.loads, ["*.json"]), (tomllib.loads, ["*.toml"]), (yaml.safe_load, ["*.yml", "*.yaml"])):
        for _, text in texts(project, *patterns):
            assert parse(text)


def test_text_files_end_in_one_newline_and_have_unix_line_ends(project: BakedProject) -> None:
    wrong = [name for name, text in texts(project) if "\r" in text or (text and not text.endswith("\n")) or text.endswith("\n\n")]
    assert not wrong


def test_blank_lines_are_those_that_the_template_means(project: BakedProject) -> None:
    assert not [name for name, text in texts(project, "*.toml", "*.yml", "Makefile", "Dockerfile") if "\n\n\n" in text]


@pytest.mark.parametrize("command", ["check", "format --check"])
def test_ruff_finds_nothing_in_any_combination(rendered: Callable[[int], BakedProject], command: str) -> None:
    paths = [str(rendered(index).path) for index in range(len(COMBINATIONS))]
    arguments = [*command.split(), "--quiet", "--no-cache", "--output-format=concise"]
    result = subprocess.run([SCRIPTS / "ruff", *arguments, *paths], capture_output=True, text=True, check=False)
    findings = {re.sub(r".*/combinations\d*/\d+/", "", line) for line in result.stdout.splitlines()}
    assert (sorted(findings), result.stderr) == ([], "")


def test_shell_scripts_pass_shellcheck(bake: Bake) -> None:
    roots = [TEMPLATE / ".ci", TEMPLATE / "tools", bake().path]
    paths = [path for root in roots for path in root.rglob("*") if path.is_file()]
    scripts = [str(path) for path in paths if path.suffix == ".sh" or re.match(rb"#!.*\b(ba)?sh\b", path.read_bytes()[:40])]
    subprocess.run([SCRIPTS / "shellcheck", *scripts], check=True)


def test_two_renders_are_identical(bake: Bake) -> None:
    first, second = bake(), bake()
    assert [(name, (first.path / name).read_bytes()) for name in sorted(first.files())] == [
        (name, (second.path / name).read_bytes()) for name in sorted(second.files())
    ]
