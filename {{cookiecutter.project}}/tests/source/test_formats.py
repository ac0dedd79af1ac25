"""What a document is, told by its content and by its names."""

import gzip
import zipfile
from pathlib import Path

import pytest

from source import CSV, PAGE, PDF, Site, docx, fetch, refusal
from worker import source
from worker.choices import SUFFIXES

pytestmark = pytest.mark.skipif("csv" not in SUFFIXES, reason="written for MinerU 4, which tells CSV and HTML apart; same rooms")


@pytest.mark.parametrize(
    ("path", "body", "suffix"),
    [
        ("/table.csv", CSV, "csv"),
        ("/page.html", PAGE, "html"),
        ("/letter.docx", docx(), "docx"),
        ("/wrong.csv", PDF, "pdf"),
        ("/x.php", PDF, "pdf"),
    ],
)
async def test_the_content_decides_the_format_and_the_ending_helps(
    site: Site, tmp_path: Path, path: str, body: bytes, suffix: str
) -> None:
    site.answers[path] = body
    assert (await fetch(tmp_path, file_url=site.url(path))).suffix == suffix


@pytest.mark.parametrize(
    "headers",
    [{"content-disposition": "attachment; filename*=UTF-8''r%C3%A9sum%C3%A9.csv"}, {"content-type": "text/csv; charset=utf-8"}],
)
async def test_a_csv_is_known_by_the_headers_it_came_with(site: Site, tmp_path: Path, headers: dict[str, str]) -> None:
    site.give("/export", body=CSV, headers=headers)
    assert (await fetch(tmp_path, file_url=site.url("/export"))).suffix == "csv"


async def test_a_csv_without_any_ending_is_refused_with_the_way_out(site: Site, tmp_path: Path) -> None:
    site.give("/export", body=CSV, content_type="application/octet-stream")
    assert "give a file_name that ends in .csv" in await refusal(tmp_path, file_url=site.url("/export"))
    assert (await fetch(tmp_path, file_url=site.url("/export"), file_name="table.csv")).suffix == "csv"


@pytest.mark.parametrize("path", ["/report.pdf", "/table.csv", "/download"])
async def test_a_web_page_in_place_of_a_document_is_named(site: Site, tmp_path: Path, path: str) -> None:
    site.answers[path] = PAGE
    assert "The URL returned an HTML page (title: Sign in & continue)" in await refusal(tmp_path, file_url=site.url(path))


async def test_a_web_page_that_is_wanted_is_accepted(site: Site, tmp_path: Path) -> None:
    site.answers["/download"] = PAGE
    assert (await fetch(tmp_path, file_url=site.url("/download"), file_name="page.html")).suffix == "html"


async def test_an_ordinary_web_page_needs_no_ending(site: Site, tmp_path: Path) -> None:
    site.answers["/wiki/Logging"] = PAGE.replace(b"Sign in &amp; continue", b"Logging - an encyclopedia")
    assert (await fetch(tmp_path, file_url=site.url("/wiki/Logging"))).suffix == "html"


async def test_an_empty_document_is_refused(site: Site, tmp_path: Path) -> None:
    site.answers["/report.pdf"] = b""
    assert "0 bytes came" in await refusal(tmp_path, file_url=site.url())


@pytest.mark.parametrize(("body", "found"), [(gzip.compress(PDF * 99), "gzip"), (b"\x93\x11\xf1\x9e" * 3, "not recognised")])
async def test_a_format_mineru_cannot_parse_is_named_with_those_it_can(site: Site, tmp_path: Path, body: bytes, found: str) -> None:
    site.answers["/report.pdf"] = body
    message = await refusal(tmp_path, file_url=site.url())
    assert f"format is {found}, which cannot be parsed; supported are bmp, csv, doc" in message


async def test_a_damaged_document_is_named_as_such(site: Site, tmp_path: Path) -> None:
    damaged = bytearray(docx(zipfile.ZIP_DEFLATED))
    start = damaged.index(b"[Content_Types].xml") + len("[Content_Types].xml")
    damaged[start : start + 20] = b"\xff" * 20
    site.answers["/letter.docx"] = bytes(damaged)
    assert "damaged" in await refusal(tmp_path, file_url=site.url("/letter.docx"))


@pytest.mark.parametrize(
    ("hints", "name"),
    [
        (("../../etc/passwd.pdf",), "document.pdf"),
        (("C:\\reports\\Q3.PDF",), "document.pdf"),
        (("a.pdf\n",), "document.pdf"),
        (("a.pdf/", "b.csv"), "document.pdf"),
        ((None, "", "x.exe", "b.docx"), "document.docx"),
        (("x." + "pdf" * 99, ".pdf", "a.p\0df"), "document"),
    ],
)
def test_the_local_name_takes_nothing_but_a_known_ending(hints: tuple[str | None, ...], name: str) -> None:
    assert source.local_name(*hints) == name
