"""A bucket on a real S3 server on loopback, and nothing of this machine's own."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import boto3
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from moto.server import ThreadedMotoServer

from delivery import Serve
from worker import bucket

#: Without this, credentials and regions of the machine that runs the tests would be found.
NO_AWS = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_CONFIG_FILE": os.devnull}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith(("AWS_", "BUCKET_", "MINERU_"))]:
        monkeypatch.delenv(name)
    for name, value in NO_AWS.items():
        monkeypatch.setenv(name, value)
    bucket.renew()
    yield
    bucket.renew()


@pytest.fixture(scope="package")
def s3_url() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "made-up", "aws_secret_access_key": "made-up", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=url, **keys).create_bucket(Bucket="results")  # type: ignore[call-overload]
    yield url
    server.stop()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server that answers every request by a function; gives its URL."""
    async with AsyncExitStack() as stack:

        async def start(answer: Callable[[web.Request], Awaitable[web.Response]]) -> str:
            site = web.Application()
            site.router.add_route("*", "/{path:.*}", answer)
            return str((await stack.enter_async_context(TestServer(site))).make_url("")).rstrip("/")

        yield start
