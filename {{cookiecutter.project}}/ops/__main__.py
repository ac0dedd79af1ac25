"""``python -m ops``: run a worker on this machine, give it documents, see what comes out."""

import asyncio
import base64
import errno
import importlib
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.markup import escape

from ops import serving, show
from ops.client import LOCAL_ENDPOINT, LOCAL_URL, Client
from ops.control_plane import ControlPlane
from ops.local_worker import DEFAULTS, PROJECT, LocalWorker, WorkerError
from ops.parsing import parse_files
from worker import choices
from worker.outputs import FORMATS
from worker.settings import LogFormat, OcrMode

Result = TypeVar("Result")

PORT: Final = 8000
#: Seconds a worker may take to boot, and one with vLLM, which compiles at its first boot.
BOOT, ENGINE_BOOT = 120, 600
#: Exit code of a command that Ctrl-C ended, as shells have it.
INTERRUPTED: Final = 130
SAMPLES: Final = PROJECT / "samples"
#: Tier of a worker on this machine that is told nothing else.
LOCAL_TIER: Final = DEFAULTS["MINERU_TIER"]
#: Endings of the documents that the demo takes from ``samples/``, the first to be shown first.
SAMPLE_ENDINGS: Final = (".pdf", ".docx", ".html", ".csv") if LOCAL_TIER == "flash" else (".docx",)

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", add_completion=False, pretty_exceptions_enable=False)

OUTPUT = Annotated[Path, typer.Option(help="Folder for the results; each document gets a folder of its own in it.")]


@app.callback()
def main() -> None:
    """Operate this worker from your machine. Start with `python -m ops demo`."""


@app.command()
def run(
    tier: Annotated[
        str, typer.Option(help=f"Tier of a job that names none: {', '.join(choices.TIERS)}. The default needs no model.")
    ] = LOCAL_TIER,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the job API on this machine; 0 takes a free one.")] = PORT,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
    log_format: Annotated[LogFormat, typer.Option(help="Logs for people, or as the platform gets them.")] = "console",
) -> None:
    """Run the real worker on this machine, under a local stand-in for the platform.

    The stand-in answers as a RunPod endpoint does (/run, /runsync, /status, …), so everything that talks to an endpoint
    can talk to it. Ctrl-C lets the workers finish their jobs and stops them.

    Example: `python -m ops run`, then `python -m ops parse samples/letter.docx` in another terminal.
    """
    _check_tier(tier)
    _finish(_serve(port, workers, serving.environment(tier, log_format)), interrupted=0)


async def _serve(port: int, workers: int, variables: dict[str, str]) -> None:
    def tell(name: str, line: str) -> None:
        print(f"{name}  {line}" if workers > 1 else line, flush=True)

    def ready(name: str) -> None:
        show.console.print(f"[green]{name} is serving.[/green] Ctrl-C stops it.")

    async with ControlPlane(port=port) as control_plane:
        _introduce(control_plane)
        await serving.keep_workers(control_plane, workers, variables, tell, ready)


def _introduce(control_plane: ControlPlane) -> None:
    """Print where the API is, and two ways to use it that can be copied as they are."""
    other = "" if control_plane.url == LOCAL_URL else f" --url {control_plane.url}"
    table = {"file_b64": base64.b64encode(b"tide,metres\nhigh,4.9\nlow,0.6\n").decode(), "file_name": "tides.csv"}
    body = json.dumps({"input": table if "csv" in choices.SUFFIXES else {"probe": True}})
    show.console.print(f"[bold]Job API[/bold] {control_plane.endpoint_url}", "From another terminal:", sep="\n", end="\n\n")
    commands = (f"{_python()} -m ops parse samples/letter.docx{other}", f"curl {control_plane.endpoint_url}/runsync -d '{body}'")
    for command in commands:
        show.console.print(f"  {escape(command)}", soft_wrap=True)
    show.console.print()


@app.command()
def parse(
    files: Annotated[list[Path], typer.Argument(help="Documents to parse.", show_default=False)],
    url: Annotated[str, typer.Option(help="Where the job API is: `python -m ops run`'s, or https://api.runpod.ai.")] = LOCAL_URL,
    endpoint: Annotated[str, typer.Option(help="Endpoint id.")] = LOCAL_ENDPOINT,
    output: OUTPUT = Path("out"),
    tier: Annotated[str | None, typer.Option(help=f"{', '.join(choices.TIERS)}; the worker's own if left out.")] = None,
    pages: Annotated[str | None, typer.Option(help="Pages of a PDF, such as 1-5,8 or r1 for the last; all if left out.")] = None,
    ocr_mode: Annotated[
        OcrMode | None, typer.Option(help="Use text layers (txt), read images (ocr), or decide by page (auto).")
    ] = None,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help=f"Output, once for each wanted: {', '.join(FORMATS)}.", show_default=False)
    ] = None,
) -> None:
    """Parse documents and write the results to a folder.

    Goes to the worker that `python -m ops run` started, or with --url and --endpoint to a live one; the live one's key is
    taken from RUNPOD_API_KEY. Exits with 1 if any document failed.

    Example: `python -m ops parse report.pdf letter.docx --pages 1-3 --format markdown --format images`
    """
    if tier is not None:
        _check_tier(tier)
    wishes = {"tier": tier, "page_range": pages, "ocr_mode": ocr_mode, "formats": formats}
    options = {name: wish for name, wish in wishes.items() if wish is not None}
    outcomes = _finish(_parse(Client(url, endpoint, os.environ.get("RUNPOD_API_KEY", "")), files, options, output))
    show.outcomes(outcomes)
    raise typer.Exit(int(any(outcome.error for outcome in outcomes)))


