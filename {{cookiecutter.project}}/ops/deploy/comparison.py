"""What a deploy would change: an endpoint as it is declared against the one that is live, field by field."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from ops.deploy.declared import SECRET_LOOK, SECRETS
from ops.endpoint import plain_name

#: In place of a value that is nobody's business.
MASK: Final = "(secret)"

#: A variable that only refers to a secret of the platform: no secret itself.
REFERENCE: Final = re.compile(r"^[{]{2} RUNPOD_SECRET_\w+ [}]{2}$")

#: Groups whose fields are changed one by one; the others are sent whole.
BY_FIELD: Final = ("gpu", "workers")


@dataclass(frozen=True)
class Change:
    """A field with a dot between group and name, what is live and what is declared; ``None`` where there is nothing."""

    field: str
    live: Any
    declared: Any


def changes(body: dict[str, Any], live: dict[str, Any]) -> list[Change]:
    """Every field of the request that differs from the live endpoint, and every variable that only the live one has.

    What the file has no word for is left as it is. Lists are compared as sets: the platform gives their order no meaning.
    """
    declared, found = _flat(body), _flat({**live, "name": plain_name(live)})
    declared.setdefault("gpu.minCudaVersion", None)
    differing = [Change(field, found.get(field), value) for field, value in declared.items() if not _same(value, found.get(field))]
    extra = [Change(field, value, None) for field, value in found.items() if field.startswith("env.") and field not in declared]
    return differing + extra


def update(body: dict[str, Any], differing: list[Change]) -> dict[str, Any]:
    """The body that makes these changes (PATCH /v2/serverless/{id}): what differs, and what has to be told along with it."""
    asked: dict[str, Any] = {}
    for change in differing:
        group, _, name = change.field.partition(".")
        if group in BY_FIELD:
            asked.setdefault(group, {})[name] = body[group].get(name, "")
        else:
            asked[group] = body[group]
    gpu = asked.get("gpu", {})
    if gpu.keys() & {"pools", "excludedTypes"}:
        # One selection for the platform: pools alone would take the exclusions back.
        gpu |= {"pools": body["gpu"]["pools"], "excludedTypes": body["gpu"]["excludedTypes"]}
    return asked


def masked(body: dict[str, Any], secrets: Collection[str]) -> dict[str, Any]:
    """A request as it may be shown: without the values of ``secrets`` and of what looks like one."""
    return {**body, "env": {key: shown(f"env.{key}", value, secrets) for key, value in body.get("env", {}).items()}}


def shown(field: str, value: Any, secrets: Collection[str]) -> Any:
    """A field's value as it may be shown."""
    group, _, key = field.partition(".")
    if group != "env" or value is None or REFERENCE.match(value):
        return value
    return MASK if key in secrets or key in SECRETS or SECRET_LOOK.search(key) else value


def _flat(described: dict[str, Any]) -> dict[str, Any]:
    """Fields of groups under names with a dot."""
    flat: dict[str, Any] = {}
    for group, value in described.items():
        flat |= {f"{group}.{name}": part for name, part in value.items()} if isinstance(value, dict) else {group: value}
    return flat


def _same(declared: Any, live: Any) -> bool:
    """Whether two values mean the same: nothing has several forms."""
    if isinstance(declared, list) and isinstance(live, list):
        return sorted(declared) == sorted(live)
    nothing: tuple[Any, ...] = (None, "", [])
    return declared == live or (declared in nothing and live in nothing)
