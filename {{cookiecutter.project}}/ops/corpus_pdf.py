"""PDF that mean harm or are broken, object by object; ``ops.corpus`` lists them."""

import zlib
from typing import Final

#: Bytes that the bombs unpack to.
BOMB: Final = 500_000_000
#: Pages of the long PDF, points of the huge page's sides, and depth of what is nested.
PAGES: Final = 10_000
SIDE: Final = 1_000_000
DEPTH: Final = 50_000

SPACES: Final = b" " * 1_000_000


def pdf(*objects: bytes, trailer: bytes = b"") -> bytes:
    """A PDF of these objects, numbered from 1; the first is its catalogue. The cross-reference table is right."""
    content, places = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(content)
    content += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    content += b"".join(b"%010d 00000 n \n" % place for place in places)
    content += b"trailer\n<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start)
    return bytes(content)


def stream(data: bytes, entries: bytes = b"") -> bytes:
    """A stream object."""
    return b"<</Length %d%s>>stream\n%s\nendstream" % (len(data), entries, data)


CATALOGUE: Final = b"<</Type/Catalog/Pages 2 0 R>>"
ONE_PAGE: Final = b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
PAGE: Final = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F 5 0 R>>>>/Contents 4 0 R>>"
FONT: Final = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
#: Enough words for a text layer: a page with less is read by OCR.
LINE: Final = b"Untrusted words that a parser of documents from strangers must live through."
TEXT: Final = b"BT /F 12 Tf 14 TL 72 720 Td %s ET" % (b"(%s) ' " % LINE * 12)


def sound_pdf() -> bytes:
    """One page of text with nothing wrong, which the others are made from."""
    return pdf(CATALOGUE, ONE_PAGE, PAGE, stream(TEXT), FONT)


def encrypted_pdf() -> bytes:
    """Encrypted, with a password that nobody knows."""
    keys = b"<</Filter/Standard/V 2/R 3/Length 128/P -4/O(%s)/U(%s)>>" % (b"o" * 32, b"u" * 32)
    identity = b"/Encrypt 6 0 R/ID[<00112233445566778899aabbccddeeff><00112233445566778899aabbccddeeff>]"
    return pdf(CATALOGUE, ONE_PAGE, PAGE, stream(TEXT), FONT, keys, trailer=identity)


def pdf_of_no_page() -> bytes:
    """A page tree without a page."""
    return pdf(CATALOGUE, b"<</Type/Pages/Kids[]/Count 0>>")


def pdf_of_many_pages() -> bytes:
    """``PAGES`` entries in the page tree, all the same page."""
    kids = b" ".join([b"3 0 R"] * PAGES)
    return pdf(CATALOGUE, b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, PAGES), PAGE, stream(TEXT), FONT)


def pdf_of_a_huge_page() -> bytes:
    """A page of ``SIDE`` points, 350 m, each way."""
    return pdf(CATALOGUE, ONE_PAGE, PAGE.replace(b"595 842", b"%d %d" % (SIDE, SIDE)), stream(TEXT), FONT)


def pdf_with_a_page_tree_in_a_circle() -> bytes:
    """A page tree that is its own child."""
    return pdf(CATALOGUE, b"<</Type/Pages/Kids[2 0 R 3 0 R]/Count 2>>", PAGE, stream(TEXT), FONT)


def pdf_with_a_form_that_draws_itself() -> bytes:
    """A form XObject whose content draws that form."""
    return _with_form(b"/X Do")


def pdf_with_a_form_that_draws_itself_twice() -> bytes:
    """The same, twice at each level: PDFium follows 2 to the power of its levels, until time or memory end it."""
    return _with_form(b"/X Do /X Do")


def _with_form(content: bytes) -> bytes:
    page = PAGE.replace(b"/Resources<<", b"/Resources<</XObject<</X 6 0 R>>")
    form = stream(content, b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 6 0 R>>>>")
    return pdf(CATALOGUE, ONE_PAGE, page, stream(TEXT + b" /X Do"), FONT, form)


def pdf_with_nested_arrays() -> bytes:
    """An array in an array, ``DEPTH`` deep."""
    return pdf(CATALOGUE, ONE_PAGE, PAGE[:-2] + b"/A %s%s>>" % (b"[" * DEPTH, b"]" * DEPTH), stream(TEXT), FONT)


def pdf_bomb() -> bytes:
    """A page whose content inflates to ``BOMB`` bytes of spaces."""
    return pdf(CATALOGUE, ONE_PAGE, PAGE, stream(_deflated(TEXT), b"/Filter/FlateDecode"), FONT)


def pdf_with_a_wrong_table() -> bytes:
    """A cross-reference table, a length and a page count that lie."""
    sound = sound_pdf().replace(b"/Count 1>>", b"/Count 999999999>>").replace(b"/Length %d" % len(TEXT), b"/Length 99999999")
    return sound.replace(b"startxref\n", b"startxref\n9")


def pdf_that_runs_and_sends() -> bytes:
    """A PDF that asks its reader to run JavaScript, to start a program and to open a URL."""
    action = b"<</S/JavaScript/JS(app.launchURL('http://127.0.0.1:9/'))/Next<</S/Launch/F(/bin/sh)>>>>"
    return pdf(CATALOGUE[:-2] + b"/OpenAction 6 0 R>>", ONE_PAGE, PAGE, stream(TEXT), FONT, action)


def _deflated(first: bytes) -> bytes:
    """``first`` and spaces after it, ``BOMB`` bytes in all, compressed without holding them."""
    compressor = zlib.compressobj()
    parts = [compressor.compress(first)]
    parts += [compressor.compress(SPACES) for _ in range(BOMB // len(SPACES))]
    return b"".join([*parts, compressor.flush()])
