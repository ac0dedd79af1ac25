"""``python -m ops.drift``: does an upgrade of the SDK, MinerU or vLLM break this worker, and what moved?

Asks the package index that pip is configured for which releases are newest, and runs the SDK contract tests on the newest
SDK in a folder of its own. Exits with 1 if that upgrade would break.
"""

import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
from typing import Final

from rich.table import Table

from ops.local_worker import PROJECT
from ops.show import console, failed
from worker import choices

#: The packages this worker is built around, and where each is pinned.
WATCHED: Final = ("runpod", "mineru", "vllm")

#: The contract's tests. What takes minutes is asked last, and not at all where the rest has shown what moved.
SHAPE: Final = "tests/sdk_contract/test_shape.py"
BEHAVIOUR: Final = tuple(f"tests/sdk_contract/test_{part}.py" for part in ("behaviour", "look_ahead", "polls"))
CONTRACT: Final = ((SHAPE, "tests/sdk_contract/test_composition.py"), BEHAVIOUR)

#: The check that a release is on the list of those supported: a new one never is, and that alone breaks nothing.
LISTED: Final = "test_the_installed_release_is_one_that_is_supported"

LOCK: Final = PROJECT / "locks" / "gpu.txt"


class IndexUnreachable(RuntimeError):
    """The package index did not say which releases there are."""


def locked(package: str) -> str:
    """The release of ``package`` in the image's lock, else the one installed here."""
    found = re.search(rf"^{package}==(\S+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    return found.group(1) if found else importlib.metadata.version(package)


def newest(package: str) -> str:
    """The newest release of ``package`` on the index; raises ``IndexUnreachable`` with pip's own words."""
    command = [sys.executable, "-m", "pip", "index", "versions", "--disable-pip-version-check", package]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(rf"^{package} \((\S+)\)", run.stdout, re.MULTILINE)
    if run.returncode or not found:
        raise IndexUnreachable(f"The package index does not tell the releases of {package}: {run.stderr.strip()[-300:]}")
    return found.group(1)


def breaks(version: str) -> list[str]:
    """What the contract says of the SDK's release ``version``, one line for each failed test; empty if all is well."""
    with tempfile.TemporaryDirectory(prefix="drift-") as folder:
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, f"runpod=={version}"]
        subprocess.run(install, check=True)
        # Wide, or pytest would cut off what each failure says.
        environment = {
            **os.environ,
            "COLUMNS": "1000",
            "PYTHONPATH": os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH")))),
        }
        for part in CONTRACT:
            command = [sys.executable, "-m", "pytest", "-q", "--tb=line", "--deselect", f"{SHAPE}::{LISTED}", *part]
            run = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
            if run.returncode:
                failed_tests = re.findall(r"^(?:FAILED|ERROR) (.+)", run.stdout, re.MULTILINE)
                return failed_tests or [run.stdout[-1000:] + run.stderr[-1000:]]
    return []


def main() -> int:
    """Print what moved; returns the exit code."""
    try:
        releases = {package: (locked(package), newest(package)) for package in WATCHED}
    except IndexUnreachable as error:
        failed(str(error))
        return 1
    table = Table("package", "locked", "newest", title=f"{choices.STACK}: what this worker is built around")
    for package, (ours, latest) in releases.items():
        table.add_row(package, ours, latest if latest != ours else "the same")
    console.print(table)
    latest = releases["runpod"][1]
    if latest in choices.SDK_SUPPORTED:
        console.print(f"The newest SDK, {latest}, is one this worker supports. Its contract is tested again:")
    else:
        console.print(f"The SDK has a release this worker does not know yet, {latest}. Its contract:")
    problems = breaks(latest)
    for problem in problems:
        failed(problem)
    if problems:
        console.print(
            f"An upgrade to {latest} would break. Stay on {locked('runpod')}; each line above names what moved and where."
        )
        return 1
    advice = "" if latest in choices.SDK_SUPPORTED else " Add it to SDK_SUPPORTED in worker/choices.py when you do."
    console.print(f"Every check passes: an upgrade to {latest} would not break.{advice}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
