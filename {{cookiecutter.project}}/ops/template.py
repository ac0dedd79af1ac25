"""The template that this worker was rendered from: its releases, what each asks and what changed, and the worker each renders."""

import difflib
import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

#: What git calls a release.
RELEASE: Final = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
#: A release's heading in the changelog.
HEADING: Final = re.compile(r"^## (\d+\.\d+\.\d+)\b.*\n", re.MULTILINE)

#: What cookiecutter takes for a yes or a no.
WORDS: Final = ("1", "true", "t", "yes", "y", "on", "0", "false", "f", "no", "n", "off")

#: Around what Jinja computes.
OPEN, CLOSE = "{" * 2, "}" * 2

Answers = dict[str, Any]


class CannotUpdate(RuntimeError):
    """This worker cannot be brought to the release asked for; the message says why and what would work."""


@dataclass(frozen=True)
class State:
    """What ``.cruft.json`` says: the template's address, the commit or release rendered from, and the answers given."""

    template: str
    commit: str
    answers: Answers

    @classmethod
    def read(cls, file: Path) -> Self:
        """The file's state; raises ``CannotUpdate`` if there is none that can be read."""
        try:
            held = json.loads(file.read_text("utf-8"))
            return cls(held["template"], held["commit"], questions(held["context"]["cookiecutter"]))
        except (OSError, ValueError, KeyError) as error:
            raise CannotUpdate(
                f"{file.name} does not say what this worker was rendered from ({error!r}): restore it from git."
            ) from error

    def write(self, file: Path) -> None:
        """Write the file as cruft, and the template itself, write it."""
        context = {"cookiecutter": self.answers}
        held = {"template": self.template, "commit": self.commit, "checkout": None, "context": context, "directory": None}
        file.write_text(json.dumps(held, ensure_ascii=False, indent=2) + "\n", "utf-8", newline="\n")


@dataclass(frozen=True)
class Template:
    """A clone of the template in ``folder``, and the command that is cruft."""

    folder: Path
    cruft: tuple[str, ...]

    @classmethod
    def clone(cls, address: str, folder: Path, cruft: tuple[str, ...]) -> Self:
        """Clone the template; raises ``CannotUpdate`` if ``address`` is none that git can clone from here."""
        if not Path(address).is_absolute() and not re.match(r"\w+://|[\w.-]+@", address):
            raise CannotUpdate(
                f".cruft.json names the template as {address!r}, which is nowhere from here; say where it is: "
                "make update TEMPLATE=https://… or an absolute path."
            )
        git("clone", "--quiet", "--no-checkout", address, str(folder))
        return cls(folder, cruft)

    def commit(self, name: str) -> str | None:
        """The commit that a release, a branch or a commit's own name stands for; None if the template has none."""
        try:
            return git("rev-parse", "--verify", "--quiet", name + "^{commit}", cwd=self.folder).strip()
        except CannotUpdate:
            return None

    def newest(self) -> str:
        """The newest release; raises ``CannotUpdate`` if there is none yet."""
        releases = [tag for tag in git("tag", cwd=self.folder).split() if RELEASE.fullmatch(tag)]
        if not releases:
            raise CannotUpdate("The template has no release yet. Name a commit of it: make update TO=<commit>.")
        return max(releases, key=version)

    def holds(self, earlier: str, later: str) -> bool:
        """Whether the history of ``later`` holds ``earlier``, or is it."""
        return git("merge-base", earlier, later, cwd=self.folder).strip() == self.commit(earlier)

    def asks(self, commit: str) -> Answers:
        """All of a commit's ``cookiecutter.json``: questions with their defaults, and private tables."""
        return dict(json.loads(git("show", f"{commit}:cookiecutter.json", cwd=self.folder)))

    def changelog(self, since: str, until: str) -> str:
        """What the changelog says of the releases after the commit ``since`` up to ``until``."""
        oldest, newest = (version(self.asks(commit)["_version"]) for commit in (since, until))
        _, *parts = HEADING.split(git("show", f"{until}:CHANGELOG.md", cwd=self.folder))
        sections = [(name, body.strip()) for name, body in zip(parts[::2], parts[1::2], strict=True)]
        return "\n\n".join(f"{name}\n\n{body}" for name, body in sections if oldest < version(name) <= newest)

    def render(self, commit: str, answers: Answers, folder: Path) -> tuple[Path, Answers]:
        """Render a worker below ``folder``; returns its own folder, and every answer as cookiecutter took it.

        Raises:
            CannotUpdate: with the words of the template's hook, which refuses answers that cannot work together.
        """
        folder.mkdir()
        with tempfile.TemporaryDirectory() as scratch:
            given = Path(scratch) / "answers.json"
            given.write_text(json.dumps(answers), "utf-8")
            options = ("--no-input", "--default-config", "--extra-context-file", str(given), "--output-dir", str(folder))
            command = (*self.cruft, "create", str(self.folder), "--checkout", commit, *options)
            run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            refused = re.search(r"^These answers cannot work:(?:\n  - .*)+", run.stderr, re.MULTILINE)
            raise CannotUpdate(refused[0] if refused else f"cruft could not render the template:\n{run.stderr.strip()[-2000:]}")
        [worker] = folder.iterdir()
        return worker, questions(json.loads((worker / ".cruft.json").read_text("utf-8"))["context"]["cookiecutter"])


def questions(context: Answers) -> Answers:
    """The questions among everything that cookiecutter.json, or a context made from it, holds."""
    return {name: value for name, value in context.items() if not name.startswith("_")}


def problems(asked: Answers, answers: Answers) -> list[str]:
    """Why a template that asks ``asked`` would not take these answers, in words that name what it would take."""
    found, known = [], questions(asked)
    for name, value in answers.items():
        choices, successor = known.get(name), asked.get("_retired", {}).get(name, {}).get(value)
        if choices is None:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it asks {', '.join(known)}."
            found.append(f"{name} is no question of the template; {hint}")
        elif successor is not None:
            way = f'make update ANSWERS="{name}={successor}"'
            found.append(f"{name}={value} was retired, and {name}={successor} takes its place: {way}.")
        elif isinstance(choices, list) and value not in choices:
            found.append(f"{name}={value} is no choice of the template; it takes {', '.join(choices)}.")
        elif isinstance(choices, bool) and str(value).lower() not in WORDS:
            found.append(f"{name}={value} is neither yes nor no.")
    return found


def as_typed(value: Any) -> Any:
    """An answer such that cookiecutter, which renders the answers that it is handed, takes it as it is."""
    return re.sub(r"[{\r\n]", lambda mark: f"{OPEN} {mark[0]!r} {CLOSE}", value) if isinstance(value, str) else value


def version(text: str) -> tuple[int, ...]:
    """``v0.10.0`` as ``(0, 10, 0, 1)``; what is on its way there, ``0.10.0.dev0``, comes before it."""
    return (*map(int, re.findall(r"\d+", text)[:3]), 0 if ".dev" in text else 1)


def git(*arguments: str, cwd: Path | None = None, **environment: str) -> str:
    """What git prints, in ``cwd``; raises ``CannotUpdate`` with its own words if it fails."""
    command = ("git", *arguments)
    run = subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if run.returncode:
        raise CannotUpdate(f"git {arguments[0]}: {(run.stderr or run.stdout).strip()}")
    return run.stdout
