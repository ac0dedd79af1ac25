"""``python -m ops logs``: what worker logs tell of boots, freezes and requests."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape

from ops import show
from ops.commands.common import AS_JSON, finish, rest_api
from ops.endpoint import REST_URL
from ops.logs import chart, evidence, hearing, timeline
from ops.logs.lines import KNOWN_FORMS, Form, Line, number, read
from ops.logs.story import Request, Story

#: What the forms of lines are called.
FORMS: Final[dict[Form, str]] = {
    "worker": "of this worker's form",
    "SDK": "of the SDK",
    "founding worker": "of the founding worker's form",
    "library": "of libraries",
    "text": "known by their words",
    "blank": "blank",
    "unknown": "not understood",
}


def logs(
    files: Annotated[list[Path] | None, typer.Argument(help="Logs of workers, one or several; - is standard input.")] = None,
    endpoint: Annotated[str, typer.Option(help="Id of a live endpoint whose workers' logs are read, in place of files.")] = "",
    worker: Annotated[str, typer.Option(help="Only this worker of the endpoint, by its id.")] = "",
    url: Annotated[
        str, typer.Option(help="Where the REST API is; `python -m ops.rest_server` runs one on this machine.")
    ] = REST_URL,
    tail: Annotated[int, typer.Option(min=1, max=5000, help="Latest lines of each worker of the endpoint.")] = 5000,
    idle_timeout: Annotated[
        float | None,
        typer.Option(
            min=0,
            help=f"Seconds after which an idle worker is frozen: asked of a live endpoint, else {evidence.IDLE_TIMEOUT:g}.",
        ),
    ] = None,
    chart: Annotated[Path | None, typer.Option(help="Folder for the timeline as SVG and PNG.")] = None,
    as_json: AS_JSON = False,
) -> None:
    """Tell what each request met: a fresh boot, a restore or a warm worker, and why that is known.

    Reads logs of this worker, of any other that uses the RunPod SDK, and what the platform's log viewer saves of them. This worker
    says what a request met. For others it is told by what is there and what is missing: a boot sequence just before the request,
    or none after a silence longer than the idle timeout. Where that does not tell, it says unsure. A worker that is kept running
    (workers.min) is silent without being frozen: give `--idle-timeout 1e9` for its log.

    A file that mixes workers needs each one's id before its lines; lines of this worker need none. Boots are split into their
    steps. Lines that are not understood are counted. Exits with 1 if no line was understood.

    Example: `python -m ops logs worker.log`, or `python -m ops logs --endpoint abc123 --json | jq .kind`
    """
    if bool(files) == bool(endpoint):
        raise typer.BadParameter("Name log files (- for standard input), or an endpoint with --endpoint; one of the two.")
    if worker and not endpoint:
        raise typer.BadParameter(
            "It chooses among the workers of an --endpoint; files have all their workers read.", param_hint="--worker"
        )
    if endpoint:
        lines, known_timeout = finish(_live(url, endpoint, worker, tail))
    else:
        lines, known_timeout = _from_files(files or []), evidence.IDLE_TIMEOUT
    story = hearing.tell(lines, known_timeout if idle_timeout is None else idle_timeout)
    if not story.understood:
        show.failed(f"None of {len(lines)} lines was understood. Known are: {KNOWN_FORMS}.")
        _tell_odd(story)
        raise typer.Exit(1)
    if as_json:
        for request in story.requests:
            print(json.dumps(_record(request), ensure_ascii=False))
        _tell_odd(story)
    else:
        _show(story)
    if chart is not None:
        _draw(story, chart, quiet=as_json)


def _from_files(files: list[Path]) -> list[Line]:
    """The lines of all logs, the earliest log first: parts of one worker's log may come in any order."""
    found: list[list[Line]] = []
    for file in files:
        try:
            data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        except OSError as error:
            show.failed(f"{file} cannot be read: {error.strerror}.")
            raise typer.Exit(1) from None
        name = "stdin" if str(file) == "-" else str(file)
        found.append(read(data.decode("utf-8", errors="replace").split("\n")[: None if data[-1:] != b"\n" else -1], name))
    return [line for lines in sorted(found, key=_first_time) for line in lines]


