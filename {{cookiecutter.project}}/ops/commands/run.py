"""``python -m ops run``: a worker on this machine, to stay."""

import json
from typing import Annotated, Final

import typer
from rich.markup import escape

from ops import serving, show
from ops.client import LOCAL_URL, job_input
from ops.commands.common import LOCAL_TIER, check_tier, finish, python
from ops.control_plane import ControlPlane
from worker import choices
from worker.settings import LogFormat

PORT: Final = 8000


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
    check_tier(tier)
    finish(_serve(port, workers, serving.environment(tier, log_format)), interrupted=0)


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
    commands = (f"{python()} -m ops parse samples/letter.docx{other}", f"curl {control_plane.endpoint_url}/runsync -d '{body}'")
    for command in commands:
        show.console.print(f"  {escape(command)}", soft_wrap=True)
    show.console.print()
