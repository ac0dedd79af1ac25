"""What both sides of the local job API share: its limits, refusals, and answers that are known to have gone out."""

import json
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from ops.faults import Fault
from ops.job_queue import Queue
from ops.jobs import RUN_LIMIT, RUNSYNC_LIMIT, Job, Limits
from worker.settings import MB, RESPONSE_LIMIT_MB

#: The failure that has been chosen for a request.
FAULT: Final = web.RequestKey("fault", Fault)


@dataclass(frozen=True)
class Settings:
    """What the control plane allows: times in seconds, sizes in bytes. The defaults are the platform's where it states one.

    ``hold`` is how long a worker's poll stays open without an answer; the SDK gives up after 90 seconds.
    ``ping_interval`` counts whole seconds, at least one: the SDK rounds down and never sleeps on zero.
    """

    endpoint: str = "local"
    api_key: str = "local-key"
    hold: float = 10
    stream_hold: float = 1
    runsync_wait: float = 90
    max_run: int = RUN_LIMIT
    max_runsync: int = RUNSYNC_LIMIT
    max_result: int = RESPONSE_LIMIT_MB * MB
    limits: Limits = field(default_factory=Limits)
    sync_retention: float = 60
    ping_interval: int = 10


class Refused(web.HTTPException):
    """Ends a request with this status and ``{"error": message}``."""

    def __init__(self, status: int, message: str) -> None:
        self.status_code = status
        super().__init__(text=json.dumps({"error": message}), content_type="application/json")


def parsed(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``; refuses the request if there is none."""
    try:
        content = json.loads(body)
    except ValueError as error:
        raise Refused(400, f"The body is not JSON: {error}.") from None
    if not isinstance(content, dict):
        raise Refused(400, "The body must be a JSON object.")
    return content


def named_job(request: web.Request, queue: Queue) -> Job:
    """The job in the request's path; refuses the request if it is not known."""
    job = queue.jobs.get(request.match_info["job"])
    if job is None:
        raise Refused(404, f"There is no job {request.match_info['job']}; results expire.")
    return job


async def answer(request: web.Request, payload: Any) -> web.StreamResponse:
    """Send ``payload`` as JSON now, so that the caller knows it went out; raises ``ConnectionError`` if it did not.

    The two faults that come with an answer, lose and truncate, happen here.
    """
    body = json.dumps(payload).encode()
    fault = request.get(FAULT)
    if fault is not None and fault.action == "lose":
        raise ConnectionResetError("This failure was asked for.")
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    await response.prepare(request)
    if fault is not None and fault.action == "truncate":
        await response.write(body[: len(body) // 2])
        raise ConnectionResetError("This failure was asked for.")
    await response.write(body)
    await response.write_eof()
    return response
