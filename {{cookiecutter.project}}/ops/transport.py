"""HTTP to a job API: paced as the platform asks, tried again where that is safe, and its refusals in plain words.

The limits are the platform's (RunPod documentation, "Rate limits and quotas"), counted per endpoint and operation.
"""

import asyncio
import itertools
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

import httpx

#: Requests in any ``RATE_SECONDS`` that each operation takes.
RATES: Final = {"run": 1000, "runsync": 2000, "status": 2000, "stream": 2000, "cancel": 100}
RATE_SECONDS: Final = 10

#: Seconds before the second try of a request, doubled for each further one, and the most; of each, a random share is waited.
BACK_OFF, LONGEST_BACK_OFF = 0.5, 20
#: Seconds that a server which has never answered is tried for: most likely its address is wrong.
FIRST_PATIENCE: Final = 1
#: Seconds for one request; submitting a document may take its upload.
REQUEST_TIMEOUT: Final = 120

#: Failures after which the server has surely not seen the request.
NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
#: Statuses that say that the request was not taken: too many of them, and no room now.
NOT_TAKEN: Final = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)

#: Hears that a request is about to be sent, and that it was surely not taken.
OnAttempt = Callable[[Literal["sending", "refused"]], Awaitable[object]]


class ClientError(RuntimeError):
    """The document was not parsed; the message says why and what would help."""


class EndpointError(ClientError):
    """Another document would fare no better: the key, the endpoint, the account or the connection is at fault."""


class JobExpired(ClientError):
    """The platform does not know the job any more."""


class SubmissionUncertain(ClientError):
    """The job was sent and its answer lost: it may have been queued, and sending it again may be paid for twice."""


class Rate:
    """Lets at most ``most`` through in any ``seconds``."""

    def __init__(self, most: int, seconds: float = RATE_SECONDS) -> None:
        self._passed: deque[float] = deque(maxlen=most)
        self._seconds = seconds

    async def turn(self) -> None:
        """Wait until one more may pass."""
        while len(self._passed) == self._passed.maxlen:
            wait = self._passed[0] + self._seconds - time.monotonic()
            if wait <= 0:
                break
            await asyncio.sleep(wait)
        self._passed.append(time.monotonic())


