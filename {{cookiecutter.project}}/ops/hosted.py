"""The task API of mineru.net over an endpoint of your own, for code that was written for it: create, get, wait, download.

    async with Client(url, endpoint, api_key) as client:
        hosted = HostedApi(client)
        task_id = await hosted.create_task("https://example.org/report.pdf", is_ocr=True, page_ranges="1-10")
        await hosted.wait_task(task_id)
        await hosted.download(task_id, Path("out/report"))

Names, fields and states are those of its ``/api/v4/extract/task`` (mineru.net, API documentation). What only the hosted service
has, such as its choice of models and its other export formats, is refused by name rather than passed over.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from ops.client import Client, ClientError, JobFailed
from ops.jobs import Status
from ops.results import save

State = Literal["pending", "running", "done", "failed"]

STATES: Final[dict[Status, State]] = {
    Status.IN_QUEUE: "pending",
    Status.IN_PROGRESS: "running",
    Status.COMPLETED: "done",
    **dict.fromkeys((Status.FAILED, Status.CANCELLED, Status.TIMED_OUT), "failed"),
}


@dataclass(frozen=True)
class Task:
    """A task as the hosted API describes it; ``err_msg`` says why it failed."""

    task_id: str
    state: State
    err_msg: str = ""


class HostedApi:
    """The hosted API's calls, on the endpoint of ``client``."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def create_task(self, url: str, *, is_ocr: bool = False, page_ranges: str = "", callback: str = "", **others: Any) -> str:
        """Have the document at ``url`` parsed; returns the task's id. ``callback`` gets what the platform posts, unsigned.

        Raises ``ClientError`` for a field that has no counterpart here, and as ``Client.submit``.
        """
        if others:
            raise ClientError(
                f"{', '.join(others)}: only the hosted API has this; leave it out. See worker/request.py for what there is."
            )
        wishes = {"ocr_mode": "ocr" if is_ocr else "auto", **({"page_range": page_ranges} if page_ranges else {})}
        return await self._client.submit(
            {"file_url": url, "transport": "archive", "archive_format": "zip", **wishes}, webhook=callback
        )

    async def get_task(self, task_id: str) -> Task:
        """Where a task stands."""
        described = await self._client.status(task_id)
        state = STATES[Status(described["status"])]
        return Task(task_id, state, str(described.get("error") or "") if state == "failed" else "")

    async def wait_task(self, task_id: str, on_status: Callable[[dict[str, Any]], object] = lambda _: None) -> Task:
        """Wait for a task to end, well or not."""
        try:
            await self._client.wait(task_id, on_status)
        except JobFailed as error:
            return Task(task_id, "failed", str(error))
        return Task(task_id, "done")

    async def download(self, task_id: str, folder: Path) -> list[Path]:
        """Write a finished task's outputs below ``folder`` and return the files; raises ``JobFailed`` for one that failed."""
        return await save((await self._client.wait(task_id)).response, self._client, folder)
