"""What messages of worker logs show: the steps of a boot, jobs that come and go, freezes.

The messages are those of the RunPod SDK (1.7 to 1.12), of vLLM (0.8 to 0.28), of MinerU (3.4 and 4.0), of the worker of the
founding experiment, of RunPod's own vLLM worker, and of this one.
"""

import re
from typing import Final, Literal, get_args

from worker.engine_log import COMPILED

#: Signs that a process begins, and that a step of its engine's start ends, under the names that this worker has for them.
Beginning = Literal["boot", "banner", "fitness begins", "warm-up begins"]
EngineStep = Literal["engine_process", "engine_weights", "engine_compile", "engine_graphs", "engine_init", "engine"]
#: Signs that a job has ended, by how it did.
End = Literal["done", "failed", "refused", "cancelled", "lost"]
#: What a line shows; "" is nothing of interest.
Sign = (
    Beginning
    | Literal["", "fitness", "imports", "warmup", "serving", "did not start", "queue", "started", "job"]
    | Literal["restored", "unsure", "stopped"]
    | EngineStep
    | End
)

BEGINNINGS: Final[tuple[Beginning, ...]] = get_args(Beginning)
#: Of the engine's start, which may come later than the process's beginning, or before it.
ENGINE: Final[tuple[EngineStep, ...]] = get_args(EngineStep)
#: All steps of a boot.
STEPS: Final[tuple[Sign, ...]] = ("fitness", "imports", *ENGINE, "warmup")
ENDS: Final[tuple[End, ...]] = get_args(End)

_SECONDS: Final = r"(\d+(?:\.\d+)?) ?s"

#: What a line must have besides its message, since the message is a common word: an account of the boot, or a job.
_NEEDS_BOOT: Final[tuple[Sign, ...]] = ("boot", "serving", "restored", "unsure", "stopped")
_NEEDS_REQUEST: Final[tuple[Sign, ...]] = ("job", "done", "failed", "refused", "cancelled")

#: Messages, as regular expressions, in the order they are tried; a group is the seconds that the step took.
_MESSAGES: Final[tuple[tuple[Sign, str], ...]] = (
    ("queue", r"Jobs in queue: \d+$"),
    ("started", r"Started\.$"),
    ("done", r"Finished\.$|done$"),
    ("job", r"starting job$"),
    ("failed", r"Captured Handler Exception|Error handling job|failed$"),
    ("refused", r"refused$"),
    ("cancelled", r"Job stopped\.$|cancelled$"),
    (
        "lost",
        r"Failed to return job results|Error while returning job result|the result could not be delivered",
    ),
    ("restored", r"restored$"),
    ("unsure", r"unsure$"),
    ("boot", r"booting$"),
    ("serving", r"serving$"),
    ("stopped", r"stopped$"),
    ("did not start", r"Worker is unhealthy, exiting|warm-up failed, the worker exits|stopped before serving"),
    ("banner", r"--- Starting Serverless Worker"),
    ("fitness begins", r"Running \d+ fitness check"),
    ("fitness", r"All fitness checks passed\. \((\d+(?:\.\d+)?) ?ms\)"),
    ("warm-up begins", r"\[mineru-warmup\] starting"),
    ("warmup", rf"\[mineru-warmup\] done in {_SECONDS}"),
    ("imports", r"Using \S+ as the inference engine for VLM|Using \S+-engine\b"),
    ("engine_process", r"Initializing a V\d LLM engine"),
    ("engine_weights", rf"Model loading took [\d.]+ Gi?B(?: memory)? and {_SECONDS}"),
    ("engine_compile", rf"torch\.compile takes {_SECONDS}|{COMPILED[1].pattern}"),
    ("engine_graphs", rf"Graph capturing finished in {_SECONDS}"),
    ("engine_init", rf"init engine \([^)]*\) took {_SECONDS}"),
    ("engine", rf"get \S+ predictor cost: {_SECONDS}|Initialized vLLM engine in {_SECONDS}"),
)
_PATTERNS: Final = tuple((sign, re.compile(pattern, re.ASCII)) for sign, pattern in _MESSAGES)

#: Before the message of Python's own logging: a level and a logger's name.
_LOGGING: Final = re.compile(r"(?:INFO|WARNING|ERROR)[: ]+(?:[\w.]+[: ]+)?(?=Initialized vLLM|Model loading|init engine|torch)")


def sign_of(message: str, *, has_boot: bool, has_job: bool) -> tuple[Sign, float | None]:
    """What a message shows, and the seconds it tells of.

    ``has_boot`` and ``has_job`` say whether its line comes with an account of the boot, and with a job.
    """
    begin = match.end() if (match := _LOGGING.match(message)) else 0
    for sign, pattern in _PATTERNS:
        if not (match := pattern.match(message, begin)):
            continue
        common = message.islower()
        if common and ((sign in _NEEDS_BOOT and not has_boot) or (sign in _NEEDS_REQUEST and not has_job)):
            return "", None
        told = next((float(group) for group in match.groups() if group), None)
        return sign, None if told is None else told / 1000 if sign == "fitness" else told
    return "", None
