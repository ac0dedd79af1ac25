"""The answers this worker was generated with, as typed constants.

``settings.py`` takes its defaults from here; a deployed worker changes them by environment variables, a regenerated one
by other answers.
"""

from typing import Final, Literal

Stack = Literal["mineru-4.0", "mineru-3.4"]
Tier = Literal["flash", "basic", "standard", "advanced"]
Model = Literal["local", "remote"]
Weights = Literal["baked", "volume", "cached"]

PROJECT: Final[str] = "{{ cookiecutter.project }}"
TEMPLATE_VERSION: Final[str] = "{{ cookiecutter._version }}"
STACK: Final[Stack] = "{{ cookiecutter.stack }}"
TIER: Final[Tier] = "{{ cookiecutter.tier }}"
TIERS: Final[tuple[Tier, ...]] = ({% for tier in cookiecutter._stacks[cookiecutter.stack].tiers %}"{{ tier }}"{{ ", " if not loop.last }}{% endfor %})
#: Formats this stack's MinerU parses, by the names its detection gives them and by usual endings.
SUFFIXES: Final[frozenset[str]] = frozenset("{{ cookiecutter._stacks[cookiecutter.stack].suffixes }}".split())
#: Releases of the RunPod SDK that ``sdk.py`` composes rightly: its contract tests pass on each.
SDK_SUPPORTED: Final[tuple[str, ...]] = ({% for release in cookiecutter._stacks[cookiecutter.stack].runpod_supported %}"{{ release }}"{{ ", " if not loop.last }}{% endfor %})
MODEL: Final[Model] = "{{ cookiecutter.model }}"
GPU: Final[str] = "{{ cookiecutter.gpu }}"
WEIGHTS: Final[Weights] = "{{ cookiecutter.weights }}"
CONCURRENCY: Final[int] = {{ cookiecutter.concurrency }}
TELEMETRY: Final[bool] = {{ cookiecutter.telemetry }}
