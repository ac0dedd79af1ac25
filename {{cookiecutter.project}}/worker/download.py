"""A document behind a URL, streamed to a file: within limits of size, time and redirects, and never from a private network.

A name is resolved once, every address it has is checked, and the connection goes to the address that was checked, again
for every redirect. Proxies named in the environment are not used, since a proxy resolves names itself; ``SSL_CERT_FILE``
and ``SSL_CERT_DIR`` are.
"""

import asyncio
import functools
import logging
import ssl
import zlib
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Final

import httpx
from ssrfguard import BlockedAddressError, BlockedURLError, SSRFGuardError
from ssrfguard.httpx import AsyncClient

from worker import choices
from worker.errors import InvalidRequest, SourceFailed
from worker.limits import too_large
from worker.networks import PUBLIC, TRUSTED
from worker.settings import MB, Settings

#: Bytes gathered before a thread writes them, and most that one step of decompression yields.
BATCH: Final = 1 << 20
#: Characters of a header that are read: a longer one names no file, and takes the parser long.
HEADER_LIMIT: Final = 1000
#: Seconds for one attempt to connect, so that a host's next address gets its turn within the whole time allowed.
CONNECT_TIMEOUT: Final = 10.0

#: What a sender can do about a status that says no.
STATUS_ADVICE: Final = {
    401: "it wants credentials; give a signed URL or one with user:password@ before the host",
    403: "access is refused; if the URL is signed, it may have expired, so sign a new one",
    404: "there is no such document; check the URL",
    410: "the document is gone; check the URL",
    429: "the server is asked too often; try again later",
}

# httpx logs every URL whole, signature included, as soon as anything turns its level on.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


@dataclass(frozen=True)
class Download:
    """A file that came, where from (safe to log: no credentials, no query), and every hint at its name and media type."""

    path: Path
    origin: str
    names: tuple[str, ...]
    media_type: str


async def download(file_url: str, path: Path, settings: Settings) -> Download:
    """Store what is behind ``file_url`` at ``path``.

    Raises:
        InvalidRequest: the URL is malformed.
        SourceFailed: it cannot be had, is refused, or is too large; the message says which, and what would work.
    """
    url = _parsed(file_url)
    origin = str(url.copy_with(userinfo=b"", query=None, fragment=None))
    try:
        async with (
            asyncio.timeout(settings.source_timeout),
            await _client(settings) as client,
            _response(client, url, settings) as response,
        ):
            _check_response(response, origin, settings)
            offered, media_type = _names_in(response.headers)
            await _store(response, path, settings)
            return Download(path, origin, (offered or "", url.path, response.url.path), media_type)
    except TimeoutError:
        raise SourceFailed(
            f"file_url: {origin} did not arrive within {settings.source_timeout:g} seconds (MINERU_SOURCE_TIMEOUT); "
            "use a faster server, a smaller document or a longer time."
        ) from None
    except httpx.TimeoutException:
        raise SourceFailed(f"file_url: the server of {origin} does not answer; is the URL reachable from the internet?") from None
    except (httpx.RemoteProtocolError, httpx.ReadError) as error:
        raise SourceFailed(
            f"file_url: {origin} did not come whole, the connection broke: {error or type(error).__name__}."
        ) from None
    except httpx.TransportError as error:
        raise SourceFailed(f"file_url: {origin} cannot be reached: {error or type(error).__name__}.") from None


def _names_in(headers: httpx.Headers) -> tuple[str | None, str]:
    """The file name of the Content-Disposition header, None without one, and the media type of the Content-Type header."""
    message = Message()
    for name in ("content-disposition", "content-type"):
        message[name] = headers.get(name, "")[:HEADER_LIMIT]
    return message.get_filename(), message.get_content_type()


def _parsed(file_url: str) -> httpx.URL:
    try:
        url = httpx.URL(file_url.strip())
        host = url.host
    except httpx.InvalidURL as error:
        # What httpx quotes after the colon is part of a password where that holds a slash.
        raise InvalidRequest(f"file_url: this is not a URL: {str(error).partition(':')[0].rstrip('.')}.") from None
    except UnicodeError:  # Of a host such as xn--, which httpx takes at first.
        raise InvalidRequest("file_url: this is not a URL: its host, an internationalised name, cannot be decoded.") from None
    if url.scheme not in ("http", "https") or not host:
        raise InvalidRequest(
            f"file_url: an http or https URL with a host is needed, the scheme {url.scheme!r} and host {host!r} came."
        )
    return url


async def _client(settings: Settings) -> AsyncClient:
    """A client for one job, so that neither cookies nor connections pass from one sender to the next."""
    return AsyncClient(
        policy=TRUSTED if settings.source_allow_private else PUBLIC,
        verify=await asyncio.to_thread(_tls),
        trust_env=False,
        timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT),
        headers={"user-agent": f"{choices.PROJECT}/{choices.TEMPLATE_VERSION}", "accept-encoding": "identity"},
    )


