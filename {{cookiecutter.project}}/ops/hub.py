"""The worker's page in the RunPod Hub: its settings as a form, written into ``.runpod/hub.json`` from ``worker/settings.py``.

python -m ops.hub            write the form and the presets; everything else in the file stays as it is
python -m ops.hub --check    write nothing, fail if they would change
"""

import json
import sys
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import annotated_types
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from worker import choices
from worker.choices import Tier
from worker.settings import Settings

FILE: Final = Path(__file__).parent.parent / ".runpod" / "hub.json"

#: Where the form begins in the file; what stands above is written by hand.
FORM: Final = '    "env": ['

#: Settings that the image decides, or that stand for another one: no business of somebody who deploys it. And those that only
#: MinerU 3.4 heeds: on its endpoints they are set as variables.
LEFT_OUT: Final = (
    *("skip_warmup", "temp_dir", "home", "model_base_dir", "image_models_dir", "volume", "model_source"),
    *("vllm_gpu_memory_utilization", "vllm_max_model_len", "vllm_enforce_eager"),
)

#: Settings shown at once; the Hub folds the others away.
SHOWN: Final = ("tier", "concurrency", "transport", "model_vlm_server_url", "bucket_endpoint_url", "bucket_name")

#: Tiers, each with those that need no more models than it does.
SERVED_WITH: Final[dict[Tier, tuple[Tier, ...]]] = {
    "flash": ("flash",),
    "basic": ("flash", "basic"),
    "standard": ("flash", "basic", "standard", "advanced"),
    "advanced": ("flash", "basic", "standard", "advanced"),
}

ACRONYMS: Final = ("api", "id", "mb", "ocr", "url", "vlm")

Entry = dict[str, Any]


def form() -> list[Entry]:
    """Every setting as a field of the Hub's form, in the order of ``Settings``, after what is set for everybody."""
    settings = [(name, field) for name, field in Settings.model_fields.items() if name not in LEFT_OUT]
    boot = 120 + Settings.model_fields["warmup_timeout"].default
    filling = Settings.model_fields["weights_timeout"].default if choices.WEIGHTS == "volume" else 0
    fixed = {"RUNPOD_LOG_LEVEL": "INFO", "RUNPOD_INIT_TIMEOUT": str(boot + filling)}
    return [*({"key": key, "value": value} for key, value in fixed.items()), *(_entry(name, field) for name, field in settings)]


def presets() -> list[Entry]:
    """A preset for each tier that this image's models, or those it can get, allow."""
    possible = choices.TIERS if choices.WEIGHTS != "baked" else SERVED_WITH[choices.TIER]
    return [
        {"name": f"Tier {tier}", "defaults": {variable("tier", Settings.model_fields["tier"]): tier}}
        for tier in choices.TIERS
        if tier in possible
    ]


def variable(name: str, field: FieldInfo) -> str:
    """The environment variable that sets a field of ``Settings``."""
    if isinstance(field.validation_alias, str):
        return field.validation_alias
    return f"{Settings.model_config['env_prefix']}{name}".upper()


def _entry(name: str, field: FieldInfo) -> Entry:
    """One setting as a field of the form: its kind, limits, choices and default."""
    key = variable(name, field)
    asked: Entry = {"name": _label(name), **_kind(name, field), "description": field.description}
    default = None if field.default is PydanticUndefined else field.default
    if not isinstance(default, SecretStr):
        asked["default"] = _plain(default)
    return {"key": key, "input": {**asked, "required": False, "advanced": name not in SHOWN}}


def _label(name: str) -> str:
    """A field's name as a heading."""
    words = [word.upper() if word in ACRONYMS else word for word in name.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def _kind(name: str, field: FieldInfo) -> Entry:
    """The form's type for a field's, with what it can be."""
    kind = field.annotation
    if get_origin(kind) is Literal:
        values = choices.TIERS if name == "tier" else get_args(kind)
        return {"type": "string", "options": [{"label": value, "value": value} for value in values]}
    if kind is bool:
        return {"type": "boolean", "trueValue": "true", "falseValue": "false"}
    if kind in (int, float):
        return {"type": "number", **_limits(field)}
    return {"type": "string"}


def _limits(field: FieldInfo) -> Entry:
    """Smallest and largest value, where there are: the form knows no exclusive limit, the worker refuses that value itself."""
    limits: Entry = {}
    for rule in field.metadata:
        if isinstance(rule, annotated_types.Ge):
            limits["min"] = rule.ge
        if isinstance(rule, annotated_types.Gt):
            limits["min"] = rule.gt
        if isinstance(rule, annotated_types.Le):
            limits["max"] = rule.le
    return limits


def _plain(default: object) -> Any:
    """A default as the form shows it: several values separated by colons, as the variable takes them."""
    if isinstance(default, tuple):
        return ":".join(str(part) for part in default)
    return "" if default is None else to_jsonable_python(default)


def render(text: str) -> str:
    """The text of ``hub.json`` with form and presets brought up to date: one field of the form a line."""
    head = text.partition(FORM)[0]
    return f'{head}{FORM}\n{_lines(form())}\n    ],\n    "presets": [\n{_lines(presets())}\n    ]\n  }}\n}}\n'


def _lines(entries: list[Entry]) -> str:
    return ",\n".join(f"      {json.dumps(entry, ensure_ascii=False)}" for entry in entries)


def main(arguments: list[str]) -> int:
    """Write or check the file; the exit status, 1 if a check finds that it would change."""
    before = FILE.read_text("utf-8")
    after = render(before)
    if "--check" in arguments:
        print(f"{FILE.name} is {'up to date' if before == after else 'out of date: run make hub'}")
        return 0 if before == after else 1
    FILE.write_text(after, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
