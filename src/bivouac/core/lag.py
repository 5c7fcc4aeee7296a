"""How late the event loop is: what holds it makes everybody else wait.

A timer that is due every tenth of a second says how long after its moment it ran. Whatever holds the loop for more
than 20 ms, which nothing may, shows up in `bivouac_event_loop_lag_seconds` sooner or later, in proportion to how often
that happens; a busy machine shows up there as well.
"""

import asyncio

from prometheus_client import Histogram

from .metrics import REGISTRY

INTERVAL_S = 0.1
EVENT_LOOP_LAG = Histogram(
    "bivouac_event_loop_lag_seconds",
    "How long after its moment a timer of the event loop ran.",
    buckets=(0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0),
    registry=REGISTRY,
)


async def watch() -> None:
    """Measure until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + INTERVAL_S
        await asyncio.sleep(INTERVAL_S)
        EVENT_LOOP_LAG.observe(max(0.0, loop.time() - due))
