"""Findings of four requests and of a warm one, as if an experiment had found them."""

from typing import Any, Final

from ops.findings import Finding

FRESH: Final = {"kind": "fresh", "phases": {"imports": 1.0, "fitness": 1.5, "warmup": 2.0, "first_parse": 1.5}}
RESTORED: Final = {"kind": "restored", "evidence": ["start_time_changed"], "phases": FRESH["phases"]}


def finding(number: int, kind: str, wall: float, **fields: Any) -> Finding:
    """Request ``number``, of ``wall`` seconds, which met a worker of the kind and said so."""
    boot = FRESH if kind == "fresh" else RESTORED if kind == "restored" else {"kind": "warm"}
    queue = wall - 0.2 if kind != "warm" else 0.0
    return Finding(number, wall, queue, 0.2, "A", **{"said": kind, "did": kind, "parse": 0.1, "boot": boot, **fields})


FOUR: Final = [finding(1, "fresh", 5.0), finding(2, "restored", 0.5), finding(3, "fresh", 5.0), finding(4, "restored", 0.5)]
WARM: Final = [finding(5, "warm", 0.25)]
