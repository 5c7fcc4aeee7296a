"""The loop that keeps OVN's northbound database saying what our rows say, and tells which ports are up.

Sets and rules: W = rows wanted for what is in the store, H = rows of ours in the northbound database, U = ports that
a chassis says are up. W - H is inserted, H - W deleted, what differs changed, in one transaction; U is written to
`ports.up`. Woken by the bell after a commit, by a change in either of OVN's databases, and by time.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from bivouac.core import ovsdb
from bivouac.core.crash import side_effect
from bivouac.core.store import Store, Tx

from ..records import FLOATING_IP, METADATA, ROUTER_OWNERS, Port
from ..service.standard import PROJECTION
from . import snapshot
from .desired import desired
from .difference import COLUMNS, difference
from .model import Wanted

log = logging.getLogger(__name__)
LOCK = "bivouac_projection"
LOCK_RETRY_S = 1.0
LONGEST_PAUSE_S = 1.0
SOUTHBOUND = {
    "Chassis": ("name", "external_ids", "other_config"),
    "Port_Binding": ("logical_port", "up", "chassis", "type"),
}
UNOBSERVED = (*ROUTER_OWNERS, METADATA, FLOATING_IP)


class Projection:
    """A loop with two keys: `all` (rows onto OVN, then states back) and `states` (back only)."""

    name = PROJECTION
    concurrency = 1

    def __init__(
        self,
        store: Store,
        northbound: str,
        southbound: str,
        name_servers: Sequence[str] = (),
        interval_s: float = 30.0,
    ):
        self.interval_s = interval_s
        self._name_servers = tuple(name_servers)
        """Told to guests on subnets that name no servers themselves."""
        self._store = store
        self._remotes = (northbound, southbound)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="projection")
        self._north: ovsdb.Session | None = None
        self._south: ovsdb.Session | None = None
        self._watched: list[int] = []
        self._chassis: tuple[snapshot.Chassis, ...] = ()
        self._north_seen = 0
        self._known: Wanted | None = None
        self.last_pass_s = 0.0

    async def due(self) -> list[str]:
        """The whole is looked at in every sweep."""
        return ["all"]

    async def step(self, key: str) -> float | None:
        """One pass. Raises OvsdbError while OVN does not answer (the runner tries again)."""
        loop = asyncio.get_running_loop()
        self._unwatch(loop)
        try:
            again = await loop.run_in_executor(self._thread, self._pass, key)
        except ovsdb.OvsdbError:
            await loop.run_in_executor(self._thread, self._close)
            raise
        # Passes grow with the cloud; a pause as long as the last one leaves half of a core to the requests.
        await asyncio.sleep(min(LONGEST_PAUSE_S, self.last_pass_s))
        self._watch(loop)
        return again

    # --- in the loop's thread ------------------------------------------------------------------------------------

    def _pass(self, key: str) -> float | None:
        started = time.monotonic()
        north, south = self._connected()
        south.wait(0)
        if not north.wait_lock(LOCK):
            return LOCK_RETRY_S
        chassis = chassis_of(south)
        if key == "all" or chassis != self._chassis or north.moved != self._north_seen:
            rows = self._store.read_now(snapshot.read)
            rows.chassis = chassis
            rows.name_servers = self._name_servers
            wanted = desired(rows)
            known = self._known if north.moved == self._north_seen else None
            operations = difference(wanted, north.tables, known)
            if operations:
                side_effect("northbound")
                north.transact({"op": "assert", "lock": LOCK}, *operations)
            # The server reports a transaction's own changes before it answers it.
            self._chassis, self._north_seen, self._known = chassis, north.moved, wanted
        self._write_states(south)
        self.last_pass_s = time.monotonic() - started
        return None

    def _connected(self) -> tuple[ovsdb.Session, ovsdb.Session]:
        if self._north is None:
            self._north = ovsdb.Session(self._remotes[0], "OVN_Northbound")
            self._north.monitor(COLUMNS)
        if self._south is None:
            self._south = ovsdb.Session(self._remotes[1], "OVN_Southbound")
            self._south.monitor(SOUTHBOUND)
        return self._north, self._south

    def _write_states(self, south: ovsdb.Session) -> None:
        up = ports_up(south)
        moved = self._store.read_now(_moved, up)
        if moved:
            side_effect("port states")
            self._store.write_now(_record, moved)

    async def stop(self) -> None:
        """Stop watching and hang up; a further step would connect again."""
        loop = asyncio.get_running_loop()
        # In this order: a reader left on a closed descriptor would hide the next file that gets its number.
        self._unwatch(loop)
        await loop.run_in_executor(self._thread, self._close)

    def _close(self) -> None:
        for session in (self._north, self._south):
            if session is not None:
                session.close()
        self._north = self._south = None
        self._known = None

    # --- waking up -----------------------------------------------------------------------------------------------

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ring ourselves once when either database says something. A reader left in place would fire until read."""
        for session, key in ((self._north, "all"), (self._south, "states")):
            if session is not None:
                if session.has_unread:
                    self._store.ring(PROJECTION, key)
                descriptor = session.fileno()
                self._watched.append(descriptor)
                loop.add_reader(descriptor, self._woken, loop, key)

    def _woken(self, loop: asyncio.AbstractEventLoop, key: str) -> None:
        self._unwatch(loop)
        self._store.ring(PROJECTION, key)

    def _unwatch(self, loop: asyncio.AbstractEventLoop) -> None:
        for descriptor in self._watched:
            loop.remove_reader(descriptor)
        self._watched = []


def chassis_of(south: ovsdb.Session) -> tuple[snapshot.Chassis, ...]:
    """Chassis with the physical networks they are on."""
    found = []
    for row in south.tables["Chassis"].values():
        config = {**ovsdb.from_map(row["external_ids"]), **ovsdb.from_map(row["other_config"])}
        mappings = config.get("ovn-bridge-mappings", "")
        physical = sorted(one.partition(":")[0] for one in mappings.split(",") if one)
        found.append(snapshot.Chassis(row["name"], tuple(physical)))
    return tuple(sorted(found))


def ports_up(south: ovsdb.Session) -> frozenset[str]:
    """Logical ports that a chassis has taken up."""
    return frozenset(
        row["logical_port"]
        for row in south.tables["Port_Binding"].values()
        if row["up"] is True and row["type"] == "" and ovsdb.from_set(row["chassis"])
    )


def _moved(tx: Tx, up: frozenset[str]) -> dict[str, bool]:
    """Ports whose state in the store is not what OVN says."""
    marks = ", ".join("?" for _ in UNOBSERVED)
    rows = tx.query(f"SELECT id, up FROM ports WHERE device_owner NOT IN ({marks})", *UNOBSERVED)
    return {id: id in up for id, was in rows if bool(was) != (id in up)}


def _record(tx: Tx, moved: dict[str, bool]) -> None:
    for id, is_up in moved.items():
        port = tx.get(Port, id)
        if port is not None:
            tx.update(port, up=is_up)
