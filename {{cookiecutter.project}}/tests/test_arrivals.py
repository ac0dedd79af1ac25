"""When simulated jobs come, of how many pages, and the percentiles of what becomes of them."""

from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("simpy")

from simulated import trace  # noqa: E402

from ops.simulation.arrivals import CHUNK, WEEK, Arrivals, Pages  # noqa: E402
from ops.simulation.histogram import ERROR, Histogram  # noqa: E402

# Arrivals.


@pytest.mark.parametrize("source", ["poisson", "steady", "daily", "office", "bursts:7"])
def test_every_pattern_has_the_rate_that_was_asked_for(source: str) -> None:
    jobs = sum(len(times) for times, _ in Arrivals(source, 1000, 28).chunks())
    assert jobs == pytest.approx(28 * 24 * 1000, rel=0.02)


def test_office_hours_are_monday_to_friday_from_nine_to_five() -> None:
    times = np.concatenate([times for times, _ in Arrivals("office", 100, 21).chunks()]) % WEEK
    assert set(times // 86400) == {0, 1, 2, 3, 4}
    assert set(times % 86400 // 3600) == set(range(9, 17))


def test_a_day_is_busiest_in_the_afternoon() -> None:
    hours = np.concatenate([times for times, _ in Arrivals("daily", 1000, 7).chunks()]) % 86400 // 3600
    counts = np.bincount(hours.astype(int))
    assert counts.argmax() in (12, 13, 14, 15)
    assert counts.min() < 0.2 * counts.mean()


def test_a_burst_comes_at_one_moment() -> None:
    times = next(Arrivals("bursts:9", 90, 1).chunks())[0]
    assert set(np.unique(times, return_counts=True)[1]) == {9}


@pytest.mark.parametrize(("wish", "mean", "least", "most"), [("8", 8, 8, 8), ("1-20", 10.5, 1, 20), ("geometric:8", 8, 1, 200)])
def test_pages_are_drawn_as_they_are_written(wish: str, mean: float, least: int, most: int) -> None:
    drawn = Pages(wish).draw(np.random.default_rng(0), 50_000)
    assert drawn.mean() == pytest.approx(mean, rel=0.02)
    assert drawn.min() == least
    assert drawn.max() <= most


@pytest.mark.parametrize("wish", ["", "0", "5-2", "geometric:", "geometric:0.5", "many", "geometric:nan", "geometric:inf"])
def test_pages_that_are_none_are_refused_with_what_would_do(wish: str) -> None:
    with pytest.raises(ValueError, match="say 8"):
        Pages(wish)


def test_a_file_gives_times_and_pages_and_may_name_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text("time,pages\n2026-03-01T09:00:00Z,3\n2026-03-01T10:00:30+01:00,\n\n2026-03-01T09:01:00,12\n")
    [(times, pages)] = Arrivals(str(path), pages=Pages("7")).chunks()
    assert (times.tolist(), pages.tolist()) == ([0, 30, 60], [3, 7, 12])


def test_a_long_file_is_read_a_chunk_at_a_time(tmp_path: Path) -> None:
    chunks = list(trace(tmp_path / "long.csv", *range(CHUNK + 10)).chunks())
    assert [len(times) for times, _ in chunks] == [CHUNK, 10]
    assert chunks[1][0][-1] == CHUNK + 9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no times"),
        ("time\n1\nsoon,2\n", "line 3 is 'soon,2'; a line is a time"),
        ("1\n2,few\n", "line 2 is '2,few'"),
        ("1\n2,0\n", "line 2 is '2,0'"),
        ("5\n4\n", "line 2: its time is before the line above"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_by_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        list(Arrivals(str(path)).chunks())


# Percentiles.


def test_percentiles_are_within_the_stated_error() -> None:
    values = np.random.default_rng(1).lognormal(2, 3, 100_000)
    histogram = Histogram()
    histogram.add(values[:40_000].tolist())
    histogram.add(values[40_000:].tolist())
    for share in (0.01, 0.5, 0.95, 0.99, 1):
        exact = np.percentile(values, share * 100, method="inverted_cdf")
        assert histogram.percentile(share) == pytest.approx(exact, rel=ERROR * 1.001)


def test_no_durations_have_no_percentile_and_extreme_ones_do() -> None:
    histogram = Histogram()
    assert histogram.percentile(0.5) == 0
    histogram.add([0, 1e12])
    assert histogram.count == 2
