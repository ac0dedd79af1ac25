"""Logs of workers, and the stories told from them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from ops.logs.hearing import tell
from ops.logs.lines import read
from ops.logs.story import Story

LOGS = Path(__file__).parent / "logs"


def lines_of(name: str) -> list[str]:
    return (LOGS / f"{name}.log").read_text("utf-8").splitlines()


POST_3, POST_4, VLLM = (lines_of(name) for name in ("post-request-3", "post-request-4", "worker-vllm"))
JOB = ["Jobs in queue: 1", "{id} | Started.", "{id} | Finished."]


def story(lines: Iterable[str], idle_timeout: float = 5) -> Story:
    return tell(read(lines, "worker.log"), idle_timeout)


def met(lines: Iterable[str], idle_timeout: float = 5) -> list[str]:
    return [request.kind for request in story(lines, idle_timeout).requests]


def stamped(*pieces: tuple[float, str]) -> list[str]:
    """Lines as the platform's log viewer shows them, each at a number of seconds."""
    return [f"{datetime.fromtimestamp(1_770_000_000 + at, UTC).isoformat()} {text}" for at, text in sorted(pieces, key=_at)]


def _at(piece: tuple[float, str]) -> float:
    return piece[0]


def job(at: float, name: str, took: float = 1) -> list[tuple[float, str]]:
    """A job of the SDK's."""
    return [(at, "INFO   | Jobs in queue: 1"), (at, f"INFO   | {name} | Started."), (at + took, f"INFO   | {name} | Finished.")]


BANNER = (0.0, "--- Starting Serverless Worker |  Version 1.12.0 ---")
