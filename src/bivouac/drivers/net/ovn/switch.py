"""Open vSwitch's own database: the chassis' settings, bridges, and what is plugged into br-int."""

import time
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from bivouac.core import ovsdb
from bivouac.core.crash import side_effect
from bivouac.drivers.hypervisor import DriverError

INTEGRATION, EXTERNAL = "br-int", "br-ex"
DATABASE = "Open_vSwitch"


class Plugged(Struct, frozen=True):
    """An interface of ours on br-int. `server_id` is empty for a metadata port."""

    device: str
    port_id: str
    server_id: str
    network_id: str
    mac_address: str


class Switch:
    """The host's Open vSwitch, through its database's socket."""

    def __init__(self, remote: str):
        self._remote = remote

    def transact(self, *operations: ovsdb.Operation) -> list[dict[str, Any]]:
        return ovsdb.transact(self._remote, DATABASE, *operations)

    def configure(self, external_ids: Mapping[str, str]) -> None:
        """Make the one Open_vSwitch row and set the keys that ovn-controller reads."""
        rows = self.transact({"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["external_ids"]})
        if not rows[0]["rows"]:
            side_effect("create the switch")
            self.transact(
                {"op": "insert", "table": "Open_vSwitch", "row": {"external_ids": ovsdb.to_map(external_ids)}}
            )
            return
        have = ovsdb.from_map(rows[0]["rows"][0]["external_ids"])
        moved = {key: value for key, value in external_ids.items() if have.get(key) != value}
        if not moved:
            return
        side_effect("configure the switch")
        self.transact(
            {
                "op": "mutate",
                "table": "Open_vSwitch",
                "where": [],
                "mutations": [
                    ["external_ids", "delete", ovsdb.to_set(list(moved))],
                    ["external_ids", "insert", ovsdb.to_map(moved)],
                ],
            }
        )

    def datapath_types(self) -> dict[str, str]:
        """Bridge -> datapath type."""
        rows = self.transact({"op": "select", "table": "Bridge", "where": [], "columns": ["name", "datapath_type"]})
        return {row["name"]: row["datapath_type"] for row in rows[0]["rows"]}

    def ensure_bridge(self, name: str, datapath_type: str, fail_mode: str = "") -> None:
        """A bridge with its internal port of the same name."""
        if name in self.datapath_types():
            return
        side_effect(f"add bridge {name}")
        bridge: dict[str, Any] = {
            "name": name,
            "datapath_type": datapath_type,
            "ports": ovsdb.named("port"),
        }
        if fail_mode:
            bridge["fail_mode"] = fail_mode
        self.transact(
            {"op": "insert", "table": "Interface", "uuid-name": "interface", "row": {"name": name, "type": "internal"}},
            {
                "op": "insert",
                "table": "Port",
                "uuid-name": "port",
                "row": {"name": name, "interfaces": ovsdb.named("interface")},
            },
            {"op": "insert", "table": "Bridge", "uuid-name": "bridge", "row": bridge},
            {
                "op": "mutate",
                "table": "Open_vSwitch",
                "where": [],
                "mutations": [["bridges", "insert", ovsdb.named("bridge")], ["next_cfg", "+=", 1]],
            },
        )

    def remove_bridges(self) -> None:
        """Forget all bridges and with them every port."""
        self.transact(
            {
                "op": "update",
                "table": "Open_vSwitch",
                "where": [],
                "row": {"bridges": ovsdb.to_set([])},
            },
            _RAISE,
        )

    def settle(self, timeout_s: float = 10.0) -> None:
        """Wait until ovs-vswitchd has done all that the database wants. Raises DriverError."""
        read = {"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg", "cur_cfg"]}
        want = self.transact(_RAISE, read)[1]["rows"][0]["next_cfg"]
        end, pause_s = time.monotonic() + timeout_s, 0.002
        while self.transact(read)[0]["rows"][0]["cur_cfg"] < want:
            if time.monotonic() > end:
                raise DriverError("The host's network does not answer.", "ovs-vswitchd does not follow its database")
            time.sleep(pause_s)
            pause_s = min(0.05, pause_s * 1.5)

    # --- plugs ---------------------------------------------------------------------------------------------------

    def plugged(self) -> dict[str, Plugged]:
        """Device -> what it is, of everything on br-int that carries our mark."""
        rows = self.transact(
            {
                "op": "select",
                "table": "Interface",
                "where": [["external_ids", "includes", ovsdb.to_map({"owner": "bivouac"})]],
                "columns": ["name", "external_ids"],
            }
        )
        found = {}
        for row in rows[0]["rows"]:
            ids = ovsdb.from_map(row["external_ids"])
            found[row["name"]] = Plugged(
                row["name"],
                ids.get("iface-id", ""),
                ids.get("vm-uuid", ""),
                ids.get("network-id", ""),
                ids.get("attached-mac", ""),
            )
        return found

    def plug(self, plugged: Plugged) -> None:
        """Put a device on br-int for a logical switch port, or correct what it is plugged as."""
        external_ids = ovsdb.to_map(
            {
                "owner": "bivouac",
                "iface-id": plugged.port_id,
                "attached-mac": plugged.mac_address,
                "vm-uuid": plugged.server_id,
                "network-id": plugged.network_id,
            }
        )
        side_effect(f"plug {plugged.device}")
        here = [["name", "==", plugged.device]]
        rows = self.transact({"op": "select", "table": "Interface", "where": here, "columns": ["_uuid"]})
        if rows[0]["rows"]:
            self.transact(
                {"op": "update", "table": "Interface", "where": here, "row": {"external_ids": external_ids}}, _RAISE
            )
            return
        self.transact(
            {
                "op": "insert",
                "table": "Interface",
                "uuid-name": "interface",
                "row": {"name": plugged.device, "external_ids": external_ids},
            },
            {
                "op": "insert",
                "table": "Port",
                "uuid-name": "port",
                "row": {"name": plugged.device, "interfaces": ovsdb.named("interface")},
            },
            {
                "op": "mutate",
                "table": "Bridge",
                "where": [["name", "==", INTEGRATION]],
                "mutations": [["ports", "insert", ovsdb.named("port")]],
            },
            _RAISE,
        )

    def unplug(self, device: str) -> bool:
        """Take a device off br-int; whether it was there."""
        rows = self.transact({"op": "select", "table": "Port", "where": [["name", "==", device]], "columns": ["_uuid"]})
        if not rows[0]["rows"]:
            return False
        side_effect(f"unplug {device}")
        port = rows[0]["rows"][0]["_uuid"]
        self.transact(
            {
                "op": "mutate",
                "table": "Bridge",
                "where": [["name", "==", INTEGRATION]],
                "mutations": [["ports", "delete", ovsdb.to_set([port])]],
            },
            _RAISE,
        )
        return True


_RAISE: ovsdb.Operation = {
    "op": "mutate",
    "table": "Open_vSwitch",
    "where": [],
    "mutations": [["next_cfg", "+=", 1]],
}
"""Counts a change up: ovs-vswitchd copies the number to `cur_cfg` once it has followed."""
