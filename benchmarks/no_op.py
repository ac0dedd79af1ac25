"""A handler that does nothing, on the bare SDK, for benchmarks/serving.py to compare with; it takes CONCURRENCY jobs at a time."""

import os

import runpod  # type: ignore[import-not-found]


async def handle(_: dict[str, object]) -> dict[str, object]:
    """An empty response."""
    return {}


if __name__ == "__main__":
    runpod.serverless.start({"handler": handle, "concurrency_modifier": lambda _: int(os.environ["CONCURRENCY"])})
