"""What stands for OVN in a simulated fleet: every bound port is up."""

from bivouac.core.crash import side_effect
from bivouac.core.store import Store, Tx

from ..records import Port
from ..service.standard import PROJECTION


class SimulatedProjection:
    """Says of each port that is bound to a host that it is up, and of each other that it is not."""

    name = PROJECTION
    concurrency = 1

    def __init__(self, store: Store, interval_s: float = 30.0):
        self.interval_s = interval_s
        self._store = store

    async def due(self) -> list[str]:
        return ["all"]

    async def step(self, key: str) -> float | None:
        while await self._store.read(_differing):
            side_effect("port states")
            await self._store.write(_settle)
        return None

    async def stop(self) -> None:
        """Nothing is held."""


_DIFFERING = ("up = 0 AND binding_host <> ''", "up = 1 AND binding_host = ''")
"""Each is answered by an index: a fleet rings for every port."""


def _differing(tx: Tx) -> bool:
    return any(tx.value(f"SELECT 1 FROM ports WHERE {one} LIMIT 1") for one in _DIFFERING)


def _settle(tx: Tx) -> None:
    for one in _DIFFERING:
        for port in tx.select(Port, f"WHERE {one} LIMIT 500"):
            tx.update(port, up=bool(port.binding_host))
