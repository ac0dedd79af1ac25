"""A result inside the response comes whole, and says what is missing."""

import base64
import re
from pathlib import Path

import pytest

from delivery import ALL, MARKDOWN, MIDDLE, PICTURE, asks, deliver, illustrated, parsed, posted_bytes


async def test_inline_gives_each_asked_format_beside_the_envelope(tmp_path: Path) -> None:
    response = await deliver(illustrated(tmp_path / "r"), asks(formats=["markdown", "middle_json", "images"]))
    assert response == {
        "pages": 1,
        "transport": "inline",
        "degraded": [],
        "markdown": MARKDOWN,
        "middle_json": MIDDLE,
        "images": {"images/page_0_image_0.jpg": "", "images/page_0_image_1.jpg": base64.b64encode(PICTURE).decode()},
    }


async def test_inline_names_images_as_the_markdown_refers_to_them(tmp_path: Path) -> None:
    response = await deliver(illustrated(tmp_path / "r"), asks())
    assert set(re.findall(r"\]\((.+?)\)", response["markdown"])) <= set(response["images"])


async def test_a_format_that_was_not_asked_for_stays_away(tmp_path: Path) -> None:
    response = await deliver(illustrated(tmp_path / "r"), asks(formats=["markdown"]))
    assert set(response) == {"pages", "transport", "degraded", "markdown"}


async def test_a_missing_format_is_null_and_named_as_degraded(tmp_path: Path) -> None:
    response = await deliver(illustrated(tmp_path / "r"), asks(formats=ALL))
    assert response["model_output"] is None
    assert [entry["format"] for entry in response["degraded"]] == ["structured_content", "model_output"]
    assert "tier flash" in response["degraded"][1]["reason"]


@pytest.mark.parametrize("folder_exists", [True, False])
async def test_a_document_without_images_is_not_degraded(tmp_path: Path, folder_exists: bool) -> None:
    document = parsed(tmp_path / "r")
    if not folder_exists:
        (document.folder / "images").rmdir()
    response = await deliver(document, asks(formats=["images"]))
    assert (response["images"], response["degraded"]) == ({}, [])


async def test_markdown_keeps_its_line_ends(tmp_path: Path) -> None:
    response = await deliver(parsed(tmp_path / "r", "a\r\nb\rc\n"), asks(formats=["markdown"]))
    assert response["markdown"] == "a\r\nb\rc\n"


async def test_numbers_that_json_does_not_know_become_null(tmp_path: Path) -> None:
    document = parsed(tmp_path / "r", middle_json={"score": float("nan"), "size": float("-inf")})
    response = await deliver(document, asks(formats=["middle_json"]))
    assert response["middle_json"] == {"score": None, "size": None}


async def test_half_a_surrogate_pair_does_not_keep_the_response_from_being_posted(tmp_path: Path) -> None:
    document = parsed(tmp_path / "r")
    (document.folder / "middle_json.json").write_text('{"text": "a\\ud800b"}', encoding="ascii")
    response = await deliver(document, asks(formats=["middle_json"]))
    assert response["middle_json"] == {"text": "a?b"}
    assert posted_bytes(response)
