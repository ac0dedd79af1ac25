"""Servers on loopback that give documents, and names that lead to them."""

import asyncio
import dataclasses
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import web

from source import Site
from worker import download, networks


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", site.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    first = web.TCPSite(runner, "127.0.0.1", 0)
    await first.start()
    site.port = runner.addresses[0][1]
    with suppress(OSError):  # only Linux has the rest of 127.0.0.0/8 ready
        await web.TCPSite(runner, "127.0.0.2", site.port).start()
    yield site
    await runner.cleanup()


@pytest.fixture
async def raw() -> AsyncIterator[Callable[[bytes], Awaitable[str]]]:
    """A server that answers with the bytes given, whatever they are, and closes the connection."""
    servers = []

    async def serve(answer: bytes) -> str:
        async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            writer.close()

        servers.append(await asyncio.start_server(speak, "127.0.0.1", 0))
        return f"http://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}/report.pdf"

    yield serve
    for server in servers:
        server.close()


@pytest.fixture
def pretend_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.1 counts as public; every other private address stays refused."""
    monkeypatch.setattr(download, "PUBLIC", dataclasses.replace(networks.PUBLIC, allowed_networks=(ip_network("127.0.0.1/32"),)))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """DNS for names that end in .test: each lookup of a name takes its next answer, a list of addresses."""
    answers: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def lookup(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if host not in answers:
            return real(host, port, *arguments, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers[host].pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return answers
