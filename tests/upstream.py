"""A template with a history: this one as its release 0.3.0, and two made-up releases before it, for the tests of upgrades."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CRUFT = Path(sys.executable).with_name("cruft")
COOKIECUTTER = Path(sys.executable).with_name("cookiecutter")
INNER = "{{cookiecutter.project}}"

#: The releases, the oldest first; the last is the template as it lies here.
RELEASES = ("0.1.0", "0.2.0", "0.3.0")

CHANGELOG = (
    "# Changelog\n\n## 0.3.0 (2026-03-03)\n\n- Third.\n\n## 0.2.0 (2026-02-02)\n\n- Second.\n\n## 0.1.0 (2026-01-01)\n\n- First.\n"
)


def numbered(word: str, **changed: str) -> str:
    """Sixty lines, such as ``tide 7``, but for those given (``line_7="other"``); git takes files of other words for others."""
    return "".join(changed.get(f"line_{number}", f"{word} {number}") + "\n" for number in range(1, 61))


#: What the releases hold besides: files that the template changes, moves, adds and removes, release by release.
SCRIPT: dict[str, dict[str, str]] = {
    "0.1.0": {
        "docs/changed.md": numbered("tide"),
        "docs/before.md": numbered("wave"),
        "docs/removed.md": numbered("reef"),
        "docs/deleted-here.md": numbered("rock"),
        "docs/renamed-here.md": numbered("sand"),
    },
    "0.2.0": {
        "docs/changed.md": numbered("tide", line_20="second"),
        "docs/after.md": numbered("wave", line_20="second"),
        "docs/removed.md": numbered("reef"),
        "docs/deleted-here.md": numbered("rock", line_20="second"),
        "docs/renamed-here.md": numbered("sand", line_20="second"),
    },
    "0.3.0": {
        "docs/changed.md": numbered("tide", line_20="second", line_40="third"),
        "docs/after.md": numbered("wave", line_20="second", line_40="third"),
        "docs/added.md": numbered("moor"),
        "docs/deleted-here.md": numbered("rock", line_20="second", line_40="third"),
        "docs/renamed-here.md": numbered("sand", line_20="second", line_40="third"),
    },
}


#: What the worker's own files hold otherwise before the last release: a lock, a package, and a file that belongs to its owner.
EARLY = {
    "locks/{% if cookiecutter.stack == 'mineru-4.0' %}gpu.txt{% endif %}": ("\naiohttp==", "\n# Early.\naiohttp=="),
    "pyproject.toml": ('"boto3>=', '"boto3>0,>='),
    "worker/custom.py": ("    return {}\n", "    return dict()\n"),
}


def git(folder: Path, *arguments: str) -> str:
    """What git prints in ``folder``; raises if it fails."""
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def begin(folder: Path, message: str) -> None:
    """Make ``folder`` a repository of somebody's, with everything in it committed."""
    git(folder, "init", "--quiet", "--initial-branch=main")
    for name, value in {"user.name": "Somebody", "user.email": "somebody@example.com", "commit.gpgsign": "false"}.items():
        git(folder, "config", name, value)
    commit(folder, message)


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)


def build(template: Path, folder: Path) -> str:
    """Make the repository with its tags from the template's files; returns its address."""
    shutil.copytree(template, folder)
    begin(folder, "Begin")
    for number, release in enumerate(RELEASES):
        for name in {name for files in SCRIPT.values() for name in files}:
            (folder / INNER / name).unlink(missing_ok=True)
        for name, text in SCRIPT[release].items():
            (folder / INNER / name).write_text(text, "utf-8")
        stamp(folder, release)
        section = CHANGELOG.index(f"## {release}")
        (folder / "CHANGELOG.md").write_text(CHANGELOG[: CHANGELOG.index("## ")] + CHANGELOG[section:], "utf-8")
        for name, (old, early) in EARLY.items():
            text = (template / INNER / name).read_text("utf-8")
            assert old in text
            (folder / INNER / name).write_text(text if number == 2 else text.replace(old, early, 1), "utf-8")
        commit(folder, f"Release {release}")
        git(folder, "tag", f"v{release}")
    return folder.as_uri()


