"""The documents that ship with the worker are the ones their script makes, and hold what they are there for."""

import csv
import io
import itertools
from typing import Any

import docx
import pytest
from pypdf import PageObject, PdfReader

from ops import fixture, saltmere

MADE = fixture.documents()


@pytest.fixture
def page() -> PageObject:
    """The only page of the fixture."""
    (page,) = PdfReader(io.BytesIO(MADE["worker/fixture.pdf"])).pages
    return page


@pytest.mark.parametrize("name", MADE)
def test_the_script_makes_the_shipped_bytes(name: str) -> None:
    assert (fixture.PROJECT / name).read_bytes() == MADE[name]


def test_a_second_run_makes_the_same_bytes() -> None:
    assert fixture.documents() == MADE


def test_no_other_document_is_shipped() -> None:
    shipped = {f"samples/{path.name}" for path in (fixture.PROJECT / "samples").iterdir()}
    assert shipped == MADE.keys() - {"worker/fixture.pdf"}


def test_the_fixture_is_small() -> None:
    assert len(MADE["worker/fixture.pdf"]) < 60_000


@pytest.mark.parametrize("text", ["Tides at Saltmere", "What raises the tide", "principal lunar", "12.4206", "GMr"])
def test_the_fixture_has_a_text_layer_with_headings_table_and_formula(page: PageObject, text: str) -> None:
    assert text in page.extract_text()


def test_the_fixture_has_an_image(page: PageObject) -> None:
    assert len(page.images) == 1


def test_the_table_is_ruled_and_the_formula_has_a_fraction_bar(page: PageObject) -> None:
    contents = page.get_contents()
    assert contents is not None
    rules = len(saltmere.CONSTITUENTS) + 2 + 5  # across and down
    assert [operator for _, operator in contents.operations].count(b"l") == rules + 1


def test_the_report_has_three_numbered_pages() -> None:
    pages = PdfReader(io.BytesIO(MADE["samples/report.pdf"])).pages
    assert [page.extract_text().split("\n")[1] for page in pages] == ["1", "2", "3"]


def test_the_letter_has_a_heading_and_a_table() -> None:
    letter = docx.Document(io.BytesIO(MADE["samples/letter.docx"]))
    assert "Heading 1" in {paragraph.style.name for paragraph in letter.paragraphs if paragraph.style}
    assert len(letter.tables[0].rows) == 5


def test_the_tide_table_alternates_high_and_low_water() -> None:
    waters = [row["Water"] for row in csv.DictReader(io.StringIO(MADE["samples/table.csv"].decode()))]
    assert len(waters) > 50
    assert all(first != second for first, second in itertools.pairwise(waters))


def test_the_web_page_computes_what_its_table_shows() -> None:
    page = MADE["samples/page.html"].decode()
    code = page.split('language-python">')[1].split("</code>")[0]
    scope: dict[str, Any] = {}
    exec(code, scope)  # noqa: S102
    assert f"{scope['height'](5 + 8 / 60):.2f}" in page
