"""The form of the local REST v2 server's requests, problems (RFC 9457) and server-sent events."""

import json
from http import HTTPStatus
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel

from ops.rest_server import schema

Query = TypeVar("Query", bound=BaseModel)


class Problem(web.HTTPException):
    """Ends a request with this status and a problem document (RFC 9457)."""

    def __init__(self, status: int, detail: str, errors: list[str] | None = None, retry_after: int | None = None) -> None:
        self.status_code = status
        content = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, **({"errors": errors} if errors else {})}
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        super().__init__(text=json.dumps(content), content_type="application/problem+json", headers=headers)


async def body(request: web.Request, model: type[BaseModel]) -> dict[str, Any]:
    """The request's JSON object, if the model takes it."""
    if request.content_type != "application/json":
        raise Problem(415, f"the body must be application/json, not {request.content_type}")
    try:
        given = json.loads(await request.text())
    except ValueError:
        raise Problem(400, "the body is not JSON") from None
    if faults := schema.faults(model, given):
        raise Problem(422, "Request validation failed.", faults)
    content: dict[str, Any] = given
    return content


def query(request: web.Request, model: type[Query]) -> Query:
    """The request's query, if the model takes it."""
    given = dict(request.query)
    if faults := schema.faults(model, given):
        raise Problem(422, "Request validation failed.", faults)
    return model.model_validate(given)


def event(stamp: str, source: str, line: str) -> bytes:
    """A line of a log as one server-sent event."""
    data = json.dumps({"ts": stamp.partition("/")[0], "source": source, "line": line})
    return f"id: {stamp}\ndata: {data}\n\n".encode()
