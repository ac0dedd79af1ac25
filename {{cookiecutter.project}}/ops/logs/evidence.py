"""What a request met and why: as its worker says, else by what its log shows.

The evidence is that of the founding experiment: a boot sequence just before the request, or none after a silence that is longer
than the platform lets a worker idle. Where the log does not tell, the answer is ``unsure``.
"""

from typing import Final

from ops.findings import seconds
from ops.logs.lines import number
from ops.logs.signs import BEGINNINGS, STEPS, Sign
from ops.logs.story import Gap, Kind, Request

#: Seconds without jobs after which the platform freezes a worker, unless the endpoint says otherwise (RunPod documentation).
IDLE_TIMEOUT: Final = 5.0
#: Seconds more that a worker may idle before the platform gets to it.
SLACK: Final = 10.0

#: Signs of a boot that people know by other names.
NAMES: Final[dict[Sign, str]] = {
    "boot": "booting",
    "fitness begins": "fitness checks",
    "warm-up begins": "warm-up",
    "banner": "the SDK's banner",
}


def judge(request: Request, idle_timeout: float) -> None:
    """Say what a request met and why."""
    process = request.process
    if request.said:
        request.kind, request.why = _own_account(request)
        return
    request.kind, request.why = _evidence(request, idle_timeout)
    if (
        request.silence is not None
        and request.kind in ("restored", "unsure")
        and request.silence[1] - request.silence[0] > idle_timeout
    ):
        process.gaps.append(Gap(*request.silence, sure=request.kind == "restored"))


def _own_account(request: Request) -> tuple[Kind, str]:
    boot = request.boot
    kind = boot.get("kind")
    signs = boot.get("evidence")
    evidence = ", ".join(str(sign).replace("_", " ") for sign in signs) if isinstance(signs, (list, tuple)) else str(signs or "")
    frozen = number(boot.get("frozen_seconds"))
    why = "the worker says so"
    if kind in ("restored", "unsure"):
        why += f": {evidence or 'no evidence given'}" + (f", for {seconds(frozen)}" if frozen else "")
    if kind == "fresh":
        why += ": the first job of its process"
    if kind == "warm":
        why += ": its process had worked before and not stood still since"
    return (kind if kind in ("fresh", "restored", "warm") else "unsure"), why


def _evidence(request: Request, idle_timeout: float) -> tuple[Kind, str]:
    """What the lines show of a request whose worker says nothing."""
    process = request.process
    first = process.requests[0] is request
    silent = None if request.silence is None else request.silence[1] - request.silence[0]
    if request.blind and silent is not None and silent <= idle_timeout:
        silent = None  # A longer silence may lie where lines have no time.
    if not request.has_start:
        return "unsure", "the log begins after the request did"
    if request.started_engine:
        return "fresh", "the engine started within the request"
    if request.other_engine:
        return "unsure", f"{request.other_engine}: it was another process whose boot is not in the log"
    if request.beside:
        return "warm", "another request was in progress"
    if first and request.opens_log and not process.signs:
        return "restored", "the log begins with its job, without a boot sequence"
    engine = "".join(f"; {name} is process {pid} as before" for name, pid in list(process.engines.items())[:1] if not first)
    booted = f"a boot sequence just before it: {', '.join(_shown(process.signs))}" if first and process.signs else ""
    if booted and (silent is None or silent <= idle_timeout):
        return "fresh", booted
    if silent is None:
        return "unsure", f"no boot sequence before it, and no times that would show a silence{engine}"
    if silent > idle_timeout + SLACK:
        return "restored", f"no boot sequence after {seconds(silent)} of silence{engine}"
    if silent > idle_timeout:
        return "unsure", f"{seconds(silent)} of silence is about the idle timeout: frozen, or not yet"
    if first:
        return "unsure", "the log begins after the worker did, and it was awake just before"
    return "warm", f"{seconds(silent)} after the line before"


def _shown(signs: set[Sign]) -> list[str]:
    """The signs of a boot in their order, for people."""
    ordered = (*BEGINNINGS, *STEPS, "serving")
    shown = [NAMES.get(sign, sign.replace("_", " ")) for sign in ordered if sign in signs]
    return [name for name in dict.fromkeys(shown) if name not in ("fitness", "warmup")]
