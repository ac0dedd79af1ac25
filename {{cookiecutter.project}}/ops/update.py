"""``make update``: bring this worker to a newer release of its template, or to other answers, and keep what you changed.

cruft renders the worker twice, as the template has it for the release that you have and for the one that you get. What differs
between the two is one commit, and git picks it onto yours: a three-way merge that follows renames and never overwrites.
"""

import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ops.template import RELEASE, Answers, CannotUpdate, State, Template, as_typed, git, problems, questions

PROJECT: Final = Path(__file__).parent.parent
STATE: Final = PROJECT / ".cruft.json"
LOCKS: Final = "locks"

#: git's letters for a file that both sides changed in ways that do not fit (``git status``), where one side deleted it.
DELETED_HERE, DELETED_THERE = "DU", "UD"
UNMERGED: Final = {DELETED_HERE, DELETED_THERE, "UU", "AA", "DD", "AU", "UA"}


def update(
    answers: Annotated[list[str] | None, typer.Argument(help="Answers to change, such as stack=mineru-4.0 gpu=ADA_24.")] = None,
    to: Annotated[str, typer.Option(help="The release to go to; the newest if none is named.")] = "",
    since: Annotated[str, typer.Option("--from", help="The template's commit that this worker was rendered from.")] = "",
    template: Annotated[str, typer.Option(help="Where the template is now, if it has moved.")] = "",
    checks: Annotated[str, typer.Option(help="What make is to run on the outcome; nothing if empty.")] = "test drift",
    cruft: Annotated[str, typer.Option(help="The command that is cruft.")] = "cruft",
) -> None:
    """Bring this worker to a newer release of its template, or to other answers, as one commit of yours to review.

    Refuses to begin on uncommitted changes. Shows what changed between the two releases. Files of yours (docs/upgrades.md) stay
    untouched, all others are merged. Where a merge needs you, the files are named and the exit code is 1.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="update-") as scratch:
            _update(Path(scratch), _given(answers or []), to, since, template, tuple(shlex.split(cruft)))
    except CannotUpdate as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    if checks and not _make(*checks.split()):
        print(
            f"The update is your newest commit, and make {checks} fails on it. Mend it and `git commit --amend`, or go back: "
            "`git reset --hard HEAD~1`.",
            file=sys.stderr,
        )
        raise typer.Exit(1)


def _given(arguments: list[str]) -> Answers:
    """Answers by question, from ``question=answer`` each."""
    wrong = [argument for argument in arguments if "=" not in argument]
    if wrong:
        print(f'{wrong[0]!r} is no answer; write question=answer, such as ANSWERS="gpu=ADA_24".', file=sys.stderr)
        raise typer.Exit(2)
    return {name: as_typed(value) for name, _, value in (argument.partition("=") for argument in arguments)}


def _update(scratch: Path, given: Answers, to: str, since: str, address: str, cruft: tuple[str, ...]) -> None:
    _refuse_what_is_not_committed()
    state = State.read(STATE)
    template = Template.clone(address or state.template, scratch / "template", cruft)
    old, new = _commits(template, since or state.commit, to or template.newest())
    if old == new and not given:
        print(f"Nothing to do: this worker is at {state.commit}, and so is the template.")
        return
    if old != new and template.holds(new, old):
        raise CannotUpdate(f"This worker ({state.commit}) is newer than {to or template.newest()}.")
    asked = template.asks(new)
    kept = {name: value for name, value in state.answers.items() if name in asked}
    for name in state.answers.keys() - kept.keys():
        print(f"The template no longer asks {name}; your answer {state.answers[name]!r} goes.")
    if found := problems(asked, {**kept, **given}):
        raise CannotUpdate("\n".join(["The template does not take these answers:", *(f"  - {problem}" for problem in found)]))
    before, derived = _as_generated(template, old, state.answers, scratch)
    answers = {name: value for name, value in kept.items() if name not in derived}
    after, taken = template.render(new, {**answers, **given}, scratch / "after")
    pristine = tomllib.loads((after / "pyproject.toml").read_text("utf-8"))
    name, was = to or template.newest(), state.commit if RELEASE.fullmatch(state.commit) else state.commit[:10]
    told = template.changelog(old, new)
    print(f"From {was} to {name}.\n\n{told}\n" if old != new else f"At {name}, with other answers.")
    typed = {question: as_typed(answer) for question, answer in taken.items()}
    State(address or state.template, name, typed).write(after / STATE.name)
    _align(before, after)
    _merge(before, after, f"Update from the template, {was} to {name}\n\n{told}".strip(), scratch)
    _relock(pristine)
    print(f"The update is one commit; review it: git show {git('rev-parse', '--short', 'HEAD', cwd=PROJECT).strip()}")


def _refuse_what_is_not_committed() -> None:
    """An update is merged with the last commit, and must be told from your own changes afterwards."""
    try:
        changed = git("status", "--porcelain", "--", ".", cwd=PROJECT).splitlines()
    except CannotUpdate as error:
        raise CannotUpdate(f"An update is merged by git, and this is no repository of it yet ({error}).") from None
    if changed:
        names = ", ".join(line[3:] for line in changed[:5])
        raise CannotUpdate(f"{len(changed)} changes are not committed ({names}): commit or stash them first.")


def _commits(template: Template, old: str, new: str) -> tuple[str, str]:
    """The two commits of the template, or a refusal that names what there is not."""
    first, last = template.commit(old), template.commit(new)
    if first is None:
        raise CannotUpdate(
            f"The template has no {old}, from which this worker was rendered: that was a state between two releases. Name its "
            "commit: make update FROM=<commit>."
        )
    if last is None:
        raise CannotUpdate(f"The template has no release {new}; the newest is {template.newest()}.")
    return first, last


def _as_generated(template: Template, commit: str, answers: Answers, scratch: Path) -> tuple[Path, set[str]]:
    """The worker as it was generated, and the answers that were left to the template: they follow when another answer changes."""
    asked = questions(template.asks(commit))
    derived = {name for name, default in asked.items() if isinstance(default, str) and "{" in default}
    others = {name: value for name, value in answers.items() if name not in derived}
    worker, taken = template.render(commit, others, scratch / "before")
    own = {name for name in derived & answers.keys() if taken[name] != answers[name]}
    if own:
        worker, _ = template.render(commit, answers, scratch / "before-with-own")
    return worker, derived - own


def _align(before: Path, after: Path) -> None:
    """Leave out of both renders what is yours, and have the new render's locks and ``.cruft.json`` replace those here."""
    for path in _yours():
        if (PROJECT / path).exists() or (before / path).exists():
            for render in (before, after):
                (render / path).unlink(missing_ok=True)
    replaced = {STATE.name, *(f"{LOCKS}/{path.name}" for folder in (PROJECT, before) for path in (folder / LOCKS).glob("*"))}
    for name in replaced:
        if (PROJECT / name).exists():
            shutil.copyfile(PROJECT / name, before / name)
        else:
            (before / name).unlink(missing_ok=True)


