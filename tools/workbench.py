"""A worker to develop in: rendered with default answers, its unmarked files linked back into the template.

    python tools/workbench.py [name=answer …]     renders build/workbench/

Edit a linked file and the template is edited. Files that hold marks, such as worker/choices.py, are rendered copies: edit
those in the template and run this again, as after adding a file.
"""

import shutil
import sys
from pathlib import Path

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parent.parent
BUILD = TEMPLATE / "build"
WORKBENCH = BUILD / "workbench"


def make(answers: dict[str, str]) -> Path:
    """Render the workbench with ``answers`` over the defaults and link it; returns its folder."""
    kept = WORKBENCH / ".venv"
    parked = BUILD / "workbench.venv"
    if kept.exists():
        shutil.rmtree(parked, ignore_errors=True)
        kept.rename(parked)
    shutil.rmtree(WORKBENCH, ignore_errors=True)
    cookiecutter(
        str(TEMPLATE), no_input=True, output_dir=str(BUILD), default_config=True, extra_context={"project": "workbench", **answers}
    )
    if parked.exists():
        parked.rename(kept)
    sources = {path.read_bytes(): path for path in (TEMPLATE / "{{cookiecutter.project}}").rglob("*") if path.is_file()}
    for path in [path for path in WORKBENCH.rglob("*") if path.is_file() and ".venv" not in path.parts]:
        source = sources.get(path.read_bytes())
        if source is not None and source.stat().st_size:
            path.unlink()
            path.symlink_to(source)
    return WORKBENCH


if __name__ == "__main__":
    print(make(dict(argument.split("=", 1) for argument in sys.argv[1:])))
