"""Workers of one file each, for tests of the platform around them."""

import sys
from pathlib import Path
from typing import Final

_SDK: Final = """
import asyncio
import runpod

concurrency = 1
SOURCE
if __name__ == "__main__":
    runpod.serverless.start(dict(handler=handle, concurrency_modifier=lambda _: concurrency))
"""

#: Sleeps for the job's ``seconds``, reports its ``progress`` and returns its input, or characters of its ``size``.
OBEDIENT: Final = """
async def handle(job):
    wish = job["input"]
    if "progress" in wish:
        runpod.serverless.progress_update(job, wish["progress"])
    if "raise" in wish:
        raise ValueError(wish["raise"])
    await asyncio.sleep(wish.get("seconds", 0))
    return "x" * wish["size"] if "size" in wish else wish
"""

_QUICK: Final = """
import json, os, time, urllib.request

def call(name, job="", body=None):
    url = os.environ[name].replace("$RUNPOD_POD_ID", os.environ["RUNPOD_POD_ID"]).replace("$ID", job or os.environ["RUNPOD_POD_ID"])
    request = urllib.request.Request(url, body and json.dumps(body).encode(), dict(Authorization=os.environ["RUNPOD_AI_API_KEY"]))
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            return json.loads(answer.read() or "null")
    except OSError:
        time.sleep(0.05)

while True:
    if job := call("RUNPOD_WEBHOOK_GET_JOB"):
        time.sleep(job["input"].get("seconds", 0))
        call("RUNPOD_WEBHOOK_POST_OUTPUT", job["id"], dict(output=job["input"]))
"""


def sdk_command(folder: Path, source: str = OBEDIENT, name: str = "worker.py") -> tuple[str, ...]:
    """Runs a worker of the SDK, written into the folder around a source that defines ``handle`` and may set ``concurrency``."""
    path = folder / name
    path.write_text(_SDK.replace("SOURCE", source), "utf-8")
    return sys.executable, str(path)


def quick_command(folder: Path) -> tuple[str, ...]:
    """Runs a worker without the SDK, written into the folder, which boots in no time and sleeps for a job's ``seconds``."""
    path = folder / "quick.py"
    path.write_text(_QUICK, "utf-8")
    return sys.executable, str(path)
