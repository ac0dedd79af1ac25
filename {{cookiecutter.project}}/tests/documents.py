"""Documents that several tests send, and jobs that hold them."""

from pathlib import Path
from typing import Any, Final

from pypdf import PdfReader, PdfWriter

from ops.client import job_input
from ops.local_worker import PROJECT

SAMPLES: Final = PROJECT / "samples"


def sent(path: Path, **wishes: object) -> dict[str, Any]:
    """A job's input with the document inside it."""
    return job_input(path.read_bytes(), path.name, **wishes)


TABLE: Final = sent(SAMPLES / "table.csv")


def long_pdf(folder: Path, pages: int) -> Path:
    """A PDF of that many pages with text layers: seconds of work for the flash tier."""
    writer = PdfWriter()
    page = PdfReader(SAMPLES / "report.pdf").pages[1]
    for _ in range(pages):
        writer.add_page(page)
    path = folder / "long.pdf"
    writer.write(path)
    return path
