"""Upkeep: the keys of tokens and of credentials are rotated, and what no living token can need any more is dropped.

One key, `upkeep`, always due; the rules decide by the clock, so running twice does nothing twice.
"""

from ..core.crash import side_effect
from ..core.store import Tx
from . import revocation, tokens
from .identity import Identity
from .records import RequestToken

KEY = "upkeep"


class Upkeep:
    """The loop (see `core.loops.Loop`)."""

    name = "identity.upkeep"
    interval_s = 600.0
    concurrency = 1

    def __init__(self, identity: Identity):
        self._store = identity.store
        self._clock = identity.clock
        self._vault = identity.vault
        self._token_lifetime_s = identity.settings.security.token_lifetime_s

    async def due(self) -> list[str]:
        return [KEY]

    async def step(self, key: str) -> float | None:
        side_effect("commit upkeep")
        await self._store.write(upkeep, self._clock.now(), self._token_lifetime_s)
        side_effect("commit upkeep of the vault")
        await self._store.write(self._vault.upkeep, self._clock.now())
        return None


def upkeep(tx: Tx, now: float, token_lifetime_s: float) -> None:
    """Rotate the keys when it is time (never sooner than a token lives), drop what is past."""
    tokens.rotate(tx, now, max(tokens.ROTATION_S, token_lifetime_s))
    revocation.prune(tx, now, token_lifetime_s)
    tx.delete_where(RequestToken, "expires_at < ?", now)
    tx.execute("DELETE FROM nonces WHERE expires_at < ?", now)
