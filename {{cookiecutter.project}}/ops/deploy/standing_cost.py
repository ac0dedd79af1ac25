"""What workers cost that are kept running even when idle."""

from typing import Any, Final

from ops import prices

#: Seconds that what it costs is told for.
THIRTY_DAYS: Final = 30 * 24 * 3600


def sentence(body: dict[str, Any]) -> str:
    """What an endpoint's request costs in 30 days without a single job, in words; empty if nothing."""
    count, pools = body["workers"]["min"], body["gpu"]["pools"]
    if not count:
        return ""
    seconds, costs, unknown = THIRTY_DAYS * count * body["gpu"]["count"], [], []
    for pool in pools:
        try:
            costs.append(prices.price(pool) * seconds)
        except ValueError:
            unknown.append(pool)
    who = "1 worker runs" if count == 1 else f"{count} workers run"
    lacking = " and ".join(unknown)
    told = f"is billed at a price not known here ({lacking})"
    if costs:
        told = f"costs about {' to '.join(_span(costs))} in 30 days at the list price"
        told += f" (without {lacking}, whose price is not known here)" if lacking else ""
    return f"workers.min is {count}: {who} around the clock, which {told}, with or without jobs."


def _span(costs: list[float]) -> list[str]:
    """The least and the most, or the one that there is, in dollars."""
    return list(dict.fromkeys(f"${cost:,.0f}" for cost in (min(costs), max(costs))))
