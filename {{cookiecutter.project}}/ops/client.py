"""A client of the job API, for a live endpoint as for the local control plane: documents in, responses out.

    async with Client("https://api.runpod.ai", endpoint, api_key) as client:
        answer = await client.parse_file(Path("report.pdf"), {"tier": "flash"})
        print(answer.pages, answer.markdown)

``ops.blocking`` has the same for code without asyncio, ``ops.results.save`` writes an answer to a folder.
"""

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

from ops.jobs import RUN_LIMIT, RUNSYNC_LIMIT, Status
from ops.transport import (
    REQUEST_TIMEOUT,
    ClientError,
    EndpointError,
    JobExpired,
    OnAttempt,
    SubmissionUncertain,
    Transport,
)

__all__ = ["Answer", "Client", "ClientError", "EndpointError", "JobExpired", "JobFailed", "SubmissionUncertain", "job_input"]

LOCAL_URL: Final = "http://127.0.0.1:8000"
LOCAL_ENDPOINT: Final = "local"

#: Seconds between two looks at a job: the first, the growth of each next, the longest; and the longest for a job of /runsync,
#: which must be seen before its result is gone.
POLL_FIRST, POLL_GROWTH, POLL_LONGEST, SYNC_POLL_LONGEST = 0.2, 1.3, 3.0, 0.8
#: Seconds that a failing request is tried again before the client gives up.
PATIENCE: Final = 60

#: The worker's errors (``worker/errors.py``) that another worker, or the same one a little later, may not have.
PASSING: Final = frozenset({"EngineDead", "Garbled", "ServerFailed", "WorkerBroken"})

OnStatus = Callable[[dict[str, Any]], object]


def job_input(content: bytes, name: str, **options: Any) -> dict[str, Any]:
    """A job's input that holds a document itself, as base64; ``options`` are further fields of it."""
    return {"file_b64": base64.b64encode(content).decode("ascii"), "file_name": name, **options}


class JobFailed(ClientError):
    """The job ended without a result, for the reason in the message.

    ``error_type`` is the worker's name for it, where the worker named one. ``passing`` is true where the same job may succeed:
    its worker died, or said that it is to blame.
    """

    def __init__(self, message: str, error_type: str = "", *, passing: bool = False) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.passing = passing


@dataclass(frozen=True)
class Answer:
    """A finished job: the worker's ``response``, and the seconds it waited in the queue and ran."""

    response: dict[str, Any]
    delay: float
    execution: float
    id: str = ""

    @property
    def markdown(self) -> str | None:
        """The document's Markdown; None if it was not asked for, or came in an archive, which ``ops.results.save`` unpacks."""
        return self.response.get("markdown")

    @property
    def images(self) -> dict[str, bytes]:
        """Each image that the response holds, by the name that the Markdown refers to."""
        return {name: base64.b64decode(data) for name, data in (self.response.get("images") or {}).items()}

    @property
    def pages(self) -> int:
        """Pages parsed."""
        return int(self.response.get("pages") or 0)

    @property
    def tier(self) -> str:
        """The tier that was really used."""
        return str(self.response.get("tier") or "")

    @property
    def boot(self) -> dict[str, Any]:
        """Which process answered, and how it came to serve: ``kind`` is fresh, restored, warm or unsure."""
        return self.response.get("boot") or {}

    @property
    def degraded(self) -> list[str]:
        """Why something that was asked for is missing, or came another way; usually empty."""
        return [str(lack.get("reason", lack)) for lack in self.response.get("degraded") or []]


