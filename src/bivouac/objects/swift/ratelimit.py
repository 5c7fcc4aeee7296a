"""Rate limits: so many writes a second on an account, and in a container (`object_store.account_writes` and
`container_writes`). Off unless set."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bivouac.objects.swift.call import Call
from bivouac.objects.swift.errors import Refusal

WRITES = frozenset(("PUT", "POST", "DELETE", "COPY"))
PATIENCE_S = 5.0  # a request that would have to wait longer is refused
KEPT = 10_000  # names that are remembered


class RateLimit:
    """Rates in requests a second; 0 is no limit. Requests above the rate wait for their turn, up to PATIENCE_S."""

    def __init__(
        self,
        account_writes: float = 0,
        container_writes: float = 0,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rates = {"account": account_writes, "container": container_writes}
        self._now, self._sleep = now, sleep
        self._next: dict[tuple[str, ...], float] = {}

    def info(self) -> dict[str, Any]:
        """For `/info`; empty without limits."""
        account, container = self._rates["account"], self._rates["container"]
        if not account and not container:
            return {}
        return {
            "ratelimit": {
                "account_ratelimit": account,
                "max_sleep_time_seconds": PATIENCE_S,
                "container_ratelimits": [[0, container]] if container else [],
            }
        }

    async def admit(self, call: Call) -> None:
        """Wait for this request's turn. Raises Refusal 498 when that is too far off."""
        if call.method not in WRITES:
            return
        # As in Swift: the account's rate is for making and deleting containers, a container's for writing objects.
        if call.name is not None:
            key, rate = (call.account, call.container or ""), self._rates["container"]
        elif call.container is not None:
            key, rate = (call.account,), self._rates["account"]
        else:
            return
        if not rate:
            return
        now = self._now()
        turn = max(self._next.get(key, 0), now)
        if turn - now > PATIENCE_S:
            raise Refusal(498, headers=[("Retry-After", str(int(turn - now) + 1))])
        if len(self._next) >= KEPT:
            self._next = {name: due for name, due in self._next.items() if due > now}
        self._next[key] = turn + 1 / rate
        if turn > now:
            await self._sleep(turn - now)
