"""The client for code without asyncio.

    with BlockingClient("https://api.runpod.ai", endpoint, api_key) as client:
        answer = client.parse_file(Path("report.pdf"), {"tier": "flash"})
        client.save(answer, Path("out/report"))

Each method is that of ``ops.client.Client`` with the same name, run on an event loop in a thread of its own.
"""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from anyio.from_thread import BlockingPortal, start_blocking_portal

from ops.client import LOCAL_ENDPOINT, LOCAL_URL, PATIENCE, Answer, Client
from ops.results import save


class BlockingClient:
    """Talks to one endpoint; a context manager. Its methods may be called from several threads at once."""

    def __init__(
        self, url: str = LOCAL_URL, endpoint: str = LOCAL_ENDPOINT, api_key: str = "", *, patience: float = PATIENCE
    ) -> None:
        self._client = Client(url, endpoint, api_key, patience=patience)
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

    def __enter__(self) -> Self:
        self._portal = self._stack.enter_context(start_blocking_portal())
        self._stack.enter_context(self._portal.wrap_async_context_manager(self._client))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._portal = None
        self._stack.__exit__(kind, error, trace)

    def parse_file(self, path: Path, options: dict[str, Any] | None = None) -> Answer:
        """Have a file on this machine parsed; ``options`` are further fields of the job's input."""
        answer: Answer = self._loop.call(self._client.parse_file, path, options)
        return answer

    def parse_url(self, url: str, options: dict[str, Any] | None = None) -> Answer:
        """Have the document at a URL parsed, which the worker fetches."""
        answer: Answer = self._loop.call(self._client.parse_url, url, options)
        return answer

    def submit(self, job_input: dict[str, Any], webhook: str = "") -> str:
        """Queue a job and return its id; see ``Client.submit`` for what a lost answer and a webhook mean."""
        return self._loop.call(lambda: self._client.submit(job_input, webhook=webhook))

    def status(self, job_id: str) -> dict[str, Any]:
        """The job as the API describes it."""
        return self._loop.call(self._client.status, job_id)

    def wait(self, job_id: str) -> Answer:
        """Wait for a job to end and return its answer."""
        return self._loop.call(self._client.wait, job_id)

    def cancel(self, job_id: str) -> None:
        """End a job that is queued or in progress."""
        self._loop.call(self._client.cancel, job_id)

    def health(self) -> dict[str, Any]:
        """How many ``jobs`` and ``workers`` are in which state."""
        return self._loop.call(self._client.health)

    def save(self, answer: Answer, folder: Path) -> list[Path]:
        """Write an answer's outputs below ``folder`` and return the files written."""
        return self._loop.call(save, answer.response, self._client, folder)

    @property
    def _loop(self) -> BlockingPortal:
        if self._portal is None:
            raise RuntimeError("The client is closed; use it inside its `with` block.")
        return self._portal