class Client:
    """Talks to one endpoint; an async context manager. ``api_key`` may stay empty for the local control plane.

    ``patience`` is how many seconds a request is tried again while the API is overloaded, failing or out of reach.
    """

    def __init__(
        self, url: str = LOCAL_URL, endpoint: str = LOCAL_ENDPOINT, api_key: str = "", *, patience: float = PATIENCE
    ) -> None:
        self.url = url.rstrip("/").removesuffix("/v2")
        self.endpoint = endpoint
        self._transport = Transport(self.url, endpoint, api_key, patience)
        #: Jobs of /runsync that had ended when their submission was answered.
        self._ended: dict[str, dict[str, Any]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._transport.close()

    async def submit(self, job_input: dict[str, Any], *, webhook: str = "", on_attempt: OnAttempt | None = None) -> str:
        """Queue a job and return its id; one above the limit of /run goes to /runsync, which takes twice as much.

        The API has no key that would make a second submission of the same job harmless. So it is sent again only where the
        platform has surely not taken it: a connection that did not come about, 429 and 503. Where the answer was lost on its way
        ``SubmissionUncertain`` is raised, and whether to risk paying twice is yours to decide. ``on_attempt`` hears of each try
        before it is sent, and of those that were surely not taken.

        The platform posts to ``webhook`` what ``status`` returns, once the job has ended, up to three times until it gets a 200.
        It does not sign these posts: anyone who knows the URL can send one. Put a secret into the URL, and ask ``status`` for the
        result instead of trusting what was posted.

        Raises ``ClientError`` for a job that the platform cannot take, and for anything that keeps it from being queued.
        """
        body = json.dumps({"input": job_input, **({"webhook": webhook} if webhook else {})}).encode()
        if len(body) > RUNSYNC_LIMIT:
            raise ClientError(
                f"The job is {_mb(len(body))}, the platform takes {_mb(RUNSYNC_LIMIT)} at most, which is a file of about "
                f"{_mb(RUNSYNC_LIMIT * 3 // 4)}. Put the file at a URL and send file_url, or on a volume and send volume_path."
            )
        path = "/run" if len(body) <= RUN_LIMIT else "/runsync?wait=1000"
        described = await self._transport.request("POST", path, body, once=True, on_attempt=on_attempt)
        job_id = str(described["id"])
        if Status(described["status"]).final:
            self._ended[job_id] = described
        return job_id

    async def status(self, job_id: str) -> dict[str, Any]:
        """The job as the API describes it: ``status``, and ``output`` or ``error`` where there is one.

        Raises ``JobExpired`` for a job that the platform does not know any more.
        """
        return self._ended.pop(job_id, None) or await self._transport.request("GET", f"/status/{job_id}")

    async def health(self) -> dict[str, Any]:
        """How many ``jobs`` and ``workers`` are in which state."""
        return await self._transport.request("GET", "/health")

    async def cancel(self, job_id: str) -> None:
        """End a job that is queued or in progress."""
        await self._transport.request("POST", f"/cancel/{job_id}")

    async def retry(self, job_id: str) -> None:
        """Queue a failed or timed out job again, under its own id and without sending its document again."""
        await self._transport.request("POST", f"/retry/{job_id}")

    async def wait(self, job_id: str, on_status: OnStatus = lambda _: None) -> Answer:
        """Wait for a job to end and return its answer; each look at it is passed to ``on_status``.

        Raises ``JobFailed`` with the worker's own words if the job failed, and ``JobExpired`` if its result is gone.
        """
        pause, longest = POLL_FIRST, SYNC_POLL_LONGEST if job_id.startswith("sync-") else POLL_LONGEST
        while True:
            described = await self.status(job_id)
            on_status(described)
            if Status(described["status"]).final:
                return _answer(described, job_id)
            await asyncio.sleep(pause)
            pause = min(pause * POLL_GROWTH, longest)

    async def parse_file(self, path: Path, options: dict[str, Any] | None = None, on_status: OnStatus = lambda _: None) -> Answer:
        """Have a file on this machine parsed, sent as base64 inside the job; ``options`` are further fields of the input.

        Raises ``ClientError`` if the file cannot be read or sent, or its job fails. If this wait is cancelled, so is the job.
        """
        return await self.parse(job_input(await read(path), path.name, **(options or {})), on_status)

    async def parse_url(self, url: str, options: dict[str, Any] | None = None, on_status: OnStatus = lambda _: None) -> Answer:
        """Have the document at a URL parsed, which the worker fetches; otherwise as ``parse_file``."""
        return await self.parse({"file_url": url, **(options or {})}, on_status)

    async def parse(self, job_input: dict[str, Any], on_status: OnStatus = lambda _: None) -> Answer:
        """Submit a job and wait for its answer; if this wait is cancelled, so is the job."""
        job_id = await self.submit(job_input)
        try:
            return await self.wait(job_id, on_status)
        except asyncio.CancelledError:
            await asyncio.shield(self.cancel(job_id))
            raise

    async def download(self, url: str, target: Path) -> None:
        """Fetch a presigned URL into a file; the API key stays at home."""
        try:
            async with httpx.AsyncClient(timeout=REQUEST_TIMEOUT) as http, http.stream("GET", url) as answer:
                answer.raise_for_status()
                with target.open("wb") as file:
                    async for chunk in answer.aiter_bytes():
                        file.write(chunk)
        except httpx.HTTPStatusError as error:
            raise ClientError(
                f"The bucket answered {error.response.status_code} for the result; its URL may have expired."
            ) from error
        except httpx.TransportError as error:
            raise ClientError(f"The result cannot be fetched from its bucket: {error}.") from error


async def read(path: Path) -> bytes:
    """The bytes of a file; raises ``ClientError`` that names it if it cannot be read."""
    try:
        return await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        raise ClientError(f"{path} cannot be read: {error.strerror}.") from error


def _answer(described: dict[str, Any], job_id: str) -> Answer:
    """The answer of an ended job; raises ``JobFailed`` where there is none."""
    status = Status(described["status"])
    response = described.get("output")
    if status is not Status.COMPLETED:
        error_type = str(response.get("error_type", "")) if isinstance(response, dict) else ""
        reason, reported = _reason(described)
        lost = status is Status.FAILED and response is None and not reported
        raise JobFailed(reason or f"The job ended as {status}.", error_type, passing=lost or error_type in PASSING)
    if not isinstance(response, dict):
        raise JobFailed("The job completed, but its result did not arrive: most likely it is larger than the platform carries.")
    return Answer(response, described.get("delayTime", 0) / 1000, described.get("executionTime", 0) / 1000, job_id)


def _reason(described: dict[str, Any]) -> tuple[str, bool]:
    """What went wrong, in the worker's own message or in the SDK's report of an exception; and whether it was such a report."""
    error = described.get("error")
    try:
        report = json.loads(error or "")
    except (TypeError, ValueError):
        return str(error or ""), False
    return (str(report.get("error_message") or error), True) if isinstance(report, dict) else (str(error), False)


def _mb(size: int) -> str:
    return f"{size / 1_000_000:.1f} MB".replace(".0 ", " ")
