"""A client of RunPod's REST v2 API: endpoints, their workers, releases and logs, the catalogue of cards, and what was billed.

    async with Rest(api_key=key) as rest:
        endpoint = await rest.create(body)
        async for time, line in rest.logs(endpoint["id"], worker_id):
            print(line)

Requests and answers are the API's own (https://docs.runpod.io/api-reference-v2). An endpoint holds what once was a template.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import httpx

from ops.transport import retry_after

#: Where the REST API is (RunPod documentation).
REST_URL: Final = "https://api.runpod.io"

#: Seconds for one request.
REQUEST_TIMEOUT: Final = 60
#: Tries of a request that may go well at the next: one that was throttled, and one that only reads.
ATTEMPTS: Final = 5
#: Seconds before the second try where the API names none, doubled for each further one, and the longest worth waiting.
PAUSE, LONGEST_PAUSE = 1.0, 60.0
#: Seconds without a new line after which a log that is not followed has been read: it has no end of its own.
QUIET: Final = 5
#: Lines of a log that are fetched from the past.
TAIL: Final = 100

Described = dict[str, Any]


class RestError(RuntimeError):
    """What was asked of the platform did not happen; the message says why and what would help."""


@dataclass(frozen=True)
class Worker:
    """A worker of an endpoint; ``stale`` runs an older version of it; what is not known yet is empty."""

    id: str
    status: str
    stale: bool = False
    card: str = ""
    data_center: str = ""

    @property
    def serving(self) -> bool:
        """Whether it is ready for jobs, and of the endpoint's latest version."""
        return self.status in ("IDLE", "RUNNING") and not self.stale


