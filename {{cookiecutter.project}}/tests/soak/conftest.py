"""What the soak's tests share: a tally, which conftest.py above prints at the end."""

from collections.abc import Callable, Iterator

import hypothesis
import pytest

from soak import EXAMPLES, Tally

hypothesis.settings.register_profile(
    "soak", max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, print_blob=False
)
hypothesis.settings.load_profile("soak")


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Iterator[Tally]:
    """Counts for the summary, told however the test ends."""
    counts: Tally = Tally({"faults tried": 0, "jobs sent": 0, "lost": 0, "inputs tried": 0, "escapes": 0})
    yield counts
    record_property("soak", dict(counts))
