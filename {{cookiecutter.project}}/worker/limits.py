"""How large a document may be, by the way it comes, once it is unpacked, and in pages; and what is said of one that is larger."""

import zipfile
from pathlib import Path
from typing import Final

from worker.errors import InvalidRequest, SourceFailed
from worker.settings import MB, Settings

#: Bytes that an archive may unpack to for each of its own, as in Apache POI's ZipSecureFile (1:0.01), and bytes that it may
#: unpack to in any case: a short document of much repetition is no bomb.
MOST_UNPACKED_PER_BYTE: Final = 100
SPARED: Final = 20 * MB


def too_large(field: str, size: int | None, settings: Settings) -> SourceFailed:
    """``size`` in bytes, None where reading stopped at the limit."""
    name, limit = (
        ("MINERU_MAX_BASE64_MB", settings.max_base64_mb) if field == "file_b64" else ("MINERU_MAX_FILE_MB", settings.max_file_mb)
    )
    came = "more" if size is None else f"{size / MB:.1f} MB"
    other = "send it as file_url or volume_path instead" if field == "file_b64" else "send a smaller document or split it"
    return SourceFailed(f"{field}: a document of at most {limit:g} MB ({name}) is accepted, {came} came; {other}.")


def check_unpacked(path: Path, settings: Settings) -> None:
    """Refuse a zip file, which Office documents and e-books are, that unpacks to too much: MinerU reads its parts into memory.

    Only its table of contents is read. That is enough, since Python's zipfile gives no more of a part than is announced there.
    A file that is no zip file, or a damaged one, is left to those who tell formats.

    Raises:
        SourceFailed: with the size that it has unpacked, and the limit.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(part.file_size for part in archive.infolist())
    except OSError:
        raise
    except Exception:  # zipfile raises what it stumbles over: BadZipFile, ValueError, struct.error, NotImplementedError.
        return
    if unpacked > settings.max_file_mb * MB:
        limit = f"at most {settings.max_file_mb:g} MB (MINERU_MAX_FILE_MB)"
    elif unpacked > max(SPARED, MOST_UNPACKED_PER_BYTE * path.stat().st_size):
        limit = f"at most {MOST_UNPACKED_PER_BYTE} times its size"
    else:
        return
    raise SourceFailed(
        f"The document is a zip file that unpacks to {unpacked / MB:,.0f} MB, {limit} is accepted; "
        "send a smaller document or split it."
    )


def check_pages(pages: int, settings: Settings) -> None:
    """Refuse more pages than the worker parses in one job, before any work is done.

    Raises:
        InvalidRequest: with both numbers.
    """
    if settings.max_pages and pages > settings.max_pages:
        raise InvalidRequest(
            f"page_range: {pages} pages are asked for, this worker parses at most {settings.max_pages} in one job; send a part."
        )
