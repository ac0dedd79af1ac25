"""A job's document, brought to local disk: from a URL, from base64 in the job, or from a mounted volume.

Disk, decoding and detection run in threads.
"""

import asyncio
import base64
import binascii
import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from worker.choices import SUFFIXES
from worker.errors import InvalidRequest, SourceFailed
from worker.limits import check_unpacked, too_large
from worker.request import Request
from worker.settings import MB, Settings

if TYPE_CHECKING:
    from worker.download import Download

Identify = Callable[[Path], str]

WEB_SUFFIXES: Final = frozenset({"html", "htm", "shtml", "mhtml", "mht"})
#: Formats without a signature, which content alone cannot tell from plain text: the file's ending decides.
SEPARATED_SUFFIXES: Final = frozenset({"csv", "tsv"})
#: Media types that stand in for an ending where nothing else has one.
MEDIA_ENDINGS: Final = {"text/csv": ".csv", "text/tab-separated-values": ".tsv"}

#: Bytes at the start of a page in which its title is looked for.
PAGE_HEAD: Final = 1 << 16
#: Titles of pages that stand in for a document: errors, logins, bot checks.
BARRIER_TITLE: Final = re.compile(
    r"^\W*(?:http\s+)?(?:error\s+)?(?:40\d|410|429|50\d)\b"
    r"|\b(?:sign ?in|log ?in|access denied|forbidden|unauthori[sz]ed|(?:page|file) not found|just a moment|attention required)\b",
    re.IGNORECASE,
)
#: The repetitions are bounded so that no page makes the search slow.
TITLE: Final = re.compile(r"<title[^>]{0,200}>([^<]{0,1000})", re.IGNORECASE)
PAGE_START: Final = re.compile(r"<(?:!doctype\s+html|html)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Document:
    """A document on local disk, ready to parse.

    ``suffix`` is MinerU's name for its format ("pdf", "docx", "png"), found from the content; ``size`` is in bytes;
    ``origin`` says where it came from, safe to log (no credentials, no signed query).
    """

    path: Path
    suffix: str
    size: int
    origin: str


async def fetch(request: Request, folder: Path, settings: Settings, identify: Identify) -> Document:
    """Bring the job's document into ``folder``, an empty folder of the job's own, and tell its format.

    ``identify`` names the format of the file at a path, from its content and its name; it runs in a thread. A document
    on a volume is linked, not copied.

    Raises:
        InvalidRequest: the URL, the base64 or the path is malformed.
        SourceFailed: the document cannot be had, is too large, empty, or of a format that MinerU does not parse.
    """
    try:
        if request.file_url is not None:
            # The HTTP client is half of what importing the worker would cost.
            from worker.download import download

            came = await download(request.file_url, folder / "download", settings)
            path, origin = _named(came, request.file_name), came.origin
        elif request.file_b64 is not None:
            path = await asyncio.to_thread(_decode, request.file_b64, request.file_name, folder, settings)
            origin = ""
        else:
            path = await asyncio.to_thread(_link, request.volume_path or "", request.file_name, folder, settings)
            origin = request.volume_path or ""
        return await asyncio.to_thread(_identified, path, origin, settings, identify, from_url=request.file_url is not None)
    except OSError as error:
        raise SourceFailed(f"The document cannot be read or stored on the worker's disk: {error.strerror or error}.") from error


def _named(came: "Download", file_name: str | None) -> Path:
    """The downloaded file under a name whose ending tells its format, as far as anything said it."""
    return came.path.rename(came.path.with_name(local_name(file_name, *came.names, "x" + MEDIA_ENDINGS.get(came.media_type, ""))))


def _decode(text: str, file_name: str | None, folder: Path, settings: Settings) -> Path:
    """The bytes of ``file_b64`` as a file in ``folder``. Tools add line breaks and a data URL's head: both are accepted."""
    head, comma, body = text.partition(",")
    media_type = ""
    if comma and head.lower().startswith("data:") and head.lower().endswith(";base64"):
        media_type = head[len("data:") :].partition(";")[0].lower()
        text = body
    text = "".join(text.split())
    size = len(text) // 4 * 3 - text[-2:].count("=")
    if size > settings.max_base64_mb * MB:
        raise too_large("file_b64", size, settings)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(
            f"file_b64: this is not base64 (A-Z a-z 0-9 + /, = at the end): {_base64_fault(text) or error}."
        ) from None
    path = folder / local_name(file_name, "x" + MEDIA_ENDINGS.get(media_type, ""))
    path.write_bytes(data)
    return path


def _base64_fault(text: str) -> str:
    """What is wrong with ``text`` where that can be told plainly: a foreign character, or a length that padding does not round."""
    foreign = re.search(r"[^A-Za-z0-9+/=]", text)
    if foreign:
        return f"{foreign.group()!r} came as character {foreign.start() + 1}"
    return f"{len(text)} characters came, a multiple of 4 is needed" if len(text) % 4 else ""


def _link(volume_path: str, file_name: str | None, folder: Path, settings: Settings) -> Path:
    """A link in ``folder`` to the file at ``volume_path``, which is taken from a volume root where it is relative."""
    if "\0" in volume_path:
        raise InvalidRequest("volume_path: a path holds no NUL characters.")
    path = _inside(volume_path, [root.resolve() for root in settings.volume_roots])
    if path is None:
        roots = " or ".join(map(str, settings.volume_roots))
        raise SourceFailed(f"volume_path: {volume_path} is not below {roots} (MINERU_VOLUME_ROOTS), links followed.")
    if not path.exists():
        raise SourceFailed(f"volume_path: there is no {volume_path} on the volume; is the volume attached and the file written?")
    if not path.is_file():
        raise SourceFailed(f"volume_path: {volume_path} is {'a folder' if path.is_dir() else 'no regular file'}; name one file.")
    if path.stat().st_size > settings.max_file_mb * MB:
        raise too_large("volume_path", path.stat().st_size, settings)
    link = folder / local_name(file_name, volume_path, path.name)
    link.symlink_to(path)
    return link


def _inside(volume_path: str, roots: list[Path]) -> Path | None:
    """The file meant, links resolved, if it lies below one of ``roots``: the first that exists; None if it lies elsewhere.

    Nothing outside the roots is told apart: a file, none, and a loop of links look the same.
    """
    inside = []
    for root in roots:
        try:
            path = (root / volume_path).resolve()
        except (OSError, RuntimeError):
            continue
        if any(path.is_relative_to(other) for other in roots):
            inside.append(path)
    return next((path for path in inside if path.exists()), inside[0] if inside else None)


def local_name(*hints: str | None) -> str:
    """A file name of our own whose ending, if any, is the first one among the hints that names a supported format.

    Hints are names or paths from outside; nothing but a known ending is taken from them.
    """
    for hint in hints:
        ending = PurePosixPath((hint or "").strip().replace("\\", "/")).suffix.lower()
        if ending.removeprefix(".") in SUFFIXES:
            return f"document{ending}"
    return "document"


def _identified(path: Path, origin: str, settings: Settings, identify: Identify, *, from_url: bool) -> Document:
    """The file at ``path`` as a document of a supported format; its content decides, its ending hints."""
    size = path.stat().st_size
    if not size:
        raise SourceFailed("The document is empty: 0 bytes came.")
    check_unpacked(path, settings)
    try:
        suffix = identify(path)
    except (OSError, ImportError):
        raise
    except Exception as error:
        raise SourceFailed(f"The document is damaged, its format cannot be told: {type(error).__name__}: {error}.") from error
    _refuse_web_page(path, suffix, from_url=from_url)
    if suffix not in SUFFIXES:
        known = ", ".join(sorted(SUFFIXES))
        found = "not recognised" if suffix in ("", "unknown") else suffix
        hint = " For CSV, give a file_name that ends in .csv." if suffix == "txt" else ""
        raise SourceFailed(f"The document's format is {found}, which cannot be parsed; supported are {known}.{hint}")
    return Document(path=path, suffix=suffix, size=size, origin=origin or f"base64 ({size} bytes)")


def _refuse_web_page(path: Path, suffix: str, *, from_url: bool) -> None:
    """Refuse a page where another format was promised, and from a URL also an error or login page where nothing was.

    Detection takes the word of a .csv ending for any text, so there the content is looked at here.
    """
    promised = path.suffix.removeprefix(".")
    if promised in WEB_SUFFIXES or suffix not in WEB_SUFFIXES | SEPARATED_SUFFIXES:
        return
    with path.open("rb") as file:
        head = file.read(PAGE_HEAD).decode("utf-8-sig", errors="replace")
    if suffix in SEPARATED_SUFFIXES and not (head.lstrip().startswith("<") and PAGE_START.search(head, 0, 1000)):
        return
    found = TITLE.search(head)
    title = " ".join(html.unescape(found.group(1)).split())[:100] if found else "none"
    if not promised and not (from_url and BARRIER_TITLE.search(title)):
        return
    raise SourceFailed(
        f"{'The URL returned' if from_url else 'It is'} an HTML page (title: {title}), not a {promised or 'document'}; "
        "give the document itself, such as its direct or signed download link. "
        "If the page is what you want, give a file_name that ends in .html."
    )
