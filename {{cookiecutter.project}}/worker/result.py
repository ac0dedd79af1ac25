"""A parsed document, handed back: inside the response, as an archive inside the response, or in an S3 bucket.

What the platform cannot carry is lost without a word: the SDK posts the result, gets a 400, and the sender sees a
completed job with no output. So every response is measured as the bytes the SDK will post before it is returned.
"""

import asyncio
import base64
import functools
import gzip
import hashlib
import json
import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from worker.errors import ResultUndeliverable
from worker.log import redact
from worker.outputs import FORMATS, Format, Parsed
from worker.request import ArchiveFormat, Request
from worker.serialised import serialised
from worker.settings import MB, Settings, Transport

#: What a worker needs to reach a bucket; an endpoint URL only outside AWS, the keys only where the host has no role.
BUCKET_VARIABLES: Final = "BUCKET_NAME, BUCKET_ACCESS_KEY_ID, BUCKET_SECRET_ACCESS_KEY and, outside AWS, BUCKET_ENDPOINT_URL"

CONTENT_TYPES: Final[dict[ArchiveFormat, str]] = {"tar.gz": "application/gzip", "zip": "application/zip"}

#: Members carry the oldest time a zip file can express, so that the same result always gives the same bytes.
ZIP_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
#: Read and write for the owner, read for all; what a zip file calls made on Unix.
MEMBER_MODE: Final = 0o644
ZIP_MADE_ON_UNIX: Final = 3
#: zlib's own default: one step from the smallest result, at a fraction of the time of the highest level.
COMPRESSION_LEVEL: Final = 6

#: Seconds to reach the bucket, seconds to wait for each of its answers, and tries in all.
S3_CONNECT_TIMEOUT: Final = 10
S3_READ_TIMEOUT: Final = 60
S3_ATTEMPTS: Final = 3

#: S3's error codes (its API reference), in the words of whoever set the variables.
S3_CAUSES: Final = {
    "AccessDenied": "access denied; the key may not write there",
    "InvalidAccessKeyId": "access denied; check BUCKET_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "access denied; check BUCKET_SECRET_ACCESS_KEY",
    "NoSuchBucket": "no such bucket; check BUCKET_NAME",
    "PermanentRedirect": "the bucket is in another region; check BUCKET_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region; check BUCKET_REGION",
}


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


def renew() -> None:
    """Forget the S3 client and its connections; the next upload makes a new one. For a process restored elsewhere."""
    _client.cache_clear()


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
    def archive(self) -> Path:
        """The archive on disk, packed when it is first asked for."""
        return _pack(self)


def _deliver(job: _Job, envelope: dict[str, Any]) -> dict[str, Any]:
    wanted, bucket = job.request.transport, job.settings.bucket_name
    if wanted == "s3" and not bucket:
        raise ResultUndeliverable(
            f"transport: s3 came, but this worker has no bucket; set {BUCKET_VARIABLES}. Nothing was delivered."
        )
    degraded = _not_produced(job)
    response, size = _response(job, wanted, envelope, degraded)
    if response is None and bucket and wanted != "s3":
        reason = f"the response would have {size}, the limit is {_megabytes(_limit(job))}; the result is in S3 instead"
        response, size = _response(job, "s3", envelope, [*degraded, {"format": wanted, "reason": reason}])
    if response is None:
        raise ResultUndeliverable(
            f"The document was parsed, but the response would have {size} and the limit is {_megabytes(_limit(job))} "
            f"(MINERU_MAX_RESPONSE_MB; a MB is {MB:,} bytes). Nothing was delivered. Ask for transport s3, for which the worker "
            f"needs {BUCKET_VARIABLES}; or ask for fewer formats or a smaller page_range."
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
    return {name: _base64(path) for name, path in _files(folder)}


_READERS: Final[dict[Format, Callable[[Path], Any]]] = {"markdown": _read_text, "images": _read_images}


def _least_inline_size(job: _Job) -> int:
    """Bytes the outputs take in a response at the very least, found without building it."""
    return sum(_least_size(name, path) for name, path in job.present.items())


def _least_size(name: Format, path: Path) -> int:
    if name == "images":
        return sum(_base64_size(image) for _, image in _files(path))
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


# Archive.


def _archive(job: _Job) -> dict[str, Any]:
    return {"archive": {"name": job.archive.name, **_described(job), "base64": _base64(job.archive)}}


def _least_archive_size(job: _Job) -> int:
    return _base64_size(job.archive)


def _pack(job: _Job) -> Path:
    """Write the outputs to one archive beside them, from file to file; the same outputs always give the same bytes."""
    basename, archive_format = job.request.basename, job.request.archive_format
    archive = job.parsed.folder / f"{basename}.{archive_format}"
    members = [(f"{basename}/{name}", file) for path in job.present.values() for name, file in _files(path)]
    try:
        _PACKERS[archive_format](archive, members)
    except OSError as error:
        raise ResultUndeliverable(
            f"The document was parsed, but its archive could not be written to disk: {error.strerror}. Nothing was delivered."
        ) from error
    return archive


def _write_tar_gz(archive: Path, members: list[tuple[str, Path]]) -> None:
    with (
        archive.open("wb") as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=COMPRESSION_LEVEL, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for name, path in members:
            member = tarfile.TarInfo(name)  # Its time and owner are 0 until set.
            member.size, member.mode = path.stat().st_size, MEMBER_MODE
            with path.open("rb") as content:
                tar.addfile(member, content)


def _write_zip(archive: Path, members: list[tuple[str, Path]]) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION_LEVEL) as packed:
        for name, path in members:
            member = zipfile.ZipInfo(name, ZIP_EPOCH)
            member.compress_type, member.create_system = zipfile.ZIP_DEFLATED, ZIP_MADE_ON_UNIX
            member.file_size, member.external_attr = path.stat().st_size, MEMBER_MODE << 16
            with path.open("rb") as content, packed.open(member, "w") as target:
                shutil.copyfileobj(content, target)


_PACKERS: Final[dict[ArchiveFormat, Callable[[Path, list[tuple[str, Path]]], None]]] = {"tar.gz": _write_tar_gz, "zip": _write_zip}


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """An output's files in a fixed order, each named relative to the result folder, such as ``images/figure.jpg``.

    Raises:
        ResultUndeliverable: a link, or a name that another system would unpack elsewhere; MinerU makes neither.
    """
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        name = file.relative_to(path.parent).as_posix()
        if file.is_symlink() or "\\" in name:
            raise ResultUndeliverable(
                f"The document was parsed, but its output {name!r} is a link or has an unsafe name; nothing was delivered."
            )
        if file.is_file():
            yield name, file


def _described(job: _Job) -> dict[str, Any]:
    with job.archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"format": job.request.archive_format, "size": job.archive.stat().st_size, "sha256": digest}


