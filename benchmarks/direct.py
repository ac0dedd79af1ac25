"""MinerU alone, for benchmarks/serving.py to compare with: a plain process that calls ``mineru.parse_async`` and nothing else.

Each line of its input is a JSON object of ``paths`` and ``concurrency``; for each it prints the seconds that parsing them took.
"""

import asyncio
import json
import logging
import sys
import time
from pathlib import Path

from mineru import parse_async  # type: ignore[import-not-found]


async def parse_all(paths: list[str], concurrency: int) -> float:
    """Parse the documents, so many at a time, in the flash tier; returns seconds."""
    places = asyncio.Semaphore(concurrency)

    async def parse(path: str) -> None:
        async with places:
            await parse_async(Path(path), tier="flash")

    begun = time.monotonic()
    await asyncio.gather(*(parse(path) for path in paths))
    return time.monotonic() - begun


async def main() -> None:
    """Answer line by line until the input ends."""
    logging.getLogger("pypdfium2").setLevel("ERROR")  # It warns of every bitmap that MinerU closes.
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(await parse_all(**json.loads(line)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
