"""A release is a commit, a tag and a changelog that agree; whatever is not in order is named, and nothing changes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TEMPLATE

CHANGELOG = "# Changelog\n\n## Unreleased\n\n- A new thing.\n\nUpgrading: nothing to do.\n\n## 0.1.0 (2026-11-24)\n\n- The first.\n"


class Clone:
    """A repository with what a release touches; its ``make quick`` passes unless a file named ``broken`` is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tools").mkdir(parents=True)
        for name in ("tools/release.py", "cookiecutter.json", "pyproject.toml"):
            shutil.copyfile(TEMPLATE / name, folder / name)
        (folder / "Makefile").write_text("quick:\n\t@test ! -e broken\n")
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "user.name", "Somebody")
        self.git("config", "user.email", "somebody@example.com")
        self.commit("CHANGELOG.md", CHANGELOG)

    def git(self, *arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", f"Write {name}")

    def release(self, version: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "tools/release.py", version]
        return subprocess.run(command, cwd=self.folder, check=False, capture_output=True, text=True)

    def refuses(self, version: str, words: str) -> bool:
        """Whether the release is refused in these words, and leaves everything as it was."""
        before = (self.git("rev-parse", "HEAD"), self.git("tag"), self.git("status", "--porcelain"))
        outcome = self.release(version)
        after = (self.git("rev-parse", "HEAD"), self.git("tag"), self.git("status", "--porcelain"))
        return outcome.returncode == 1 and words in outcome.stderr and before == after


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "clone")


def test_version_changelog_and_tag_agree(clone: Clone) -> None:
    assert clone.release("0.2.0").returncode == 0
    assert json.loads(clone.git("show", "v0.2.0:cookiecutter.json"))["_version"] == "0.2.0"
    assert '\nversion = "0.2.0"\n' in clone.git("show", "v0.2.0:pyproject.toml")
    assert "\n## 0.2.0 (2" in clone.git("show", "v0.2.0:CHANGELOG.md")
    assert "Unreleased" not in clone.git("show", "v0.2.0:CHANGELOG.md")
    assert "- A new thing." in clone.git("for-each-ref", "refs/tags/v0.2.0", "--format=%(contents)")


def test_what_comes_after_carries_a_version_that_no_tag_has(clone: Clone) -> None:
    clone.release("0.2.0")
    assert json.loads(clone.git("show", "main:cookiecutter.json"))["_version"] == "0.2.1.dev0"
    assert clone.git("status", "--porcelain") == ""


def test_refuses_what_is_no_version_or_not_a_new_one(clone: Clone) -> None:
    assert clone.refuses("", "must be three numbers")
    assert clone.refuses("v0.2", "must be three numbers")
    clone.git("tag", "v0.2.0")
    assert clone.refuses("0.2.0", "0.2.0 is not above 0.2.0")


def test_refuses_another_branch(clone: Clone) -> None:
    clone.git("switch", "--quiet", "--create", "aside")
    assert clone.refuses("0.2.0", "Releases are made on main, and this is aside")


def test_refuses_changes_that_are_not_committed(clone: Clone) -> None:
    (clone.folder / "new.txt").write_text("new")
    assert clone.refuses("0.2.0", "new.txt")


def test_refuses_a_changelog_that_says_nothing(clone: Clone) -> None:
    clone.commit("CHANGELOG.md", "# Changelog\n\n## 0.1.0\n\n- The first.\n")
    assert clone.refuses("0.2.0", "has nothing under `## Unreleased`")


def test_refuses_a_changelog_without_a_word_on_upgrading(clone: Clone) -> None:
    clone.commit("CHANGELOG.md", CHANGELOG.replace("Upgrading: nothing to do.", ""))
    assert clone.refuses("0.2.0", "what an upgrade asks of people")


def test_refuses_what_fails_its_tests(clone: Clone) -> None:
    clone.commit("broken", "")
    assert clone.refuses("0.2.0", "`make quick` fails on it. Nothing has changed.")


def test_the_template_s_own_changelog_says_what_an_upgrade_asks() -> None:
    _, *sections = (TEMPLATE / "CHANGELOG.md").read_text("utf-8").split("\n## ")
    assert [section.splitlines()[0] for section in sections if "\nUpgrading: " not in section] == []
