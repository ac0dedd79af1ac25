"""What a job may ask: defaults, refusals, and messages that name the field, what came and what is allowed."""

import pytest

from worker import request
from worker.errors import InvalidRequest
from worker.settings import Settings

URL = {"file_url": "https://example.com/a.pdf"}


def read(**fields: object) -> request.Request:
    return request.read(fields, Settings(tier="standard"))


def refusal(**fields: object) -> str:
    with pytest.raises(InvalidRequest) as refused:
        read(**fields)
    return str(refused.value)


def test_a_job_that_says_nothing_more_gets_the_workers_defaults() -> None:
    settings = Settings(tier="advanced", ocr_mode="ocr", image_analysis=False)
    wish = request.read(URL, settings)
    assert (wish.tier, wish.ocr_mode, wish.image_analysis, wish.transport) == ("advanced", "ocr", False, "inline")


def test_a_jobs_own_words_win_over_the_defaults() -> None:
    assert read(**URL, tier="basic", formats=["markdown"]).tier == "basic"


@pytest.mark.parametrize("given", [(), ("file_url", "file_b64"), ("file_url", "file_b64", "volume_path")])
def test_exactly_one_source_is_needed(given: tuple[str, ...]) -> None:
    message = refusal(**dict.fromkeys(given, "x"))
    assert "exactly one of file_url, file_b64, volume_path" in message
    assert (", ".join(given) or "none") + " came" in message


def test_a_probe_needs_no_source() -> None:
    assert read(probe=True).probe


def test_an_unknown_field_is_refused_with_the_name_that_was_meant() -> None:
    assert refusal(**URL, page_ranges="1-2") == "page_ranges: no such field; did you mean page_range?"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tier", "best"),
        ("page_range", "5-"),
        ("page_range", "0-3"),
        ("page_range", "1;2"),
        ("start_page", -1),
        ("start_page", "3"),
        ("end_page", -2),
        ("ocr_mode", "yes"),
        ("image_analysis", "true"),
        ("transport", "email"),
        ("formats", []),
        ("formats", ["docx"]),
        ("formats", "markdown"),
        ("archive_format", "rar"),
        ("basename", "../escape"),
        ("basename", ""),
        ("basename", "a" * 101),
        ("probe", 1),
        ("file_name", "n" * 256),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_what_is(field: str, value: object) -> None:
    message = refusal(**URL, **{field: value})
    assert message.startswith(f"{field}: ")
    assert "came, allowed is" in message


def test_every_problem_is_told_at_once() -> None:
    message = refusal(**URL, tier="best", transport="email")
    assert "tier:" in message
    assert "transport:" in message


def test_a_document_sent_in_the_wrong_field_does_not_fill_the_error() -> None:
    assert len(refusal(file_url="A" * 1_000_000)) < 400


def test_input_that_is_no_object_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="an object of named fields"):
        request.read(["a"], Settings())


@pytest.mark.parametrize(
    ("numbers", "pages"),
    [
        ({}, ""),
        ({"page_range": "1-5,r3-r1"}, "1-5,r3-r1"),
        ({"start_page": 0, "end_page": 9}, "1-10"),
        ({"start_page": 4}, "5-r1"),
        ({"end_page": 0}, "1-1"),
        ({"start_page": 0, "end_page": -1}, ""),
        ({"end_page": -1, "start_page": 2}, "3-r1"),
    ],
)
def test_pages_by_number_become_mineru_page_ranges(numbers: dict[str, object], pages: str) -> None:
    assert read(**URL, **numbers).pages == pages


def test_pages_are_named_one_way_only() -> None:
    assert "use one or the other" in refusal(**URL, page_range="1", start_page=0)


def test_a_last_page_before_the_first_is_refused() -> None:
    assert "end_page 1 is before start_page 2" in refusal(**URL, start_page=2, end_page=1)


def test_s3_is_refused_before_any_work_where_the_worker_has_no_bucket() -> None:
    assert refusal(**URL, transport="s3").startswith("transport: s3 came, this worker has no bucket")
