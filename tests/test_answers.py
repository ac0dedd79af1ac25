"""What is typed is data: it comes out as it went in, wherever the result holds it."""

import json
import tomllib

import pytest
from combinations import choices
from conftest import Bake, BakedProject

HOSTILE = {
    "quotes": """O'Brien said "yes" to '''all''' and \"\"\"all\"\"\"""",
    "backslashes": r"C:\new\table \u0041 \N{DASH} \\",
    "newlines": "first\nsecond\r\nthird\ttabbed",
    "control": "\x00\x1b[31m\x7f\x85",
    "unicode": "Zoë 文書 🙂 \u2028 \u202e é",
    "braces": "{{ cookiecutter.project }} {% raw %} {# none #} {## none ##}",
    "shell": "${#a[@]} $(id) `id` $HOME; true && false | cat > /dev/null #",
    "markup": "</script><!-- & --> <b>&amp;</b> [link](javascript:0)",
    "toml": '"]\nname = "other"\n[project]',
    "dash": "--output-dir=elsewhere",
    "percent": "%s %(name)s {0} {name}",
    "empty": "",
    "spaces": "  around  ",
}


@pytest.fixture(params=HOSTILE.values(), ids=list(HOSTILE))
def text(request: pytest.FixtureRequest) -> str:
    """Something that a careless template would trip over."""
    return str(request.param)


def test_description_comes_out_as_it_went_in(bake: Bake, text: str) -> None:
    project = bake(description=text)
    assert tomllib.loads(project.read("pyproject.toml"))["project"]["description"] == text
    for name in project.files() & {".runpod/hub.json"}:
        assert json.loads(project.read(name))["description"] == text


def test_author_comes_out_as_it_went_in(bake: Bake, text: str) -> None:
    project = bake(author=text)
    assert tomllib.loads(project.read("pyproject.toml"))["project"]["authors"] == [{"name": text}]


@pytest.mark.parametrize("licence", ["MIT", "Apache-2.0", "Proprietary"])
def test_licence_names_the_author(bake: Bake, licence: str) -> None:
    assert "Zoë {{ O'Brien }}" in bake(licence=licence, author="Zoë {{ O'Brien }}").read("LICENSE")


def test_free_text_changes_no_code(bake: Bake, text: str) -> None:
    plain, hostile = bake(), bake(description=text, author=text)
    code = [name for name in plain.files() if name.endswith((".py", ".yml", ".txt")) or name == "Makefile"]
    assert [name for name in code if plain.read(name) != hostile.read(name)] == []


def test_a_typed_project_name_is_in_the_metadata(bake: Bake) -> None:
    project = bake(project="paper-mill-2")
    assert project.path.name == "paper-mill-2"
    assert tomllib.loads(project.read("pyproject.toml"))["project"]["name"] == "paper-mill-2"
    assert 'PROJECT: Final[str] = "paper-mill-2"' in project.read("worker/choices.py")


@pytest.mark.parametrize("question", choices())
def test_every_question_changes_what_is_rendered(bake: Bake, question: str) -> None:
    default, *others = choices()[question]
    other = others[0] if others else f"{default}-2"
    assert contents(bake()) != contents(bake(**{question: other}))


def contents(project: BakedProject) -> dict[str, bytes]:
    """Every file of a project but its locks, which no answer but the stack's changes."""
    return {name: (project.path / name).read_bytes() for name in project.files() if not name.startswith("locks/")}
