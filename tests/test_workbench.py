"""The workbench is a worker to edit in: what it shows is the template's own file wherever that file has no marks."""

from pathlib import Path
from types import ModuleType

import pytest
from conftest import load


@pytest.fixture
def tool(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The workbench's tool of a clone, building into a temporary folder."""
    module = load(template / "tools" / "workbench.py")
    monkeypatch.setattr(module, "BUILD", tmp_path)
    monkeypatch.setattr(module, "WORKBENCH", tmp_path / "workbench")
    return module


def test_every_unmarked_file_is_linked_to_the_template(tool: ModuleType, template: Path) -> None:
    worker = template / "{{cookiecutter.project}}"
    folder = tool.make({})
    sources = [path for path in worker.rglob("*") if path.is_file() and "{%" not in path.name and path.stat().st_size]
    unmarked = [path for path in sources if b"{{" not in (content := path.read_bytes()) and b"{%" not in content]
    assert unmarked
    assert [path for path in unmarked if (folder / path.relative_to(worker)).resolve() != path.resolve()] == []


def test_a_marked_file_is_a_rendered_copy(tool: ModuleType) -> None:
    choices = tool.make({"tier": "flash"}) / "worker" / "choices.py"
    assert not choices.is_symlink()
    assert 'TIER: Final[Tier] = "flash"' in choices.read_text("utf-8")


def test_making_it_again_keeps_its_environment(tool: ModuleType) -> None:
    (tool.make({}) / ".venv").mkdir()
    (tool.WORKBENCH / ".venv" / "kept").touch()
    assert (tool.make({}) / ".venv" / "kept").exists()