def _first_time(lines: list[Line]) -> float:
    return next((line.at for line in lines if line.at is not None), 0.0)


async def _live(url: str, endpoint: str, worker: str, tail: int) -> tuple[list[Line], float]:
    """The latest lines of an endpoint's workers, one worker after the other, and its idle timeout in seconds.

    Ends the command if the platform refuses.
    """
    async with rest_api(url) as api:
        names = [worker] if worker else [one.id for one in await api.workers(endpoint)]
        if not names:
            show.failed(f"Endpoint {endpoint} has no worker now, and a worker's log goes with it: send a job, then try again.")
            raise typer.Exit(1)
        timeout = number((await api.endpoint(endpoint)).get("workers", {}).get("idleTimeout"))
        logs = {name: [f"{at} {text}" async for at, text in api.logs(endpoint, name, tail=tail)] for name in names}
        lines = [line for name, texts in logs.items() for line in read(texts, name)]
        return lines, evidence.IDLE_TIMEOUT if timeout is None else timeout


def _record(request: Request) -> dict[str, Any]:
    """A request as JSON; times as ISO 8601 where the log has dates, else as times of day."""
    process = request.process
    return {
        "request": request.id,
        "worker": process.worker,
        "boot": process.id,
        "kind": request.kind,
        "why": request.why,
        "said_by_worker": request.said,
        "begun": timeline.iso(request.begun),
        "ended": timeline.iso(request.ended),
        "seconds": timeline.duration(request),
        "outcome": request.outcome or None,
        "boot_seconds": process.boot_seconds,
        "phases": process.phases,
    }


def _show(story: Story) -> None:
    width = show.console.width
    for row in timeline.timeline(story, width):
        show.console.print(row)
    boots = timeline.boots(story)
    if boots is not None:
        show.console.print("", boots, sep="\n")
    if story.requests:
        show.console.print("", timeline.requests(story), sep="\n")
    if len(story.requests) > timeline.REQUESTS:
        show.console.print(f"[dim]Only the latest {timeline.REQUESTS} requests are shown; --json has them all.[/dim]")
    show.console.print(f"\n{escape(_sentence(story))}", soft_wrap=True)
    _tell_odd(story)


def _sentence(story: Story) -> str:
    """What was read and found, in two sentences."""
    kinds: Counter[str] = Counter(request.kind for request in story.requests)
    names = {"fresh": "a fresh boot", "restored": "a restore", "warm": "a warm worker", "unsure": "what the log does not tell"}
    met = ", ".join(f"{kinds[kind]} met {name}" for kind, name in names.items() if kinds[kind])
    forms = ", ".join(f"{count} {FORMS.get(form, f'of {form}')}" for form, count in story.forms.most_common())
    return f"{len(story.requests)} requests{f': {met}' if met else ''}. {story.forms.total()} lines: {forms}."


def _tell_odd(story: Story) -> None:
    """Say how many lines were not understood, with the first of them."""
    for line in story.odd:
        text = line.text if len(line.text) <= 100 else f"{line.text[:99]}…"
        show.errors.print(f"[yellow]not understood[/yellow] {escape(f'{line.source}:{line.number}: {text}')}", soft_wrap=True)
    if story.forms["unknown"] > len(story.odd):
        show.errors.print(f"[yellow]not understood[/yellow] and {story.forms['unknown'] - len(story.odd)} more lines")


def _draw(story: Story, folder: Path, *, quiet: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        files = chart.draw(story, "Worker logs: boots, freezes, requests", folder)
    except ImportError:
        show.errors.print("No chart was drawn: this Python lacks matplotlib, which `make coldstart` installs.")
        return
    if not files:
        show.errors.print("No chart was drawn: no line that was understood has a time.")
    elif not quiet:
        show.console.print(f"[dim]Written: {', '.join(escape(str(file)) for file in files)}[/dim]", soft_wrap=True)
