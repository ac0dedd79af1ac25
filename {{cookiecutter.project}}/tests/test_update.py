"""What ``make update`` knows of the template, and that no update has left something half merged behind."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.local_worker import PROJECT
from ops.template import CannotUpdate, State, Template, as_typed, problems, version

#: Folders that are no part of the project: environments, caches, what commands write.
ELSEWHERE = {".git", ".venv", ".venv-engine", "__pycache__", "build", "out"}

ASKED = {
    "project": "worker",
    "stack": ["new", "newer", "old"],
    "telemetry": False,
    "_version": "0.2.0",
    "_retired": {"_origin": "a note", "stack": {"old": "new"}},
}


def own_files() -> Iterator[Path]:
    for folder, folders, names in os.walk(PROJECT):
        folders[:] = [name for name in folders if name not in ELSEWHERE and not name.endswith("_cache")]
        yield from (Path(folder) / name for name in names)


def test_no_update_has_left_conflict_markers_or_rejected_changes() -> None:
    rejected = [path for path in own_files() if path.suffix == ".rej"]
    marked = [path for path in own_files() if re.search(rb"^(<{7}|>{7}) ", path.read_bytes(), re.MULTILINE)]
    assert rejected + marked == []


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"stak": "new"}, "stak is no question of the template; did you mean stack?"),
        ({"colour": "red"}, "colour is no question of the template; it asks project, stack, telemetry."),
        ({"_version": "9"}, "_version is no question of the template"),
        ({"stack": "old"}, 'stack=old was retired, and stack=new takes its place: make update ANSWERS="stack=new".'),
        ({"stack": "oldest"}, "stack=oldest is no choice of the template; it takes new, newer, old."),
        ({"telemetry": "perhaps"}, "telemetry=perhaps is neither yes nor no."),
    ],
)
def test_answers_that_the_template_would_not_take_are_named(answers: dict[str, str], words: str) -> None:
    [problem] = problems(ASKED, answers)
    assert words in problem


def test_answers_that_it_would_take_are_no_problem() -> None:
    assert problems(ASKED, {"project": "anything", "stack": "newer", "telemetry": "yes"}) == []


def test_what_is_on_its_way_to_a_release_comes_before_it() -> None:
    releases = ["v0.9.0", "0.10.0.dev0", "v0.10.0"]
    assert sorted(sorted(releases), key=version) == releases


def test_the_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    state = State("https://example.com/t.git", "v0.1.0", {"description": as_typed('{"ä"}\nb'), "telemetry": False})
    state.write(tmp_path / ".cruft.json")
    assert State.read(tmp_path / ".cruft.json") == state


def test_a_state_that_says_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / ".cruft.json").write_text("{}")
    with pytest.raises(CannotUpdate, match=r"\.cruft\.json does not say what this worker was rendered from"):
        State.read(tmp_path / ".cruft.json")


def test_a_template_that_is_nowhere_from_here_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotUpdate, match=r"names the template as '\.\./template', which is nowhere from here"):
        Template.clone("../template", tmp_path / "clone", ())


def test_updates_begin_only_where_everything_is_committed(tmp_path: Path) -> None:
    (tmp_path / "ops").mkdir()
    for name in ("__init__.py", "template.py", "update.py"):
        (tmp_path / "ops" / name).write_bytes((PROJECT / "ops" / name).read_bytes())
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    run = subprocess.run([sys.executable, "-m", "ops.update"], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert run.returncode == 1
    assert "1 changes are not committed (ops/): commit or stash them first." in run.stderr
