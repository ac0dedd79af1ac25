"""A client of the job API, for a live endpoint as for the local control plane: documents in, responses out."""

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

from ops.jobs import Status

LOCAL_URL: Final = "http://127.0.0.1:8000"
LOCAL_ENDPOINT: Final = "local"

#: Largest bodies in bytes (RunPod documentation): /run, and /runsync, whose results are kept for one minute only.
RUN_LIMIT: Final = 10_000_000
RUNSYNC_LIMIT: Final = 20_000_000

#: Seconds between two looks at a job: the first, the growth of each next, the longest.
POLL_FIRST, POLL_GROWTH, POLL_LONGEST = 0.2, 1.3, 3.0
#: Failed looks in a row before the client gives up on a job.
POLL_ATTEMPTS: Final = 6
#: Seconds for one request; submitting a document may take its upload.
REQUEST_TIMEOUT: Final = 120

OnStatus = Callable[[dict[str, Any]], object]


def job_input(content: bytes, name: str, **options: Any) -> dict[str, Any]:
    """A job's input that holds a document itself, as base64; ``options`` are further fields of it."""
    return {"file_b64": base64.b64encode(content).decode("ascii"), "file_name": name, **options}


class ClientError(RuntimeError):
    """The document was not parsed; the message says why and what would help."""


@dataclass(frozen=True)
class Answer:
    """A finished job: the worker's ``response``, and the seconds it waited in the queue and ran."""

    response: dict[str, Any]
    delay: float
    execution: float


class Client:
    """Talks to one endpoint; an async context manager. ``api_key`` may stay empty for the local control plane."""

    def __init__(self, url: str = LOCAL_URL, endpoint: str = LOCAL_ENDPOINT, api_key: str = "") -> None:
        self._url = url.rstrip("/").removesuffix("/v2")
        self._endpoint = endpoint
        self._http = httpx.AsyncClient(
            base_url=f"{self._url}/v2/{endpoint}",
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=REQUEST_TIMEOUT,
            transport=httpx.AsyncHTTPTransport(retries=2),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._http.aclose()

    async def submit(self, job_input: dict[str, Any]) -> str:
        """Queue a job and return its id; one above the limit of /run goes to /runsync, which takes twice as much.

        Raises ``ClientError`` for a job that neither takes, and for anything that keeps it from being queued.
        """
        body = json.dumps({"input": job_input}).encode()
        if len(body) > RUNSYNC_LIMIT:
            raise ClientError(
                f"The job is {_mb(len(body))}, the platform takes {_mb(RUNSYNC_LIMIT)} at most, which is a file of about "
                f"{_mb(RUNSYNC_LIMIT * 3 // 4)}. Put the file at a URL and send file_url, or on a volume and send volume_path."
            )
        path = "/run" if len(body) <= RUN_LIMIT else "/runsync?wait=1000"
        answer = await self._request("POST", path, content=body)
        return str(answer["id"])

    async def status(self, job_id: str) -> dict[str, Any]:
        """The job as the API describes it: ``status``, and ``output`` or ``error`` where there is one."""
        return await self._request("GET", f"/status/{job_id}")

    async def health(self) -> dict[str, Any]:
        """How many ``jobs`` and ``workers`` are in which state."""
        return await self._request("GET", "/health")

    async def cancel(self, job_id: str) -> None:
        """End a job that is queued or in progress."""
        await self._request("POST", f"/cancel/{job_id}")

    async def wait(self, job_id: str, on_status: OnStatus = lambda _: None) -> Answer:
        """Wait for a job to end and return its answer; each look at it is passed to ``on_status``.

        Raises ``ClientError`` with the worker's own words if the job failed.
        """
        pause, failures = POLL_FIRST, 0
        while True:
            try:
                described = await self.status(job_id)
            except _Passing as failure:
                failures += 1
                if failures == POLL_ATTEMPTS:
                    raise ClientError(str(failure)) from failure
            else:
                failures = 0
                on_status(described)
                if Status(described["status"]).final:
                    return _answer(described)
            await asyncio.sleep(pause)
            pause = min(pause * POLL_GROWTH, POLL_LONGEST)

    async def parse_file(self, path: Path, options: dict[str, Any] | None = None, on_status: OnStatus = lambda _: None) -> Answer:
        """Have a file on this machine parsed, sent as base64 inside the job; ``options`` are further fields of the input.

        Raises ``ClientError`` if the file cannot be read or sent, or its job fails. If this wait is cancelled, so is the job.
        """
        try:
            content = await asyncio.to_thread(path.read_bytes)
        except OSError as error:
            raise ClientError(f"{path} cannot be read: {error.strerror}.") from error
        job_id = await self.submit(job_input(content, path.name, **(options or {})))
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

    async def _request(self, method: str, path: str, content: bytes | None = None) -> dict[str, Any]:
        try:
            answer = await self._http.request(method, path, content=content, headers={"Content-Type": "application/json"})
        except httpx.TransportError as error:
            hint = (
                " Start a worker with `python -m ops run`, or name a live endpoint."
                if isinstance(error, httpx.ConnectError)
                else ""
            )
            raise _Passing(f"{self._url} does not answer ({error or type(error).__name__}).{hint}") from error
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or answer.is_server_error:
            raise _Passing(f"{self._url} answered {answer.status_code}; try again in a while.")
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise ClientError(
                f"{self._url} does not accept the API key; set RUNPOD_API_KEY to one that may use endpoint {self._endpoint}."
            )
        if answer.is_error:
            raise ClientError(f"{self._url} answered {answer.status_code}: {_said(answer)}")
        described: dict[str, Any] = answer.json()
        return described


class _Passing(ClientError):
    """A failure that may be over at the next try."""


def _answer(described: dict[str, Any]) -> Answer:
    """The answer of an ended job; raises ``ClientError`` where there is none."""
    status = Status(described["status"])
    if status is not Status.COMPLETED:
        raise ClientError(_reason(described) or f"The job ended as {status}.")
    response = described.get("output")
    if not isinstance(response, dict):
        raise ClientError("The job completed, but its result did not arrive: most likely it is larger than the platform carries.")
    return Answer(response, described.get("delayTime", 0) / 1000, described.get("executionTime", 0) / 1000)


def _reason(described: dict[str, Any]) -> str:
    """What went wrong: the worker's own message or, where the SDK wrapped an exception, the message in its report."""
    error = described.get("error")
    try:
        report = json.loads(error or "")
    except (TypeError, ValueError):
        return str(error or "")
    return str(report.get("error_message") or error) if isinstance(report, dict) else str(error)


def _said(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200] or answer.reason_phrase


def _mb(size: int) -> str:
    return f"{size / 1_000_000:.1f} MB".replace(".0 ", " ")