def stamp(folder: Path, release: str) -> None:
    """Give the template in ``folder`` a version."""
    questions = folder / "cookiecutter.json"
    questions.write_text(re.sub(r'("_version": ")[^"]+', rf"\g<1>{release}", questions.read_text("utf-8")), "utf-8")


@dataclass(frozen=True)
class Worker:
    """A worker rendered from a release, committed as it came; ``tools`` holds what stands in for its environment."""

    path: Path
    tools: Path

    def read(self, name: str) -> str:
        return (self.path / name).read_text("utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text that the file holds."""
        text = self.read(name)
        assert old in text
        (self.path / name).write_text(text.replace(old, new, 1), "utf-8", newline="\n")

    def git(self, *arguments: str) -> str:
        return git(self.path, *arguments)

    def commit(self) -> None:
        commit(self.path, "Mine")

    def files(self) -> dict[str, bytes]:
        """Every committed file's content, but cruft's state."""
        names = set(self.git("ls-files").splitlines()) - {".cruft.json"}
        return {name: (self.path / name).read_bytes() for name in names}

    def answers(self) -> dict[str, str]:
        return dict(json.loads(self.read(".cruft.json"))["context"]["cookiecutter"])

    def copy(self, folder: Path) -> "Worker":
        """The same worker once more, below ``folder``."""
        shutil.copytree(self.path, folder / self.path.name)
        return Worker(folder / self.path.name, folder / "tools")

    def make_update(self, **variables: str) -> subprocess.CompletedProcess[str]:
        """``make update`` with the tests left out, in an environment of no more than Python, cruft and a stand-in for uv."""
        venv = self.tools / "venv"
        if not venv.exists():
            (venv / "bin").mkdir(parents=True)
            for name, script in {"python": f'exec "{sys.executable}" "$@"', "uv": RELOCKS}.items():
                (venv / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
                (venv / "bin" / name).chmod(0o755)
        shutil.copyfile(self.path / "locks" / "dev.txt", venv / "dev.txt")
        options = {"VENV": str(venv), "CRUFT": str(CRUFT), "CHECKS": "", **variables}
        return self.run("make", "update", *(f"{name}={value}" for name, value in options.items()))

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as this worker's owner, whose own cookiecutter configuration is empty."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "VIRTUAL_ENV"))}
        environment = {
            **kept,
            "COOKIECUTTER_CONFIG": str(configuration(self.tools)),
            "PATH": f"{CRUFT.parent}{os.pathsep}{os.environ['PATH']}",
        }
        return subprocess.run(command, cwd=self.path, env=environment, check=False, capture_output=True, text=True)


#: What stands in for ``uv pip compile``: it notes in the lock that it was asked.
RELOCKS = 'while [ $# -gt 1 ]; do [ "$1" != --output-file ] || echo "# Locked again." >> "$2"; shift; done'


def configuration(folder: Path) -> Path:
    """A cookiecutter configuration that keeps its clones and notes in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "cookiecutter.yaml"
    file.write_text(json.dumps({"cookiecutters_dir": str(folder), "replay_dir": str(folder)}), "utf-8")
    return file


def generate(address: str, release: str, folder: Path, maker: str = "cookiecutter", **answers: str) -> Worker:
    """Render a worker from a release below ``folder``, by cookiecutter or by cruft, and commit it as it came."""
    tools, output = folder / "tools", folder / "work"
    output.mkdir(parents=True)
    options = ["--no-input", "--checkout", f"v{release}", "--output-dir", str(output), "--config-file", str(configuration(tools))]
    if maker == "cruft":
        command = [str(CRUFT), "create", address, *options, "--extra-context", json.dumps(answers)]
    else:
        command = [str(COOKIECUTTER), address, *options, *(f"{name}={value}" for name, value in answers.items())]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    [path] = output.iterdir()
    begin(path, "As generated")
    return Worker(path, tools)