class Transport:
    """Requests to one endpoint. ``patience`` is how many seconds a request is tried again before it fails."""

    def __init__(self, url: str, endpoint: str, api_key: str, patience: float) -> None:
        self._url, self._endpoint, self._has_key, self._patience = url, endpoint, bool(api_key), patience
        self._heard = False
        self._rates = {operation: Rate(most) for operation, most in RATES.items()}
        self._http = httpx.AsyncClient(headers={"Authorization": f"Bearer {api_key}"} if api_key else {}, timeout=REQUEST_TIMEOUT)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def request(
        self, method: str, path: str, content: bytes | None = None, *, once: bool = False, on_attempt: OnAttempt | None = None
    ) -> dict[str, Any]:
        """The answer's JSON to a request for ``path`` below the endpoint, such as ``/status/{id}``.

        429, other passing failures and lost connections are tried again with growing pauses, or after what Retry-After says.
        With ``once`` only what the server has surely not taken is tried again. Raises ``ClientError`` and what is made from it.
        """
        self._check()
        operation = path.strip("/").partition("/")[0].partition("?")[0]
        begun = time.monotonic()
        for attempt in itertools.count():
            if operation in self._rates:
                await self._rates[operation].turn()
            if on_attempt is not None:
                await on_attempt("sending")
            answer, failure = await self._attempt(method, path, content)
            if answer is not None and not _passing(answer):
                return self._read(answer, operation, once=once)
            not_taken = answer.status_code in NOT_TAKEN if answer is not None else isinstance(failure, NOT_SENT)
            error = self._said(answer, failure)
            if once and not not_taken:
                raise SubmissionUncertain(
                    f"{error} The job may have been queued all the same, so it was not sent again, which could be paid for twice."
                )
            if on_attempt is not None:
                await on_attempt("refused")
            pause = _pause(attempt, answer)
            if time.monotonic() + pause - begun > (self._patience if self._heard else FIRST_PATIENCE):
                raise error from failure
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    async def _attempt(
        self, method: str, path: str, content: bytes | None
    ) -> tuple[httpx.Response | None, httpx.TransportError | None]:
        headers = {"Content-Type": "application/json"}
        try:
            answer = await self._http.request(method, f"{self._url}/v2/{self._endpoint}{path}", content=content, headers=headers)
        except httpx.TransportError as failure:
            return None, failure
        self._heard = True
        return answer, None

    def _check(self) -> None:
        """Refuse what cannot work before anything is sent."""
        if not self._url.startswith(("http://", "https://")):
            raise EndpointError(f"The URL is {self._url!r}; one that begins with http:// or https:// is needed.")
        if not self._endpoint:
            raise EndpointError(f"No endpoint is named; {self._url} needs the endpoint's id.")
        if self._url.startswith("https://") and not self._has_key:
            raise EndpointError(f"{self._url} needs an API key; set RUNPOD_API_KEY to one that may use endpoint {self._endpoint}.")

    def _said(self, answer: httpx.Response | None, failure: httpx.TransportError | None) -> ClientError:
        """A failure that may pass, in plain words."""
        if answer is None:
            hint = ""
            if isinstance(failure, httpx.ConnectError) and not self._heard:
                hint = " Start a worker with `python -m ops run`, or name a live endpoint."
            return EndpointError(f"{self._url} does not answer ({failure or type(failure).__name__}).{hint}")
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return EndpointError(
                f"{self._url} answered 429: too many requests, or too long a queue (the platform takes 50 jobs, or 500 for each of "
                f"the endpoint's most workers if that is more). Try again in a while, with fewer jobs at a time. {_words(answer)}"
            )
        return EndpointError(f"{self._url} answered {answer.status_code}; try again in a while. {_words(answer)}".rstrip())

    def _read(self, answer: httpx.Response, operation: str, *, once: bool) -> dict[str, Any]:
        """The JSON of an answer, or what it refuses in plain words."""
        code, words = answer.status_code, _words(answer)
        if code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise EndpointError(
                f"{self._url} does not accept the API key; set RUNPOD_API_KEY to one that may use endpoint {self._endpoint}."
            )
        if code == httpx.codes.PAYMENT_REQUIRED:
            raise EndpointError(f"{self._url} answered 402: the account's balance or spending limit is used up. {words}".rstrip())
        if code == httpx.codes.NOT_FOUND and operation in ("status", "stream", "cancel", "retry"):
            raise JobExpired(
                "The job is not known any more: its result has expired (it is kept for 30 minutes after /run, for 1 minute after "
                f"/runsync), or it belongs to another endpoint. It is not queued. {words}"
            )
        if code == httpx.codes.NOT_FOUND:
            raise EndpointError(f"{self._url} knows no endpoint {self._endpoint}; check its id. {words}")
        if not answer.is_success:
            raise ClientError(f"{self._url} answered {code}: {words}")
        try:
            described: dict[str, Any] = answer.json()
        except ValueError:
            kind = SubmissionUncertain if once else ClientError
            raise kind(f"{self._url} answered {code} with something that is not JSON; is it a job API?") from None
        return described


def _passing(answer: httpx.Response) -> bool:
    """Whether the same request may fare better later."""
    return answer.status_code == httpx.codes.TOO_MANY_REQUESTS or answer.is_server_error


def _pause(attempt: int, answer: httpx.Response | None) -> float:
    """Seconds before the next try: at least what the server asks for, and a random share of a growing time."""
    asked = retry_after(answer.headers.get("Retry-After", "")) if answer is not None else 0.0
    return asked + random.uniform(0, min(LONGEST_BACK_OFF, BACK_OFF * 2**attempt))  # noqa: S311 (spreads clients, hides nothing)


def retry_after(value: str) -> float:
    """Seconds that a Retry-After header asks for, given as seconds or as a date; 0 without a valid one."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0


def _words(answer: httpx.Response) -> str:
    """What an error answer says."""
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200] or answer.reason_phrase
