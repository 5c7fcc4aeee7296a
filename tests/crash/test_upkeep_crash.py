"""Control crashes at every side effect of the identity's upkeep: the next round does the rest, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from crash.side_effects import covers

from bivouac.core.clock import ManualClock
from bivouac.core.crash import Crashed, arm
from bivouac.core.settings import Settings
from bivouac.core.store import Store
from bivouac.identity import revocation
from bivouac.identity.identity import Identity
from bivouac.identity.loops import Upkeep
from bivouac.identity.records import RevocationEvent, TokenKey


def test_a_crash_at_every_side_effect(make_store: Callable[..., Store], tmp_path: Path) -> None:
    for n in (1, 2, 3):
        store, clock = make_store("bivouac.identity"), ManualClock(1_000_000.0)
        loop = Upkeep(Identity(store, clock, Settings(state=str(tmp_path / str(n)))))

        def step(loop: Upkeep = loop) -> None:
            for key in asyncio.run(loop.due()):
                asyncio.run(loop.step(key))

        step()
        store.write_now(lambda tx, now=clock.now(): revocation.revoke(tx, now, audit_id="a"))
        clock.advance(90_000)
        with arm(n) as point:
            try:
                step()
            except Crashed:
                pass
        step()
        count = store.read_now(lambda tx: (tx.count(TokenKey), tx.count(RevocationEvent)))
        assert count == (2, 0), "rotated once, and forgotten"
    assert len(point.seen) == 2
    covers("identity upkeep", point)