def _yours() -> Iterator[Path]:
    """Every file that ``[tool.cruft] skip`` names, as cruft reads it, but the state that an update writes."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
    for pattern in project.get("tool", {}).get("cruft", {}).get("skip", []):
        found = list(PROJECT.glob(pattern)) or [PROJECT / pattern]
        files = [file for path in found for file in (path.rglob("*") if path.is_dir() else [path]) if not file.is_dir()]
        yield from (file.relative_to(PROJECT) for file in files if file != STATE)


def _merge(before: Path, after: Path, message: str, scratch: Path) -> None:
    """Make what differs between the renders a commit of this repository and pick it.

    Raises:
        CannotUpdate: naming each file that needs you, and the way on and the way back.
    """
    base = git("commit-tree", _tree(before, scratch), "-m", "As generated", cwd=PROJECT).strip()
    change = git("commit-tree", _tree(after, scratch), "-p", base, "-m", message, cwd=PROJECT).strip()
    try:
        git("cherry-pick", change, cwd=PROJECT)
    except CannotUpdate as error:
        unmerged = _unmerged()
        if not unmerged:
            raise
        for name in [name for name, how in unmerged.items() if how == DELETED_HERE]:
            print(f"{name} stays deleted; the template changed it.")
            git("rm", "--quiet", "--", f":/{name}", cwd=PROJECT)
            del unmerged[name]
        if unmerged:
            raise CannotUpdate(_help_wanted(unmerged)) from error
        git("-c", "core.editor=true", "cherry-pick", "--continue", cwd=PROJECT)


def _tree(folder: Path, scratch: Path) -> str:
    """A tree in this repository that holds the folder's files where this project's are."""
    place = git("rev-parse", "--show-prefix", cwd=PROJECT).strip()
    directory = git("rev-parse", "--absolute-git-dir", cwd=PROJECT).strip()
    index = {"GIT_DIR": directory, "GIT_INDEX_FILE": str(scratch / f"index-{folder.parent.name}")}
    git("add", "--all", "--force", ".", cwd=folder, GIT_WORK_TREE=str(folder), **index)
    tree = git("write-tree", cwd=folder, **index).strip()
    if place:
        git("read-tree", "--empty", cwd=folder, **index)
        git("read-tree", f"--prefix={place}", tree, cwd=folder, **index)
        tree = git("write-tree", cwd=folder, **index).strip()
    return tree


def _unmerged() -> dict[str, str]:
    """Each file that git could not merge, by its path in the repository, with git's letters for why."""
    entries = git("status", "--porcelain", "-z", "--no-renames", cwd=PROJECT).split("\0")
    return {entry[3:]: entry[:2] for entry in entries if entry[:2] in UNMERGED}


