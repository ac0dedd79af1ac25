"""The GPU types that the local REST v2 server has, as the platform's catalogue lists them; pools and prices from gpus.json."""

from typing import Any, Final

from ops import prices

#: Ids of the cards in each pool (RunPod documentation, GPU types, table of 2026-02-12).
CARDS: Final = {
    "AMPERE_16": ("NVIDIA RTX A4000", "NVIDIA RTX A4500", "NVIDIA RTX 4000 Ada Generation", "NVIDIA RTX 2000 Ada Generation"),
    "AMPERE_24": ("NVIDIA RTX A5000", "NVIDIA L4", "NVIDIA GeForce RTX 3090"),
    "ADA_24": ("NVIDIA GeForce RTX 4090",),
    "ADA_32_PRO": ("NVIDIA GeForce RTX 5090",),
    "AMPERE_48": ("NVIDIA RTX A6000", "NVIDIA A40"),
    "ADA_48_PRO": ("NVIDIA L40S", "NVIDIA L40", "NVIDIA RTX 6000 Ada Generation"),
    "AMPERE_80": ("NVIDIA A100 80GB PCIe", "NVIDIA A100-SXM4-80GB"),
    "ADA_80_PRO": ("NVIDIA H100 80GB HBM3", "NVIDIA H100 PCIe", "NVIDIA H100 NVL"),
    "BLACKWELL_96": (
        "NVIDIA RTX PRO 6000 Blackwell Server Edition",
        "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
    ),
    "HOPPER_141": ("NVIDIA H200",),
    "BLACKWELL_180": ("NVIDIA B200",),
}

#: Seconds in the hour that the catalogue's prices are for; those of gpus.json are for a second.
HOUR: Final = 3600


def cards_of(pool: str) -> tuple[str, ...]:
    """Ids of a pool's cards; none for a pool that is not known."""
    return CARDS.get(pool, ())


def gpu_types() -> list[dict[str, Any]]:
    """Every GPU type as ``GET /v2/catalog/gpus`` lists it. Nothing is rented here but to endpoints."""
    pools = prices.pools()
    listed = []
    for pool, cards in CARDS.items():
        known = pools.get(pool, {})
        price = known.get("price")
        for card in cards:
            listed.append(
                {
                    "id": card,
                    "name": card.removeprefix("NVIDIA "),
                    "pool": pool,
                    "manufacturer": "NVIDIA",
                    "memory": known.get("memory_gb", 0),
                    "secure": False,
                    "community": False,
                    "price": {"secure": 0, "community": 0, **({"serverless": round(float(price) * HOUR, 4)} if price else {})},
                    "maxCount": {"secure": 0, "community": 0},
                }
            )
    return listed
