"""``python -m ops``: run a worker on this machine, give it documents, see what comes out."""

import asyncio
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

from ops import chart, findings, serving, show, snapshots
from ops import coldstart as experiments
from ops.client import LOCAL_ENDPOINT, LOCAL_URL, Client, ClientError, job_input
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
    table = job_input(b"tide,metres\nhigh,4.9\nlow,0.6\n", "tides.csv")
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


@app.command()
def coldstart(
    requests: Annotated[int, typer.Option(min=1, help="Requests, with scale to zero before each.")] = len(experiments.ORDER),
    hosts: Annotated[
        str, typer.Option(help="Host of each start, such as AABB; free: a random one of two; free:8, of eight.")
    ] = "".join(experiments.ORDER),
    mechanism: Annotated[str, typer.Option(help="How workers are frozen: auto, criu, cgroup or sigstop.")] = "auto",
    variant: Annotated[
        experiments.Variant, typer.Option(help="The worker's own warm-up, or what happens with none, or with a careless one.")
    ] = "warm-up",
    engine: Annotated[str, typer.Option(help="vllm-cpu: with vLLM itself, on the processor, and a tiny model.")] = "",
    idle_timeout: Annotated[float, typer.Option(min=0.1, help="Seconds without jobs after which a worker is frozen.")] = 3,
    frozen: Annotated[float, typer.Option(min=0, help="Seconds at zero before the next request.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the random choice of hosts: the same seed, the same hosts.")] = 0,
    endpoint: Annotated[str, typer.Option(help="Id of a live endpoint to run it on; its key is taken from RUNPOD_API_KEY.")] = "",
    url: Annotated[str, typer.Option(help="Job API of the live endpoint.")] = "https://api.runpod.ai",
    price: Annotated[float | None, typer.Option(help="Dollars per worker second of the live endpoint, to tell the cost.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Agree to the cost of a live run beforehand.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for the lines of JSON and the chart.")] = Path("out/coldstart"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines of JSON and nothing else.")] = False,
) -> None:
    """See cold starts for yourself: four requests, scale to zero before each, on two hosts.

    A platform that freezes idle workers brings one back on the host it was frozen on; on another host a worker boots. This runs
    the real worker under a platform of this machine that does so, and says for each request what the worker called its start,
    what that rests on, and what the platform really did. Exits with 1 if a request failed.

    `--variant` shows why the worker warms up as it does: no-warm-up freezes a worker that has loaded nothing, other-tier one
    that has loaded the wrong thing, and wrong-loop (vllm-cpu only) one whose engine cannot be called any more.

    With --endpoint it runs on a live endpoint, which costs money: it asks before. Set --idle-timeout to the endpoint's.

    Example: `python -m ops coldstart`, or `python -m ops coldstart --requests 40 --hosts free:4 --mechanism sigstop`
    """
    here = not endpoint
    tell: Any = (lambda line: None) if as_json else lambda line: show.console.print(f"[dim]{escape(line)}[/dim]")
    about = {"variant": variant, "engine": engine or "flash"} if here else {"endpoint": endpoint}
    try:
        experiment = _experiment(requests, hosts, engine, variant, idle_timeout, frozen, seed)
        frozen_by, note = snapshots.choose(mechanism) if here else (None, "")
    except ValueError as error:
        show.failed(str(error))
        raise typer.Exit(1) from None
    if note:
        tell(note)
    images: list[snapshots.Image] = []
    if frozen_by is not None:
        run = _finish(experiments.run_here(experiment, frozen_by, tell))
        seen, images, about = run.findings, run.images, {**about, "mechanism": frozen_by.name}
    else:
        _agree(experiments.cost(experiment, experiments.LIVE_SECONDS, price), yes=yes)
        seen = _finish(_coldstart_live(Client(url, endpoint, os.environ.get("RUNPOD_API_KEY", "")), experiment, tell))
    _report(seen, images, about, output, as_json=as_json)
    raise typer.Exit(int(any(finding.error for finding in seen)))


def _experiment(
    requests: int, hosts: str, engine: str, variant: experiments.Variant, idle_timeout: float, frozen: float, seed: int
) -> experiments.Experiment:
    if engine not in ("", "vllm-cpu"):
        raise ValueError(f"{engine!r} is no engine of the experiment; leave it out, or say vllm-cpu.")
    names, order = experiments.hosts(hosts)
    variables = {} if variant in ("wrong-loop", "other-tier") and not engine else _with_engine() if engine else {}
    file = next(path for ending in SAMPLE_ENDINGS for path in sorted(SAMPLES.glob(f"*{ending}")))
    experiment = experiments.Experiment(
        experiments.document(file),
        requests=requests,
        hosts=names,
        order=order,
        seed=seed,
        idle_timeout=idle_timeout,
        frozen=frozen,
        boot_patience=ENGINE_BOOT if engine else BOOT,
        environment=variables or serving.environment(LOCAL_TIER, "json"),
    )
    return experiments.vary(experiment, variant, engine=bool(engine))


def _agree(cost: str, *, yes: bool) -> None:
    """Go on only once the cost has been agreed to."""
    if not yes and not typer.confirm(f"{cost} Go on?", err=True):
        raise typer.Exit(1)


async def _coldstart_live(client: Client, experiment: experiments.Experiment, tell: Any) -> list[findings.Finding]:
    async with client:
        return await experiments.run_live(experiment, client, tell)


def _report(
    seen: list[findings.Finding], images: list[snapshots.Image], about: dict[str, Any], output: Path, *, as_json: bool
) -> None:
    output.mkdir(parents=True, exist_ok=True)
    lines = output / "coldstart.jsonl"
    findings.write_lines(seen, about, lines)
    words = findings.sentence(seen)
    title = f"Cold starts: scale to zero before each request ({', '.join(map(str, about.values()))})"
    try:
        files = [lines, *chart.draw(seen, title, output)]
    except ImportError:
        files = [lines]
        show.errors.print("No chart was drawn: this Python lacks matplotlib, which `make coldstart` installs.")
    if as_json:
        print(lines.read_text("utf-8"), end="")
        return
    show.console.print(findings.table(seen))
    for problem in findings.problems(seen):
        show.errors.print(f"[yellow]{escape(problem)}[/yellow]")
    show.console.print(f"\n{escape(words)}", soft_wrap=True)
    if images:
        show.console.print(escape(findings.snapshots(images)), soft_wrap=True)
    show.console.print(f"[dim]Written: {', '.join(escape(str(file)) for file in files)}[/dim]", soft_wrap=True)


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
    except (ClientError, WorkerError, TimeoutError) as error:
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
