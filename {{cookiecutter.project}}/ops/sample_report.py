"""The demo's sample report: three pages with everything a report has, as PDF."""

import io
from typing import Final

from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.enums import TA_JUSTIFY
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, PageBreak, Paragraph, SimpleDocTemplate, Spacer
from reportlab.platypus import Image as Picture

from ops.saltmere import (
    BODY,
    CAPTION,
    DAYS,
    GREY,
    MARGIN,
    NAVY,
    WIDTH,
    constituents_table,
    height,
    jpeg,
    moonrise,
    ruled_table,
    turns,
)

_TITLE: Final = ParagraphStyle("title", fontName="Helvetica-Bold", fontSize=25, leading=31, textColor=NAVY)
_SUBTITLE: Final = ParagraphStyle("subtitle", fontName="Helvetica", fontSize=11.5, leading=16, textColor=GREY)
_HEADING: Final = ParagraphStyle(
    "heading", fontName="Helvetica-Bold", fontSize=15, leading=19, textColor=NAVY, spaceBefore=16, spaceAfter=6
)
_TEXT: Final = ParagraphStyle("text", parent=BODY, alignment=TA_JUSTIFY, spaceAfter=8)
_NOTE: Final = ParagraphStyle("note", parent=CAPTION, spaceBefore=5, spaceAfter=10)


def report() -> bytes:
    """A report of three pages as PDF: headings, paragraphs, tables, a chart, a picture and page numbers."""
    output = io.BytesIO()
    document = SimpleDocTemplate(
        output,
        pagesize=A4,
        leftMargin=MARGIN - 6,  # the frame adds 6 points
        rightMargin=MARGIN - 6,
        topMargin=26 * mm,
        bottomMargin=26 * mm,
        title="The Tides of Saltmere Harbour",
        author="Saltmere Harbour Office",
        invariant=1,
        pageCompression=0,
    )
    document.build(
        [*_first_page(), PageBreak(), *_second_page(), PageBreak(), *_third_page()], onFirstPage=_footer, onLaterPages=_footer
    )
    return output.getvalue()


def _footer(canvas: Canvas, document: SimpleDocTemplate) -> None:
    canvas.setStrokeColor(GREY)
    canvas.setLineWidth(0.4)
    canvas.line(MARGIN, 19 * mm, A4[0] - MARGIN, 19 * mm)
    canvas.setFont("Helvetica", 8.5)
    canvas.setFillColor(GREY)
    canvas.drawString(MARGIN, 14 * mm, "The Tides of Saltmere Harbour")
    canvas.drawRightString(A4[0] - MARGIN, 14 * mm, str(document.page))


def _first_page() -> list[Flowable]:
    return [
        Paragraph("The Tides of Saltmere Harbour", _TITLE),
        Spacer(0, 4),
        Paragraph("How a tide table is made, and how far it can be trusted. Harbour Office, spring 2026.", _SUBTITLE),
        Spacer(0, 16),
        Picture(jpeg(moonrise(900, 340), 84).fp, WIDTH, WIDTH * 340 / 900),
        Paragraph("Figure 1. Moonrise over the outer basin, an hour after high water.", _NOTE),
        Paragraph("Summary", _HEADING),
        Paragraph(
            "Saltmere stands on a coast where the sea rises and falls by up to five metres in a quarter of a day. Ships, mussel "
            "farmers and children with buckets plan by the tide table. This report explains where its numbers come from: five "
            "regular waves, added up. It then compares a fortnight of predictions with what the weather can do to them.",
            _TEXT,
        ),
        Paragraph("1. Why the sea rises twice a day", _HEADING),
        Paragraph(
            "The Moon pulls at every part of the Earth, and it pulls hardest at the side that faces it. The ocean there is "
            "drawn ahead of the solid Earth; on the far side the Earth is drawn ahead of the ocean. Two bulges of water are "
            "left, and the Earth turns beneath both of them in a little more than a day. A harbour therefore meets high water"
            " every 12 hours and 25 minutes, about 50 minutes later on each following day, because the Moon moves on while "
            "the Earth turns.",
            _TEXT,
        ),
        Paragraph(
            "The Sun raises bulges of its own. It is far heavier than the Moon and much farther away, and distance counts "
            "three times: the force that raises tides falls with the third power of it. What is left is a solar tide a little"
            " under half the size of the lunar one. The two wander through each other, and the harbour sees their sum.",
            _TEXT,
        ),
    ]


