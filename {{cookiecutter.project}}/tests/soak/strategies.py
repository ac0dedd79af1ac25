"""Paths and names that mean harm, and a way to try them all."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as some

#: Pieces that paths, names and URLs are broken with.
PIECES = (
    "..",
    "/",
    "\\",
    "\0",
    "~",
    ".",
    "C:",
    "//",
    "%2e%2e",
    "\u202e",
    "\ud800",
    "ﬁ",
    "é",
    "e\u0301",
    "\n",
    "x" * 300,
    "link",
    "inside.pdf",
)
paths = some.lists(some.sampled_from(PIECES) | some.text(max_size=5), max_size=8).map("".join)
names = paths | some.text(some.characters(exclude_categories=()), max_size=255)


def try_all(strategy: some.SearchStrategy[Any], tries: Any) -> None:
    """Call ``tries`` with every example."""
    given(strategy)(tries)()
