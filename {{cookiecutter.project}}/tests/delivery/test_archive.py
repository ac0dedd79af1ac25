"""An archive holds what was asked for, the same bytes each time, and nothing from elsewhere."""

import base64
import hashlib
import os
from pathlib import Path

import pytest

from delivery import MARKDOWN, PICTURE, asks, deliver, illustrated, parsed, refusal, unpack


@pytest.mark.parametrize("archive_format", ["tar.gz", "zip"])
async def test_an_archive_holds_the_asked_formats_below_its_basename(tmp_path: Path, archive_format: str) -> None:
    wish = asks("archive", ["markdown", "middle_json", "images"], archive_format=archive_format, basename="report")
    archive = (await deliver(illustrated(tmp_path / "r"), wish))["archive"]
    members = unpack(base64.b64decode(archive["base64"]), archive_format)
    assert list(members) == [
        "report/markdown.md",
        "report/middle_json.json",
        "report/images/page_0_image_0.jpg",
        "report/images/page_0_image_1.jpg",
    ]
    assert (members["report/markdown.md"].decode(), members["report/images/page_0_image_1.jpg"]) == (MARKDOWN, PICTURE)


async def test_an_archive_says_its_name_format_size_and_digest(tmp_path: Path) -> None:
    response = await deliver(illustrated(tmp_path / "r"), asks("archive", basename="report"))
    content = base64.b64decode(response["archive"].pop("base64"))
    digest = hashlib.sha256(content).hexdigest()
    assert response["archive"] == {"name": "report.tar.gz", "format": "tar.gz", "size": len(content), "sha256": digest}
    assert response["transport"] == "archive"


@pytest.mark.parametrize("archive_format", ["tar.gz", "zip"])
async def test_the_same_result_gives_the_same_archive_whenever_and_wherever_it_is_packed(
    tmp_path: Path, archive_format: str
) -> None:
    first, second = illustrated(tmp_path / "first"), illustrated(tmp_path / "second")
    for file in second.folder.rglob("*"):
        os.utime(file, (1, 2_000_000_000))
        file.chmod(0o700)
    wish = asks("archive", archive_format=archive_format)
    one, other = await deliver(first, wish), await deliver(second, wish)
    assert one["archive"]["sha256"] == other["archive"]["sha256"]


async def test_a_tar_gz_does_not_carry_the_time_it_was_packed_at(tmp_path: Path) -> None:
    packed = (await deliver(illustrated(tmp_path / "r"), asks("archive")))["archive"]["base64"]
    assert base64.b64decode(packed)[4:8] == b"\0\0\0\0"  # The gzip header's time (RFC 1952).


async def test_a_second_delivery_from_the_same_folder_does_not_pack_the_first_archive(tmp_path: Path) -> None:
    document = illustrated(tmp_path / "r")
    first, second = await deliver(document, asks("archive")), await deliver(document, asks("archive"))
    assert first == second


async def test_an_archive_names_what_is_missing_as_degraded(tmp_path: Path) -> None:
    response = await deliver(illustrated(tmp_path / "r"), asks("archive", ["markdown", "model_output"]))
    assert [entry["format"] for entry in response["degraded"]] == ["model_output"]


@pytest.mark.parametrize("transport", ["inline", "archive"])
async def test_a_link_among_the_images_is_not_followed(tmp_path: Path, transport: str) -> None:
    document = illustrated(tmp_path / "r")
    (document.folder / "images" / "hosts.jpg").symlink_to("/etc/hosts")
    assert "images/hosts.jpg" in await refusal(document, asks(transport))


async def test_a_name_that_windows_would_unpack_elsewhere_is_refused(tmp_path: Path) -> None:
    document = parsed(tmp_path / "r", images={r"..\..\evil.jpg": b"x"})
    assert "unsafe name" in await refusal(document, asks("archive"))
