"""What a worker costs: the catalogue of GPU pools, ``gpus.json``, read for operators."""

import json
from pathlib import Path
from typing import Any, Final

#: The catalogue: for each pool its cards, memory and price, and under ``_origin`` where and when that was published.
CATALOGUE: Final = Path(__file__).with_name("gpus.json")


def pools() -> dict[str, dict[str, Any]]:
    """The pools by the platform's names."""
    return {name: pool for name, pool in json.loads(CATALOGUE.read_text("utf-8")).items() if isinstance(pool, dict)}


def price(gpu: str) -> float:
    """Dollars that one worker second costs in this pool, one card each.

    Raises ``ValueError`` for a pool that is not known, or whose price is not.
    """
    known = pools()
    if gpu not in known:
        raise ValueError(f"{gpu!r} is no GPU pool; the pools are {', '.join(known)}.")
    if known[gpu]["price"] is None:
        raise ValueError(f"No price was published for {gpu} when this was made; say --price in dollars a second.")
    return float(known[gpu]["price"])
