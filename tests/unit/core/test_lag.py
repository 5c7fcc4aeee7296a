"""The event loop's lag is seen."""

import asyncio
import time

from bivouac.core import lag
from bivouac.core.metrics import REGISTRY


def late(bound: str) -> float:
    """Measurements up to the bound."""
    return REGISTRY.get_sample_value("bivouac_event_loop_lag_seconds_bucket", {"le": bound}) or 0.0


def test_who_holds_the_loop_shows_up() -> None:
    async def story() -> None:
        watching = asyncio.create_task(lag.watch())
        await asyncio.sleep(0)
        time.sleep(lag.INTERVAL_S + 0.06)
        while late("+Inf") == before[0]:
            await asyncio.sleep(0.01)
        watching.cancel()

    before = late("+Inf"), late("0.05")
    asyncio.run(story())
    assert late("+Inf") > before[0]
    assert late("0.05") == before[1]
