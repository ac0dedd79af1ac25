"""``python -m ops parse``: a few documents through an endpoint."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ops import show
from ops.client import LOCAL_ENDPOINT, LOCAL_URL, Client
from ops.commands.common import ENDPOINT, OUTPUT, URL, check_tier, client, finish
from ops.parsing import parse_files
from worker import choices
from worker.outputs import FORMATS
from worker.settings import OcrMode


def parse(
    files: Annotated[list[Path], typer.Argument(help="Documents to parse.", show_default=False)],
    url: URL = LOCAL_URL,
    endpoint: ENDPOINT = LOCAL_ENDPOINT,
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
        check_tier(tier)
    wishes = {"tier": tier, "page_range": pages, "ocr_mode": ocr_mode, "formats": formats}
    options = {name: wish for name, wish in wishes.items() if wish is not None}
    outcomes = finish(_parse(client(url, endpoint), files, options, output))
    show.outcomes(outcomes)
    raise typer.Exit(int(any(outcome.error for outcome in outcomes)))


async def _parse(endpoint: Client, files: list[Path], options: dict[str, Any], output: Path) -> list[show.Outcome]:
    async with endpoint:
        return await parse_files(endpoint, files, options, output)
