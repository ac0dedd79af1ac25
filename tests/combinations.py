"""The answers that the tests render: pairwise over all questions of cookiecutter.json, without what the hook refuses."""

import json
from itertools import combinations, product
from typing import Any

from conftest import TEMPLATE, load

CONTEXT: dict[str, Any] = json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8"))
PROBLEMS = load(TEMPLATE / "hooks" / "pre_gen_project.py").problems

#: Questions with a typed answer: values beside the default. Free text has tests of its own.
TYPED = {"workers_min": ["3"], "workers_max": ["1000"], "idle_timeout": ["3600"], "concurrency": ["1", "64"]}

Answers = dict[str, Any]


def choices() -> dict[str, list[Any]]:
    """Every question with the answers to render, the default first."""
    return {name: _choices(name, value) for name, value in CONTEXT.items() if not name.startswith("_")}


def _choices(name: str, value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, bool):
        return [value, not value]
    # A default that depends on other answers is none of its own; tests of the catalogue look at it.
    return [*([] if "{{" in value else [value]), *TYPED.get(name, [])]


def defaults() -> Answers:
    """The answers of somebody who only presses return."""
    return {name: values[0] for name, values in choices().items()}


def refused(answers: Answers) -> list[str]:
    """The hook's problems with ``answers`` over the defaults."""
    private = {name: value for name, value in CONTEXT.items() if name.startswith("_")}
    return list(PROBLEMS(private | defaults() | answers))


def pairwise() -> list[Answers]:
    """Answers such that every pair that the hook allows occurs in at least one.

    Greedy: each row begins with a pair not seen yet and takes, question by question, the answer that brings most such pairs.
    """
    questions, rows, missing = choices(), [], allowed_pairs()
    while missing:
        row = dict(missing[0])
        for name in [name for name in questions if name not in row]:
            possible = [{**row, name: value} for value in questions[name] if not refused({**row, name: value})]
            row = max(possible, key=lambda candidate: sum(pair.items() <= candidate.items() for pair in missing))
        rows.append(row)
        missing = [pair for pair in missing if not pair.items() <= row.items()]
    return rows


def allowed_pairs() -> list[Answers]:
    """Every two answers to two questions that the hook lets pass together."""
    questions = choices()
    pairs = [
        {one: first, other: second}
        for one, other in combinations(questions, 2)
        for first, second in product(questions[one], questions[other])
    ]
    return [pair for pair in pairs if not refused(pair)]