class Rest:
    """Talks to the REST API; an async context manager. ``api_key`` may stay empty for a local server.

    Every method raises ``RestError``.
    """

    def __init__(self, url: str = REST_URL, api_key: str = "") -> None:
        self._url = url.rstrip("/").removesuffix("/v2")
        self._has_key = bool(api_key)
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        transport = httpx.AsyncHTTPTransport(retries=2)
        try:
            base = httpx.URL(f"{self._url}/v2")
        except httpx.InvalidURL:
            base = httpx.URL()
        if base.scheme not in ("http", "https") or not base.host:
            raise RestError(f"{url!r} is no address of an API; {REST_URL} is RunPod's.")
        self._http = httpx.AsyncClient(base_url=base, headers=headers, timeout=REQUEST_TIMEOUT, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._http.aclose()

    async def create(self, body: Described) -> Described:
        """Make an endpoint and return it with its ``id``."""
        return await self._json("POST", "/serverless", json=body)

    async def endpoints(self) -> list[Described]:
        """Every endpoint of the account."""
        return _list(await self._json("GET", "/serverless"), "endpoints")

    async def endpoint(self, endpoint_id: str) -> Described:
        """One endpoint."""
        return await self._json("GET", f"/serverless/{endpoint_id}")

    async def named(self, name: str) -> list[Described]:
        """The endpoints of this name: more than one may have it."""
        return [endpoint for endpoint in await self.endpoints() if plain_name(endpoint) == name]

    async def update(self, endpoint_id: str, changes: Described) -> Described:
        """Change what ``changes`` holds and return the endpoint."""
        return await self._json("PATCH", f"/serverless/{endpoint_id}", json=changes)

    async def delete(self, endpoint_id: str) -> None:
        """Delete an endpoint for good, with its workers and the jobs that wait or run."""
        await self._answer("DELETE", f"/serverless/{endpoint_id}")

    async def workers(self, endpoint_id: str) -> list[Worker]:
        """The workers that an endpoint has now."""
        answer = await self._json("GET", f"/serverless/{endpoint_id}/workers")
        return [
            Worker(
                id=worker["id"],
                status=worker["status"],
                stale=worker["isStale"],
                card=worker.get("gpuTypeId") or "",
                data_center=worker.get("dataCenterId") or "",
            )
            for worker in _list(answer, "workers")
        ]

    async def releases(self, endpoint_id: str) -> list[Described]:
        """The versions of an endpoint, newest first, each with its ``diff``."""
        return _list(await self._json("GET", f"/serverless/{endpoint_id}/releases"), "releases")

    async def gpus(self) -> list[Described]:
        """The catalogue of cards, with their pools and prices for an hour."""
        return _list(await self._json("GET", "/catalog/gpus"), "gpus")

    async def spent(self, endpoint_id: str, days: int = 30) -> float:
        """Dollars that an endpoint has cost in the last ``days``."""
        query = {"serverlessId": endpoint_id, "bucketSize": "day", "lastN": days}
        answer = await self._json("GET", "/billing/serverless", params=query)
        return float(sum(record["totalAmount"] for record in _list(answer, "records")))

    async def logs(
        self, endpoint_id: str, worker_id: str, *, tail: int = TAIL, follow: bool = False
    ) -> AsyncIterator[tuple[str, str]]:
        """A worker's container log, each line after its time (ISO 8601): the ``tail`` latest; with ``follow`` whatever comes.

        A connection that breaks is taken up again after the line read last.
        """
        path, cursor, broken = f"/serverless/{endpoint_id}/workers/{worker_id}/logs", "", 0
        timeout = httpx.Timeout(REQUEST_TIMEOUT, read=None if follow else QUIET)
        options: dict[str, Any] = {"params": {"source": "container", "tail": tail}, "timeout": timeout, "stream": True}
        while True:
            try:
                answer = await self._answer("GET", path, headers={"Last-Event-ID": cursor} if cursor else {}, **options)
            except _Gone:
                if cursor:
                    return
                raise
            try:
                async for identity, data in _events(answer.aiter_lines()):
                    cursor, broken = identity, 0
                    yield str(data["ts"]), str(data["line"])
            except httpx.ReadTimeout:
                return
            except httpx.TransportError as error:
                if broken == ATTEMPTS:
                    raise RestError(f"The log of {worker_id} broke off {broken} times in a row: {_reason(error)}.") from error
            else:
                if not follow:
                    return
            finally:
                await answer.aclose()
            broken += 1
            await asyncio.sleep(PAUSE)

    async def _json(self, method: str, path: str, **options: Any) -> Described:
        answer = await self._answer(method, path, **options)
        try:
            described: Described = answer.json()
        except ValueError:
            raise RestError(f"{self._url} answered {method} {path} with no JSON; is it the REST API?") from None
        return described

    async def _answer(self, method: str, path: str, *, stream: bool = False, **options: Any) -> httpx.Response:
        """The answer to a request that went well, tried again where that is safe: throttled ones were not carried out."""
        request = self._http.build_request(method, path.lstrip("/"), **options)
        pause = PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            last = attempt == ATTEMPTS
            try:
                answer = await self._http.send(request, stream=stream)
            except httpx.TransportError as error:
                if last or method != "GET" or isinstance(error, httpx.ConnectError):
                    raise RestError(self._silence(error, method)) from error
            else:
                if not answer.is_error:
                    return answer
                await answer.aread()
                throttled = answer.status_code == httpx.codes.TOO_MANY_REQUESTS
                wait = _wanted(answer) if throttled else 0.0
                again = throttled or (answer.is_server_error and method == "GET")
                if last or not again or wait > LONGEST_PAUSE:
                    raise self._refused(answer)
                pause = wait or pause
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        raise AssertionError("the last attempt returns or raises")

    def _silence(self, error: httpx.TransportError, method: str) -> str:
        if isinstance(error, httpx.ConnectError):
            hint = "check the address, or start one on this machine with `python -m ops.rest_server`."
            return f"{self._url} does not answer ({_reason(error)}): {hint}"
        doubt = "" if method == "GET" else " Whether it was carried out is not known: see with --diff before you try again."
        return f"{self._url} broke off the request ({_reason(error)}).{doubt}"

    def _refused(self, answer: httpx.Response) -> RestError:
        """What an answer that refuses means for whoever asked."""
        detail, status = _detail(answer), answer.status_code
        if status == httpx.codes.UNAUTHORIZED and not self._has_key:
            return RestError(f"{self._url} wants an API key: make one (console, Settings, API Keys) and set RUNPOD_API_KEY to it.")
        if status == httpx.codes.UNAUTHORIZED:
            return RestError(
                f"{self._url} does not accept the key in RUNPOD_API_KEY ({detail}): it may be mistyped, expired or deleted."
            )
        if status == httpx.codes.FORBIDDEN:
            return RestError(f"The key in RUNPOD_API_KEY may not do this ({detail}): give it write access to serverless endpoints.")
        if status == httpx.codes.NOT_FOUND:
            return _Gone(f"{detail[:1].upper()}{detail[1:]}: it was deleted, belongs to another account, or its id is mistyped.")
        if status == httpx.codes.TOO_MANY_REQUESTS:
            return RestError(
                f"{self._url} lets no more requests through for now ({detail}): try again in {_wanted(answer) or 60:.0f} s."
            )
        if answer.is_server_error:
            return RestError(f"{self._url} failed with {status} ({detail}): try again in a while.")
        hint = " Lower workers.max here or elsewhere, or ask RunPod for a higher quota." if "quota" in detail else ""
        return RestError(f"The platform refuses this ({status}): {detail}.{hint}")


def plain_name(endpoint: Described) -> str:
    """An endpoint's name as it was given: GraphQL marks those with FlashBoot by a suffix (RunPod documentation)."""
    return str(endpoint["name"]).removesuffix(" -fb")


class _Gone(RestError):
    """There is no such thing, or none any more."""


async def _events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, Described]]:
    """The id and the data of each server-sent event (WHATWG HTML, 9.2.6); comments and empty events are passed over."""
    identity, data = "", ""
    async for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            identity = value
        elif name == "data":
            data += value
        elif not line and data:
            yield identity, json.loads(data)
            data = ""


def _detail(answer: httpx.Response) -> str:
    """The words of a problem document (RFC 9457), each of its errors included; else the beginning of what came."""
    try:
        problem = answer.json()
        return "; ".join([str(problem["detail"]).rstrip("."), *map(str, problem.get("errors", []))])
    except (ValueError, KeyError, TypeError, AttributeError):
        return answer.text[:200] or answer.reason_phrase


def _list(answer: Described, name: str) -> list[Described]:
    found: list[Described] = answer[name]
    return found


def _wanted(answer: httpx.Response) -> float:
    """Seconds to wait, as the answer names them; 0 if it names none."""
    return retry_after(answer.headers.get("Retry-After", ""))


def _reason(error: httpx.TransportError) -> str:
    return str(error) or type(error).__name__
