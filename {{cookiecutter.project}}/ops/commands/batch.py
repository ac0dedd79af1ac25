"""``python -m ops batch``: many documents through an endpoint."""

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ops import prices, show
from ops.batch import sources
from ops.batch.run import FOLDER, IN_FLIGHT, JOURNAL, PAGES_PER_JOB, PATIENCE, Batch, Outcome, Wish
from ops.client import LOCAL_ENDPOINT, LOCAL_URL, Client
from ops.commands.common import AS_JSON, ENDPOINT, LIVE_URL, OUTPUT, URL, check_tier, client, finish
from ops.commands.parse import FORMAT, OCR_MODE, TIER, wishes
from worker import choices


def batch(
    documents: Annotated[
        list[str],
        typer.Argument(
            metavar="DIR|GLOB|LIST",
            help="A folder, a pattern, a document, a URL, or a text file with a path or URL on each line.",
            show_default=False,
        ),
    ],
    url: URL = LOCAL_URL,
    endpoint: ENDPOINT = LOCAL_ENDPOINT,
    output: OUTPUT = Path("out/batch"),
    tier: TIER = None,
    ocr_mode: OCR_MODE = None,
    formats: FORMAT = None,
    pages_per_job: Annotated[int, typer.Option(min=1, help="A longer PDF is cut into slices of at most so many.")] = PAGES_PER_JOB,
    in_flight: Annotated[int, typer.Option(min=1, max=1000, help="Jobs queued or running at a time.")] = IN_FLIGHT,
    resend: Annotated[
        bool, typer.Option("--resend", help="Send again what an earlier run may or may not have sent; it may be paid for twice.")
    ] = False,
    price: Annotated[
        float | None, typer.Option(min=0, help=f"Dollars per worker second, to tell the cost; of {choices.GPU} if left out.")
    ] = None,
    as_json: AS_JSON = False,
) -> None:
    """Parse many documents and write the results to a folder, each document paid for once.

    Interrupt it, or let it be killed, and run the same command again: finished documents are skipped as long as their content and
    the options are the same, and jobs that were sent are asked for instead of sent again. The platform keeps a result for 30
    minutes; what has expired by then is sent again, and the summary says how many. A document's folder is complete or not there.

    Long PDFs are cut on this machine, so that each job carries only its own pages and a book of any size goes through; the
    results are put together as one, pages and images numbered through. A paragraph that runs over a border stays in two. Anything
    but a PDF goes as it is, and a URL as a whole, which the worker fetches.

    A live endpoint's key is taken from RUNPOD_API_KEY. Exits with 0 if every document is there, 1 if any failed, 2 for an option
    or a list that cannot be, and 130 after Ctrl-C, which leaves the jobs that were sent to run.

    Example: `python -m ops batch scans/`, or `python -m ops batch "archive/**/*.pdf" --endpoint ID --url https://api.runpod.ai`
    """
    if tier is not None:
        check_tier(tier)
    try:
        found = sources.find(documents)
    except sources.NoDocuments as error:
        raise typer.BadParameter(str(error), param_hint="DIR|GLOB|LIST") from None
    wish = Wish(output, wishes(tier, ocr_mode, formats), pages_per_job, in_flight, resend)
    endpoint_client = client(url, endpoint, patience=PATIENCE)
    try:
        outcomes, jobs = finish(_run(endpoint_client, wish, found, quiet=as_json))
    except typer.Exit:
        if (output / FOLDER / JOURNAL).exists():
            show.errors.print(
                "Jobs that were sent go on. Run the same command again within 30 minutes to fetch their results without a second "
                "payment; what is finished is skipped."
            )
        raise
    summary = summarise(outcomes, jobs, price if price is not None else _price(url))
    if as_json:
        for line in ({"document": outcome.source, **_line(outcome)} for outcome in outcomes):
            print(json.dumps(line, ensure_ascii=False))
        print(json.dumps({"summary": summary}))
    else:
        _print(outcomes, summary, output)
    raise typer.Exit(int(bool(summary["failed"])))


