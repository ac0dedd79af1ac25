"""Long PDFs in slices, and whole batches under a real worker: what is put together again, and what a kill leaves to be paid for."""

import asyncio
import json
import os
import random
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
import pytest_asyncio
from documents import SAMPLES
from PIL import Image
from pypdf import PdfReader, PdfWriter
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from ops.batch import slices
from ops.batch.jobs import UPLOADS
from ops.batch.run import Batch, Outcome, Wish
from ops.batch.sources import find
from ops.client import Client
from ops.control_plane import ControlPlane
from ops.local_worker import PROJECT, LocalWorker
from worker import choices

pytestmark = pytest.mark.asyncio(loop_scope="module")

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")

#: Only the flash tier reads a PDF without a model.
needs_flash = pytest.mark.skipif("flash" not in choices.TIERS, reason=f"{choices.STACK} parses no PDF without a model.")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def control_plane() -> AsyncIterator[ControlPlane]:
    async with ControlPlane() as control_plane:
        yield control_plane


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(control_plane: ControlPlane) -> AsyncIterator[LocalWorker]:
    """One worker for all tests here, two documents at a time."""
    async with LocalWorker(control_plane, environment={"MINERU_CONCURRENCY": "2"}) as worker:
        yield await worker.wait_ready()


def book(path: Path, pages: int) -> Path:
    """Pages that repeat nothing, which MinerU would take for decoration: a heading, prose and a picture on each."""
    canvas, words = Canvas(str(path), pagesize=(595, 842)), random.Random(1)  # noqa: S311 (the same book each time)
    for number in range(1, pages + 1):
        top = 780 - 7 * number
        canvas.setFont("Helvetica-Bold", 18)
        canvas.drawString(70, top, f"{number}. Of the {ORDINALS[number - 1]} tide")
        canvas.setFont("Helvetica", 11)
        for line in range(12):
            prose = " ".join(words.choice(("high", "water", "quay", "gauge", "moon", "low", "rises", "slipway")) for _ in range(12))
            canvas.drawString(70, top - 40 - 15 * line, prose.capitalize() + ".")
        picture = Image.frombytes("RGB", (40 + number, 30), words.randbytes((40 + number) * 90))
        canvas.drawImage(ImageReader(picture), 70 + 20 * number, top - 420, 240, 160)
        canvas.showPage()
    canvas.save()
    return path


def pdf(path: Path, pages: int) -> Path:
    """The first two pages of the sample report, over and over."""
    writer, report = PdfWriter(), PdfReader(SAMPLES / "report.pdf")
    for number in range(pages):
        writer.add_page(report.pages[number % 2])
    writer.write(path)
    return path


