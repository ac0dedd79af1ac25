"""What every test of the template uses: ``bake`` renders a worker, in this process, and returns it."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import cookiecutter.config
import pytest
from cookiecutter.main import cookiecutter as render
from rich.console import Console
from rich.table import Table

TEMPLATE = Path(__file__).parent.parent


@dataclass(frozen=True)
class BakedProject:
    """A rendered worker in the folder ``path``."""

    path: Path

    def read(self, name: str) -> str:
        """The text of a file, its line ends as they are on disk."""
        return (self.path / name).read_bytes().decode("utf-8")

    def files(self) -> set[str]:
        """Every file's path below the project's folder, with slashes."""
        return {path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if path.is_file()}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project's folder, outside any virtual environment; raises if it fails."""
        environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        return subprocess.run(command, cwd=self.path, env=environment, check=True, capture_output=True, text=True)


Bake = Callable[..., BakedProject]


def as_typed(answer: Any) -> Any:
    """The answer such that cookiecutter hands it on as if typed at its prompt: it renders answers that come any other way."""
    if not isinstance(answer, str):
        return answer
    return re.sub(r"[{\r]", lambda mark: f"{{{{ {mark[0]!r} }}}}", answer)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as a clone has it: without what tools leave behind, which cookiecutter would render into every worker."""
    folder = tmp_path_factory.mktemp("template") / "template"
    left_behind = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*_cache", ".hypothesis")
    return Path(shutil.copytree(TEMPLATE, folder, ignore=left_behind))


@pytest.fixture(scope="session")
def bake_into(template: Path) -> Bake:
    """Renders workers, each below the folder given first, with the answers given over the defaults."""

    def bake_into(folder: Path, **answers: Any) -> BakedProject:
        typed = {name: as_typed(answer) for name, answer in answers.items()}
        options = {"no_input": True, "default_config": True, "output_dir": str(folder)}
        return BakedProject(Path(render(str(template), extra_context=typed, **options)))

    return bake_into


@pytest.fixture
def bake(bake_into: Bake, tmp_path: Path) -> Bake:
    """Renders workers, each into a folder of its own, with the answers given over the defaults."""
    folders = (tmp_path / f"render-{number}" for number in count())
    return lambda **answers: bake_into(next(folders), **answers)


@pytest.fixture(scope="session", autouse=True)
def _leave_no_replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """cookiecutter notes every render's answers: away from the home folder, please."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(cookiecutter.config.DEFAULT_CONFIG, "replay_dir", str(tmp_path_factory.mktemp("replay")))
        yield


def load(path: Path) -> ModuleType:
    """A Python file of the template, imported by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what test_drift.py told, whichever process its tests ran in."""
    reports = terminalreporter.getreports("passed")
    rows = [told for report in reports for name, told in report.user_properties if name == "sdk_contract"]
    table = Table("tried", "outcome", "by", title="SDK contract")
    for row in rows:
        table.add_row(*map(str, row))
    if rows:
        Console(width=120).print("\n", table)
