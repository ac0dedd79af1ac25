"""What a cold-start experiment saw: one record per request, and the table, the lines of JSON and the sentence made of them."""

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from ops.client import Answer
from ops.snapshots import Image

#: The founding experiment: seconds and host of each of its four requests (A5000 or 4090, vLLM 0.11.2, May 2026).
FOUNDING: Final = ((456.0, "A"), (7.6, "A"), (122.0, "B"), (7.4, "B"))

#: Steps of a boot that follow each other; the others that a worker reports lie inside these.
BOOT_STEPS: Final = ("imports", "fitness", "warmup")

#: Quantile of the normal distribution for a 95 % interval.
Z: Final = 1.96


@dataclass(frozen=True)
class Finding:
    """One request, times in seconds. ``said`` is what its worker called its boot, ``did`` what the platform really did.

    ``did``, ``start`` and ``note`` are known on the local platform only. ``start`` is how long the boot or the restore took, until
    the worker could take jobs. A request that failed has an ``error`` and no account by its worker.
    """

    number: int
    wall: float
    queue: float
    execution: float
    host: str = ""
    said: str = ""
    did: str | None = None
    start: float | None = None
    note: str = ""
    parse: float | None = None
    boot: dict[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def kind(self) -> str:
        """What really happened where that is known, else what the worker said."""
        return self.did or self.said

    @property
    def evidence(self) -> str:
        """What the worker's account rests on."""
        evidence = self.boot.get("evidence") or ()
        return evidence if isinstance(evidence, str) else ", ".join(map(str, evidence))

    @property
    def steps(self) -> dict[str, float]:
        """The steps of the boot that this request waited for; none unless it met a fresh one."""
        phases = self.boot.get("phases", {}) if self.kind == "fresh" else {}
        steps = {name: float(phases[name]) for name in BOOT_STEPS if name in phases}
        if "fitness" in steps:
            # A check does the imports.
            steps["fitness"] = max(0.0, steps["fitness"] - steps.get("imports", 0.0))
        return steps


def found(number: int, wall: float, answer: Answer, **known: Any) -> Finding:
    """The record of a request that was answered; ``known`` is what the platform adds."""
    boot = answer.response.get("boot") or {}
    parse = (answer.response.get("debug") or {}).get("phases", {}).get("engine")
    said = {"host": str(boot.get("host", "")), "said": str(boot.get("kind", "")), "parse": parse, "boot": boot}
    return Finding(number, wall, answer.delay, answer.execution, **{**said, **known})


def table(findings: Sequence[Finding]) -> Table:
    """The founding experiment's table, with what its author had to infer from missing log lines. Times in seconds."""
    shown = Table(box=None, header_style="bold", pad_edge=False, caption="Times in seconds.", caption_justify="left")
    for name in ("request", "wall-clock", "queue"):
        shown.add_column(name, justify="right", no_wrap=True)
    for name in ("host", "said", "did"):
        shown.add_column(name, no_wrap=True)
    shown.add_column("evidence, or boot phases", overflow="fold")
    shown.add_column("parse", justify="right", no_wrap=True)
    for finding in findings:
        right = finding.did in (None, finding.said)
        shown.add_row(
            str(finding.number),
            number(finding.wall),
            number(finding.queue),
            escape(finding.host),
            escape(finding.said) if right else f"[red]{escape(finding.said)}[/red]",
            "[dim]not known[/dim]" if finding.did is None else finding.did,
            escape(finding.evidence.replace("_", " "))
            or ", ".join(f"{name} {number(took)}" for name, took in finding.steps.items()),
            "[red]failed[/red]" if finding.error else "" if finding.parse is None else number(finding.parse),
        )
    return shown


def problems(findings: Iterable[Finding]) -> list[str]:
    """What went wrong, a line for each request: its error, or why a snapshot was not used."""
    return [f"Request {finding.number}: {finding.error or finding.note}" for finding in findings if finding.error or finding.note]


def sentence(findings: Sequence[Finding]) -> str:
    """What was seen, in one sentence; ``warm`` requests serve as the measure only."""
    cold = [finding for finding in findings if finding.kind != "warm"]
    parts = [f"Of {len(cold)} requests after scale to zero, {_count(cold)}"]
    fresh, restored, warm = (_median(findings, kind) for kind in ("fresh", "restored", "warm"))
    if restored is not None and fresh is not None:
        parts.append(f"a restored worker answered in {seconds(restored)}, {restored / fresh:.3f} of a fresh one's {seconds(fresh)}")
    if restored is not None and warm is not None:
        parts.append(f"{restored / warm:.1f} times a warm worker's {seconds(warm)}")
    if len(cold) > len(FOUNDING):
        low, high = wilson(sum(finding.kind == "restored" for finding in cold), len(cold))
        parts.append(f"restores are {low * 100:.0f} % to {high * 100:.0f} % of all with 95 % confidence")
    parts.append(_agreement(findings))
    return "; ".join(filter(None, parts)) + "."


def snapshots(images: Sequence[Image]) -> str:
    """What the snapshots took, in one sentence."""
    size, took = (statistics.median(values) for values in ([image.size for image in images], [image.seconds for image in images]))
    return f"{len(images)} snapshots were taken, at the median {size / 1e6:.0f} MB in {seconds(took)}."


def _count(cold: Sequence[Finding]) -> str:
    kinds = [finding.kind if not finding.error else "failed" for finding in cold]
    words = {"fresh": "met a fresh boot", "restored": "met a restore", "failed": "failed"}
    order = sorted(dict.fromkeys(kinds), key=lambda kind: list(words).index(kind) if kind in words else len(words))
    counts = [f"{kinds.count(kind)} {words.get(kind, f'said {kind}')}" for kind in order]
    return " and ".join(filter(None, (", ".join(counts[:-1]), *counts[-1:]))) if counts else "none was made"


def _median(findings: Iterable[Finding], kind: str) -> float | None:
    walls = [finding.wall for finding in findings if finding.kind == kind and not finding.error]
    return statistics.median(walls) if walls else None


def _agreement(findings: Iterable[Finding]) -> str:
    known = [finding for finding in findings if finding.did is not None and finding.said]
    unsure = [str(finding.number) for finding in known if finding.said == "unsure"]
    wrong = [finding for finding in known if finding.said not in (finding.did, "unsure")]
    if not known:
        return ""
    if not wrong and not unsure:
        return "every worker said rightly which"
    if not wrong:
        return f"every worker said rightly which, or that it was unsure, on {', '.join(unsure)}"
    names = ", ".join(f"{finding.number} ({finding.said or 'nothing'} for {finding.did})" for finding in wrong)
    return f"the workers' own accounts were wrong on {names}"


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share, after Wilson: it stays within 0 and 1 and works for few tries. (0, 1) for none."""
    if not of:
        return 0.0, 1.0
    share, spread = hits / of, Z**2 / of
    middle = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * math.sqrt(share * (1 - share) / of + spread / of / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def write_lines(findings: Iterable[Finding], about: dict[str, Any], path: Path) -> None:
    """Write one JSON object per request, each with ``about`` in it: what the experiment was run with."""
    lines = [json.dumps({**about, **asdict(finding), "evidence": finding.evidence}, ensure_ascii=False) for finding in findings]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_lines(path: Path) -> list[Finding]:
    """The findings that ``write_lines`` wrote."""
    names = Finding.__dataclass_fields__
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [Finding(**{name: value for name, value in record.items() if name in names}) for record in records]


def seconds(value: float) -> str:
    """A duration for people: 456 s, 7.6 s, 0.09 s."""
    return f"{number(value)} s"


def number(value: float) -> str:
    """As many digits as are worth reading."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"