def _second_page() -> list[Flowable]:
    return [
        Paragraph("2. Five waves make a harbour's tide", _HEADING),
        Paragraph(
            "The bulges do not travel freely. Coasts hold them back, bays make them resonate, and every harbour answers in "
            "its own way. What stays the same everywhere is the set of periods, since these are given by the orbits. A tide "
            "gauge that has been read for a year tells the rest: how strongly, and how late, the harbour answers to each "
            "period. Table 1 lists the five strongest waves at Saltmere.",
            _TEXT,
        ),
        constituents_table(),
        Paragraph("Table 1. Tidal constituents at Saltmere, from gauge readings.", _NOTE),
        Paragraph("3. Springs and neaps", _HEADING),
        Paragraph(
            "The lunar wave M2 and the solar wave S2 differ by 25 minutes in period. They drift in and out of step once in "
            "14.8 days. When they agree, the tides are large and are called springs; when they oppose each other the tides "
            "are small and are called neaps. Figure 2 shows both within a single fortnight.",
            _TEXT,
        ),
        Picture(jpeg(chart(), 88).fp, WIDTH, WIDTH * 0.46),
        Paragraph("Figure 2. Predicted height of the tide over fifteen days, in metres above chart datum.", _NOTE),
    ]


def _third_page() -> list[Flowable]:
    highest = sorted(turns(), key=lambda turn: -turn.metres)[:3]
    lowest = sorted(turns(), key=lambda turn: turn.metres)[:3]
    rows = [["Date", "Time (UTC)", "Water", "Height (m)"]]
    rows += [[f"{turn.time:%d %B}", f"{turn.time:%H:%M}", turn.kind, f"{turn.metres:.2f}"] for turn in (*highest, *lowest)]
    return [
        Paragraph("4. The extremes of the fortnight", _HEADING),
        Paragraph(
            "Harbour works are planned around the extremes. The slipway can be repaired only when the water stays below one "
            "metre, and the quay of the old town is wetted when it passes five and a half. Table 2 gives the three highest "
            "and the three lowest waters between 1 and 15 March.",
            _TEXT,
        ),
        ruled_table(rows, [WIDTH / 4] * 4),
        Paragraph("Table 2. Highest and lowest predicted waters, 1 to 15 March.", _NOTE),
        Paragraph("5. What a table cannot know", _HEADING),
        Paragraph(
            "A prediction knows the heavens and nothing of the weather. Low air pressure lets the sea rise: one hectopascal "
            "is worth about one centimetre. A gale from the south-west piles up water against the coast, and in a shallow bay"
            " it may add half a metre. Such a surge is harmless at neaps. On top of a spring tide it floods the fish market, "
            "as it has done four times since the gauge was built.",
            _TEXT,
        ),
        Paragraph("6. Recommendations", _HEADING),
        *(
            Paragraph(line, _TEXT, bulletText="•")
            for line in (
                "Read the pressure together with the table, and add a centimetre for every hectopascal below 1013.",
                "Close the barrier when prediction and surge together pass 5.8 metres.",
                "Measure the constituents again after the outer mole has been extended, since it will change how the bay answers.",
            )
        ),
        Spacer(0, 14),
        Paragraph(
            "Saltmere is an invented harbour. The periods are astronomical, the amplitudes typical of the western Channel.", CAPTION
        ),
    ]


def chart(width: int = 1380, height_px: int = 635) -> Image.Image:
    """The tide of ``DAYS`` days as a line chart, in pixels; drawn at twice the size and reduced, for smooth lines."""
    image = Image.new("RGB", (width * 2, height_px * 2), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(46)
    left, right, top, bottom = 130, width * 2 - 30, 40, height_px * 2 - 150

    def point(hours: float, metres: float) -> tuple[float, float]:
        return left + (right - left) * hours / (DAYS * 24), bottom - (bottom - top) * metres / 6

    for metres in range(7):
        draw.line((point(0, metres), point(DAYS * 24, metres)), fill="#d5dde1" if metres else "#5c6b73", width=3)
        draw.text((left - 25, point(0, metres)[1]), str(metres), font=font, fill="#5c6b73", anchor="rm")
    for day in range(0, DAYS, 2):
        draw.text((point(day * 24 + 12, 0)[0], bottom + 22), f"{day + 1} March", font=font, fill="#5c6b73", anchor="ma")
    curve = [point(quarter / 4, height(quarter / 4)) for quarter in range(DAYS * 24 * 4 + 1)]
    draw.polygon([(left, bottom), *curve, (right, bottom)], fill="#e8f1f5")
    draw.line(curve, fill="#2a6f97", width=6, joint="curve")
    draw.line((point(0, 0), point(DAYS * 24, 0)), fill="#5c6b73", width=3)
    draw.text(((left + right) / 2, bottom + 88), "Height in metres above chart datum", font=font, fill="#12304a", anchor="ma")
    return image.resize((width, height_px), Image.Resampling.BOX)
