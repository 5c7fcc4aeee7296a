"""Compute's loops. W = what the rows want, S = what hosts were told, O = what they said.

- `server-specs`: W - S. For each server whose generation is ahead, tell its host, if its agent is connected here.
- `server-deadlines`: a task whose deadline has passed without O reaching W ends in a fault that says so.
- `server-cleanup`: rows of servers deleted long ago, expired console tickets and their like are dropped.
"""

from bivouac.core.clock import Clock
from bivouac.core.crash import side_effect
from bivouac.core.loops import Loop
from bivouac.core.metrics import OVERDUE
from bivouac.core.store import Store, Tx
from bivouac.image import for_compute as image_service
from bivouac.network.for_compute import SPEC_BELL

from .hosts import HostLinks
from .records import Server, ServerAction
from .service.servers import finish_delete, forget_deleted
from .service.tasks import fail, finish_actions
from .specs import spec_of
from .states import TASKS

RESEND_S = 30.0
"""A wish that a host has not reached is told again after so long: messages may be lost, agents may forget."""
KEEP_DELETED_S = 24 * 3600.0
"""Deleted servers stay visible to administrators for so long."""


class SpecLoop:
    """Tells hosts what is wanted."""

    name = SPEC_BELL
    interval_s = RESEND_S
    concurrency = 16

    def __init__(self, store: Store, hosts: HostLinks):
        self.store = store
        self.hosts = hosts

    async def due(self) -> list[str]:
        return await self.store.read(self._behind)

    def _behind(self, tx: Tx) -> list[str]:
        rows = tx.query(
            "SELECT id, host FROM servers WHERE deleted_at IS NULL AND observed_generation < generation AND host <> ''"
        )
        return [id for id, host in rows if self.hosts.get(host) is not None]

    async def step(self, key: str) -> float | None:
        found = await self.store.read(_read_spec, key)
        if found is None:
            return None
        host, spec, networks = found
        side_effect("tell host")
        await self.hosts.push(host, (spec,), networks)
        return None


def _read_spec(tx: Tx, server_id: str) -> tuple | None:
    server = tx.get(Server, server_id)
    if server is None or not server.host:
        return None
    return (server.host, *spec_of(tx, server))


class DeadlineLoop:
    """Ends what takes too long."""

    name = "server-deadlines"
    interval_s = 5.0
    concurrency = 4

    def __init__(self, store: Store, clock: Clock):
        self.store = store
        self.clock = clock

    async def due(self) -> list[str]:
        now = self.clock.now()
        OVERDUE.labels("server").set(len(await self.store.read(unowned_transitions, now - 2 * self.interval_s)))
        return await self.store.read(_overdue, now)

    async def step(self, key: str) -> float | None:
        side_effect("commit deadline")
        await self.store.write(expire, key, self.clock.now())
        return None


def _overdue(tx: Tx, now: float) -> list[str]:
    rows = tx.query(
        "SELECT id FROM servers WHERE deleted_at IS NULL AND observed_generation < generation AND deadline <= ?", now
    )
    return [id for (id,) in rows]


def expire(tx: Tx, server_id: str, now: float) -> None:
    """End a task past its deadline: ERROR with a reason, except that a delete is carried out without its host."""
    server = tx.get(Server, server_id)
    if server is None or server.deleted_at is not None or server.deadline is None or server.deadline > now:
        return
    task = server.current_task
    if not task:
        if server.observed_generation < server.generation:
            tx.update(server, deadline=now + 300.0)
            tx.ring(SPEC_BELL, server.id)
        return
    if task == "delete":
        finish_actions(tx, server.id, now)
        finish_delete(tx, server, now)
        return
    seconds = TASKS[task].deadline_s
    where = f"its host {server.host}" if server.host else "any host"
    if task in ("snapshot", "backup", "shelve"):
        action = tx.get(ServerAction, server.id, server.action_id)
        if action is not None and "image_id" in action.arguments:
            image_service.fail_snapshot(tx, action.arguments["image_id"])
    fail(tx, server, f"{TASKS[task].action} did not end within {seconds:.0f} seconds on {where}.", now)


def unowned_transitions(tx: Tx, now: float) -> list[str]:
    """Ids of servers in a transitional state without an owner or with no deadline in the future: always empty.

    The owner of a task is the host that the server is on; a server of no host has no task.
    """
    rows = tx.query(
        "SELECT id FROM servers WHERE deleted_at IS NULL AND observed_generation < generation "
        "AND (host = '' OR deadline IS NULL OR deadline <= ?)",
        now,
    )
    return [id for (id,) in rows]


class CleanupLoop:
    """Drops what nobody may see any more."""

    name = "server-cleanup"
    interval_s = 600.0
    concurrency = 1

    def __init__(self, store: Store, clock: Clock):
        self.store = store
        self.clock = clock

    async def due(self) -> list[str]:
        return ["all"]

    async def step(self, key: str) -> float | None:
        side_effect("commit cleanup")
        await self.store.write(forget_deleted, self.clock.now() - KEEP_DELETED_S, self.clock.now())
        return None


def loops(store: Store, clock: Clock, hosts: HostLinks) -> list[Loop]:
    """All loops of compute."""
    return [SpecLoop(store, hosts), DeadlineLoop(store, clock), CleanupLoop(store, clock)]
