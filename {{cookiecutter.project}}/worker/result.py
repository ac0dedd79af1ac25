"""A parsed document, handed back: inside the response, as an archive inside the response, or in an S3 bucket.

What the platform cannot carry is lost without a word: the SDK posts the result, gets a 400, and the sender sees a
completed job with no output. So every response is measured as the bytes the SDK will post before it is returned.
"""

import asyncio
import base64
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker import archive, bucket
from worker.errors import ResultUndeliverable
from worker.outputs import FORMATS, Format, Parsed
from worker.request import Request
from worker.serialised import serialised
from worker.settings import MB, Settings, Transport


async def deliver(parsed: Parsed, request: Request, settings: Settings, job_id: str, envelope: dict[str, Any]) -> dict[str, Any]:
    """The job's complete response: ``envelope`` and the outputs it asked for, by the transport it asked for.

    ``envelope`` is what the handler has to say besides (pages, tier, boot); it can be written as JSON. Beside it stand:

    - ``transport``: the one really used;
    - ``degraded``: a list of ``{"format", "reason"}``, one for each asked format that MinerU did not produce, and one
      named after the transport asked for where the result moved to S3;
    - inline: one key for each asked format: text for markdown, JSON for the others, null where MinerU produced none;
      ``images`` maps each name, as Markdown refers to it, to base64;
    - archive: ``archive`` with name, format, size (bytes), sha256 and base64;
    - s3: ``s3`` with url, expires_at, bucket, key, format, size (bytes) and sha256.

    A response above ``settings.max_response_mb`` moves to S3 where a bucket is set up. All work is done in a thread.

    Raises:
        ResultUndeliverable: the response is too large and there is no bucket, or the bucket does not take it.
    """
    return await asyncio.to_thread(_deliver, _Job(parsed, request, settings, job_id), envelope)


@dataclass(frozen=True)
class _Job:
    """What every transport reads: a parsed document, and how it is to be handed back."""

    parsed: Parsed
    request: Request
    settings: Settings
    id: str

    @property
    def present(self) -> dict[Format, Path]:
        return self.parsed.present(tuple(self.request.formats))

    @functools.cached_property
    def packed(self) -> Path:
        """The archive on disk beside the outputs, packed when it is first asked for."""
        request = self.request
        path = self.parsed.folder / f"{request.basename}.{request.archive_format}"
        archive.pack(self.present.values(), path, request.archive_format)
        return path


def _deliver(job: _Job, envelope: dict[str, Any]) -> dict[str, Any]:
    wanted, has_bucket = job.request.transport, bool(job.settings.bucket_name)
    if wanted == "s3" and not has_bucket:
        raise ResultUndeliverable(
            f"transport: s3 came, but this worker has no bucket; set {bucket.VARIABLES}. Nothing was delivered."
        )
    degraded = _not_produced(job)
    response, size = _response(job, wanted, envelope, degraded)
    if response is None and has_bucket and wanted != "s3":
        reason = f"the response would have {size}, the limit is {_megabytes(_limit(job))}; the result is in S3 instead"
        response, size = _response(job, "s3", envelope, [*degraded, {"format": wanted, "reason": reason}])
    if response is None:
        raise ResultUndeliverable(
            f"The document was parsed, but the response would have {size} and the limit is {_megabytes(_limit(job))} "
            f"(MINERU_MAX_RESPONSE_MB; a MB is {MB:,} bytes). Nothing was delivered. Ask for transport s3, for which the worker "
            f"needs {bucket.VARIABLES}; or ask for fewer formats or a smaller page_range."
        )
    return response


def _response(
    job: _Job, transport: Transport, envelope: dict[str, Any], degraded: list[dict[str, str]]
) -> tuple[dict[str, Any] | None, str]:
    """The response if it fits, else None, and its size in words. What is surely too large on disk is not built."""
    least_size, outputs = _TRANSPORTS[transport]
    least = least_size(job)
    if least > _limit(job):
        return None, f"at least {_megabytes(least)}"
    response, size = _measured({**envelope, "transport": transport, "degraded": degraded, **outputs(job)})
    return (response if size <= _limit(job) else None), _megabytes(size)


