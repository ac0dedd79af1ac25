"""Makes a release of the template: its version, its section of the changelog, a commit and a tag, once everything is in order.

    python tools/release.py 0.2.0     or: make release VERSION=0.2.0

Between two releases ``_version`` in cookiecutter.json names the next one with ``.dev0`` behind it: a worker rendered then
carries a version that no tag has, and an upgrade of it asks which commit it was rendered from instead of taking a wrong one.
Nothing is pushed.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

#: Files that name the version, each with the pattern around it.
STAMPS = {
    "cookiecutter.json": re.compile(r'(?<="_version": ")[^"]+(?=")'),
    "pyproject.toml": re.compile(r'(?<=^version = ")[^"]+(?=")', re.MULTILINE),
}
CHANGELOG = "CHANGELOG.md"
SECTION = re.compile(r"^## Unreleased\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
#: What an upgrade asks of whoever does it: every section says it, if only that it asks nothing.
MIGRATION = re.compile(r"^Upgrading: \S", re.MULTILINE)
BRANCH = "main"
CHECK = ("make", "quick")


class Repository:
    """The template's repository in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def git(self, *arguments: str) -> str:
        """What git prints; raises ``CalledProcessError`` if it fails."""
        command = ("git", *arguments)
        return subprocess.run(command, cwd=self.folder, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def read(self, name: str) -> str:
        return (self.folder / name).read_text("utf-8")

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, "utf-8", newline="\n")

    def releases(self) -> list[str]:
        """The versions that have a tag, the oldest first."""
        tags = self.git("tag", "--list", "v*").split()
        return sorted((tag[1:] for tag in tags if re.fullmatch(r"v\d+\.\d+\.\d+", tag)), key=numbers)

    def section(self) -> str:
        """What the changelog says of the release to come; empty if it says nothing."""
        found = SECTION.search(self.read(CHANGELOG))
        return found[1].strip() if found else ""

    def stamp(self, version: str) -> None:
        """Write the version wherever it is named."""
        for name, pattern in STAMPS.items():
            self.write(name, pattern.sub(version, self.read(name), count=1))

    def commit(self, message: str) -> None:
        self.git("commit", "--quiet", "--message", message, "--", *STAMPS, CHANGELOG)


def numbers(version: str) -> tuple[int, ...]:
    """``"0.10.0"`` as ``(0, 10, 0)``."""
    return tuple(map(int, version.split(".")))


def problems(repository: Repository, version: str) -> Iterator[str]:
    """Why this release cannot be made now, and what would help."""
    if not re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", version):
        yield f"VERSION is {version!r}; it must be three numbers, such as make release VERSION=0.2.0."
    elif (released := repository.releases()) and numbers(version) <= numbers(released[-1]):
        yield f"{version} is not above {released[-1]}, the newest release."
    if (branch := repository.git("branch", "--show-current")) != BRANCH:
        yield f"Releases are made on {BRANCH}, and this is {branch or 'no branch'}: git switch {BRANCH}."
    if changed := repository.git("status", "--porcelain"):
        yield f"There are changes that are not committed; commit or stash them:\n{changed}"
    if not repository.section():
        yield f"{CHANGELOG} has nothing under `## Unreleased`: write what the release changes."
    elif not MIGRATION.search(repository.section()):
        yield f"{CHANGELOG} does not say what an upgrade asks of people: end `## Unreleased` with a line `Upgrading: …`."


def release(repository: Repository, version: str) -> int:
    """Make the release; the exit status, 1 if it was refused or the template's tests fail: then nothing has changed."""
    found = list(problems(repository, version))
    if found:
        print(f"No release {version}:", *(f"  - {problem}" for problem in found), sep="\n", file=sys.stderr)
        return 1
    notes, today = repository.section(), datetime.now(UTC).date()
    repository.stamp(version)
    repository.write(CHANGELOG, repository.read(CHANGELOG).replace("## Unreleased", f"## {version} ({today})", 1))
    if subprocess.run(CHECK, cwd=repository.folder, check=False).returncode:
        repository.git("checkout", "--quiet", "--", *STAMPS, CHANGELOG)
        print(f"No release {version}: `{' '.join(CHECK)}` fails on it. Nothing has changed.", file=sys.stderr)
        return 1
    repository.commit(f"Release {version}")
    repository.git("tag", "--annotate", f"v{version}", "--cleanup=verbatim", "--message", f"{version}\n\n{notes}\n")
    major, minor, patch = numbers(version)
    repository.stamp(f"{major}.{minor}.{patch + 1}.dev0")
    repository.commit(f"Go on after {version}")
    print(f"Released {version}. To publish it: git push origin {BRANCH} v{version}")
    return 0


if __name__ == "__main__":
    sys.exit(release(Repository(Path(__file__).parent.parent), *sys.argv[1:]))
