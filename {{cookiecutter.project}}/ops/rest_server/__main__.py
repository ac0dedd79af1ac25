"""RunPod's REST v2 API on localhost.

python -m ops.rest_server                                      # then, from another terminal:
python -m ops deploy --url http://127.0.0.1:8001 --image registry.example.com/worker:1
"""

import asyncio
from typing import Annotated

import typer

from ops.client import LOCAL_URL
from ops.commands.common import finish
from ops.rest_server.server import PORT, RestServer, RestSettings


def main(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")] = PORT,
    boot: Annotated[float, typer.Option(min=0, help="Seconds that a worker takes to boot.")] = RestSettings.boot,
    jobs_url: Annotated[str, typer.Option(help="Job API that its endpoints name: that of `python -m ops run`.")] = LOCAL_URL,
) -> None:
    """RunPod's REST v2 API on this machine, to deploy to without an account. Ctrl-C stops it, and what it kept is gone."""
    finish(_serve(RestSettings(boot=boot, jobs_url=jobs_url), port), interrupted=0)


async def _serve(settings: RestSettings, port: int) -> None:
    async with RestServer(settings, port) as server:
        print(f"REST v2 is at {server.url}: python -m ops deploy --url {server.url}. Ctrl-C stops it.", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    typer.run(main)
