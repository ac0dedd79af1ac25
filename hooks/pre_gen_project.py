"""Refuses answers that no worker can run with, and names for each the answer that would work.

Runs before anything is rendered. Looks at the answers and at the catalogue that came with them (``cookiecutter.json``: ``_gpus``,
``_stacks``, ``_tiers``, ``_limits``, ``_retired``); and, for answers that cookiecutter drops without a word, at the command that
was typed and at the user's own configuration.
"""

import difflib
import json
import os
import re
import shlex
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Every question's answer, and every private table, by name.
Answers = dict[str, Any]

#: The project names a folder, a Docker image, a Python project and an endpoint; 63 characters is what a host name may have.
PROJECT = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
PROJECT_CHARACTERS = 63

#: Names that Windows keeps for devices, whatever the case (Microsoft, "Naming Files, Paths, and Namespaces").
DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}

#: What cookiecutter takes for a yes or a no.
YES_OR_NO = ("1", "true", "t", "yes", "y", "on", "0", "false", "f", "no", "n", "off")


def problems(answers: Answers) -> list[str]:
    """Every reason why these answers cannot work, each with the answers that would; empty if there is none."""
    if gone := list(retired(answers)):
        return gone
    checks = (project, description, tier, architecture, memory, counts)
    return [problem for check in checks for problem in check(answers)]


def retired(answers: Answers) -> Iterator[str]:
    """No answer is one that a release took away; such a one may lack everything that the other checks look up."""
    for name, choices in catalogue(answers, "_retired").items():
        if answers[name] in choices:
            yield f"{name}={answers[name]} was retired, and {name}={choices[answers[name]]} takes its place."


def project(answers: Answers) -> Iterator[str]:
    """The name fits everything that it names."""
    name = answers["project"]
    if PROJECT.fullmatch(name) and len(name) <= PROJECT_CHARACTERS and name not in DEVICES:
        return
    yield (
        f"project is {name!r}; it names the folder, the image and the endpoint, so it must be lower-case letters, digits and "
        f"single hyphens, begin with a letter, have at most {PROJECT_CHARACTERS} characters and be no device name of Windows: "
        f"project={suggestion(name)} would work."
    )


def suggestion(name: str) -> str:
    """The project name nearest to ``name`` that is allowed."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if not slug or not slug[0].isalpha() or slug in DEVICES:
        slug = f"worker-{slug}".rstrip("-")
    return slug[:PROJECT_CHARACTERS].rstrip("-")


def description(answers: Answers) -> Iterator[str]:
    """The sentence fits the Hub's column."""
    longest, length = answers["_limits"]["description"]["max"], len(answers["description"])
    if length > longest:
        yield f"description has {length} characters and the Hub keeps {longest}: a shorter sentence would work."


def tier(answers: Answers) -> Iterator[str]:
    """The stack has the tier."""
    stacks, stack, wanted = catalogue(answers, "_stacks"), answers["stack"], answers["tier"]
    if wanted not in stacks[stack]["tiers"]:
        others = [name for name in stacks if wanted in stacks[name]["tiers"]]
        yield f"tier={wanted} is not served by stack={stack}: {either(tier=stacks[stack]['tiers'], stack=others)} would work."


def architecture(answers: Answers) -> Iterator[str]:
    """The stack's PyTorch and vLLM run on every card of the pool."""
    gpus, stacks, gpu, stack = catalogue(answers, "_gpus"), catalogue(answers, "_stacks"), answers["gpu"], answers["stack"]
    if runs_on(stacks[stack], gpus[gpu]):
        return
    span = stacks[stack]["compute_capability"]
    others = [name for name in stacks if runs_on(stacks[name], gpus[gpu])]
    pools = [name for name in gpus if runs_on(stacks[stack], gpus[name]) and has_memory(answers, gpus[name])]
    capabilities, cards = " and ".join(gpus[gpu]["compute_capability"]), ", ".join(gpus[gpu]["cards"])
    yield (
        f"gpu={gpu} has cards of compute capability {capabilities} ({cards}), and stack={stack} runs on {span['min']} to "
        f"{span['max']}: {either(stack=others, gpu=pools)} would work."
    )


def memory(answers: Answers) -> Iterator[str]:
    """The pool's cards have the memory that the tier needs."""
    gpus, tiers = catalogue(answers, "_gpus"), catalogue(answers, "_tiers")
    gpu, model, stack = answers["gpu"], answers["model"], catalogue(answers, "_stacks")[answers["stack"]]
    if has_memory(answers, gpus[gpu]):
        return
    pools = [name for name in gpus if has_memory(answers, gpus[name]) and runs_on(stack, gpus[name])]
    smaller = [name for name in tiers if name in stack["tiers"] and has_memory({**answers, "tier": name}, gpus[gpu])]
    elsewhere = ["remote"] if model == "local" and has_memory({**answers, "model": "remote"}, gpus[gpu]) else []
    yield (
        f"gpu={gpu} has cards of {gpus[gpu]['memory_gb']} GB, and tier={answers['tier']} with model={model} needs "
        f"{needed_gb(answers)} GB: {either(gpu=pools, tier=smaller, model=elsewhere)} would work."
    )