async def test_slices_are_as_equal_as_can_be(tmp_path: Path) -> None:
    path = pdf(tmp_path / "long.pdf", 101)
    assert slices.plan(path, 50) == ["1-33", "34-67", "68-101"]
    assert slices.plan(path, 101) == ["all"]


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"%PDF-1.7\nnothing more"])
async def test_what_is_no_pdf_or_no_sound_one_is_left_whole(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "document"
    path.write_bytes(content)
    assert slices.plan(path, 1) == ["all"]
    assert slices.cut(path, "all") == content


async def test_a_large_file_is_cut_until_each_slice_fits_into_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of its six pages weigh half a megabyte each, of noise."""
    path, limit = pdf(tmp_path / "large.pdf", 6), 900_000
    noisy = pypdfium2.PdfDocument(path)
    for number in (0, 1):
        bitmap = pypdfium2.PdfBitmap.new_native(420, 420, 4)
        bitmap.buffer[:] = random.Random(number).randbytes(len(bitmap.buffer))  # noqa: S311 (noise)
        image, page = pypdfium2.PdfImage.new(noisy), noisy[number]
        image.set_bitmap(bitmap)
        page.insert_obj(image)
        page.gen_content()
    noisy.save(path)
    monkeypatch.setattr(slices, "FILE_LIMIT", limit)
    named = slices.plan(path, 50)
    sizes = [len(slices.cut(path, name)) for name in named]
    assert len(named) > 1
    assert max(sizes) <= limit < path.stat().st_size
    assert sum(len(pypdfium2.PdfDocument(slices.cut(path, name))) for name in named) == 6


async def test_images_that_would_clash_keep_both_and_links_follow(tmp_path: Path) -> None:
    for name in ("1-2", "3-4"):
        (tmp_path / name / "images").mkdir(parents=True)
        for image in ("page_1_image_0.jpg", "seal.jpg"):
            (tmp_path / name / "images" / image).write_text(f"{image} of {name}")
        (tmp_path / name / "markdown.md").write_text("![](images/page_1_image_0.jpg) <img src='images/seal.jpg'>")
    slices.stitch([(name, tmp_path / name) for name in ("1-2", "3-4")], tmp_path / "whole")
    links = re.findall(r"images/[\w.]+", (tmp_path / "whole/markdown.md").read_text())
    assert [(tmp_path / "whole" / link).read_text() for link in links] == [
        "page_1_image_0.jpg of 1-2",
        "seal.jpg of 1-2",
        "page_1_image_0.jpg of 3-4",
        "seal.jpg of 3-4",
    ]
    assert "images/page_3_image_0.jpg" in links


async def test_minerus_other_layout_is_numbered_through(tmp_path: Path) -> None:
    """MinerU 3: pages under pdf_info, and a plain list of blocks that say their page."""
    for name in ("1-2", "3-3"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "middle_json.json").write_text(json.dumps({"pdf_info": [{"page_idx": 0}], "_backend": "pipeline"}))
        (tmp_path / name / "structured_content.json").write_text(json.dumps([{"type": "text", "page_idx": 0}]))
    slices.stitch([(name, tmp_path / name) for name in ("1-2", "3-3")], tmp_path / "whole")
    read = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "whole").iterdir()}
    assert read["middle_json"] == {"pdf_info": [{"page_idx": 0}, {"page_idx": 2}], "_backend": "pipeline"}
    assert [block["page_idx"] for block in read["structured_content"]] == [0, 2]


async def parse(control_plane: ControlPlane, document: Path, output: Path, pages_per_job: int) -> Outcome:
    formats = ["markdown", "images", "structured_content", "middle_json"]
    async with Client(control_plane.url) as client:
        with Batch.opened(client, Wish(output, {"formats": formats}, pages_per_job)) as batch:
            (outcome,) = await batch.run(find([str(document)]))
    assert not outcome.error
    return outcome


@needs_flash
async def test_slices_put_together_equal_the_document_parsed_at_once(
    control_plane: ControlPlane, worker: LocalWorker, tmp_path: Path
) -> None:
    document = book(tmp_path / "tides.pdf", 6)
    at_once = await parse(control_plane, document, tmp_path / "at-once", 6)
    in_slices = await parse(control_plane, document, tmp_path / "in-slices", 2)
    assert (at_once.pages, in_slices.pages, len(in_slices.execution)) == (6, 6, 3)
    one, other = files(tmp_path / "at-once/tides"), files(tmp_path / "in-slices/tides")
    assert sorted(other) == sorted(one)
    assert sum(name.startswith("images/") for name in one) == 6
    assert {name for name in one if one[name] != other[name]} == set()


def files(folder: Path) -> dict[str, Any]:
    """Everything in a result folder by name; of a structure the pages and their number, the rest tells of the file itself."""
    found: dict[str, Any] = {}
    for path in folder.rglob("*.*"):
        found[path.relative_to(folder).as_posix()] = path.read_bytes()
        if path.suffix == ".json":
            structure = json.loads(path.read_bytes())
            found[path.name] = (structure["pages"], structure["metadata"]["document"]["page_count"])
    return found


async def test_a_batch_that_is_killed_and_run_again_pays_for_no_document_twice(
    control_plane: ControlPlane, worker: LocalWorker, tmp_path: Path
) -> None:
    folder, ending, before = tmp_path / "in", (".csv" if "csv" in choices.SUFFIXES else ".docx"), set(control_plane.jobs)
    folder.mkdir()
    for number in range(40):
        content = f"a,b\n{number},2\n".encode() if ending == ".csv" else (SAMPLES / "letter.docx").read_bytes()
        (folder / f"{number}{ending}").write_bytes(content)
    command = ("batch", folder, "--url", control_plane.url, "--output", tmp_path / "out", "--in-flight", 6, "--json")
    for jobs in (8, 20):
        killed = await ops(*command)
        await control_plane.queue.arrivals.until(lambda jobs=jobs: len(control_plane.jobs) - len(before) >= jobs, 60)  # type: ignore[misc]
        killed.send_signal(signal.SIGKILL)
        await killed.wait()
    printed, _ = await (await ops(*command)).communicate()
    lines = [json.loads(line) for line in printed.splitlines()]
    assert len(lines) == 41, printed
    sent = Counter(job.input["file_name"] for name, job in control_plane.jobs.items() if name not in before)
    assert max(sent.values()) == 1
    # Those that a kill met between sending and the answer are named, neither lost nor sent again.
    uncertain = {Path(line["document"]).stem for line in lines[:-1] if line["error"]}
    assert all("--resend" in line["error"] for line in lines[:-1] if line["error"])
    finished = {path.parent.name for path in (tmp_path / "out").glob("*/markdown.md")}
    assert finished | uncertain == {str(number) for number in range(40)}
    assert not finished & uncertain
    assert len(uncertain) <= 2 * UPLOADS


async def ops(*arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ops", *map(str, arguments)), cwd=PROJECT, env=dict(os.environ), stdout=asyncio.subprocess.PIPE
    )
