"""The client of the job API, and a server that answers as a test says."""

import time
from typing import Any

from aiohttp import web

MB = 1_000_000


class Server:
    """Answers every request with the next of ``answers``, None by closing the connection, and keeps the request."""

    url = ""

    def __init__(self) -> None:
        self.answers: list[web.Response | None] = []
        self.requests: list[web.Request] = []
        self.bodies: list[Any] = []
        self.times: list[float] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.times.append(time.monotonic())
        self.requests.append(request)
        self.bodies.append(await request.json() if request.method == "POST" else None)
        answer = self.answers.pop(0)
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
        return answer or web.Response()
