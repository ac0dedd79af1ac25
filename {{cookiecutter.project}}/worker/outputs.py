"""The outputs of a parsed document: one table that parsing, packing and the API's ``formats`` read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from worker.choices import Tier

Format = Literal["markdown", "structured_content", "middle_json", "model_output", "images"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)

#: Where each format lies in a result folder: MinerU's own names, as its ``ParseResult.save`` writes them.
FILES: Final[dict[Format, str]] = {
    "markdown": "markdown.md",
    "structured_content": "structured_content.json",
    "middle_json": "middle_json.json",
    "model_output": "model_output.json",
    "images": "images",
}


@dataclass(frozen=True)
class Parsed:
    """A parsed document on local disk.

    ``folder`` holds the files that ``FILES`` names, those that MinerU produced; ``pages`` counts the pages parsed;
    ``tier`` is the one that was really used (Office, HTML and CSV are always flash).
    """

    folder: Path
    pages: int
    tier: Tier

    def present(self, formats: tuple[Format, ...]) -> dict[Format, Path]:
        """The wanted formats that exist, in the table's order: a file each, a folder for images."""
        wanted = {name: self.folder / FILES[name] for name in FORMATS if name in formats}
        return {name: path for name, path in wanted.items() if path.exists()}

    def markdown(self) -> str:
        """The document's Markdown; blocks while it is read, so only for small results."""
        return (self.folder / FILES["markdown"]).read_text(encoding="utf-8")
