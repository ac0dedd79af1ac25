"""Bytes that a fuzzer makes up from what it sees of our code, as what a sender or a server may send. Ends with 0 if none escapes.

python fuzz.py NAME -runs=1000 -seed=1    # NAME is one of TARGETS, the options are libFuzzer's
"""

import contextlib
import importlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Final

import httpx

#: It publishes no types, and is not always installed.
atheris: Any = importlib.import_module("atheris")

with atheris.instrument_imports(include=["worker"]):
    from worker import choices, download, limits, request, source
    from worker.errors import JobError
    from worker.serialised import serialised
    from worker.settings import Settings

SETTINGS: Final = Settings(tier=choices.TIERS[0])


def job_input(data: Any) -> None:
    """The input of a job, as JSON or as the text of one field."""
    field = data.PickValueInList([None, *request.Request.model_fields])
    text = data.ConsumeUnicode(data.remaining_bytes())
    if field is None:
        with contextlib.suppress(ValueError, RecursionError):
            _read(json.loads(text))
        return
    _read({field: text})
    _read({"file_b64": "AAAA", field: text})


def _read(value: object) -> None:
    try:
        wish = request.read(value, SETTINGS)
    except JobError as refused:
        sent = json.loads(serialised({"error": str(refused)}, errors="replace"))
        assert sent["error"]
        return
    if wish.file_url is not None:
        url = download._parsed(wish.file_url)
        assert url.scheme in ("http", "https")
        assert url.host


def headers(data: Any) -> None:
    """What a server says of a document, and the name it is given."""
    values = [data.ConsumeBytes(data.ConsumeIntInRange(0, 200)) for _ in range(2)]
    name, media_type = download._names_in(httpx.Headers([(b"content-disposition", values[0]), (b"content-type", values[1])]))
    local = source.local_name(name, media_type, data.ConsumeUnicode(100) + data.PickValueInList(["", ".pdf", ".csv"]))
    assert local == PurePosixPath(local).name
    assert local.startswith("document")


def archive(data: Any) -> None:
    """A document that may be a zip file."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data.PickValueInList([b"", b"PK\x03\x04", b"%PDF-1.7\n"]) + data.ConsumeBytes(data.remaining_bytes()))
        file.flush()
        limits.check_unpacked(Path(file.name), SETTINGS)


TARGETS: Final[dict[str, Callable[[Any], None]]] = {"job_input": job_input, "headers": headers, "archive": archive}


def main() -> None:
    """Let the fuzzer try one target; it ends the process."""
    target = TARGETS[sys.argv.pop(1)]

    def one(content: bytes) -> None:
        with contextlib.suppress(JobError):
            target(atheris.FuzzedDataProvider(content))

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