async def _parse(client: Client, files: list[Path], options: dict[str, Any], output: Path) -> list[show.Outcome]:
    async with client:
        return await parse_files(client, files, options, output)


@app.command()
def demo(
    output: OUTPUT = Path("out"),
    engine: Annotated[str, typer.Option(help="vllm-cpu: with vLLM itself, on the processor, and a tiny model.")] = "",
) -> None:
    """Start a worker, have it parse the documents in samples/, and show what happened.

    The worker is the real one, doing what MinerU does without models: no GPU, no account, no download, no network.

    Example: `python -m ops demo`
    """
    if engine not in ("", "vllm-cpu"):
        raise typer.BadParameter(f"{engine!r} is no engine of the demo; leave it out, or say vllm-cpu.", param_hint="--engine")
    samples = [path for ending in SAMPLE_ENDINGS for path in sorted(SAMPLES.glob(f"*{ending}"))]
    if not samples:
        show.failed(f"There are no documents in {SAMPLES}; put a PDF there, or run `python -m ops run` and parse one of yours.")
        raise typer.Exit(1)
    variables = _with_engine() if engine else serving.environment(LOCAL_TIER, "console")
    outcomes = _finish(_demonstrate(samples, output, variables, ENGINE_BOOT if engine else BOOT))
    first = next((outcome for outcome in outcomes if outcome.answer and outcome.folder), None)
    if first and first.answer:
        show.markdown(first.file.name, first.answer.response.get("markdown") or "")
        show.boot_phases(first.answer.response.get("boot", {}))
        show.console.print()
    show.outcomes(outcomes)
    _point_onwards(output)
    raise typer.Exit(int(any(outcome.error for outcome in outcomes)))


def _with_engine() -> dict[str, str]:
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


async def _demonstrate(samples: list[Path], output: Path, variables: dict[str, str], within: float) -> list[show.Outcome]:
    async with ControlPlane() as control_plane:
        booting = show.Booting()
        worker = LocalWorker(control_plane, environment=variables, on_line=booting.heard)
        async with worker:
            with booting:
                await worker.wait_ready(within)
            show.console.print("A worker booted and is serving. Parsing the documents in samples/ …")
            return await _parse(Client(control_plane.url), samples, {}, output)


def _point_onwards(output: Path) -> None:
    steps = (
        (f"{output}/", "the results in full"),
        (f"{_python()} -m ops run", "the same worker, to stay, with its log"),
        (f"{_python()} -m ops parse FILE", "a document of yours"),
        ("worker/settings.py", "every knob of the worker"),
        ("worker/handler.py", "the way of a document, from request to response"),
    )
    width = max(len(where) for where, _ in steps)
    show.console.print(f"\n[bold]Where to look next[/bold], in {escape(str(Path.cwd()))}", soft_wrap=True)
    for where, what in steps:
        show.console.print(f"  {escape(where.ljust(width))}  [dim]{what}[/dim]", soft_wrap=True)


def _check_tier(tier: str) -> None:
    if tier not in choices.TIERS:
        raise typer.BadParameter(
            f"{tier!r} is not served by {choices.STACK}; choose one of {', '.join(choices.TIERS)}.", param_hint="--tier"
        )


def _python() -> str:
    """The running Python as one would type it here."""
    executable = Path(sys.executable)
    return str(executable.relative_to(Path.cwd())) if executable.is_relative_to(Path.cwd()) else "python"


def _finish(command: Coroutine[Any, Any, Result], interrupted: int = INTERRUPTED) -> Result:
    """Run a command; what ends it early is told in plain words, and Ctrl-C or SIGTERM gives the exit code ``interrupted``."""
    # Said aloud, since a process started in the background is born deaf to Ctrl-C, and to what SIGTERM becomes here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        return asyncio.run(command)
    except (WorkerError, TimeoutError) as error:
        show.failed(str(error))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        show.failed("The port is taken; choose another with --port, or --port 0 for any that is free.")
    except KeyboardInterrupt:
        show.console.print("\nStopped.")
        raise typer.Exit(interrupted) from None
    raise typer.Exit(1)


if __name__ == "__main__":
    app(prog_name="python -m ops")
