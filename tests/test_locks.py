"""The locks install what was tried, from anywhere: every package hashed, and no trace of the machine that made them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TEMPLATE

LOCKS = [TEMPLATE / "locks" / "dev.txt", *sorted((TEMPLATE / "{{cookiecutter.project}}" / "locks").iterdir())]


@pytest.fixture(params=LOCKS, ids=lambda path: re.sub(r".*'(.*)' %\}(.*)\{.*", r"\1 \2", path.name))
def lock(request: pytest.FixtureRequest) -> Path:
    """One of the template's locks."""
    path = request.param
    assert isinstance(path, Path)
    return path


def test_every_package_is_exact_and_hashed(lock: Path) -> None:
    entries = re.split(r"^(?=[a-z0-9])", lock.read_text("utf-8"), flags=re.MULTILINE)[1:]
    assert entries
    assert [entry for entry in entries if not re.match(r"[a-z0-9._-]+==\S+( ;.*)? \\\n    --hash=sha256:", entry)] == []


def test_no_package_source_and_no_path_is_named(lock: Path) -> None:
    assert re.findall(r"^.*(?:://|--find-links|--index|(?<![\w.])/\w|file:).*$", lock.read_text("utf-8"), re.MULTILINE) == []


def test_the_tools_of_the_tests_contain_the_worker_s_own_packages() -> None:
    for stack in ("mineru-4.0", "mineru-3.4"):
        cpu, dev = (
            set(re.findall(r"^[a-z0-9._-]+==\S+", path.read_text("utf-8"), re.MULTILINE))
            for profile in ("cpu", "dev")
            for path in LOCKS
            if path.name == f"{{% if cookiecutter.stack == '{stack}' %}}{profile}.txt{{% endif %}}"
        )
        assert cpu < dev


@pytest.mark.slow
def test_locks_are_what_their_projects_ask_for() -> None:
    subprocess.run([sys.executable, TEMPLATE / "tools" / "locks.py", "--check"], check=True)
