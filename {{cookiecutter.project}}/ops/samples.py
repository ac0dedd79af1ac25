"""The demo's sample documents: a letter, a web page and a table, all about the tides of one invented harbour.

The report among them is made by ``ops.sample_report``.
"""

import csv
import io
import zipfile
from typing import Final

import docx
from docx.document import Document
from docx.enum.style import WD_STYLE_TYPE
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.shared import Mm, Pt, RGBColor

from ops.saltmere import CONSTITUENTS, MEAN_LEVEL, START, turns

ZIP_DATE: Final = (2026, 3, 1, 0, 0, 0)


def table() -> bytes:
    """A tide table as CSV: date, time, kind of water, height in metres."""
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(["Date", "Time (UTC)", "Water", "Height (m)"])
    writer.writerows([f"{turn.time:%Y-%m-%d}", f"{turn.time:%H:%M}", turn.kind, f"{turn.metres:.2f}"] for turn in turns())
    return output.getvalue().encode()


def letter() -> bytes:
    """A letter as DOCX: heading, paragraphs, a table and a list."""
    document = docx.Document()
    _dress(document)
    document.add_paragraph("Saltmere Harbour Office\n3 Old Quay, Saltmere").alignment = WD_ALIGN_PARAGRAPH.RIGHT
    document.add_paragraph("1 March 2026")
    document.add_heading("Berths during the spring tides of March", level=1)
    document.add_paragraph("Dear skippers,")
    document.add_paragraph(
        "the Moon is full on 3 March, and with it the largest tides of the month run through our harbour. At low water the inner "
        "basin will hold less than half a metre. Boats that draw more than that will take the ground, and not all of them gently."
    )
    document.add_paragraph("These are the low waters to mind:")
    low = sorted(sorted((turn for turn in turns() if turn.kind == "low"), key=lambda turn: turn.metres)[:4])
    grid = document.add_table(rows=1, cols=3, style="Table Grid")
    for cell, text in zip(grid.rows[0].cells, ("Day", "Low water (UTC)", "Height (m)"), strict=True):
        cell.paragraphs[0].add_run(text).bold = True
    for turn in low:
        for cell, text in zip(
            grid.add_row().cells, (f"{turn.time:%A %d %B}", f"{turn.time:%H:%M}", f"{turn.metres:.2f}"), strict=True
        ):
            cell.text = text
    document.add_paragraph().add_run("Please do three things before then:")
    for line in (
        "Move deep keels to the outer pontoon, where three metres remain at all times.",
        "Double the lines, and leave them long enough for a fall of five metres.",
        "Tell the office if your boat cannot be moved. We have a tug and a great deal of tea.",
    ):
        document.add_paragraph(line, style="List Number")
    document.add_paragraph("With kind regards,")
    document.add_paragraph("Ines Marlowe\nHarbour master")
    _drop_unused(document)
    return _fixed_zip(document)


def _dress(document: Document) -> None:
    """Page, fonts and properties of the letter; the dates in it are ``START``."""
    section = document.sections[0]
    section.page_width, section.page_height = Mm(210), Mm(297)
    section.left_margin = section.right_margin = section.top_margin = section.bottom_margin = Mm(25)
    document.styles["Normal"].font.name = "Georgia"
    document.styles["Normal"].font.size = Pt(11)
    document.styles["Heading 1"].font.color.rgb = RGBColor(0x12, 0x30, 0x4A)
    properties = document.core_properties
    properties.title, properties.author, properties.comments = "Berths during the spring tides of March", "Ines Marlowe", ""
    properties.created = properties.modified = START


def _drop_unused(document: Document) -> None:
    """Remove what python-docx's own template brings and the letter does not use: nine tenths of its size."""
    for style in list(document.styles):
        if style.type == WD_STYLE_TYPE.TABLE and style.name not in ("Normal Table", "Table Grid"):
            style.delete()
    for part in (document.part, document.part.package):
        for key, relation in list(part.rels.items()):
            if relation.reltype.endswith(("/stylesWithEffects", "/thumbnail", "/customXml")):
                del part.rels[key]


def _fixed_zip(document: Document) -> bytes:
    """The document's bytes with every date in the ZIP fixed and its parts stored as they are."""
    saved, output = io.BytesIO(), io.BytesIO()
    document.save(saved)
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(output, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            target.writestr(zipfile.ZipInfo(name, ZIP_DATE), source.read(name))
    return output.getvalue()


def page() -> bytes:
    """A web page: headings, a list, a table and code."""
    rows = "\n".join(
        f"      <tr><td>{turn.time:%d %B}</td><td>{turn.time:%H:%M}</td><td>{turn.kind}</td><td>{turn.metres:.2f}</td></tr>"
        for turn in turns(2)
    )
    waves = "\n".join(f"    ({period:.4f}, {amplitude:.2f}, {phase:.0f})," for _, _, period, amplitude, phase in CONSTITUENTS)
    return _PAGE.replace("ROWS", rows).replace("WAVES", waves).replace("LEVEL_METRES", str(MEAN_LEVEL)).encode()


_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>Predict a tide yourself</title>
</head>
<body>
  <h1>Predict a tide yourself</h1>
  <p>A tide table looks like magic and is a sum of cosines. With the constituents of a harbour at hand, ten lines of
  Python predict its tide for any hour of any year.</p>

  <h2>What you need</h2>
  <ul>
    <li>the <strong>mean level</strong> of the sea above chart datum,</li>
    <li>for each constituent its <strong>period</strong>, the same all over the world,</li>
    <li>and its <strong>amplitude</strong> and <strong>phase</strong>, which only a tide gauge can tell.</li>
  </ul>

  <h2>The sum</h2>
  <pre><code class="language-python">from math import cos, pi, radians

MEAN_LEVEL = LEVEL_METRES
CONSTITUENTS = [  # period in hours, amplitude in metres, phase in degrees
WAVES
]

def height(hours):
    waves = (a * cos(2 * pi * hours / t - radians(g)) for t, a, g in CONSTITUENTS)
    return MEAN_LEVEL + sum(waves)
</code></pre>

  <h2>Does it work?</h2>
  <p>These are the first high and low waters of March at Saltmere, computed with the function above.</p>
  <table>
    <thead>
      <tr><th>Day</th><th>Time (UTC)</th><th>Water</th><th>Height (m)</th></tr>
    </thead>
    <tbody>
ROWS
    </tbody>
  </table>
  <p>The weather may add or take half a metre: a prediction knows the Moon, but not the wind.</p>
</body>
</html>
"""
