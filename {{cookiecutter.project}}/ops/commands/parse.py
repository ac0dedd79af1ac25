"""``python -m ops parse``: a few documents through an endpoint."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ops import show
from ops.client import LOCAL_ENDPOINT, LOCAL_URL, Client
from ops.commands.common import AS_JSON, ENDPOINT, OUTPUT, URL, check_tier, client, finish
from ops.parsing import parse_files
from worker import choices
from worker.outputs import FORMATS
from worker.settings import OcrMode

TIER = Annotated[str | None, typer.Option(help=f"{', '.join(choices.TIERS)}; the worker's own if left out.")]
OCR_MODE = Annotated[OcrMode | None, typer.Option(help="Use text layers (txt), read images (ocr), or decide by page (auto).")]
FORMAT = Annotated[
    list[str] | None, typer.Option("--format", help=f"Output, once for each wanted: {', '.join(FORMATS)}.", show_default=False)
]


def parse(
    files: Annotated[list[Path], typer.Argument(help="Documents to parse.", show_default=False)],
    url: URL = LOCAL_URL,
    endpoint: ENDPOINT = LOCAL_ENDPOINT,
    output: OUTPUT = Path("out"),
    tier: TIER = None,
    pages: Annotated[str | None, typer.Option(help="Pages of a PDF, such as 1-5,8 or r1 for the last; all if left out.")] = None,
    ocr_mode: OCR_MODE = None,
    formats: FORMAT = None,
    as_json: AS_JSON = False,
) -> None:
    """Parse documents and write the results to a folder.

    Goes to the worker that `python -m ops run` started, or with --url and --endpoint to a live one; the live one's key is
    taken from RUNPOD_API_KEY. Exits with 1 if any document failed. For many documents, or long ones, see `python -m ops batch`.

    Example: `python -m ops parse report.pdf letter.docx --pages 1-3 --format markdown --format images`
    """
    if tier is not None:
        check_tier(tier)
    options = wishes(tier, ocr_mode, formats) | ({"page_range": pages} if pages is not None else {})
    outcomes = finish(_parse(client(url, endpoint), files, options, output))
    if as_json:
        for outcome in outcomes:
            print(json.dumps(_line(outcome), ensure_ascii=False))
    else:
        show.outcomes(outcomes)
    raise typer.Exit(int(any(outcome.error for outcome in outcomes)))


def wishes(tier: str | None, ocr_mode: OcrMode | None, formats: list[str] | None) -> dict[str, Any]:
    """The fields of a job's input that these options ask for; ends the command for a format that there is not."""
    strange = sorted(set(formats or ()) - set(FORMATS))
    if strange:
        raise typer.BadParameter(f"{strange[0]!r} is no output; choose of {', '.join(FORMATS)}.", param_hint="--format")
    asked = {"tier": tier, "ocr_mode": ocr_mode, "formats": formats}
    return {name: wish for name, wish in asked.items() if wish is not None}


async def _parse(endpoint: Client, files: list[Path], options: dict[str, Any], output: Path) -> list[show.Outcome]:
    async with endpoint:
        return await parse_files(endpoint, files, options, output)


def _line(outcome: show.Outcome) -> dict[str, Any]:
    """One document for scripts; seconds are those in the queue and of execution."""
    line = {"document": str(outcome.file), "folder": str(outcome.folder) if outcome.folder else None, "error": outcome.error}
    answer = outcome.answer
    if answer is None:
        return line
    told = {"job": answer.id, "pages": answer.pages, "tier": answer.tier, "delay": answer.delay, "execution": answer.execution}
    return {**line, **told, "boot": answer.boot.get("kind"), "degraded": answer.degraded}
