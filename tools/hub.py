"""Brings the form in the worker's .runpod/hub.json up to its settings.py, with marks where a value is an answer.

    python tools/hub.py PYTHON

PYTHON is an interpreter that has the worker's packages. The form is made by the worker's own ``ops/hub.py`` in a render with
default answers; then the answers in it are replaced by their marks, so that every render's form is what its own make hub
would write.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parent.parent
FILE = TEMPLATE / "{{cookiecutter.project}}" / ".runpod" / "hub.json"

#: Where the form begins; what stands above it is written by hand.
FORM = '    "env": ['

STACK = "cookiecutter._stacks[cookiecutter.stack]"
SERVED = "('flash', 'basic', 'standard', 'advanced')[: {'flash': 1, 'basic': 2}.get(cookiecutter.tier, 4)]"

#: What an answer decides, by the variable it is the default of.
DEFAULTS = {
    "MINERU_TIER": '"{{ cookiecutter.tier }}"',
    "MINERU_CONCURRENCY": "{{ cookiecutter.concurrency }}",
    "MINERU_WEIGHTS": '"{{ cookiecutter.weights }}"',
    "MINERU_TELEMETRY": "{{ cookiecutter.telemetry | tojson }}",
}
VALUES = {"RUNPOD_INIT_TIMEOUT": '"{{ 1920 if cookiecutter.weights == "volume" else 720 }}"'}

TIERS = (
    f"[{{% for tier in {STACK}.tiers %}}"
    '{"label": "{{ tier }}", "value": "{{ tier }}"}{{ ", " if not loop.last }}'
    "{% endfor %}]"
)
PRESETS = f"""[
{{% set possible = {SERVED} if cookiecutter.weights == "baked" else {STACK}.tiers %}}
{{% for tier in {STACK}.tiers if tier in possible %}}
      {{"name": "Tier {{{{ tier }}}}", "defaults": {{"MINERU_TIER": "{{{{ tier }}}}"}}}}{{{{ "," if not loop.last }}}}
{{% endfor %}}
    ]"""


def form(python: str) -> list[dict[str, Any]]:
    """The form that a default render makes of its settings."""
    with tempfile.TemporaryDirectory() as folder:
        worker = cookiecutter(str(TEMPLATE), no_input=True, output_dir=folder, default_config=True)
        code = "import json; from ops import hub; print(json.dumps(hub.form()))"
        made = subprocess.run([python, "-c", code], cwd=worker, capture_output=True, text=True, check=True)
    entries: list[dict[str, Any]] = json.loads(made.stdout)
    return entries


def marked(entries: list[dict[str, Any]]) -> str:
    """The form as text, one field of it a line, the answers replaced by their marks."""
    return ",\n".join(f"      {_marked(entry)}" for entry in entries)


def _marked(entry: dict[str, Any]) -> str:
    key = entry["key"]
    marks = {}
    if key in VALUES:
        entry["value"], marks["@value"] = "@value", VALUES[key]
    if key in DEFAULTS:
        entry["input"]["default"], marks["@default"] = "@default", DEFAULTS[key]
    if key == "MINERU_TIER":
        entry["input"]["options"], marks["@tiers"] = "@tiers", TIERS
    text = json.dumps(entry, ensure_ascii=False)
    for name, mark in marks.items():
        text = text.replace(f'"{name}"', mark)
    return text


def main(arguments: list[str]) -> int:
    """Rewrite the file's form; the exit status."""
    [python] = arguments
    head = FILE.read_text("utf-8").partition(FORM)[0]
    tail = f'{FORM}\n{marked(form(python))}\n    ],\n    "presets": {PRESETS}\n  }}\n}}\n'
    FILE.write_text(head + tail, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
