"""JSON as the SDK posts it, made piece by piece: Python's own writer lets no other thread run before it is done.

20 MB of small objects take it a third of a second, for which the event loop would stand still whichever thread calls it.
"""

import json
from collections.abc import Iterator
from typing import Any, Final, Literal

#: Items of a list, such as pages, and characters of a text that make one piece: a few milliseconds' work.
ITEMS, CHARACTERS = 20, 500_000

#: The SDK's way of writing JSON (``runpod.serverless.modules.rp_http``): characters as they are.
_write: Final = json.JSONEncoder(ensure_ascii=False).encode


def serialised(value: Any, errors: Literal["strict", "replace"] = "strict") -> bytes:
    """The bytes of ``json.dumps(value, ensure_ascii=False)`` in UTF-8. Call it in a thread.

    Half a surrogate pair has no bytes; with ``errors="replace"`` it becomes a question mark.

    Raises:
        UnicodeEncodeError: for half a surrogate pair, if it is not to be replaced.
    """
    return b"".join(piece.encode(errors=errors) for piece in _pieces(value))


def _pieces(value: Any) -> Iterator[str]:
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        yield "{"
        for number, (name, item) in enumerate(value.items()):
            yield f"{', ' if number else ''}{_write(name)}: "
            yield from _pieces(item)
        yield "}"
    elif isinstance(value, list) and len(value) > ITEMS:
        for start in range(0, len(value), ITEMS):
            yield f"{', ' if start else '['}{_write(value[start : start + ITEMS])[1:-1]}"
        yield "]"
    elif isinstance(value, str) and len(value) > CHARACTERS:
        for start in range(0, len(value), CHARACTERS):
            yield f"{'' if start else chr(34)}{_write(value[start : start + CHARACTERS])[1:-1]}"
        yield '"'
    else:
        yield _write(value)
