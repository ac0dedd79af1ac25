"""Documents that mean harm or are broken, made by a script: what a parser of untrusted documents must live through.

python -m ops.corpus FOLDER    # writes them all, about 3 MB
"""

import io
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from ops.corpus_pdf import (
    BOMB,
    DEPTH,
    encrypted_pdf,
    pdf_bomb,
    pdf_of_a_huge_page,
    pdf_of_many_pages,
    pdf_of_no_page,
    pdf_that_runs_and_sends,
    pdf_with_a_form_that_draws_itself,
    pdf_with_a_form_that_draws_itself_twice,
    pdf_with_a_page_tree_in_a_circle,
    pdf_with_a_wrong_table,
    pdf_with_nested_arrays,
    sound_pdf,
)

Make = Callable[[], bytes]

PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
DOCUMENT: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
WORD: Final = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
WORD_TYPE: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"


def docx(body: bytes, head: bytes = b"", others: dict[str, bytes] | None = None) -> bytes:
    """A Word document with ``body`` inside its w:body, ``head`` before its root element, and ``others`` as further parts."""
    types = f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
    types += f'relationships+xml"/><Override PartName="/word/document.xml" ContentType="{WORD_TYPE}"/></Types>'
    relations = (
        f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" Type="{DOCUMENT}" Target="word/document.xml"/>'
    )
    main = b'%s<w:document xmlns:w="%s"><w:body>%s</w:body></w:document>' % (head, WORD.encode(), body)
    parts = {"[Content_Types].xml": types.encode(), "_rels/.rels": (relations + "</Relationships>").encode()}
    return _zip({**parts, "word/document.xml": main, **(others or {})})


def paragraph(text: bytes) -> bytes:
    """A paragraph of a Word document."""
    return b"<w:p><w:r><w:t>%s</w:t></w:r></w:p>" % text


def docx_bomb() -> bytes:
    """A Word document of half a megabyte whose XML inflates to ``BOMB`` bytes."""
    return docx(paragraph(b" " * BOMB))


def docx_with_a_bomb_beside_it() -> bytes:
    """A Word document in order, with a part that nothing refers to and that inflates to ``BOMB`` bytes."""
    return docx(paragraph(b"Small"), others={"word/media/unused.bin": b"\0" * BOMB})


def docx_with_a_bomb_in_its_table_of_contents() -> bytes:
    """The bomb is the part by which formats are told apart, which is read before anything else."""
    return _zip({"[Content_Types].xml": b" " * BOMB, "_rels/.rels": b"<a/>", "word/document.xml": b"<a/>"})


def docx_of_laughs() -> bytes:
    """Entities of entities, a thousand million in the end: the billion laughs attack."""
    entities = b'<!ENTITY e0 "laugh">' + b"".join(b'<!ENTITY e%d "%s">' % (n, b"&e%d;" % (n - 1) * 10) for n in range(1, 10))
    return docx(paragraph(b"&e9;"), b"<!DOCTYPE d [%s]>" % entities)


def docx_that_reads_files() -> bytes:
    """An external entity for a file of the worker's machine."""
    return docx(paragraph(b"Host: &file;"), b'<!DOCTYPE d [<!ENTITY file SYSTEM "file:///etc/passwd">]>')


def docx_that_links_files() -> bytes:
    """Pictures that are links, to a file of the worker's machine and to cloud metadata."""
    drawing, relationships = WORD.replace("wordprocessingml/2006/main", "drawingml/2006"), DOCUMENT.removesuffix("/officeDocument")
    targets = ("file:///etc/passwd", "/etc/passwd", "http://169.254.169.254/latest/meta-data")
    blip = (
        '<w:r><w:drawing><wp:inline xmlns:wp="{0}/wordprocessingDrawing"><wp:extent cx="9525" cy="9525"/><wp:docPr id="1" name=""/>'
        '<a:graphic xmlns:a="{0}/main"><a:graphicData uri="{0}/picture"><pic:pic xmlns:pic="{0}/picture"><pic:blipFill>'
        '<a:blip xmlns:r="{1}" r:link="p{2}"/></pic:blipFill></pic:pic></a:graphicData></a:graphic></wp:inline></w:drawing></w:r>'
    )
    pictures = "".join(blip.format(drawing, relationships, number) for number in range(len(targets)))
    links = "".join(
        f'<Relationship Id="p{number}" Type="{relationships}/image" Target="{target}" TargetMode="External"/>'
        for number, target in enumerate(targets)
    )
    part = f'<Relationships xmlns="{PACKAGE}/relationships">{links}</Relationships>'.encode()
    body = paragraph(b"Pictures") + b"<w:p>%s</w:p>" % pictures.encode()
    return docx(body, others={"word/_rels/document.xml.rels": part})