async def _run(
    endpoint_client: Client, wish: Wish, found: Sequence[sources.Source], *, quiet: bool
) -> tuple[list[Outcome], Counter[str]]:
    async with endpoint_client as client:
        with Documents("documents", len(found), quiet=quiet) as bar, Batch.opened(client, wish, bar.saw) as running:
            return await running.run(found), running.jobs.counts


class Documents(show.Bar):
    """A bar over documents that says how many jobs are queued and running, and how many documents failed."""

    def saw(self, running: Batch) -> None:
        """Draw a batch as it is now."""
        states = Counter(running.jobs.states.values())
        failed = sum(bool(outcome.error) for outcome in running.outcomes)
        words = f"{states['IN_QUEUE']} queued, {states['IN_PROGRESS']} running" + (f", {failed} failed" if failed else "")
        self.update(self.task, description=words, completed=len(running.outcomes))


def summarise(outcomes: Sequence[Outcome], jobs: Counter[str], price: float | None) -> dict[str, Any]:
    """What a batch did, in numbers: seconds are a job's from submission to end, the cost is that of its execution alone.

    ``price`` is in dollars per second; without one there is no cost. Documents that were complete before count as skipped only.
    """
    fresh = [outcome for outcome in outcomes if not outcome.skipped]
    seconds = sorted(sum(job) for outcome in fresh for job in zip(outcome.delay, outcome.execution, strict=True))
    execution = sum(sum(outcome.execution) for outcome in fresh)
    tenths = statistics.quantiles(seconds, n=20, method="inclusive") if len(seconds) > 1 else seconds * 19
    return {
        "documents": len(outcomes),
        "finished": sum(not outcome.error for outcome in fresh),
        "skipped": len(outcomes) - len(fresh),
        "failed": sum(bool(outcome.error) for outcome in fresh),
        "pages": sum(outcome.pages for outcome in fresh),
        "jobs": {name: jobs[name] for name in ("sent", "resumed", "retried", "expired")},
        "execution_seconds": round(execution, 3),
        "dollars": None if price is None else round(execution * price, 6),
        "p50_seconds": round(tenths[9], 3) if tenths else None,
        "p95_seconds": round(tenths[18], 3) if tenths else None,
    }


def _price(url: str) -> float | None:
    """Dollars per second of this worker's GPU pool; None for a worker on this machine, and where no price is known."""
    if not url.startswith(LIVE_URL):
        return None
    try:
        return prices.price(choices.GPU)
    except ValueError:
        return None


def _line(outcome: Outcome) -> dict[str, Any]:
    fields = {name: value for name, value in asdict(outcome).items() if name != "source"}
    return {**fields, "folder": str(outcome.folder) if outcome.folder else None}


def _print(outcomes: Sequence[Outcome], summary: dict[str, Any], output: Path) -> None:
    for outcome in outcomes:
        if outcome.error:
            show.errors.print(f"[red]{escape(outcome.source)}[/red]: {escape(outcome.error)}", soft_wrap=True)
        for reason in outcome.degraded:
            show.console.print(f"[yellow]{escape(outcome.source)}[/yellow]: {escape(reason)}", soft_wrap=True)
    table = Table.grid(padding=(0, 2))
    jobs = ", ".join(f"{count} {what}" for what, count in summary["jobs"].items() if count) or "none"
    rows = {
        "documents": f"{summary['finished']} finished, {summary['skipped']} skipped, {summary['failed']} failed",
        "pages": str(summary["pages"]),
        "jobs": jobs,
        "seconds of a job": f"p50 {summary['p50_seconds']}, p95 {summary['p95_seconds']}" if summary["p50_seconds"] else "",
        "execution": f"{summary['execution_seconds']:.1f} s" + (f", ${summary['dollars']:.4f}" if summary["dollars"] else ""),
        "written to": escape(str(output)),
    }
    for name, value in rows.items():
        if value:
            table.add_row(f"[bold]{name}[/bold]", value)
    show.console.print(table)
    if summary["jobs"]["expired"]:
        show.errors.print(f"[yellow]{summary['jobs']['expired']} results had expired, and their jobs were sent again.[/yellow]")
