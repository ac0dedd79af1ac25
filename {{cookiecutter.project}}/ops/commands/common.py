"""What the commands share: options that mean the same everywhere, and how a command ends."""

import asyncio
import errno
import importlib
import importlib.util
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from ops import show
from ops.client import LOCAL_ENDPOINT, LOCAL_URL, Client, ClientError
from ops.endpoint import Rest, RestError
from ops.local_worker import DEFAULTS, PROJECT, WorkerError
from worker import choices

Result = TypeVar("Result")

#: Where the platform's job API is (RunPod documentation).
LIVE_URL: Final = "https://api.runpod.ai"
#: Seconds a worker may take to boot, and one with vLLM, which compiles at its first boot.
BOOT, ENGINE_BOOT = 120, 600
#: Exit code of a command that Ctrl-C ended, as shells have it.
INTERRUPTED: Final = 130
SAMPLES: Final = PROJECT / "samples"
#: Tier of a worker on this machine that is told nothing else.
LOCAL_TIER: Final = DEFAULTS["MINERU_TIER"]
#: Endings of the documents that the demo takes from ``samples/``, the first to be shown first.
SAMPLE_ENDINGS: Final = (".pdf", ".docx", ".html", ".csv") if LOCAL_TIER == "flash" else (".docx",)


def _known_engine(engine: str) -> str:
    if engine not in ("", "vllm-cpu"):
        raise typer.BadParameter(f"{engine!r} is no engine of this machine; leave it out, or say vllm-cpu.")
    return engine


OUTPUT = Annotated[Path, typer.Option(help="Folder for the results; each document gets a folder of its own in it.")]
ENGINE = Annotated[
    str, typer.Option(callback=_known_engine, help="vllm-cpu: with vLLM itself, on the processor, and a tiny model.")
]
URL = Annotated[str, typer.Option(help=f"Where the job API is: `python -m ops run`'s, or {LIVE_URL}.")]
ENDPOINT = Annotated[str, typer.Option(help="Endpoint id.")]
AS_JSON = Annotated[bool, typer.Option("--json", help="Print lines of JSON and nothing else.")]


def client(url: str = LOCAL_URL, endpoint: str = LOCAL_ENDPOINT, **options: Any) -> Client:
    """A client of this endpoint, with the key of RUNPOD_API_KEY; ``options`` are ``Client``'s."""
    return Client(url, endpoint, os.environ.get("RUNPOD_API_KEY", ""), **options)


def rest_api(url: str) -> Rest:
    """A client of the REST v2 API, with the key of RUNPOD_API_KEY."""
    return Rest(url, os.environ.get("RUNPOD_API_KEY", ""))


def samples() -> list[Path]:
    """The documents in ``samples/`` that a worker here can parse; ends the command if there are none."""
    found = [path for ending in SAMPLE_ENDINGS for path in sorted(SAMPLES.glob(f"*{ending}"))]
    if not found:
        show.failed(f"There are no documents in {SAMPLES}; put a PDF there, or run `python -m ops run` and parse one of yours.")
        raise typer.Exit(1)
    return found


def with_engine() -> dict[str, str]:
    """The variables of a worker with vLLM and a tiny model; ends the command where this Python cannot run it."""
    known = importlib.util.find_spec("ops.cpu_engine")
    cpu_engine: Any = importlib.import_module("ops.cpu_engine") if known else None
    reason = cpu_engine.missing() if known else f"The demo has no engine for {choices.STACK}."
    if reason:
        show.failed(reason)
        raise typer.Exit(1)
    show.console.print("[bold]vLLM on this processor.[/bold] The model is a tiny one that says the same of every page.")
    home = cpu_engine.build_models(PROJECT / "build" / "cpu-models")
    return {**cpu_engine.environment(home), "MINERU_LOG_FORMAT": "console", "MINERU_OCR_MODE": "ocr"}


def check_tier(tier: str) -> None:
    if tier not in choices.TIERS:
        raise typer.BadParameter(
            f"{tier!r} is not served by {choices.STACK}; choose one of {', '.join(choices.TIERS)}.", param_hint="--tier"
        )


def python() -> str:
    """The running Python as one would type it here."""
    executable = Path(sys.executable)
    return str(executable.relative_to(Path.cwd())) if executable.is_relative_to(Path.cwd()) else "python"


def finish(command: Coroutine[Any, Any, Result], interrupted: int = INTERRUPTED) -> Result:
    """Run a command; what ends it early is told in plain words, and Ctrl-C or SIGTERM gives the exit code ``interrupted``."""
    # Said aloud, since a process started in the background is born deaf to Ctrl-C, and to what SIGTERM becomes here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        return asyncio.run(command)
    except (ClientError, RestError, WorkerError, TimeoutError) as error:
        show.failed(str(error))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        show.failed("The port is taken; choose another with --port, or --port 0 for any that is free.")
    except KeyboardInterrupt:
        show.console.print("\nStopped.")
        raise typer.Exit(interrupted) from None
    raise typer.Exit(1)
