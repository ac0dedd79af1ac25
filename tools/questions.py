"""Writes docs/questions.md from cookiecutter.json: every question, its choices, and the files of a worker that its answer changes.

    python tools/questions.py [--check]

Which files those are is found out: a worker is rendered with every other answer and compared with the default one. ``--check``
writes nothing and fails if the page would change.
"""

import contextlib
import hashlib
import json
import re
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parent.parent
INNER = "{{cookiecutter.project}}"
PAGE = TEMPLATE / "docs" / "questions.md"
WIDTH = 132

#: What tools leave behind, which cookiecutter would render.
LEFT_BEHIND = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*_cache", ".hypothesis")

#: Where every answer is noted, whatever else it changes.
STAMPED = (".cruft.json", "pyproject.toml")

#: Other answers to questions without choices, where adding one to the default makes none.
OTHERS = {"project": "another-worker", "description": "Other words", "author": "Somebody Else", "concurrency": "9"}

HEAD = """# Questions

What `cookiecutter` asks, what each answer means, and which files of the worker it changes. Made by `make questions` from
`cookiecutter.json`; the first choice is the default. Answers that cannot work together are refused, with one that would. Every
answer is also noted in `.cruft.json` and in `[tool.template]` of `pyproject.toml`; in a worker
`make update ANSWERS="question=answer"` changes it.
"""


class Renders:
    """Workers rendered without hooks, from a copy of the template in ``folder`` that is reduced to what answers can change."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._template = shutil.copytree(TEMPLATE, folder / "template", ignore=LEFT_BEHIND)
        for path in [path for path in (self._template / INNER).rglob("*") if path.is_file()]:
            content = path.read_bytes()
            if not re.search(rb"\{[{%]", content):
                path.write_text(hashlib.sha256(content).hexdigest())
                if "{%" not in path.name:
                    path.unlink()
        self._default = self._render({})

    def changed(self, answers: dict[str, Any]) -> set[str]:
        """The files that differ from those of the default answers."""
        other = self._render(answers)
        return {name for name in self._default.keys() | other.keys() if self._default.get(name) != other.get(name)}

    def _render(self, answers: dict[str, Any]) -> dict[str, bytes]:
        output = self._folder / "worker"
        options: dict[str, Any] = {"no_input": True, "default_config": {"replay_dir": str(self._folder)}, "accept_hooks": False}
        worker = Path(cookiecutter(str(self._template), extra_context=answers, output_dir=str(output), **options))
        files = {path.relative_to(worker).as_posix(): path.read_bytes() for path in worker.rglob("*") if path.is_file()}
        shutil.rmtree(output)
        return files


def other_answers(name: str, default: Any) -> list[Any]:
    """Answers to a question that differ from its default."""
    if isinstance(default, list):
        return default[1:]
    if isinstance(default, bool):
        return [not default]
    return [OTHERS[name] if name in OTHERS else str(int(default) + 1)]


def section(name: str, default: Any, prompt: Any, changed: set[str]) -> Iterator[str]:
    """One question as lines of Markdown."""
    yield f"\n## `{name}`\n"
    if not isinstance(prompt, dict):
        yield textwrap.fill(f"{prompt}. {preset(default)}", WIDTH) + "\n"
    else:
        yield f"{prompt['__prompt__']}.\n"
        yield "| answer | |"
        yield "|---|---|"
        for choice in default:
            yield f"| `{choice}` | {prompt.get(choice, choice).removeprefix(f'{choice}: ')} |"
        yield ""
    noted = sorted(changed - {STAMPED[0]}) if name in ("project", "description", "author") else sorted(changed.difference(STAMPED))
    files = f"Changes {', '.join(f'`{file}`' for file in noted) or 'nothing else'}."
    yield textwrap.fill(files, WIDTH, break_long_words=False, break_on_hyphens=False)


def preset(default: Any) -> str:
    """A question's default in words."""
    if isinstance(default, bool):
        return f"Yes or no; {'yes' if default else 'no'} if not answered."
    return "The default follows from other answers." if "{" in default else f"Default: `{default}`."


def page() -> str:
    """The whole page."""
    asked = json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8"))
    questions = {name: default for name, default in asked.items() if not name.startswith("_")}
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        renders = Renders(Path(folder))
        for name, default in questions.items():
            changed = set().union(*(renders.changed({name: answer}) for answer in other_answers(name, default)))
            lines += section(name, default, asked["__prompts__"][name], changed)
    return HEAD + "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Write or check the page; the exit status, 1 if a check finds that it would change."""
    text = page()
    current = PAGE.exists() and PAGE.read_text("utf-8") == text
    if "--check" not in arguments:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text, "utf-8", newline="\n")
    elif not current:
        print("docs/questions.md is out of date: run make questions", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
