"""Hosts as `bivouac status` shows them."""

import time
from typing import Any

from bivouac.core.store import Tx
from bivouac.placement.records import Host, HostHeartbeat
from bivouac.placement.service import is_up


def host_states(tx: Tx) -> list[dict[str, Any]]:
    """Name, state, room and load of every host, with the daemons that its agent supervises."""
    heartbeats = {beat.host_id: beat for beat in tx.select(HostHeartbeat)}
    now = time.time()
    found = []
    for host in tx.select(Host, "ORDER BY name"):
        beat = heartbeats.get(host.id)
        state = "disabled" if host.disabled else "up" if is_up(host, beat, now) else "down"
        found.append(
            {
                "name": host.name,
                "state": state,
                "last_seen": beat.last_seen if beat else 0.0,
                "vcpus": host.facts.vcpus,
                "memory_mib": host.facts.memory_mib,
                "accelerator": host.facts.accelerator,
                "running_servers": beat.usage.running_servers if beat else 0,
                "daemons": beat.usage.daemons if beat else {},
            }
        )
    return found
