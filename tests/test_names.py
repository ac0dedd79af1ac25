"""Every path of the template, and of every worker rendered from it, can exist on Windows and macOS as well."""

import re
import subprocess
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath

import pytest
from combinations import CONTEXT
from conftest import TEMPLATE, Bake

#: What Windows forbids in names, and at their end (Microsoft, "Naming Files, Paths, and Namespaces").
FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ](?=/|$)')

#: Windows takes 260 characters for a whole path, unless told otherwise; what is left is for the folder that somebody works in.
LONGEST = 150


def impossible(names: Iterable[str]) -> list[str]:
    """The paths that one of the systems cannot store, each with the reason."""
    found: list[str] = []
    seen: dict[str, str] = {}
    for name in names:
        if FORBIDDEN.search(name):
            found.append(f"{name}: characters that Windows forbids")
        if any(PureWindowsPath(part).is_reserved() for part in name.split("/")):
            found.append(f"{name}: a device's name on Windows")
        if len(name) > LONGEST:
            found.append(f"{name}: longer than {LONGEST} characters")
        if unicodedata.normalize("NFC", name) != name:
            found.append(f"{name}: macOS would store other characters")
        for path in [name, *(str(parent) for parent in Path(name).parents)]:
            other = seen.setdefault(path.casefold(), path)
            if other != path:
                found.append(f"{name}: the same as {other} where case does not count")
    return found


@pytest.mark.parametrize(
    ("name", "reason"),
    {
        "a:b": "characters that Windows forbids",
        "notes?": "characters that Windows forbids",
        "docs./a": "characters that Windows forbids",
        "docs/aux.txt": "a device's name on Windows",
        "a" * 151: "longer than 150 characters",
        "cafe\u0301": "macOS would store other characters",
        "Docs/a": "the same as docs where case does not count",
        "docs/A": "the same as docs/a where case does not count",
    }.items(),
)
def test_a_path_that_cannot_exist_is_noticed(name: str, reason: str) -> None:
    assert f"{name}: {reason}" in impossible(["docs/a", name])


def test_every_path_of_the_template_can_exist(template: Path) -> None:
    names = [path.relative_to(template).as_posix() for path in template.rglob("*")]
    assert impossible(names) == []


@pytest.mark.parametrize("stack", CONTEXT["stack"])
def test_every_path_of_a_worker_can_exist(bake: Bake, stack: str) -> None:
    longest = "a" * 63
    names = bake(stack=stack, project=longest).files()
    assert impossible(f"{longest}/{name}" for name in names) == []


def test_no_link_is_in_the_repository_and_no_file_of_a_worker_needs_a_mode() -> None:
    """Windows has no executable files, and links only for who may make them."""
    listed = subprocess.run(["git", "ls-files", "--stage"], cwd=TEMPLATE, check=True, capture_output=True, text=True).stdout
    modes = {name: facts.split()[0] for facts, name in (line.split("\t") for line in listed.splitlines())}
    assert set(modes.values()) <= {"100644", "100755"}
    assert [name for name, mode in modes.items() if mode == "100755" and "cookiecutter.project" in name] == []
