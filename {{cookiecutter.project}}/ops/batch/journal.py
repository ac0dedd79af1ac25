"""What a batch has done so far, as JSON lines on disk: written and synced before what it says can be lost.

One line for each event, with ``at``, ``event`` and the ``source``, and mostly the ``slice`` that it is about:

- ``document``: this source has this ``key`` (a digest of its content, its options and the endpoint), folder ``name`` and slices.
- ``sending``, ``refused``, ``submitted`` (``job``): a job is about to be sent; it was surely not taken; it was, under this id.
- ``received``: its result is on disk; with ``pages``, seconds of ``delay`` and ``execution``, and what is ``degraded``.
- ``failed`` (``error``), ``expired``: the job has ended without a result, or is not known any more; the next try sends another.
- ``finished``: the document's folder is complete.
"""

import asyncio
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ops.transport import ClientError


class JournalError(ClientError):
    """The journal cannot be read or kept, and without it nothing may be sent."""


@dataclass
class SliceRecord:
    """One slice: ``job`` is the id it runs under, ``uncertain`` whether one was sent whose id never came."""

    job: str = ""
    uncertain: bool = False
    received: dict[str, Any] | None = None


@dataclass
class DocumentRecord:
    """One document, as far as it has come."""

    source: str
    key: str
    name: str
    slices: dict[str, SliceRecord] = field(default_factory=dict)
    finished: bool = False


class Journal:
    """The journal at ``path``, read when opened; ``documents`` holds what it says, by source. A context manager.

    A line that a killed process left unfinished is passed over. Raises ``JournalError`` for any other that is not ours, and when
    it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.documents: dict[str, DocumentRecord] = {}
        self._path = path
        torn = self._read()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        if torn:
            os.write(self._file, b"\n")

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    async def write(self, event: str, source: str, **fields: Any) -> None:
        """Note an event; once this returns it is on disk."""
        entry = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, "source": source, **fields}
        await asyncio.to_thread(self._append, json.dumps(entry, ensure_ascii=False).encode() + b"\n")
        self._apply(entry)

    def _append(self, line: bytes) -> None:
        try:
            os.write(self._file, line)
            os.fsync(self._file)
        except OSError as error:
            raise JournalError(f"{self._path} cannot be written: {error.strerror}. Nothing more was sent.") from error

    def _read(self) -> bool:
        """Take in the lines that are there; returns whether the last one is unfinished."""
        content = self._path.read_bytes() if self._path.exists() else b""
        lines = content.split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                if line:
                    self._apply(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                if _is_torn(line):
                    continue
                raise JournalError(
                    f"Line {number} of {self._path} is no line of a batch's journal ({error!r}); choose another output folder."
                ) from None
        return bool(lines[-1])

    def _apply(self, entry: dict[str, Any]) -> None:
        event, source = entry["event"], entry["source"]
        if event == "document":
            slices = {name: SliceRecord() for name in entry["slices"]}
            self.documents[source] = DocumentRecord(source, entry["key"], entry["name"], slices)
            return
        document = self.documents[source]
        if event == "finished":
            document.finished = True
            return
        record = document.slices[entry["slice"]]
        if event == "sending":
            record.uncertain = True
        elif event == "submitted":
            record.job, record.uncertain = entry["job"], False
        elif event == "received":
            record.received = {name: entry[name] for name in ("pages", "delay", "execution", "degraded")}
        else:  # refused, failed, expired
            record.job, record.uncertain = "", False


def _is_torn(line: bytes) -> bool:
    """Whether a line is the beginning of one of ours, cut off by a kill or a full disk."""
    start = b'{"at": "'
    return line.startswith(start[: len(line)]) and not line.endswith(b"}")
