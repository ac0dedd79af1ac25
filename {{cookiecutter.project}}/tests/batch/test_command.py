"""What ``python -m ops batch`` finds, prints and exits with."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from played import played

from batch import entries
from ops.batch.run import Outcome
from ops.batch.sources import NoDocuments, find
from ops.commands.batch import summarise
from ops.control_plane import ControlPlane
from ops.jobs import Status
from ops.local_worker import PROJECT

# What is found.


def test_a_folder_a_pattern_and_a_list_name_the_same_documents(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "notes.log").write_text("no document")
    (folder / ".hidden.docx").write_text("a,b\n")
    (folder.parent / "list.txt").write_text("# letters\nin/a.docx\n\nin/b.docx\nin/c.docx\n")
    monkeypatch.chdir("/")
    by_folder = find([str(folder)])
    assert [source.file.name for source in by_folder] == ["a.docx", "b.docx", "c.docx"]
    assert (
        find([f"{folder}/*.docx"])
        == find([str(folder.parent / "list.txt")])
        == find([str(folder), str(folder / "a.docx")])
        == by_folder
    )


@pytest.mark.parametrize(
    ("name", "words"), [("absent", "There is no file"), ("in/*.pdf", "No document matches"), ("empty", "holds no document")]
)
def test_an_argument_that_names_nothing_is_said_to(folder: Path, name: str, words: str) -> None:
    (folder.parent / "empty").mkdir()
    with pytest.raises(NoDocuments, match=words):
        find([str(folder.parent / name)])


# What is said.


def test_the_summary_counts_what_this_run_paid_for() -> None:
    outcomes = [
        Outcome("a", Path("a"), pages=3, delay=(1, 1), execution=(2, 4)),
        Outcome("b", Path("b"), pages=5, delay=(9,), execution=(9,), skipped=True),
        Outcome("c", error="No."),
    ]
    summary = summarise(outcomes, Counter(sent=2), 0.001)
    assert {name: summary[name] for name in ("finished", "skipped", "failed", "pages", "dollars")} == {
        "finished": 1,
        "skipped": 1,
        "failed": 1,
        "pages": 3,
        "dollars": 0.006,
    }
    assert (summary["p50_seconds"], summary["p95_seconds"]) == (4, 4.9)


async def command(*arguments: object, name: str = "batch") -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ops", name, *map(str, arguments)),
        cwd=PROJECT,
        env={**os.environ, "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def test_the_command_prints_lines_of_json_and_exits_with_1_if_any_document_failed(
    control_plane: ControlPlane, folder: Path, output: Path
) -> None:
    (folder.parent / "list.txt").write_text("in/a.docx\nin/absent.docx\n")
    async with played(control_plane):
        running = await command(folder.parent / "list.txt", "--url", control_plane.url, "--output", output, "--price", 1, "--json")
        printed, _ = await running.communicate()
    lines = [json.loads(line) for line in printed.splitlines()]
    assert running.returncode == 1, printed
    assert sorted(bool(line["error"]) for line in lines[:-1]) == [False, True]
    assert (lines[-1]["summary"]["pages"], lines[-1]["summary"]["failed"]) == (1, 1)


async def test_parse_prints_a_line_of_json_for_each_document(control_plane: ControlPlane, folder: Path, output: Path) -> None:
    async with played(control_plane):
        running = await command(
            *(folder / "a.docx", folder / "absent.docx", "--url", control_plane.url, "--output", output, "--json"), name="parse"
        )
        printed, _ = await running.communicate()
    lines = [json.loads(line) for line in printed.splitlines()]
    assert running.returncode == 1, printed
    assert (lines[0]["pages"], lines[0]["folder"]) == (1, str(output / "a"))
    assert "No such file" in lines[1]["error"]


async def test_ctrl_c_exits_with_130_and_says_how_to_go_on(control_plane: ControlPlane, folder: Path, output: Path) -> None:
    running = await command(folder, "--url", control_plane.url, "--output", output)
    await control_plane.queue.arrivals.until(lambda: len(control_plane.jobs) == 3, 60)
    running.send_signal(signal.SIGINT)
    printed, _ = await running.communicate()
    assert running.returncode == 130, printed
    assert b"Run the same command again within 30 minutes" in printed
    assert [job.status for job in control_plane.jobs.values()] == [Status.IN_QUEUE] * 3
    assert {line["event"] for line in entries(output)} == {"document", "sending", "submitted"}


async def test_an_option_or_a_list_that_cannot_be_exits_with_2(tmp_path: Path) -> None:
    running = await command(tmp_path / "absent")
    printed, _ = await running.communicate()
    assert (running.returncode, b"There is no file or folder" in printed) == (2, True), printed
