"""How long one render takes in this process: a table of figures and goals.

    python benchmarks/render.py [--repetitions 11]

The answers are the defaults. The hooks, which cookiecutter runs in processes of their own, are part of it.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cookiecutter.main import cookiecutter
from figures import Figure, children_cpu_seconds, median, show

TEMPLATE = Path(__file__).parent.parent

#: What a render reads of the template, and what tools leave behind in it.
PARTS = ("hooks", "{{cookiecutter.project}}")
LEFT_BEHIND = shutil.ignore_patterns("__pycache__", ".*_cache", ".venv", ".hypothesis")

#: Seconds that one render should stay below.
GOAL = 0.3

NOTE = (
    "Wall time is that of this machine with all else that runs on it; CPU time, of the process and its hooks, "
    "is what a render costs wherever it runs alone."
)


def clean_copy(folder: Path) -> Path:
    """The template as a clone has it; cookiecutter would render whatever else lies in it."""
    for part in PARTS:
        shutil.copytree(TEMPLATE / part, folder / part, ignore=LEFT_BEHIND)
    shutil.copy(TEMPLATE / "cookiecutter.json", folder)
    return folder


def render(template: Path) -> tuple[float, float]:
    """Render once; returns wall seconds and CPU seconds, the hooks' included."""
    with tempfile.TemporaryDirectory() as folder, silent():
        begun, before = time.perf_counter(), cpu_seconds()
        cookiecutter(str(template), no_input=True, output_dir=folder, default_config=True)
        return time.perf_counter() - begun, cpu_seconds() - before


def cpu_seconds() -> float:
    """CPU seconds of this process and of its children so far."""
    return time.process_time() + children_cpu_seconds()


@contextmanager
def silent() -> Iterator[None]:
    """Keep what is printed meanwhile, also by child processes, off the terminal."""
    sys.stdout.flush()
    terminal = os.dup(1)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(terminal, 1)
        os.close(terminal)


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure one render.")
    parser.add_argument("--repetitions", type=int, default=11)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        template = clean_copy(Path(folder))
        render(template)  # The first one also fills caches.
        walls, cpus = zip(*(render(template) for _ in range(options.repetitions)), strict=True)
    wall, cpu = median(walls), median(cpus)
    goal = f"under {GOAL} s"
    show(
        f"One render in process, median of {options.repetitions}",
        [
            Figure("wall time", wall, "s", goal=goal, met=wall < GOAL),
            Figure("CPU time, hooks included", cpu, "s", goal=goal, met=cpu < GOAL),
        ],
        NOTE,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
