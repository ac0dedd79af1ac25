"""docs/questions.md says what cookiecutter.json asks, as it asks it now."""

import re
from types import ModuleType

import pytest
from combinations import CONTEXT, choices
from conftest import TEMPLATE, load


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """The tool that writes the page."""
    return load(TEMPLATE / "tools" / "questions.py")


def test_the_page_is_fresh(tool: ModuleType) -> None:
    assert tool.main(["--check"]) == 0, "run make questions"


def test_every_question_and_every_choice_is_there(tool: ModuleType) -> None:
    text = tool.PAGE.read_text("utf-8")
    assert re.findall(r"^## `(.*)`$", text, re.MULTILINE) == list(choices())
    named = re.findall(r"^\| `(.*?)` \|", text, re.MULTILINE)
    assert named == [choice for values in CONTEXT.values() if isinstance(values, list) and values[0] in named for choice in values]


def test_a_page_that_is_out_of_date_is_noticed(
    tool: ModuleType, tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tool, "PAGE", TEMPLATE / "README.md")
    monkeypatch.setattr(tool, "page", lambda: "something else")
    assert tool.main(["--check"]) == 1
    assert "run make questions" in capsys.readouterr().err
