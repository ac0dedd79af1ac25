"""``python -m ops demo``: a worker, the documents in samples/, and what happened."""

from pathlib import Path

import typer
from rich.markup import escape

from ops import serving, show
from ops.client import Client
from ops.commands.common import BOOT, ENGINE, ENGINE_BOOT, LOCAL_TIER, OUTPUT, finish, python, samples, with_engine
from ops.control_plane import ControlPlane
from ops.local_worker import LocalWorker
from ops.parsing import parse_files


def demo(
    output: OUTPUT = Path("out"),
    engine: ENGINE = "",
) -> None:
    """Start a worker, have it parse the documents in samples/, and show what happened.

    The worker is the real one, doing what MinerU does without models: no GPU, no account, no download, no network.

    Example: `python -m ops demo`
    """
    variables = with_engine() if engine else serving.environment(LOCAL_TIER, "console")
    outcomes = finish(_demonstrate(samples(), output, variables, ENGINE_BOOT if engine else BOOT))
    first = next((outcome for outcome in outcomes if outcome.answer and outcome.folder), None)
    if first and first.answer:
        show.markdown(first.file.name, first.answer.response.get("markdown") or "")
        show.boot_phases(first.answer.response.get("boot", {}))
        show.console.print()
    show.outcomes(outcomes)
    _point_onwards(output)
    raise typer.Exit(int(any(outcome.error for outcome in outcomes)))


async def _demonstrate(files: list[Path], output: Path, variables: dict[str, str], within: float) -> list[show.Outcome]:
    async with ControlPlane() as control_plane:
        booting = show.Booting()
        worker = LocalWorker(control_plane, environment=variables, on_line=booting.heard)
        async with worker:
            with booting:
                await worker.wait_ready(within)
            show.console.print("A worker booted and is serving. Parsing the documents in samples/ …")
            async with Client(control_plane.url) as client:
                return await parse_files(client, files, {}, output)


def _point_onwards(output: Path) -> None:
    steps = (
        (f"{output}/", "the results in full"),
        (f"{python()} -m ops run", "the same worker, to stay, with its log"),
        (f"{python()} -m ops parse FILE", "a document of yours"),
        ("worker/settings.py", "every knob of the worker"),
        ("worker/handler.py", "the way of a document, from request to response"),
    )
    width = max(len(where) for where, _ in steps)
    show.console.print(f"\n[bold]Where to look next[/bold], in {escape(str(Path.cwd()))}", soft_wrap=True)
    for where, what in steps:
        show.console.print(f"  {escape(where.ljust(width))}  [dim]{what}[/dim]", soft_wrap=True)
