"""Remakes the hashed locks: the template's own, and the worker's for every stack and profile.

    python tools/locks.py [--upgrade] [--check]

Each stack's worker is rendered into a temporary folder and makes its own locks there (``make lock``); they are written back
under their conditional names. Versions in a lock stay unless its pyproject.toml refuses them; ``--upgrade`` takes the
newest. ``--check`` writes nothing and fails if a lock would change.
"""

import argparse
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parent.parent
WORKER = TEMPLATE / "{{cookiecutter.project}}"
UV = Path(sysconfig.get_path("scripts")) / "uv"
#: The profiles of each stack; MinerU 3.4 has no engine profile: its vLLM needs another PyTorch for the CPU, which was not tried.
PROFILES = {"mineru-4.0": ("cpu", "dev", "gpu", "engine"), "mineru-3.4": ("cpu", "dev", "gpu")}

#: Variables that would bring this machine's package sources into a lock.
SOURCES = ("UV_FIND_LINKS", "UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_CONFIG_FILE")


def stacks() -> list[str]:
    """The stacks that the template offers."""
    return list(json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8"))["stack"])


def place(stack: str, profile: str) -> Path:
    """Where the template keeps a stack's lock: a name that renders for this stack alone."""
    return WORKER / "locks" / f"{{% if cookiecutter.stack == '{stack}' %}}{profile}.txt{{% endif %}}"


def environment() -> dict[str, str]:
    """This process's environment without its package sources, and with its Python for uv."""
    kept = {name: value for name, value in os.environ.items() if name not in SOURCES and not name.startswith(("MAKE", "PIP_"))}
    return {**kept, "UV_PYTHON": sys.executable}


def worker_locks(stack: str, upgrade: bool, folder: Path) -> dict[Path, str]:
    """Each lock of a stack, by its place in the template, compiled in a worker rendered below ``folder``."""
    answers = {"stack": stack}
    worker = Path(cookiecutter(str(TEMPLATE), no_input=True, output_dir=str(folder), default_config=True, extra_context=answers))
    command = ["make", "lock", f"UV={UV}", *(["UPGRADE=1"] if upgrade else [])]
    subprocess.run(command, cwd=worker, env=environment(), check=True)
    return {place(stack, profile): (worker / "locks" / f"{profile}.txt").read_text("utf-8") for profile in PROFILES[stack]}


def template_lock(upgrade: bool, folder: Path) -> dict[Path, str]:
    """The lock of the template's own tools, by its place, compiled from a copy in ``folder``."""
    lock = TEMPLATE / "locks" / "dev.txt"
    for source in (TEMPLATE / "pyproject.toml", lock):
        if source.exists():
            copy = folder / source.relative_to(TEMPLATE)
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(source.read_bytes())
    command = [str(UV), "pip", "compile", "--quiet", "--group=dev", "--universal", "--python-version=3.11", "--generate-hashes"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--custom-compile-command=make lock", "--output-file=locks/dev.txt"]
    (folder / "locks").mkdir(exist_ok=True)
    subprocess.run([*command, *(["--upgrade"] if upgrade else [])], cwd=folder, env=environment(), check=True)
    return {lock: (folder / "locks" / "dev.txt").read_text("utf-8")}


def main(arguments: list[str]) -> int:
    """Remake or check every lock; the exit status, 1 if a check finds one that would change."""
    parser = argparse.ArgumentParser(description="Remake the hashed locks of the template and of its workers.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if a lock would change")
    options = parser.parse_args(arguments)
    stale = []
    with tempfile.TemporaryDirectory() as folder:
        locks = template_lock(options.upgrade, Path(folder))
        for stack in stacks():
            locks |= worker_locks(stack, options.upgrade, Path(folder) / stack)
    for path, text in locks.items():
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(path)
            if not options.check:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, "utf-8", newline="\n")
    for path in stale:
        print(f"{'would change' if options.check else 'written'}: {path.relative_to(TEMPLATE)}")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
