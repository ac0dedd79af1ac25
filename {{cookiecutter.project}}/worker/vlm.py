"""The vision-language model, whichever MinerU asks it: the tiers that do, and each request heard of."""

from collections.abc import Callable
from typing import Any, Final

from worker.choices import Tier

#: Tiers that use the vision-language model; the others never do.
TIERS: Final[frozenset[Tier]] = frozenset({"standard", "advanced"})


def hear_requests(client: Any, on_request: Callable[[], object]) -> None:
    """Call ``on_request`` at every request to the model. ``client`` is the class below every client that MinerU picks from.

    Each client builds its sampling parameters through that class once per request.
    """
    build = client.build_sampling_params

    def build_and_tell(self: Any, sampling_params: Any) -> Any:
        on_request()
        return build(self, sampling_params)

    client.build_sampling_params = build_and_tell