@functools.cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


@asynccontextmanager
async def _response(client: AsyncClient, url: httpx.URL, settings: Settings) -> AsyncIterator[httpx.Response]:
    """The answer to a GET after all redirects, its body unread.

    Redirects are followed here because httpx would read the body of each into memory, whatever its size.
    """
    hop = client.build_request("GET", url)
    for _ in range(settings.source_max_redirects + 1):
        try:
            response = await client.send(hop, stream=True)
        except SSRFGuardError as refused:
            raise _refusal(hop.url.host, refused, settings) from None
        except (UnicodeError, httpx.InvalidURL):
            raise SourceFailed("file_url: it redirects to what is not a URL; give the final URL.") from None
        async with aclosing(response):
            if not response.has_redirect_location:
                yield response
                return
            hop = response.next_request or hop
    raise SourceFailed(
        f"file_url: more than {settings.source_max_redirects} redirects (MINERU_SOURCE_MAX_REDIRECTS); give the final URL."
    )


def _refusal(host: str, refused: SSRFGuardError, settings: Settings) -> SourceFailed:
    """Why ``host`` is not connected to. The address it has is not told: it would map the private network for the sender."""
    by_address = isinstance(refused, BlockedAddressError) or isinstance(refused.__cause__, BlockedAddressError)
    if by_address and settings.source_allow_private:
        return SourceFailed(
            f"file_url: host {host} is on a reserved network, such as that of cloud metadata, which is never read from."
        )
    if by_address:
        return SourceFailed(
            f"file_url: host {host} is on a private network, which this worker does not read from; give a public URL. "
            "For trusted senders, MINERU_SOURCE_ALLOW_PRIVATE=1 on the worker allows private networks."
        )
    reason = refused.reason if isinstance(refused, BlockedURLError) else str(refused)
    return SourceFailed(f"file_url: host {host} is refused: {reason}.")


def _check_response(response: httpx.Response, origin: str, settings: Settings) -> None:
    """Refuse a response that is no document, or says that it is too large, before its body is read."""
    status = response.status_code
    if not response.is_success:
        phrase = httpx.codes.get_reason_phrase(status) or "(no known status)"
        advice = STATUS_ADVICE.get(status, "the server failed; try again later" if status >= 500 else "check the URL")
        raise SourceFailed(f"file_url: {origin} answered {status} {phrase}: {advice}.")
    announced = response.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > settings.max_file_mb * MB:
        raise too_large("file_url", int(announced), settings)


async def _store(response: httpx.Response, path: Path, settings: Settings) -> None:
    """Write the body of ``response`` to ``path`` as it comes, a batch at a time, decompressed where it was sent compressed."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise SourceFailed(
            f"file_url: the server sends the document in content encoding {encoding!r} unasked; gzip is understood, or none."
        )
    batch = bytearray()
    with closing(await asyncio.to_thread(_Sink, path, settings, compressed=encoding not in ("", "identity"))) as sink:
        async for chunk in response.aiter_raw():
            batch += chunk
            if len(batch) >= BATCH:
                await asyncio.to_thread(sink.write, bytes(batch))
                batch.clear()
        await asyncio.to_thread(sink.finish, bytes(batch))


class _Sink:
    """A file being received, which blocks. It holds as many bytes, decompressed, as the settings allow, and never more."""

    def __init__(self, path: Path, settings: Settings, *, compressed: bool) -> None:
        self._file = path.open("wb")
        self._settings = settings
        self._room = int(settings.max_file_mb * MB)
        self._inflater = _inflater() if compressed else None

    def write(self, data: bytes) -> None:
        """Take what came over the wire; raises ``SourceFailed`` when it is too much or not decompressible."""
        if self._inflater is None:
            self._put(data)
            return
        try:
            while data:
                self._put(self._inflater.decompress(data, BATCH))
                data = self._inflater.unconsumed_tail
                if self._inflater.unused_data:
                    data, self._inflater = self._inflater.unused_data, _inflater()
        except zlib.error as error:
            raise SourceFailed(f"file_url: the server's compression of the document is damaged: {error}.") from None

    def finish(self, data: bytes) -> None:
        """Take the last of it; raises ``SourceFailed`` also where a compressed document ends before its end."""
        self.write(data)
        if self._inflater is not None:
            self._put(self._inflater.flush())
            if not self._inflater.eof:
                raise SourceFailed("file_url: the document did not come whole, its compressed form ends early.")
        self.close()

    def close(self) -> None:
        self._file.close()

    def _put(self, data: bytes) -> None:
        self._room -= len(data)
        if self._room < 0:
            raise too_large("file_url", None, self._settings)
        self._file.write(data)


def _inflater() -> "zlib._Decompress":
    """For gzip and zlib streams alike, told apart by their header (32 above the largest window, in zlib's manual)."""
    return zlib.decompressobj(zlib.MAX_WBITS | 32)
