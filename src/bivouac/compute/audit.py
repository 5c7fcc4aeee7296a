"""What must always be true of compute's rows, as statements that find what is not. Used by `bivouac db check`."""

from bivouac.core.store import Tx
from bivouac.placement import service as placement

from .loops import unowned_transitions

GRACE_S = 15.0
"""A deadline may be past for as long as its loop needs to come round."""


def audit(tx: Tx, now: float) -> dict[str, list[str]]:
    """Statement -> what contradicts it."""
    return {
        "hosts' usage is the sum of their allocations": placement.drift(tx),
        "every server under way has an owner and a deadline": unowned_transitions(tx, now - GRACE_S),
        "servers and allocations belong together": _allocations(tx),
        "every server in ERROR says why": _faults(tx),
        "no port belongs to a server that is gone": _ports(tx),
    }


def _allocations(tx: Tx) -> list[str]:
    alive = "SELECT id FROM servers WHERE deleted_at IS NULL"
    without_server = tx.query(f"SELECT DISTINCT consumer_id FROM allocations WHERE consumer_id NOT IN ({alive})")
    without_room = tx.query(
        "SELECT id FROM servers WHERE deleted_at IS NULL AND host <> '' "
        "AND id NOT IN (SELECT consumer_id FROM allocations)"
    )
    return [f"an allocation of server {id}, which is gone" for (id,) in without_server] + [
        f"server {id} has a host and no allocation" for (id,) in without_room
    ]


def _faults(tx: Tx) -> list[str]:
    rows = tx.query("SELECT id FROM servers WHERE deleted_at IS NULL AND phase = 'error' AND fault IS NULL")
    return [f"server {id}" for (id,) in rows]


def _ports(tx: Tx) -> list[str]:
    rows = tx.query(
        "SELECT id, device_id FROM ports WHERE device_owner LIKE 'compute:%' AND device_id NOT IN "
        "(SELECT id FROM servers WHERE deleted_at IS NULL)"
    )
    return [f"port {id} of server {server}" for id, server in rows]
