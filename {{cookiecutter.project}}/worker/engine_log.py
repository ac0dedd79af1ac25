"""What vLLM says while it starts: kept in a file, from which the boot report takes how long each step took.

vLLM starts in processes of its own and tells no one how far it is but its log. ``configure`` has every process write its log
to one file as well, by vLLM's own means; ``phases`` reads the file once the engine serves, which ``time_start`` notices.
"""

import json
import os
import re
import time
from pathlib import Path
from typing import Any, Final

#: Steps of a start in their order: a name, and what vLLM (0.11 to 0.28) logs when the step has ended.
STEPS: Final = (
    ("engine_imports", re.compile(r"Resolved architecture|Using max model len")),
    ("engine_process", re.compile(r"Initializing a V1 LLM engine")),
    ("engine_worker", re.compile(r"Starting to load model")),
    ("engine_weights", re.compile(r"Loading weights took")),
    ("engine_memory_and_graphs", re.compile(r"init engine \(")),
)

#: How much of the last step went into compiling, in vLLM's own count of seconds.
COMPILED: Final = ("engine_compile", re.compile(r"torch\.compile (?:and initial profiling/warmup run together )?took ([\d.]+) s"))

FILE: Final = "engine.log"


def configure(folder: Path, level: str) -> dict[str, str]:
    """The variables that make vLLM log to a new file in ``folder``, and to the worker's log from ``level`` up.

    Empty where the operator has configured vLLM's log already.
    """
    if "VLLM_LOGGING_CONFIG_PATH" in os.environ:
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    log, config = folder / FILE, folder / "engine-log.json"
    log.unlink(missing_ok=True)
    handlers = {
        "file": {"class": "logging.FileHandler", "formatter": "file", "filename": str(log), "level": "INFO"},
        "worker": {"class": "logging.StreamHandler", "formatter": "worker", "stream": "ext://sys.stdout", "level": level.upper()},
    }
    formatters = {"file": {"format": "%(created).3f %(message)s"}, "worker": {"format": "vllm: %(levelname)s %(message)s"}}
    described = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": formatters,
        "handlers": handlers,
        "loggers": {"vllm": {"handlers": list(handlers), "level": "INFO", "propagate": False}},
    }
    config.write_text(json.dumps(described), encoding="utf-8")
    return {"VLLM_LOGGING_CONFIG_PATH": str(config)}


def time_start(singleton: Any, folder: Path, taken: dict[str, float]) -> None:
    """Have the seconds of the engine's start and of its steps put into ``taken``, the first time that MinerU asks for its model.

    ``singleton`` is MinerU's class that keeps models; both lines ask it by ``get_model``. ``folder`` is that of ``configure``.
    """
    get_model = singleton.get_model

    def get_and_time(keeper: Any, *arguments: Any, **options: Any) -> Any:
        begun = time.time()
        model = get_model(keeper, *arguments, **options)
        if not taken:
            taken["engine"] = round(time.time() - begun, 3)
            taken.update(phases(folder, begun))
        return model

    singleton.get_model = get_and_time


def phases(folder: Path, begun: float) -> dict[str, float]:
    """Seconds of each step of the engine's start, which began at ``begun`` (Unix time); empty if it did not start or log."""
    try:
        lines = (folder / FILE).read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    taken: dict[str, float] = {}
    steps = list(STEPS)
    for line in lines:
        created, _, message = line.partition(" ")
        compiled = COMPILED[1].search(message)
        if compiled:
            taken[COMPILED[0]] = round(taken.get(COMPILED[0], 0) + float(compiled[1]), 3)
        passed = next((number for number, (_, pattern) in enumerate(steps) if pattern.search(message)), None)
        if passed is not None and _is_time(created):
            taken[steps[passed][0]] = round(float(created) - begun, 3)
            begun, steps = float(created), steps[passed + 1 :]
    return taken


def _is_time(text: str) -> bool:
    return re.fullmatch(r"\d+\.\d+", text) is not None
