"""What a job may ask, in the API's words: the ``input`` object, checked field by field before anything is done."""

import difflib
import json
import re
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from worker import choices
from worker.choices import Tier
from worker.errors import InvalidRequest
from worker.outputs import Format
from worker.settings import OcrMode, Settings, Transport

ArchiveFormat = Literal["tar.gz", "zip"]

SOURCES: Final = ("file_url", "file_b64", "volume_path")

#: MinerU's page range: pages and first-last spans, counted from 1; ``r1`` is the last page, ``r2`` the one before it.
PAGE_RANGE: Final = re.compile(r"^(all|r?[1-9]\d{0,5}(-r?[1-9]\d{0,5})?(,r?[1-9]\d{0,5}(-r?[1-9]\d{0,5})?)*)?\Z", re.ASCII)

#: Longest value an error repeats back: a file sent as base64 in the wrong field would fill the response.
SHOWN_CHARACTERS: Final = 80


class Request(BaseModel):
    """One job's wishes, complete. ``read`` makes it from a job's input; what the job left out comes from the settings.

    A field's description says what is allowed in it: an error about the field repeats it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    file_url: str | None = Field(None, min_length=1, max_length=8192, description="an http or https URL of at most 8192 characters")
    file_b64: str | None = Field(None, min_length=1, description="the document's bytes in base64")
    volume_path: str | None = Field(None, min_length=1, max_length=4096, description="the path of a file on a mounted volume")
    file_name: str | None = Field(
        None,
        max_length=255,
        description="the document's name; its ending tells apart text formats (CSV, HTML) that look alike, at most 255 characters",
    )
    tier: Tier = Field(description="one of " + ", ".join(choices.TIERS))
    page_range: str = Field(
        "",
        pattern=PAGE_RANGE,
        max_length=500,
        description="pages of a PDF counted from 1, such as 1-5,8,r3-r1 where r1 is the last page; empty for all",
    )
    start_page: int | None = Field(
        None, ge=0, le=999_999, description="the first page, counted from 0; not together with page_range"
    )
    end_page: int | None = Field(
        None, ge=-1, le=999_999, description="the last page, counted from 0, or -1 for the last; not together with page_range"
    )
    ocr_mode: OcrMode = Field(description="one of auto, txt (use the text layer), ocr (read the page as an image)")
    image_analysis: bool = Field(description="true or false")
    transport: Transport = Field(description="one of inline, archive, s3")
    formats: list[Format] = Field(
        ["markdown", "images"],
        min_length=1,
        description="a list of one or more of markdown, structured_content, middle_json, model_output, images",
    )
    archive_format: ArchiveFormat = Field("tar.gz", description="one of tar.gz, zip")
    basename: str = Field(
        "document",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$",
        description="a name for the result of 1 to 100 letters, digits, hyphens and underscores, starting with a letter or digit",
    )
    probe: bool = Field(False, description="true or false; true parses nothing and reports on the worker")

    @model_validator(mode="after")
    def _exactly_one_source(self) -> Self:
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1 and not (self.probe and not given):
            raise ValueError(f"exactly one of {', '.join(SOURCES)} is needed, {', '.join(given) or 'none'} came")
        return self

    @model_validator(mode="after")
    def _one_way_to_name_pages(self) -> Self:
        by_number = self.start_page is not None or self.end_page is not None
        if by_number and self.page_range:
            raise ValueError("page_range came together with start_page or end_page; use one or the other")
        if self.end_page is not None and 0 <= self.end_page < (self.start_page or 0):
            raise ValueError(f"end_page {self.end_page} is before start_page {self.start_page}")
        return self

    @property
    def pages(self) -> str:
        """The pages to parse as a MinerU page range; empty for all."""
        if self.start_page is None and self.end_page is None:
            return self.page_range
        first = (self.start_page or 0) + 1
        last = "r1" if self.end_page in (None, -1) else self.end_page + 1
        return "" if (first, last) == (1, "r1") else f"{first}-{last}"


def read(job_input: object, settings: Settings) -> Request:
    """Check a job's ``input`` and complete it with the worker's defaults.

    Raises:
        InvalidRequest: for anything the API does not accept; the message names each field, what came and what is allowed.
    """
    if not isinstance(job_input, dict):
        raise InvalidRequest(f"input: an object of named fields is needed, {_shown(job_input)} came.")
    defaults = {name: getattr(settings, name) for name in ("tier", "ocr_mode", "image_analysis", "transport")}
    try:
        request = Request(**{**defaults, **{str(name): value for name, value in job_input.items()}})
    except ValidationError as error:
        raise InvalidRequest(" ".join(_explained(problem) for problem in error.errors())) from None
    if request.transport == "s3" and not settings.bucket_name:
        raise InvalidRequest(
            "transport: s3 came, this worker has no bucket; use inline or archive, or set BUCKET_NAME and its keys."
        )
    if request.tier not in choices.TIERS:
        raise InvalidRequest(f"tier: {request.tier!r} came, {choices.STACK} serves one of {', '.join(choices.TIERS)}.")
    return request


def _explained(problem: Any) -> str:
    """One validation problem as a sentence that names the field, what came and what is allowed."""
    if not problem["loc"]:
        # Half a surrogate pair cannot be a field's name; only that has no error of ours.
        return str(problem.get("ctx", {}).get("error", "input: a field's name is no text")).rstrip(".") + "."
    name = str(problem["loc"][0])
    field = Request.model_fields.get(name)
    if field is None:
        close = difflib.get_close_matches(name, Request.model_fields, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known fields: {', '.join(Request.model_fields)}."
        return f"{name}: no such field; {hint}"
    return f"{name}: {_shown(problem['input'])} came, allowed is {field.description}."


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}… ({len(text)} characters)"
