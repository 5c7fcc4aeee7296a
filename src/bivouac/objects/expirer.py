"""Deletes what has expired. Readers do not see expired objects anyway; this gives the space back."""

from __future__ import annotations

import asyncio
import time

from bivouac.objects.store.interface import DeleteObject, Store

EVERY_S = 30.0
AT_ONCE = 200


async def expire(store: Store, now: int) -> int:
    """Delete the objects that have expired by `now` (seconds); gives how many were. In a versioned container a
    delete marker is added."""
    gone = 0
    while found := await store.expired_objects(now, AT_ONCE):
        deletes = (
            store.delete_object(DeleteObject(container, entry.name, only_expired_at=now)) for container, entry in found
        )
        outcomes = await asyncio.gather(*deletes, return_exceptions=True)
        done = sum(not isinstance(outcome, BaseException) and outcome.found for outcome in outcomes)
        gone += done
        if not done:
            break  # locked, or failing: the next round tries again
    return gone


async def run(store: Store) -> None:
    """Until cancelled."""
    while True:
        await asyncio.sleep(EVERY_S)
        await expire(store, int(time.time()))
