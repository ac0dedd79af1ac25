"""The documents that ship with the worker, made by a script: ``python -m ops.fixture`` writes them all again.

``worker/fixture.pdf`` is the page that the warm-up parses. It holds one of everything a tier treats in its own way: a
heading, a paragraph, a ruled table, a formula and an image. It has a text layer, and enough text that MinerU's flash tier
reads that layer and asks for no OCR model (MinerU counts a page of fewer than 50 characters as a scan).
``samples/`` holds what the demo parses; ``ops/samples.py`` and ``ops/sample_report.py`` make them.

The bytes are the same on every machine with the same reportlab, Pillow and python-docx: no dates, no random ids, and
nothing compressed by zlib, whose output differs between builds of Python.
"""

import io
from pathlib import Path
from typing import Final

from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, Table

from ops import sample_report, samples
from ops.saltmere import BODY, CAPTION, MARGIN, NAVY, WIDTH, constituents_table, jpeg, moonrise

PROJECT: Final = Path(__file__).parent.parent

_INTRODUCTION: Final = (
    "Twice a day the sea at Saltmere rises by up to five metres and falls again. The Moon causes most of it: water on "
    "the near side of the Earth is pulled a little more strongly than the Earth itself, water on the far side a little less, "
    "and the difference raises two bulges under which the harbour turns. The Sun does the same with less than half the "
    "force, so that tides are largest when the two stand in line."
)
_EXPLANATION: Final = (
    "The pull that raises the tide grows with the mass <i>M</i> of the body that causes it and with the radius <i>r</i> of the "
    "Earth, and it falls with the third power of the distance <i>d</i>:"
)
_SUM: Final = "The tide in the harbour is a sum of waves, each with a period set by the heavens and an amplitude set by the coast:"


def formula(canvas: Canvas, x: float, y: float, size: float) -> None:
    """Draw the tidal acceleration as a fraction, its axis at ``y``, starting at ``x``; ``size`` is the font's, in points."""
    canvas.setFillColor(NAVY)
    canvas.setStrokeColor(NAVY)
    canvas.setFont("Times-Italic", size)
    canvas.drawString(x, y - size * 0.3, "a")
    canvas.setFont("Times-Roman", size)
    canvas.drawString(x + size * 0.8, y - size * 0.3, "=")
    numerator = x + size * 1.75
    canvas.drawString(numerator, y + size * 0.28, "2")
    canvas.setFont("Times-Italic", size)
    canvas.drawString(numerator + size * 0.55, y + size * 0.28, "GMr")
    right = numerator + size * 0.55 + canvas.stringWidth("GMr", "Times-Italic", size)
    middle = (numerator + right) / 2
    canvas.setLineWidth(size * 0.05)
    canvas.line(numerator - size * 0.1, y, right + size * 0.1, y)
    canvas.drawString(middle - size * 0.42, y - size * 0.95, "d")
    canvas.setFont("Times-Roman", size * 0.65)
    canvas.drawString(middle + size * 0.12, y - size * 0.6, "3")


def fixture() -> bytes:
    """The warm-up's page as a PDF."""
    output = io.BytesIO()
    canvas = Canvas(output, pagesize=A4, invariant=1, pageCompression=0)
    canvas.setTitle("Tides at Saltmere")
    canvas.setFillColor(NAVY)
    canvas.setFont("Helvetica-Bold", 22)
    canvas.drawString(MARGIN, A4[1] - 36 * mm, "Tides at Saltmere")
    top = _place(canvas, Paragraph(_INTRODUCTION, BODY), A4[1] - 44 * mm)
    top = _section(canvas, "What raises the tide", top - 12 * mm)
    top = _place(canvas, Paragraph(_EXPLANATION, BODY), top)
    formula(canvas, A4[0] / 2 - 18 * mm, top - 12 * mm, 17)
    top = _section(canvas, "What the harbour adds up", top - 32 * mm)
    top = _place(canvas, Paragraph(_SUM, BODY), top)
    top = _place(canvas, constituents_table(), top - 3 * mm)
    picture = WIDTH * 0.36
    top -= 8 * mm + picture
    canvas.drawImage(jpeg(moonrise(640, 230), 82), MARGIN, top, WIDTH, picture)
    _place(canvas, Paragraph("Figure 1. The Moon over Saltmere an hour after high water.", CAPTION), top - 2 * mm)
    canvas.showPage()
    canvas.save()
    return output.getvalue()


def _section(canvas: Canvas, title: str, top: float) -> float:
    """Draw a section's heading at ``top``, in points; returns where its text begins."""
    canvas.setFillColor(NAVY)
    canvas.setFont("Helvetica-Bold", 14)
    canvas.drawString(MARGIN, top, title)
    return float(top - 3 * mm)


def _place(canvas: Canvas, flowable: Paragraph | Table, top: float) -> float:
    """Draw a paragraph or table below ``top``, in points; returns its lower edge."""
    _, depth = flowable.wrapOn(canvas, WIDTH, A4[1])
    flowable.drawOn(canvas, MARGIN, top - depth)
    return top - float(depth)


def documents() -> dict[str, bytes]:
    """Every document this script makes: its path within the project and its bytes."""
    return {
        "worker/fixture.pdf": fixture(),
        "samples/report.pdf": sample_report.report(),
        "samples/letter.docx": samples.letter(),
        "samples/page.html": samples.page(),
        "samples/table.csv": samples.table(),
    }


if __name__ == "__main__":
    for name, data in documents().items():
        path = PROJECT / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        print(f"{name}: {len(data)} bytes")
