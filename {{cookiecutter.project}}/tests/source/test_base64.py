"""A document in the job itself, as base64."""

import base64
from pathlib import Path

import pytest

from source import CSV, PDF, fetch, refusal
from worker.choices import SUFFIXES
from worker.errors import InvalidRequest
from worker.settings import Settings

pytestmark = pytest.mark.skipif("csv" not in SUFFIXES, reason="written for MinerU 4, which tells CSV and HTML apart; same rooms")


async def test_base64_gives_the_document_in_it(tmp_path: Path) -> None:
    document = await fetch(tmp_path, file_b64=base64.b64encode(PDF).decode())
    assert (document.path.read_bytes(), document.suffix) == (PDF, "pdf")
    assert document.origin == f"base64 ({len(PDF)} bytes)"


async def test_base64_as_tools_write_it_is_accepted(tmp_path: Path) -> None:
    wrapped = "data:text/csv;base64," + base64.encodebytes(CSV).decode().replace("\n", "\r\n")
    document = await fetch(tmp_path, file_b64=wrapped)
    assert (document.path.read_bytes(), document.suffix) == (CSV, "csv")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("JVBERi0x-A==", "'-' came as character 9"),
        ("JVBERi0xé", "'é' came"),
        ("JVBERi0", "7 characters came"),
        ("JV==JVBE", "base64"),
        ("====", "base64"),
    ],
)
async def test_base64_with_a_fault_is_an_invalid_request(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(InvalidRequest, match=fault):
        await fetch(tmp_path, file_b64=text)


async def test_base64_is_measured_as_decoded_and_before_it_is_decoded(tmp_path: Path) -> None:
    limit = Settings(max_base64_mb=0.003)
    assert (await fetch(tmp_path, limit, file_b64=base64.b64encode(PDF.ljust(3000)).decode())).size == 3000
    message = await refusal(tmp_path, limit, file_b64="-" * 4004)
    assert "at most 0.003 MB (MINERU_MAX_BASE64_MB)" in message


async def test_an_empty_base64_document_is_refused(tmp_path: Path) -> None:
    assert "0 bytes came" in await refusal(tmp_path, file_b64="data:application/pdf;base64,")
