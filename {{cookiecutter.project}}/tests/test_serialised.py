"""JSON made in pieces is the JSON that Python makes at once, and lets the event loop run meanwhile."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from worker import serialised as module
from worker.serialised import serialised

values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(),
    lambda children: some.lists(children) | some.dictionaries(some.text(), children),
)


@given(values, some.integers(1, 4), some.integers(1, 4))
def test_pieces_of_any_size_make_the_same_json(value: Any, items: int, characters: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ITEMS", items)
        patch.setattr(module, "CHARACTERS", characters)
        assert serialised(value) == json.dumps(value, ensure_ascii=False).encode()


def test_half_a_surrogate_pair_becomes_a_question_mark_where_that_is_asked_for() -> None:
    assert serialised({"name": "half \ud800"}, errors="replace") == b'{"name": "half ?"}'
    with pytest.raises(UnicodeEncodeError):
        serialised({"name": "half \ud800"})


async def test_the_event_loop_runs_on_meanwhile() -> None:
    pages = [{"text": "words", "box": [0, 1, 2, 3]}] * 100_000
    making = asyncio.create_task(asyncio.to_thread(serialised, {"pages": pages}))
    turns = 0
    while not making.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 5