def _help_wanted(unmerged: dict[str, str]) -> str:
    """What is left to do by hand."""
    dropped = [f"  {name}" for name, how in unmerged.items() if how == DELETED_THERE]
    marked = [f"  {name}" for name, how in unmerged.items() if how != DELETED_THERE]
    lines = ["The update needs you."]
    if marked:
        lines += ["Changed here and by the template, in the same lines, which git has marked (<<<<<<<):", *marked]
    if dropped:
        lines += ["Changed here, and gone from the template; `git add` keeps them, `git rm` drops them:", *dropped]
    lines.append("Then: git add each of them, `git cherry-pick --continue`, make test. The way back: `git cherry-pick --abort`.")
    return "\n".join(lines)


def _relock(pristine: dict[str, Any]) -> None:
    """Remake the locks, and add them to the update's commit, where pyproject.toml asks for other packages than the template's."""
    merged = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
    if _packages(merged) == _packages(pristine):
        return
    print("pyproject.toml asks for other packages than the template's; the locks are remade.")
    if not _make("lock"):
        raise CannotUpdate("The update is your newest commit, but its locks could not be remade: run make lock, then commit them.")
    git("add", "--", LOCKS, cwd=PROJECT)
    git("commit", "--quiet", "--amend", "--no-edit", cwd=PROJECT)


def _packages(project: dict[str, Any]) -> list[Any]:
    """Everything in a pyproject.toml that decides what the locks hold."""
    metadata = project.get("project", {})
    names = ("dependencies", "optional-dependencies", "requires-python")
    return [*(metadata.get(name) for name in names), project.get("dependency-groups"), project.get("tool", {}).get("uv")]


def _make(*targets: str) -> bool:
    """Whether this project's make, which an update may have changed, makes the targets."""
    command = ("make", "--no-print-directory", *targets)
    return subprocess.run(command, cwd=PROJECT, check=False).returncode == 0


if __name__ == "__main__":
    typer.run(update)
