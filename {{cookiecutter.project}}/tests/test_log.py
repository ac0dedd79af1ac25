"""Log lines: the platform's keys, one JSON object a line, nothing secret."""

import json
import logging

import pytest

from worker import log as logs
from worker.log import bind, log, redact
from worker.settings import Settings


def logged(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    (line,) = capsys.readouterr().out.splitlines()
    return dict(json.loads(line))


@pytest.fixture(autouse=True)
def _configured(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(), secrets=["rpa_SECRETKEY"])


def test_a_line_has_the_platforms_keys_first(capsys: pytest.CaptureFixture[str]) -> None:
    with bind(requestId="job-1"):
        log.info("done", pages=3)
    line = logged(capsys)
    assert list(line)[:4] == ["ts", "level", "message", "requestId"]
    assert (line["level"], line["message"], line["requestId"], line["pages"]) == ("INFO", "done", "job-1", 3)


def test_a_line_outside_a_job_has_no_request_id(capsys: pytest.CaptureFixture[str]) -> None:
    log.info("serving")
    assert logged(capsys)["requestId"] is None


def test_a_newline_in_a_value_stays_on_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.info("failed", traceback="first\nsecond")
    assert logged(capsys)["traceback"] == "first\nsecond"


@pytest.mark.parametrize(
    "secret",
    [
        "https://user:hunter2@example.com/a.pdf",
        "https://bucket.example.com/a.pdf?X-Amz-Signature=hunter2&X-Amz-Date=1",
        "Authorization: Bearer hunter2hunter2",
        "api_key=hunter2",
        '{"bucket_secret_access_key": "hunter2"}',
        "password: hunter2",
    ],
)
def test_a_secret_is_masked_wherever_it_stands(secret: str) -> None:
    assert "hunter2" not in redact(f"could not use {secret} today")


def test_the_platforms_own_key_is_masked_verbatim(capsys: pytest.CaptureFixture[str]) -> None:
    log.info("got rpa_SECRETKEY", nested={"list": ["rpa_SECRETKEY"]})
    assert "SECRETKEY" not in capsys.readouterr().out


def test_ordinary_text_is_left_alone() -> None:
    text = "parsed https://example.com/report.pdf, 3 pages, tokens 12"
    assert redact(text) == text


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_level="warning"))
    log.info("quiet")
    assert capsys.readouterr().out == ""


def test_the_console_form_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_format="console"))
    log.info("done", pages=3)
    (line,) = capsys.readouterr().out.splitlines()
    assert not line.startswith("{")
    assert {"done", "pages=3"} <= set(line.split())


def test_what_libraries_say_comes_out_as_our_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("some.library").warning("slow %s", "disk")
    line = logged(capsys)
    assert (line["level"], line["message"], line["logger"]) == ("WARNING", "slow disk", "some.library")