# S3. boto3 is imported where it is used: it takes longer than the rest of the worker together.


def _s3(job: _Job) -> dict[str, Any]:
    """Put the archive into the bucket, in parts where it is large, and sign a URL to fetch it."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, key, seconds = job.settings.bucket_name, _key(job), job.settings.bucket_url_expires
    archive, described = str(job.archive), _described(job)
    try:
        client = _client(job.settings)
        client.upload_file(archive, bucket, key, ExtraArgs={"ContentType": CONTENT_TYPES[job.request.archive_format]})
        expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
        url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds)
    except (Boto3Error, BotoCoreError, ClientError, OSError, ValueError) as error:
        raise ResultUndeliverable(
            f"The document was parsed, but S3 bucket {bucket!r} did not take the result: {_cause(error, job.settings)}. "
            "Nothing was delivered."
        ) from error
    return {"s3": {"url": url, "expires_at": f"{expires_at:%Y-%m-%dT%H:%M:%SZ}", "bucket": bucket, "key": key, **described}}


def _key(job: _Job) -> str:
    """``prefix/job/document.tar.gz``; what is not a letter, digit, hyphen or underscore in the job's id becomes one."""
    prefix = [part for part in job.settings.bucket_prefix.split("/") if part]
    return "/".join([*prefix, re.sub(r"[^A-Za-z0-9_-]", "_", job.id) or "job", job.archive.name])


@functools.lru_cache(maxsize=1)
def _client(settings: Settings) -> Any:
    """The S3 client, kept for its connections. An endpoint other than AWS gets the plainest requests S3 knows."""
    import boto3
    from botocore.config import Config

    endpoint = settings.bucket_endpoint_url or None
    config = Config(
        signature_version="s3v4",
        connect_timeout=S3_CONNECT_TIMEOUT,
        read_timeout=S3_READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": S3_ATTEMPTS},
        s3={"addressing_style": "path" if endpoint else "auto"},
        request_checksum_calculation="when_required" if endpoint else "when_supported",
    )
    return boto3.session.Session().client(
        "s3",
        region_name=settings.bucket_region or None,
        endpoint_url=endpoint,
        aws_access_key_id=settings.bucket_access_key_id.get_secret_value() or None,
        aws_secret_access_key=settings.bucket_secret_access_key.get_secret_value() or None,
        config=config,
    )


def _cause(error: BaseException, settings: Settings) -> str:
    """Why the bucket did not take the result, and which variable to look at."""
    from boto3.exceptions import S3UploadFailedError
    from botocore import exceptions

    if isinstance(error, S3UploadFailedError) and error.__context__ is not None:
        error = error.__context__
    if isinstance(error, exceptions.ClientError):
        answer = error.response["Error"]
        code, message = answer.get("Code", "an error"), answer.get("Message", "with no message")
        return S3_CAUSES.get(code) or redact(f"it answered {code}, {message}").rstrip(".")
    if isinstance(error, (exceptions.NoCredentialsError, exceptions.PartialCredentialsError)):
        return "no credentials; set BUCKET_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY"
    if isinstance(error, (exceptions.ConnectionError, exceptions.HTTPClientError)):
        endpoint = redact(settings.bucket_endpoint_url) or "of AWS"
        return f"endpoint {endpoint} cannot be reached ({type(error).__name__}); check BUCKET_ENDPOINT_URL"
    return redact(str(error)).rstrip(".")


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
