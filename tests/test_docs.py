"""What the pages say to open, to run or to set is there."""

import re
from pathlib import Path

import pytest
from conftest import Bake, BakedProject

TEMPLATE = Path(__file__).parent.parent

QUOTED = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"(?<![\w/.$:-])(?:[\w.-]+/)+[\w.-]*(?![\w/*])")
TARGET = re.compile(r"\bmake ([a-z][a-z-]+)")
COMMAND = re.compile(r"python -m ops ([a-z]+)")
MODULE = re.compile(r"``((?:ops|worker)(?:\.\w+)+)``")
PYTHON_FILE = re.compile(r"\b(?:ops|worker|tests|docs)/[\w/]+\.(?:py|md|json|pdf)\b")
VARIABLE = re.compile(r"\bMINERU_[A-Z0-9_]+")

#: What is made by what runs, or is the user's own.
ELSEWHERE = ("build/", "out/", ".venv", "path/", "scans/", "registry.example.com/", "api.runpod.ai")


@pytest.fixture(scope="module")
def worker(bake_into: Bake, tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    return bake_into(tmp_path_factory.mktemp("documented"))


@pytest.fixture(scope="module")
def pages(worker: BakedProject) -> dict[str, str]:
    """Every page by its name: the template's, and below ``worker:`` the worker's."""
    own = [*TEMPLATE.glob("*.md"), *TEMPLATE.glob("docs/*.md")]
    rendered = [*worker.path.glob("*.md"), *worker.path.glob("docs/*.md")]
    return {page.relative_to(TEMPLATE).as_posix(): page.read_text("utf-8") for page in own} | {
        f"worker:{page.relative_to(worker.path).as_posix()}": page.read_text("utf-8") for page in rendered
    }


def test_every_file_that_a_page_names_is_there(pages: dict[str, str], worker: BakedProject) -> None:
    named = {(page, file) for page, text in pages.items() for quoted in QUOTED.findall(text) for file in FILE.findall(quoted)}
    named = {(page, file) for page, file in named if not file.startswith(ELSEWHERE)}
    assert len(named) > 50
    missing = [place for place in sorted(named) if not any((folder / place[1]).exists() for folder in (TEMPLATE, worker.path))]
    assert missing == []


def test_every_module_and_file_that_the_code_names_is_there(worker: BakedProject) -> None:
    sources = {
        file: file.read_text("utf-8") for folder in ("worker", "ops", "tests") for file in worker.path.rglob(f"{folder}/**/*.py")
    }
    modules = {(file.name, name) for file, text in sources.items() for name in MODULE.findall(text)}
    files = {(file.name, name) for file, text in sources.items() for name in PYTHON_FILE.findall(text)}
    assert len(modules) > 5
    assert len(files) > 20
    missing = [place for place in modules if not is_there(worker.path, place[1])]
    assert missing + [place for place in files if not (worker.path / place[1]).exists()] == []


def is_there(project: Path, dotted: str) -> bool:
    """Whether ``ops.client.Client`` is a module, or a name that the module before its last dot holds."""
    module, _, name = dotted.rpartition(".")
    files = [project / f"{place.replace('.', '/')}{ending}" for place in (dotted, module) for ending in (".py", "/__init__.py")]
    if any(file.exists() for file in files[:2]):
        return True
    return any(file.exists() and re.search(rf"\b{name}\b", file.read_text("utf-8")) for file in files[2:])


def test_every_target_that_a_page_tells_to_make_is_there(pages: dict[str, str], worker: BakedProject) -> None:
    targets = {
        place: set(re.findall(r"^([a-z][a-z-]*):", (folder / "Makefile").read_text("utf-8"), re.MULTILINE))
        for place, folder in {"template": TEMPLATE, "worker": worker.path}.items()
    }
    told = {(page, target) for page, text in pages.items() for target in TARGET.findall("\n".join(code(text)))}
    either = targets["template"] | targets["worker"]
    assert len(told) > 20
    known = {page: targets["worker"] if page.startswith("worker:") else either for page in pages}
    assert [(page, target) for page, target in sorted(told) if target not in known[page]] == []


def test_every_command_that_a_page_tells_to_run_is_there(pages: dict[str, str], worker: BakedProject) -> None:
    registered = worker.read("ops/__main__.py")
    told = {command for text in pages.values() for command in COMMAND.findall(text)}
    assert len(told) > 3
    assert [command for command in sorted(told) if not re.search(rf"\bimport .*\b{command}\b", registered)] == []


def test_every_setting_that_a_page_names_is_one(pages: dict[str, str], worker: BakedProject) -> None:
    known = worker.read("worker/settings.py") + worker.read(".runpod/hub.json")
    told = {variable for text in pages.values() for variable in VARIABLE.findall(text)}
    fields = {name.upper() for name in re.findall(r"^    (\w+): ", worker.read("worker/settings.py"), re.MULTILINE)}
    assert len(told) > 5
    assert [name for name in sorted(told) if name not in known and name.removeprefix("MINERU_") not in fields] == []


def code(text: str) -> list[str]:
    """What a page quotes as code, in lines and in blocks."""
    return QUOTED.findall(text) + re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