def _not_produced(job: _Job) -> list[dict[str, str]]:
    """The asked formats that are missing, with the reason; a document without images lacks nothing."""
    missing = [name for name in FORMATS if name in job.request.formats and name not in job.present and name != "images"]
    return [{"format": name, "reason": f"MinerU made no {name} of this document at tier {job.parsed.tier}"} for name in missing]


# Inline.


def _inline(job: _Job) -> dict[str, Any]:
    """One key for each asked format, whether MinerU produced it or not."""
    outputs: dict[str, Any] = {name: {} if name == "images" else None for name in FORMATS if name in job.request.formats}
    return outputs | {name: _READERS.get(name, _read_json)(path) for name, path in job.present.items()}


def _read_text(path: Path) -> str:
    return path.read_bytes().decode()


def _read_json(path: Path) -> Any:
    """The file's JSON; NaN and the infinities, which Python writes but JSON does not know, become null.

    The call for each object lets other threads run, the event loop's among them: Python's reader does not by itself.
    """
    return json.loads(path.read_bytes(), parse_constant=lambda _: None, object_hook=lambda read: read)


def _read_images(folder: Path) -> dict[str, str]:
    return {name: _base64(path) for name, path in archive.files(folder)}


_READERS: Final[dict[Format, Callable[[Path], Any]]] = {"markdown": _read_text, "images": _read_images}


def _least_inline_size(job: _Job) -> int:
    """Bytes the outputs take in a response at the very least, found without building it."""
    return sum(_least_size(name, path) for name, path in job.present.items())


def _least_size(name: Format, path: Path) -> int:
    if name == "images":
        return sum(_base64_size(image) for _, image in archive.files(path))
    return path.stat().st_size if name == "markdown" else _least_json_size(path)


def _least_json_size(path: Path) -> int:
    """Indentation goes when JSON is written again, and each escape shrinks by at most 5 bytes (``\\u0041`` to ``A``)."""
    with path.open("rb") as file:
        chunks = iter(functools.partial(file.read, MB), b"")
        return sum(len(chunk.translate(None, b" \t\r\n")) - 5 * chunk.count(b"\\") for chunk in chunks)


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")


def _base64_size(path: Path) -> int:
    return 4 * -(-path.stat().st_size // 3)


# Archive, in the response or in a bucket.


def _archive(job: _Job) -> dict[str, Any]:
    described = archive.described(job.packed, job.request.archive_format)
    return {"archive": {"name": job.packed.name, **described, "base64": _base64(job.packed)}}


def _least_archive_size(job: _Job) -> int:
    return _base64_size(job.packed)


def _s3(job: _Job) -> dict[str, Any]:
    archive_format = job.request.archive_format
    described = archive.described(job.packed, archive_format)
    return {"s3": {**bucket.upload(job.packed, archive.CONTENT_TYPES[archive_format], job.id, job.settings), **described}}


# Size.


def _measured(response: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The response and its size in bytes as it is posted.

    Half a surrogate pair has no bytes in UTF-8: the SDK would fail on it and post nothing, so it becomes a question mark.
    """
    posted = {"output": response}
    try:
        return response, len(serialised(posted))
    except UnicodeEncodeError:
        sound = serialised(posted, errors="replace")
        return json.loads(sound)["output"], len(sound)


def _limit(job: _Job) -> int:
    return round(job.settings.max_response_mb * MB)


def _megabytes(size: int) -> str:
    """The exact size, so that a byte above the limit can be seen: ``20.000001 MB``."""
    return f"{size / MB:.6f}".rstrip("0").rstrip(".") + " MB"


#: How each transport delivers: the least bytes it will take in the response, then the outputs themselves.
_TRANSPORTS: Final[dict[Transport, tuple[Callable[[_Job], int], Callable[[_Job], dict[str, Any]]]]] = {
    "inline": (_least_inline_size, _inline),
    "archive": (_least_archive_size, _archive),
    "s3": (lambda _: 0, _s3),
}
