"""An S3 bucket for results: an archive put there, and a signed URL to fetch it by.

boto3 is imported where it is used: it takes longer than the rest of the worker together.
"""

import functools
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from worker.errors import ResultUndeliverable
from worker.log import redact
from worker.settings import Settings

#: What a worker needs to reach a bucket; an endpoint URL only outside AWS, the keys only where the host has no role.
VARIABLES: Final = "BUCKET_NAME, BUCKET_ACCESS_KEY_ID, BUCKET_SECRET_ACCESS_KEY and, outside AWS, BUCKET_ENDPOINT_URL"

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


def upload(archive: Path, content_type: str, job_id: str, settings: Settings) -> dict[str, str]:
    """Put the archive into the bucket, in parts where it is large: its ``url``, when that ``expires_at``, ``bucket`` and ``key``.

    Blocks.

    Raises:
        ResultUndeliverable: the bucket does not take it, for the reason in the message.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, key, seconds = settings.bucket_name, _key(archive, job_id, settings), settings.bucket_url_expires
    try:
        client = _client(settings)
        client.upload_file(str(archive), bucket, key, ExtraArgs={"ContentType": content_type})
        expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
        url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds)
    except (Boto3Error, BotoCoreError, ClientError, OSError, ValueError) as error:
        raise ResultUndeliverable(
            f"The document was parsed, but S3 bucket {bucket!r} did not take the result: {_cause(error, settings)}. "
            "Nothing was delivered."
        ) from error
    return {"url": url, "expires_at": f"{expires_at:%Y-%m-%dT%H:%M:%SZ}", "bucket": bucket, "key": key}


def renew() -> None:
    """Forget the client and its connections; the next upload makes a new one. For a process restored elsewhere."""
    _client.cache_clear()


def _key(archive: Path, job_id: str, settings: Settings) -> str:
    """``prefix/job/document.tar.gz``; what is not a letter, digit, hyphen or underscore in the job's id becomes one."""
    prefix = [part for part in settings.bucket_prefix.split("/") if part]
    return "/".join([*prefix, re.sub(r"[^A-Za-z0-9_-]", "_", job_id) or "job", archive.name])


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
