"""A document on a volume, by its path, which leads nowhere else."""

import os
from pathlib import Path

import pytest

from source import CSV, PDF, fetch, refusal
from worker import source
from worker.choices import SUFFIXES
from worker.errors import InvalidRequest, SourceFailed
from worker.settings import Settings

pytestmark = pytest.mark.skipif("csv" not in SUFFIXES, reason="written for MinerU 4, which tells CSV and HTML apart; same rooms")


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    volume = tmp_path / "volume"
    (volume / "scans").mkdir(parents=True)
    (volume / "scans" / "report.pdf").write_bytes(PDF)
    (tmp_path / "outside.pdf").write_bytes(PDF)
    (tmp_path / "job").mkdir()
    return volume


async def from_volume(volume: Path, path: str | Path, **job_input: str) -> source.Document:
    return await fetch(volume.parent / "job", Settings(volume_roots=(volume,)), volume_path=str(path), **job_input)


@pytest.mark.parametrize("path", ["scans/report.pdf", "scans/../scans/report.pdf", "{volume}/scans/report.pdf"])
async def test_a_volume_path_gives_the_file_there_without_a_copy(volume: Path, path: str) -> None:
    path = path.replace("{volume}", str(volume))
    document = await from_volume(volume, path)
    assert document.path.resolve() == volume / "scans" / "report.pdf"
    assert (document.suffix, document.size, document.origin) == ("pdf", len(PDF), path)


async def test_a_file_name_tells_the_format_of_a_file_on_a_volume(volume: Path) -> None:
    (volume / "export").write_bytes(CSV)
    assert (await from_volume(volume, "export", file_name="table.csv")).suffix == "csv"


async def test_a_link_within_the_volume_is_followed(volume: Path) -> None:
    (volume / "latest").symlink_to(volume / "scans" / "report.pdf")
    assert (await from_volume(volume, "latest")).suffix == "pdf"


async def test_a_path_outside_the_volume_is_refused_alike_whether_or_not_it_exists(volume: Path) -> None:
    (volume / "link.pdf").symlink_to(volume.parent / "outside.pdf")
    (volume / "dangling.pdf").symlink_to(volume.parent / "nothing.pdf")
    (volume / "up").symlink_to(volume.parent)
    paths = [
        "link.pdf",
        "dangling.pdf",
        "../outside.pdf",
        "../nothing.pdf",
        "up/outside.pdf",
        "up/nothing.pdf",
        volume.parent / "outside.pdf",
    ]
    for path in [*map(str, paths), f"{volume.parent}/nothing.pdf", "/etc/passwd", f"{volume}-too/report.pdf"]:
        with pytest.raises(SourceFailed) as caught:
            await from_volume(volume, path)
        assert str(caught.value) == f"volume_path: {path} is not below {volume} (MINERU_VOLUME_ROOTS), links followed."


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("scans", "is a folder"),
        ("scans/missing.pdf", "there is no scans/missing.pdf"),
        ("pipe", "is no regular file"),
        ("loop", "volume_path: "),
    ],
)
async def test_what_is_not_a_file_on_the_volume_is_named(volume: Path, path: str, fault: str) -> None:
    os.mkfifo(volume / "pipe")
    (volume / "loop").symlink_to(volume / "loop")
    with pytest.raises(SourceFailed, match=fault):
        await from_volume(volume, path)


@pytest.mark.parametrize(
    "path",
    [
        "x" * 300,
        "x/" * 1500,
        "\uff53cans/report.pdf",
        "scans\u2215report.pdf",
        "..\uff0foutside.pdf",
        "%2e%2e/outside.pdf",
        "..\\outside.pdf",
        "~/x",
    ],
)
async def test_a_path_that_only_looks_like_another_is_that_of_no_file(volume: Path, path: str) -> None:
    with pytest.raises(SourceFailed):
        await from_volume(volume, path)


async def test_a_path_that_no_file_system_takes_is_an_invalid_request(volume: Path) -> None:
    with pytest.raises(InvalidRequest, match="NUL"):
        await from_volume(volume, "scans\0/report.pdf")


async def test_a_file_on_a_volume_is_held_to_the_size_limit(volume: Path) -> None:
    limit = Settings(volume_roots=(volume,), max_file_mb=0.00001)
    assert "MINERU_MAX_FILE_MB" in await refusal(volume.parent / "job", limit, volume_path="scans/report.pdf")
