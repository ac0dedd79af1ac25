"""What the documents share: the tide of an invented harbour, its pictures and tables, and the look of a page."""

import datetime
import io
import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from PIL import Image, ImageDraw
from reportlab import rl_config
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.platypus import Table

#: Tidal constituents of an invented harbour: name, period in hours (astronomical, so real), amplitude in metres and
#: phase in degrees (both typical of the western English Channel).
CONSTITUENTS: Final = (
    ("M2", "principal lunar", 12.4206, 1.72, 142.0),
    ("S2", "principal solar", 12.0000, 0.60, 187.0),
    ("N2", "lunar elliptic", 12.6583, 0.33, 121.0),
    ("K1", "lunisolar daily", 23.9345, 0.08, 108.0),
    ("O1", "lunar daily", 25.8193, 0.05, 341.0),
)
#: Mean sea level above chart datum, in metres.
MEAN_LEVEL: Final = 2.95
#: Hour 0 of ``height``. The documents carry this date and no other, so that they never change.
START: Final = datetime.datetime(2026, 3, 1)
DAYS: Final = 15

NAVY: Final = HexColor("#12304a")
BLUE: Final = HexColor("#2a6f97")
PALE: Final = HexColor("#e8f1f5")
GREY: Final = HexColor("#5c6b73")

BODY: Final = ParagraphStyle("body", fontName="Times-Roman", fontSize=11, leading=15.5, textColor=HexColor("#1d2529"))
CAPTION: Final = ParagraphStyle("caption", fontName="Helvetica-Oblique", fontSize=8.5, leading=11, textColor=GREY)

MARGIN: Final = 25 * mm
WIDTH: Final = A4[0] - 2 * MARGIN


def height(hours: float) -> float:
    """Height of the tide in metres above chart datum, ``hours`` after midnight on the first of the month."""
    return MEAN_LEVEL + sum(
        amplitude * math.cos(2 * math.pi * hours / period - math.radians(phase)) for _, _, period, amplitude, phase in CONSTITUENTS
    )


class Turn(NamedTuple):
    """A high or low water: its time, its height in metres above chart datum, and which of the two it is."""

    time: datetime.datetime
    metres: float
    kind: str


def turns(days: int = DAYS) -> Iterator[Turn]:
    """Every high and low water of the first ``days`` days, to the minute."""
    levels = [height(minute / 60) for minute in range(days * 24 * 60 + 1)]
    for minute in range(1, len(levels) - 1):
        before, level, after = levels[minute - 1 : minute + 2]
        if before < level >= after or before > level <= after:
            yield Turn(START + datetime.timedelta(minutes=minute), level, "high" if before < level else "low")


def jpeg(image: Image.Image, quality: int) -> ImageReader:
    """The image as JPEG, which a PDF holds as it is."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality, subsampling=0)
    data.seek(0)
    rl_config.useA85 = 0  # binary, a fifth smaller than as ASCII
    return ImageReader(data)


def ruled_table(rows: list[list[str]], widths: list[float]) -> Table:
    """A table with every line drawn and the first row as its header; ``widths`` in points."""
    return Table(
        rows,
        colWidths=widths,
        rowHeights=20,
        style=[
            ("FONT", (0, 0), (-1, -1), "Helvetica", 9.5),
            ("FONT", (0, 0), (-1, 0), "Helvetica-Bold", 9.5),
            ("TEXTCOLOR", (0, 0), (-1, 0), NAVY),
            ("BACKGROUND", (0, 0), (-1, 0), PALE),
            ("GRID", (0, 0), (-1, -1), 0.6, GREY),
            ("ALIGN", (-2, 0), (-1, -1), "RIGHT"),
            ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
        ],
    )


def constituents_table() -> Table:
    """The constituents of Saltmere as a ruled table as wide as the text."""
    rows = [["Constituent", "Cause", "Period (hours)", "Amplitude (m)"]]
    rows += [[name, cause, f"{period:.4f}", f"{amplitude:.2f}"] for name, cause, period, amplitude, _ in CONSTITUENTS]
    return ruled_table(rows, [WIDTH * share for share in (0.2, 0.34, 0.23, 0.23)])


def moonrise(width: int, height_px: int) -> Image.Image:
    """A full Moon over the sea at dusk, in pixels; drawn, so that nobody else's picture has to be shipped."""
    image = Image.new("RGB", (width, height_px))
    draw = ImageDraw.Draw(image)
    horizon = height_px * 62 // 100
    for y in range(horizon):
        share = y / horizon
        draw.line((0, y, width, y), fill=(int(24 + 190 * share), int(38 + 110 * share), int(82 + 58 * share)))
    moon, radius = (width * 68 // 100, height_px * 30 // 100), height_px // 9
    glow = Image.new("L", image.size)
    for size in range(radius * 2, radius, -1):
        ImageDraw.Draw(glow).ellipse(_circle(*moon, size), fill=int(130 * (2 - size / radius) ** 2))
    image.paste((250, 230, 200), mask=glow)
    draw.ellipse(_circle(*moon, radius), fill=(250, 244, 224))
    for right, down, crater in ((-0.3, -0.2, 0.22), (0.25, 0.1, 0.28), (-0.1, 0.45, 0.18)):
        draw.ellipse(
            _circle(moon[0] + int(right * radius), moon[1] + int(down * radius), int(crater * radius)), fill=(232, 222, 198)
        )
    for y in range(horizon, height_px):
        share = (y - horizon) / (height_px - horizon)
        draw.line((0, y, width, y), fill=(int(40 - 22 * share), int(78 - 40 * share), int(112 - 46 * share)))
        if (y - horizon) % 6 < 3:
            half = int(radius * (0.5 + share) * (0.75 + 0.25 * math.sin(y * 1.7)))
            draw.line(
                (moon[0] - half, y, moon[0] + half, y), fill=(int(226 - 60 * share), int(212 - 52 * share), int(180 - 30 * share))
            )
    return image


def _circle(x: int, y: int, radius: int) -> tuple[int, int, int, int]:
    return (x - radius, y - radius, x + radius, y + radius)
