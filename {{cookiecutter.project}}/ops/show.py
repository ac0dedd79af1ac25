"""What the commands print: progress, tables, and a document's Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from ops.client import Answer

console: Final = Console(highlight=False)
errors: Final = Console(highlight=False, stderr=True)

#: Lines of a document's Markdown that a preview shows.
PREVIEW_LINES: Final = 40


@dataclass(frozen=True)
class Outcome:
    """What became of one document: its answer and the folder written, or the error in its user's words."""

    file: Path
    answer: Answer | None = None
    folder: Path | None = None
    error: str = ""


class Bar(Progress):
    """A progress bar over ``count`` things, gone when it is left; none where there is no terminal, or with ``quiet``."""

    def __init__(self, description: str, count: int, *, quiet: bool = False) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        super().__init__(*columns, console=console, transient=True, disable=quiet or not console.is_terminal)
        self.task = self.add_task(description, total=count)

    def __enter__(self) -> Self:
        self.start()
        return self


class Documents(Bar):
    """A bar over documents that says what is being waited for."""

    def __init__(self, count: int) -> None:
        super().__init__("documents", count)
        self._states: dict[Path, str] = {}

    def saw(self, file: Path, described: dict[str, Any]) -> None:
        """One look at a document's job, as the API describes it."""
        self._states[file] = {"IN_QUEUE": "queued", "IN_PROGRESS": "parsing"}.get(described["status"], "")
        busy = [name.name for name, state in self._states.items() if state == "parsing"]
        self.update(self.task, description=escape(f"parsing {', '.join(busy)}" if busy else "waiting for a worker"))

    def done(self, file: Path) -> None:
        """The document has ended, well or not."""
        self._states.pop(file, None)
        self.advance(self.task)


class Booting(Live):
    """A spinner with the latest log line of a worker that boots."""

    def __init__(self) -> None:
        super().__init__("", console=console, transient=True)
        self.heard("")

    def heard(self, line: str) -> None:
        """A log line of the worker."""
        grid = Table.grid(padding=(0, 1))
        grid.add_row("Starting a worker …")
        grid.add_row(f"[dim]{escape(line[: console.width - 1])}[/dim]")
        self.update(grid)


def outcomes(results: Sequence[Outcome]) -> None:
    """A table of what became of each document, and below it the errors in full."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, justify in (
        ("document", "left"),
        ("pages", "right"),
        ("seconds", "right"),
        ("worker", "left"),
        ("written to", "left"),
    ):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for result in results:
        name = escape(result.file.name)
        if result.answer is None:
            table.add_row(name, "", "", "", "[red]failed[/red]")
            continue
        response = result.answer.response
        boot = str(response.get("boot", {}).get("kind", ""))
        table.add_row(name, str(response.get("pages", "")), f"{result.answer.execution:.2f}", boot, escape(str(result.folder)))
    console.print(table)
    for result in results:
        if result.error:
            errors.print(f"[red]{escape(result.file.name)}[/red]: {escape(result.error)}")
        elif result.answer:
            for lacking in result.answer.response.get("degraded", []):
                console.print(f"[yellow]{escape(result.file.name)}[/yellow]: {escape(str(lacking.get('reason', lacking)))}")


def boot_phases(boot: dict[str, Any]) -> None:
    """How long each step of a worker's boot took."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("boot phase")
    table.add_column("seconds", justify="right")
    for name, seconds in boot.get("phases", {}).items():
        table.add_row(escape(name), f"{seconds:.2f}")
    console.print(table)


def markdown(title: str, text: str) -> None:
    """The beginning of a document's Markdown: set for reading on a terminal, as it is elsewhere."""
    lines = text.splitlines()
    shown = "\n".join(lines[:PREVIEW_LINES])
    more = None if len(lines) <= PREVIEW_LINES else f"{len(lines) - PREVIEW_LINES} more lines in the file"
    console.print(
        Panel(Markdown(shown) if console.is_terminal else escape(shown), title=escape(title), subtitle=more, title_align="left")
    )


def failed(message: str) -> None:
    """An error that ends the command."""
    errors.print(f"[red]{escape(message)}[/red]")
