"""The documents that a batch is asked for: files in folders, files that a pattern names, and lists of paths and URLs."""

import glob
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from worker.choices import SUFFIXES

#: Characters that make an argument a pattern.
WILDCARDS: Final = "*?["


class NoDocuments(ValueError):
    """An argument names no document; the message says what it was taken for."""


@dataclass(frozen=True)
class Source:
    """One document: ``text`` is its URL, or the absolute path of its file."""

    text: str

    @property
    def is_url(self) -> bool:
        """Whether the worker fetches it."""
        return _is_url(self.text)

    @property
    def file(self) -> Path:
        """Its path; of a URL the last part, which names it."""
        return Path(PurePosixPath(urlsplit(self.text).path).name or "document") if self.is_url else Path(self.text)


def find(arguments: Iterable[str]) -> list[Source]:
    """The documents that ``arguments`` name, each once, in order.

    A folder stands for the documents in it and in the folders below, a pattern for the files that match, a URL or a document for
    itself, and any other file for the list of paths and URLs in it. Raises ``NoDocuments``.
    """
    return list(dict.fromkeys(source for argument in arguments for source in _found(argument)))


def _found(argument: str) -> list[Source]:
    path = Path(argument)
    if _is_url(argument):
        return [Source(argument)]
    if path.is_dir():
        found = [_local(file) for file in sorted(path.rglob("*")) if _is_document(file.relative_to(path), file)]
        what = f"The folder {argument} holds no document with an ending that MinerU parses: {', '.join(sorted(SUFFIXES))}."
    elif path.is_file():
        found = [_local(path)] if _has_ending(path) else list(_listed(path))
        what = f"{argument} was read as a list, a path or URL on each line, and names nothing."
    elif any(wildcard in argument for wildcard in WILDCARDS):
        found = [_local(Path(file)) for file in sorted(glob.glob(argument, recursive=True)) if _is_document(Path(), Path(file))]  # noqa: PTH207 (absolute patterns)
        what = f"No document matches {argument}."
    else:
        found, what = [], f"There is no file or folder {argument}."
    if not found:
        raise NoDocuments(what)
    return found


def _listed(path: Path) -> Iterator[Source]:
    """What stands in a list: paths from the list's own folder on, and URLs; blank lines and those with # are passed over."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise NoDocuments(f"{path} has no ending of a document and is no text; rename it, or name a list.") from None
    for line in map(str.strip, lines):
        if line and not line.startswith("#"):
            yield Source(line) if _is_url(line) else _local(path.parent / line)


def _is_url(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))


def _local(path: Path) -> Source:
    return Source(str(path.absolute()))


def _has_ending(path: Path) -> bool:
    return path.suffix.lower().removeprefix(".") in SUFFIXES


def _is_document(below: Path, path: Path) -> bool:
    """Whether this is a file that MinerU parses, and nothing on its way from the folder is hidden."""
    return _has_ending(path) and path.is_file() and not any(part.startswith(".") for part in below.parts)
