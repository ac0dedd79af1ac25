"""Long PDFs in slices: cut on this machine, so that each job carries only its own pages, and their results made one again.

A slice is named by its first and last page, counted from 1, such as ``51-100``; ``all`` is a document that is not cut. Each slice
is parsed without sight of the others: a paragraph or table that runs over a border stays in two, and running heads, which MinerU
tells by their repetition, need several pages to be told. So slices are as equal as they can be, and none is a short rest.
"""

import io
import json
import re
import shutil
import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pypdfium2

from ops.client import ClientError
from ops.jobs import RUN_LIMIT
from worker.outputs import FILES

WHOLE: Final = "all"

#: Bytes of a file that fits into a job of /run as base64, with room for the job's other fields.
FILE_LIMIT: Final = (RUN_LIMIT - 20_000) * 3 // 4

#: Bytes at the start of a file within which a PDF says what it is (PDF 1.7, appendix H).
HEAD: Final = 1024

#: MinerU 4's names for images say the page, counted from 0.
PAGE_IMAGE: Final = re.compile(r"page_(\d+)_(.+)")
IMAGE_LINK: Final = re.compile(r"\bimages/([^\s\"'()<>\]\\]+)")
#: Lists with an entry for each page: MinerU 4's, and the one of MinerU 3's middle_json.
PAGE_LISTS: Final = frozenset({"pages", "pdf_info", "page_index_map"})
#: What a cut file says of itself and not of the document.
OF_THE_CUT: Final = ("created_at", "modified_at", "creator_application", "producer_application")

#: PDFium must not be called from two threads at once.
_pdfium: Final = threading.Lock()


def plan(path: Path, most_pages: int) -> list[str]:
    """The slices of a document: ``["all"]`` for one that is short, is no PDF, or cannot be opened as one.

    No slice has more than ``most_pages``, and none that can be cut further is a file above ``FILE_LIMIT``.
    """
    with path.open("rb") as file:
        if b"%PDF-" not in file.read(HEAD):
            return [WHOLE]
    with _pdfium:
        try:
            pdf = pypdfium2.PdfDocument(path)
        except pypdfium2.PdfiumError:  # Encrypted or damaged: the worker says which.
            return [WHOLE]
        try:
            count, size = len(pdf), path.stat().st_size
            if not count or (count <= most_pages and size <= FILE_LIMIT):
                return [WHOLE]
            slices = _equal(1, count, max(-(-count // most_pages), min(count, -(-size // FILE_LIMIT))))
            if size > FILE_LIMIT:
                slices = [fitting for first, last in slices for fitting in _fitting(pdf, first, last)]
            return [f"{first}-{last}" for first, last in slices]
        finally:
            pdf.close()


def cut(path: Path, name: str) -> bytes:
    """A slice of a document, as a file of its own; raises ``ClientError`` if PDFium cannot cut it."""
    if name == WHOLE:
        return path.read_bytes()
    with _pdfium:
        try:
            pdf = pypdfium2.PdfDocument(path)
        except pypdfium2.PdfiumError as error:
            raise ClientError(f"{path} has changed since its pages were counted: {error}.") from error
        try:
            return _cut(pdf, *_span(name))
        finally:
            pdf.close()


def stitch(results: Sequence[tuple[str, Path]], target: Path) -> None:
    """Make the result folders of a document's slices, in order and each with its name, one in ``target``, as of the whole document.

    Markdown is joined, pages are numbered through, images named after the page they are on, and what refers to them follows. The
    slices' folders stay as they are.
    """
    target.mkdir(parents=True)
    texts: list[str] = []
    structures: dict[str, list[Any]] = {}
    for name, folder in results:
        before = _span(name)[0] - 1
        images = _copy_images(folder / FILES["images"], target / FILES["images"], before)
        for file in sorted(folder.glob("*")):
            if file.name == FILES["markdown"]:
                texts.append(_relinked(file.read_text("utf-8"), images).strip("\n"))
            elif file.suffix == ".json":
                structures.setdefault(file.name, []).append(_shifted(json.loads(file.read_bytes()), before, images))
    if texts:
        (target / FILES["markdown"]).write_text("\n\n".join(filter(None, texts)), "utf-8")
    for file_name, values in structures.items():
        (target / file_name).write_text(json.dumps(_merged(values), ensure_ascii=False, indent=2), "utf-8")


def _span(name: str) -> tuple[int, int]:
    first, _, last = name.partition("-")
    return int(first), int(last)


def _equal(first: int, last: int, parts: int) -> list[tuple[int, int]]:
    """So many spans that differ by one page at most."""
    count = last - first + 1
    borders = [first + count * number // parts for number in range(parts + 1)]
    return [(begin, end - 1) for begin, end in pairwise(borders)]


def _fitting(pdf: pypdfium2.PdfDocument, first: int, last: int) -> list[tuple[int, int]]:
    """The span, halved as often as it takes for its files to fit into a job; a single page is left as it is."""
    if first == last or len(_cut(pdf, first, last)) <= FILE_LIMIT:
        return [(first, last)]
    return [fitting for span in _equal(first, last, 2) for fitting in _fitting(pdf, *span)]


def _cut(pdf: pypdfium2.PdfDocument, first: int, last: int) -> bytes:
    part, buffer = pypdfium2.PdfDocument.new(), io.BytesIO()
    try:
        part.import_pages(pdf, list(range(first - 1, last)))
        part.save(buffer)
    except pypdfium2.PdfiumError as error:
        raise ClientError(
            f"Pages {first}-{last} cannot be cut out of the PDF: {error}. Send it whole, with more pages per job."
        ) from error
    finally:
        part.close()
    return buffer.getvalue()


def _copy_images(folder: Path, target: Path, before: int) -> dict[str, str]:
    """Copy a slice's images, numbered by the pages of the whole document; returns each one's new name by its old."""
    names: dict[str, str] = {}
    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        name = file.relative_to(folder).as_posix()
        numbered = PAGE_IMAGE.fullmatch(name)
        new = f"page_{int(numbered[1]) + before}_{numbered[2]}" if numbered else name
        if (target / new).exists() and (target / new).read_bytes() != file.read_bytes():
            new = f"from_page_{before + 1}_{name}"
        names[name] = new
        (target / new).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target / new)
    return names


def _relinked(text: str, images: dict[str, str]) -> str:
    return IMAGE_LINK.sub(lambda link: f"images/{images.get(link[1], link[1])}", text)


def _shifted(value: Any, before: int, images: dict[str, str]) -> Any:
    """A slice's structure with the page numbers and image names of the whole document, ``before`` pages further on."""
    if isinstance(value, dict):
        return {
            name: field + before if name == "page_idx" and isinstance(field, int) else _shifted(field, before, images)
            for name, field in value.items()
        }
    if isinstance(value, list):
        return [_shifted(item, before, images) for item in value]
    return _relinked(value, images) if isinstance(value, str) and not value.startswith("data:") else value


def _merged(values: list[Any]) -> Any:
    """The slices' structures as one: lists of pages follow each other, of all else the first one's counts."""
    if isinstance(values[0], list):
        return [item for value in values for item in value]
    names = dict.fromkeys(name for value in values for name in value if name not in OF_THE_CUT)
    return {name: _merged_field(name, [value[name] for value in values if name in value]) for name in names}


def _merged_field(name: str, values: list[Any]) -> Any:
    if name == "page_count":
        return sum(values)
    return _merged(values) if name in PAGE_LISTS or isinstance(values[0], dict) else values[0]