def counts(answers: Answers) -> Iterator[str]:
    """Numbers are whole and within the platform's range, and the fewest workers are not more than the most."""
    limits, good = answers["_limits"], {}
    ranges = {
        "workers_min": (limits["workers"]["min"], limits["workers"]["max"]),
        "workers_max": (max(limits["workers"]["min"], 1), limits["workers"]["max"]),
        "idle_timeout": (limits["idle_timeout"]["min"], limits["idle_timeout"]["max"]),
        "concurrency": (limits["concurrency"]["min"], limits["concurrency"]["max"]),
    }
    for name, (lowest, highest) in ranges.items():
        number = whole(answers[name])
        if number is None:
            plain = f"a whole number from {lowest} to {highest} in plain digits"
            yield f"{name} is {answers[name]!r}; it must be {plain}: {name}={lowest} would work."
        elif not lowest <= number <= highest:
            nearest = min(max(number, lowest), highest)
            yield f"{name}={number} is outside {lowest} to {highest}: {name}={nearest} would work."
        else:
            good[name] = number
    if {"workers_min", "workers_max"} <= good.keys() and good["workers_min"] > good["workers_max"]:
        fewest, most = good["workers_min"], good["workers_max"]
        yield f"workers_min={fewest} is more than workers_max={most}: workers_min={most} or workers_max={fewest} would work."


def whole(text: str) -> int | None:
    """The number that ``text`` writes as Python and JSON would write it; None if it writes none."""
    return int(text) if re.fullmatch(r"-?(0|[1-9][0-9]{0,8})", text) else None


def catalogue(answers: Answers, table: str) -> dict[str, Any]:
    """A private table without its note on where the facts come from."""
    return {name: entry for name, entry in answers[table].items() if not name.startswith("_")}


def runs_on(stack: dict[str, Any], gpu: dict[str, Any]) -> bool:
    """Whether the stack runs on every card of the pool."""
    lowest, highest = (version(stack["compute_capability"][end]) for end in ("min", "max"))
    return all(lowest <= version(capability) <= highest for capability in gpu["compute_capability"])


def version(text: str) -> tuple[int, ...]:
    """``"12.0"`` as ``(12, 0)``, which sorts as it should."""
    return tuple(int(part) for part in text.split("."))


def has_memory(answers: Answers, gpu: dict[str, Any]) -> bool:
    """Whether a card of the pool holds what the answers' tier and model need."""
    return bool(gpu["memory_gb"] >= needed_gb(answers))


def needed_gb(answers: Answers) -> int:
    """GPU memory, in GB, that the answers' tier needs with their model where they put it."""
    return int(answers["_tiers"][answers["tier"]]["memory_gb" if answers["model"] == "local" else "memory_gb_remote"])


def either(**choices: list[str]) -> str:
    """``stack=a, gpu=b or gpu=c`` for the choices that there are."""
    named = [f"{name}={value}" for name, values in choices.items() for value in values]
    return " or ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named or ["no other answer"])


def dropped(command: list[str], asked: Answers) -> Iterator[str]:
    """Answers that cookiecutter was given and did not take; ``command`` is what was typed, empty where that is not known.

    cookiecutter ignores an answer to a question that there is not, and, from the first unusable answer in the user's own
    configuration on, all that follow there. ``asked`` has the questions as cookiecutter was about to ask them, choices as lists.
    """
    for argument in command:
        name, equals, _ = argument.partition("=")
        if equals and re.fullmatch(r"\w+", name) and name not in asked:
            close = difflib.get_close_matches(name, asked, n=1)
            hint = f"did you mean {close[0]}?" if close else f"the questions are {', '.join(asked)}."
            yield f"{argument} answers no question; {hint}"
    if not command or "--default-config" in command:
        return
    file, preset = configuration(command)
    names = list(preset)
    for name, value in preset.items():
        choices = asked.get(name)
        if isinstance(choices, bool) and str(value).lower() not in YES_OR_NO:
            choices = list(YES_OR_NO)
        if isinstance(choices, list) and value not in choices:
            lost = ", ".join(other for other in names[names.index(name) :] if other in asked)
            yield (
                f"{file} presets {name}: {value}, which is not one of {', '.join(choices)}; of that file cookiecutter then took "
                f"none of {lost}. Mend it, or add --default-config to leave it unread."
            )
            return


def configuration(command: list[str]) -> tuple[Path, Answers]:
    """The user's own configuration file, found as cookiecutter finds it, and the answers that it presets."""
    import yaml  # cookiecutter's own, and no part of what a worker needs.

    file = Path(os.environ.get("COOKIECUTTER_CONFIG") or Path.home() / ".cookiecutterrc")
    if "--config-file" in command[:-1]:
        file = Path(command[command.index("--config-file") + 1])
    held = yaml.safe_load(file.read_text("utf-8")) if file.is_file() else {}
    return file, (held or {}).get("default_context") or {}


def typed() -> list[str]:
    """What was typed after ``cookiecutter``; empty where the system does not tell (Windows), or where that did not start us."""
    parent = os.getppid()
    told = Path(f"/proc/{parent}/cmdline")
    try:
        if told.exists():
            words = told.read_text("utf-8", errors="replace").split("\0")[:-1]
        else:
            ps = ["/bin/ps", "-ww", "-o", "args=", "-p", str(parent)]
            words = shlex.split(subprocess.run(ps, capture_output=True, text=True, check=True).stdout)  # noqa: S603
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
    programs = [index for index, word in enumerate(words) if Path(word).name in ("cookiecutter", "cookiecutter.exe")]
    return words[programs[0] + 1 :] if programs and programs[0] < 3 else []


def main(answers: Answers, asked: Answers) -> int:
    """Print what is wrong to standard error; the exit status, 1 if anything is.

    ``asked`` has the questions as cookiecutter was about to ask them; it is empty under cruft, which keeps them to itself.
    """
    found = [*(dropped(typed(), asked) if asked else ()), *problems(answers)]
    if found:
        print("\nThese answers cannot work:", *(f"  - {problem}" for problem in found), sep="\n", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    # The answers come as one literal, JSON inside a string: whatever was typed is data here and never code.
    sys.exit(main(json.loads({{cookiecutter | tojson | tojson}}), json.loads({{_cookiecutter | default({}) | tojson | tojson}})))  # type: ignore[arg-type, name-defined]  # noqa: F821