def docx_with_nested_tables() -> bytes:
    """A table in a table, ``DEPTH`` deep."""
    return docx(b"<w:tbl><w:tr><w:tc>" * DEPTH + paragraph(b"Deep") + b"</w:tc></w:tr></w:tbl>" * DEPTH)


def docx_with_parts_that_climb() -> bytes:
    """Parts whose names lead out of the archive."""
    return docx(paragraph(b"Small"), others={"../../../tmp/climbed.txt": b"out", "/etc/climbed": b"out"})


def pdf_and_zip() -> bytes:
    """A PDF that is a zip file too."""
    return sound_pdf() + _zip({"readme.txt": b"Which am I?"})


def page_with_nested_elements() -> bytes:
    """A web page of elements in elements, ``DEPTH`` deep."""
    return b"<!doctype html><html><head><title>Deep</title></head><body>%s Deep%s</body></html>" % (
        b"<div>" * DEPTH,
        b"</div>" * DEPTH,
    )


def page_that_reads_and_asks() -> bytes:
    """A web page with pictures from the worker's disk and from cloud metadata, and a script."""
    pictures = (
        b"<img src='file:///etc/passwd'><img src='http://169.254.169.254/latest/meta-data'><object data='/etc/passwd'></object>"
    )
    return (
        b"<!doctype html><html><head><title>Pictures</title></head><body>Look%s<script>alert(1)</script></body></html>" % pictures
    )


def table_of_one_wide_row() -> bytes:
    """A table as CSV of one row with a million cells."""
    return b"a,b\n" + b"1," * 1_000_000


def rtf_with_nested_groups() -> bytes:
    """A rich text of groups in groups, ``DEPTH`` deep."""
    return b"{\\rtf1 " + b"{" * DEPTH + b"Deep" + b"}" * DEPTH + b"}"


def picture_of_many_pixels() -> bytes:
    """A PNG of a few bytes that says it has 60,000 pixels each way."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (60_000).to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


#: Every document by its file name, but one.
DOCUMENTS: Final[dict[str, Make]] = {
    "empty.pdf": lambda: b"",
    "truncated.pdf": lambda: sound_pdf()[:300],
    "malformed.pdf": lambda: b"%PDF-1.7\n" + bytes(range(256)) * 40,
    "encrypted.pdf": encrypted_pdf,
    "no-page.pdf": pdf_of_no_page,
    "many-pages.pdf": pdf_of_many_pages,
    "huge-page.pdf": pdf_of_a_huge_page,
    "circular-tree.pdf": pdf_with_a_page_tree_in_a_circle,
    "circular-form.pdf": pdf_with_a_form_that_draws_itself,
    "nested-arrays.pdf": pdf_with_nested_arrays,
    "bomb.pdf": pdf_bomb,
    "wrong-table.pdf": pdf_with_a_wrong_table,
    "also-a-zip.pdf": pdf_and_zip,
    "runs-and-sends.pdf": pdf_that_runs_and_sends,
    "truncated.docx": lambda: docx(paragraph(b"Small"))[:-60],
    "bomb.docx": docx_bomb,
    "bomb-beside.docx": docx_with_a_bomb_beside_it,
    "bomb-in-contents.docx": docx_with_a_bomb_in_its_table_of_contents,
    "laughs.docx": docx_of_laughs,
    "reads-files.docx": docx_that_reads_files,
    "links-files.docx": docx_that_links_files,
    "nested-tables.docx": docx_with_nested_tables,
    "climbing-parts.docx": docx_with_parts_that_climb,
    "nested-elements.html": page_with_nested_elements,
    "reads-and-asks.html": page_that_reads_and_asks,
    "wide.csv": table_of_one_wide_row,
    "nested-groups.rtf": rtf_with_nested_groups,
    "many-pixels.png": picture_of_many_pixels,
}


#: What no limit on a document stops: it is ended by MINERU_JOB_TIMEOUT, or by the memory that the worker has.
DEADLY: Final[dict[str, Make]] = {"circular-form-twice.pdf": pdf_with_a_form_that_draws_itself_twice}


def write(folder: Path) -> Iterator[Path]:
    """Write every document into ``folder`` and yield its path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in (DOCUMENTS | DEADLY).items():
        path = folder / name
        path.write_bytes(make())
        yield path


def _zip(parts: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


if __name__ == "__main__":
    for written in write(Path(sys.argv[1])):
        print(f"{written.stat().st_size:>12,}  {written}")
