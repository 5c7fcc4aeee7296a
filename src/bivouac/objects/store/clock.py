"""The store's time: microseconds since the epoch in steps of ten, strictly rising, so that one number is both a
time and an identity."""

from __future__ import annotations

import time
from collections.abc import Callable

STEP = 10  # Swift prints timestamps with five decimals


class Ticks:
    """`now` is injected by tests. Never goes back, even when the machine's clock does; `last` carries that over a
    restart."""

    def __init__(self, now: Callable[[], float] = time.time, last: int = 0) -> None:
        self._now, self.last = now, last

    def next(self) -> int:
        tick = int(self._now() * 100_000) * STEP
        if tick <= self.last:
            tick = self.last + STEP
        self.last = tick
        return tick

    def seconds(self) -> int:
        """Whole seconds, for expiry and retention."""
        return int(self._now())
