"""Batches under a worker that the test plays: what is paid for, what is written, and what an interrupted run leaves behind."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from played import markdown, played

from batch import Run, entries, interrupted, sent
from ops.batch.journal import Journal, JournalError
from ops.batch.run import AlreadyRunning, Batch, Wish
from ops.batch.sources import Source, find
from ops.client import Client, EndpointError
from ops.control_plane import ControlPlane
from ops.jobs import Job, Status


async def test_each_document_gets_a_folder_of_its_own(control_plane: ControlPlane, run: Run, output: Path) -> None:
    async with played(control_plane):
        outcomes = await run()
    assert [outcome.error for outcome in outcomes] == ["", "", ""]
    written = {path.parent.name: path.read_text() for path in output.glob("*/markdown.md")}
    assert written == {"a": "a.docx", "b": "b.docx", "c": "c.docx"}


async def test_what_is_finished_is_skipped(control_plane: ControlPlane, run: Run) -> None:
    async with played(control_plane):
        await run()
        outcomes = await run()
    assert all(outcome.skipped for outcome in outcomes)
    assert sent(control_plane) == {"a.docx": 1, "b.docx": 1, "c.docx": 1}


@pytest.mark.parametrize("change", ["content", "options", "folder"])
async def test_what_has_changed_is_parsed_again(
    control_plane: ControlPlane, run: Run, folder: Path, output: Path, change: str
) -> None:
    async with played(control_plane):
        await run()
        if change == "content":
            (folder / "a.docx").write_text("a,b\n3,4\n")
        elif change == "folder":
            (output / "a").rename(output / "elsewhere")
        await run(options={"ocr_mode": "txt"} if change == "options" else {})
    again = {"a.docx": 2, "b.docx": 2, "c.docx": 2} if change == "options" else {"a.docx": 2, "b.docx": 1, "c.docx": 1}
    assert sent(control_plane) == again
    assert (output / "a/markdown.md").exists()


async def test_a_document_that_fails_stops_no_other_and_is_tried_again_by_the_next_run(
    control_plane: ControlPlane, run: Run, output: Path
) -> None:
    def picky(job: Job) -> dict[str, Any]:
        return {"error": "It is damaged.", "error_type": "ParseFailed"} if job.input["file_name"] == "b.docx" else markdown(job)

    async with played(control_plane, picky):
        outcomes = await run()
    assert {Path(outcome.source).name: outcome.error for outcome in outcomes} == {
        "a.docx": "",
        "b.docx": "It is damaged.",
        "c.docx": "",
    }
    assert not (output / "b").exists()
    async with played(control_plane):
        await run()
    assert sent(control_plane) == {"a.docx": 1, "b.docx": 2, "c.docx": 1}


async def test_a_missing_file_fails_alone(control_plane: ControlPlane, run: Run, folder: Path) -> None:
    async with played(control_plane):
        outcomes = await run([*find([str(folder)]), Source(str(folder / "absent.pdf"))])
    (failed,) = [outcome for outcome in outcomes if outcome.error]
    assert "absent.pdf: No such file" in failed.error


async def test_a_job_whose_worker_died_runs_again_under_its_id(control_plane: ControlPlane, run: Run) -> None:
    deaths = iter([True, True])
    async with played(control_plane, lambda job: None if next(deaths, False) else markdown(job)):
        outcomes = await run()
    assert [outcome.error for outcome in outcomes] == ["", "", ""]
    assert (control_plane.queue.retried, len(control_plane.jobs)) == (2, 3)


async def test_an_interrupted_batch_leaves_its_jobs_and_the_next_asks_for_them(
    control_plane: ControlPlane, run: Run, output: Path
) -> None:
    await interrupted(run, control_plane)
    assert [job.status for job in control_plane.jobs.values()] == [Status.IN_QUEUE] * 3
    async with played(control_plane):
        outcomes = await run()
    assert [outcome.error for outcome in outcomes] == ["", "", ""]
    assert sent(control_plane) == {"a.docx": 1, "b.docx": 1, "c.docx": 1}


async def test_a_job_that_has_expired_is_sent_again(control_plane: ControlPlane, run: Run, client: Client, output: Path) -> None:
    await interrupted(run, control_plane)
    expired = next(iter(control_plane.jobs.values()))
    control_plane.queue.finish(expired, Status.CANCELLED)
    del control_plane.jobs[expired.id]
    async with played(control_plane):
        with Batch.opened(client, Wish(output)) as running:
            await running.run(find([str(output.parent / "in")]))
    assert running.jobs.counts == {"resumed": 3, "expired": 1, "sent": 1}
    assert expired.id not in control_plane.jobs


async def test_what_may_have_been_sent_is_sent_again_only_when_asked_for(
    control_plane: ControlPlane, run: Run, output: Path
) -> None:
    await interrupted(run, control_plane)
    journal = output / ".batch/journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if '"submitted"' in line)
    torn = lines[last][:-20]  # Killed in the middle of writing the job's id.
    journal.write_text("".join(lines[:last]) + torn)
    async with played(control_plane):
        errors = [outcome.error for outcome in await run() if outcome.error]
        assert [error.rpartition(" --")[2] for error in errors] == ["resend sends it."]
        assert len(control_plane.jobs) == 3
        assert not any(outcome.error for outcome in await run(resend=True))
    assert len(control_plane.jobs) == 4


async def test_a_run_that_ended_before_it_could_say_so_is_not_repeated(control_plane: ControlPlane, run: Run, output: Path) -> None:
    async with played(control_plane):
        await run()
        journal = output / ".batch/journal.jsonl"
        journal.write_text("".join(line for line in journal.read_text().splitlines(keepends=True) if '"finished"' not in line))
        control_plane.jobs.clear()  # Expired since.
        outcomes = await run()
    assert [(outcome.error, outcome.pages) for outcome in outcomes] == [("", 1)] * 3
    assert not control_plane.jobs


async def test_a_damaged_result_leaves_no_folder_and_is_fetched_again_without_a_second_job(
    control_plane: ControlPlane, run: Run, output: Path
) -> None:
    damaged = {"pages": 1, "archive": {"format": "zip", "sha256": "0", "base64": "UEs="}}
    async with played(control_plane, lambda job: damaged):
        outcomes = await run()
    assert all("damaged" in outcome.error for outcome in outcomes)
    assert [path.name for path in output.iterdir()] == [".batch"]
    for job in control_plane.jobs.values():
        job.output = markdown(job)
    await run()
    assert (len(control_plane.jobs), (output / "a/markdown.md").exists()) == (3, True)


async def test_what_meets_every_document_alike_ends_the_batch(control_plane: ControlPlane, folder: Path, output: Path) -> None:
    async with Client(control_plane.url, "elsewhere") as client:
        with pytest.raises(EndpointError, match="knows no endpoint elsewhere"), Batch.opened(client, Wish(output)) as running:
            await running.run(find([str(folder)]))


async def test_a_url_goes_to_the_worker_as_it_is(control_plane: ControlPlane, run: Run, output: Path) -> None:
    async with played(control_plane):
        await run([Source("https://example.org/tides.pdf?year=2026")])
    (job,) = control_plane.jobs.values()
    assert job.input["file_url"] == "https://example.org/tides.pdf?year=2026"
    assert (output / "tides/markdown.md").exists()


async def test_two_documents_of_one_name_keep_their_folders_when_a_third_comes(
    control_plane: ControlPlane, run: Run, folder: Path, output: Path
) -> None:
    for name in ("m", "n", "b"):
        (folder / name).mkdir()
    (folder / "m/x.docx").write_text("m,1\n")
    (folder / "n/x.docx").write_text("n,1\n")
    async with played(control_plane):
        await run()
        (folder / "b/x.docx").write_text("b,1\n")
        await run()
    names = {
        Path(line["source"]).parent.name: line["name"]
        for line in entries(output)
        if line["event"] == "document" and "x.docx" in line["source"]
    }
    assert names == {"m": "x", "n": "x-2", "b": "x-3"}


async def test_a_folder_that_is_no_result_is_left_alone(control_plane: ControlPlane, run: Run, output: Path) -> None:
    (output / "a").mkdir(parents=True)
    (output / "a/mine.txt").write_text("mine")
    async with played(control_plane):
        await run()
    assert [path.name for path in (output / "a").iterdir()] == ["mine.txt"]
    assert (output / "a-2/markdown.md").read_text() == "a.docx"


async def test_two_batches_do_not_share_an_output_folder(run: Run, client: Client, output: Path) -> None:
    with Batch.opened(client, Wish(output)), pytest.raises(AlreadyRunning, match="Another batch writes to"):
        await asyncio.wait_for(run(), 20)


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text('{"event": "document"}\n')
    with pytest.raises(JournalError, match=r"Line 1 of .* choose another output folder"):
        Journal(tmp_path / "journal.jsonl")
