"""This host beside the database: guests, disks, devices, namespaces and processes that nobody wants, or that lack.

`look` sees what there is, as root; `audit` compares it with what the rows want, as a pure function. A server with a
wish under way is left out: its host is at work on it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from pathlib import Path

import msgspec
from msgspec import Struct

from bivouac.compute.records import Server
from bivouac.core import ovsdb
from bivouac.core.run import CommandError
from bivouac.core.run import run as run_program
from bivouac.core.settings import Settings
from bivouac.core.store import Tx
from bivouac.drivers.hypervisor.qemu.state import processes_below
from bivouac.drivers.net.ovn import metadata
from bivouac.drivers.net.ovn.driver import tap_name
from bivouac.drivers.net.ovn.switch import DATABASE, Plugged, Switch
from bivouac.network.for_compute import network_specs
from bivouac.network.records import Port

from .layout import Layout
from .processes import MODULES, belonging_to

DAEMONS = (
    *MODULES, "ovsdb-northbound", "ovsdb-southbound", "ovn-northd", "ovsdb-switch", "ovs-vswitchd", "ovn-controller",
)
"""What runs once for each state directory: by Python module, or by pid file."""
DISK_SUFFIXES = (".qcow2", ".raw")
WITH_GUEST = {"active": True, "paused": True, "rescued": True, "resized": None, "error": None, "building": None}
"""Whether a server of this phase has a process: always, or (None) as it happens; any other has none."""


class HostView(Struct, kw_only=True):
    """What a host has."""

    name: str = ""
    """As OVN's chassis calls it; empty when its switch could not be asked."""
    guests: dict[str, int] = {}
    """Server id -> pid of its QEMU, 0 without one."""
    disks: dict[str, set[str]] = {}
    taps: set[str] = set()
    plugged: list[Plugged] = []
    heard: set[str] = set()
    """Devices that somebody listens to (IFF_PROMISC), as Open vSwitch does to what is plugged: one that vanished and
    returned under its name is silently dead."""
    broken: dict[str, str] = {}
    """Device -> what Open vSwitch says against it."""
    namespaces: tuple[str, ...] = ()
    remembered: set[str] = set()
    """Ids of servers in the agent's own files."""
    unfinished: list[str] = []
    processes: dict[str, int] = {}
    """Daemon -> how many."""
    tables: int = 0
    """Of nftables, that are this cloud's."""
    trouble: list[str] = []


class Wants(Struct, kw_only=True):
    """What the rows want of one host."""

    servers: dict[str, Server] = {}
    ports: list[Port] = []
    networks: set[str] = set()
    """Those on which metadata is to be answered."""


def wants(tx: Tx, host: str) -> Wants:
    """Servers and ports of one host."""
    servers = tx.select(Server, "WHERE host = ? AND deleted_at IS NULL", host)
    ports = tx.select(Port, "WHERE binding_host = ? AND device_owner LIKE 'compute:%'", host)
    networks = {one.id for one in network_specs(tx, host) if one.metadata_port is not None}
    return Wants(servers={one.id: one for one in servers}, ports=ports, networks=networks)


def look(layout: Layout, settings: Settings) -> HostView:
    """See what this host has. What could not be seen is in `trouble`."""
    folder, view = settings.agent_path, HostView()
    view.guests = dict.fromkeys(_names(folder / "guests"), 0) | processes_below(folder / "guests")
    for server_id in _names(folder / "disks"):
        files = _names(folder / "disks" / server_id)
        named = {Path(name).stem for name in files if name.endswith(DISK_SUFFIXES)}
        view.disks[server_id] = {name for name in named if not name.startswith("base-")}
        view.unfinished += [f"disks/{server_id}/{name}" for name in files if name.startswith(".new-")]
    view.unfinished += [f"images/{name}" for name in _names(folder / "images") if name.startswith(".new-")]
    view.unfinished += [name for name in _names(folder) if name.startswith("snapshot-")]
    for name in ("operations.json", "passwords.json"):
        with contextlib.suppress(OSError, msgspec.DecodeError):
            view.remembered |= set(msgspec.json.decode((folder / name).read_bytes(), type=dict))
    view.processes = _processes(layout)
    _look_at_network(view, folder / "ovn-host")
    return view


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def _look_at_network(view: HostView, folder: Path) -> None:
    cloud = metadata.cloud_name(folder)
    view.namespaces = metadata.observe(cloud)
    switch = Switch(f"unix:{folder}/switch.sock")
    try:
        links = json.loads(run_program(["ip", "-json", "link"]).stdout)
        view.taps = {link["ifname"] for link in links if link["ifname"].startswith("tap")}
        view.heard = {link["ifname"] for link in links if "PROMISC" in link["flags"]}
        tables = run_program(["nft", "list", "tables"]).stdout.decode().split()
        view.tables = tables.count(f"bivouac_{cloud}")
        view.plugged = list(switch.plugged().values())
        columns = ["name", "error", "external_ids"]
        read = [{"op": "select", "table": "Interface", "where": [], "columns": columns},
                {"op": "select", "table": DATABASE, "where": [], "columns": ["external_ids"]}]  # fmt: skip
        interfaces, [top] = (one["rows"] for one in switch.transact(*read))
    except (CommandError, OSError, ovsdb.OvsdbError) as error:
        view.trouble.append(f"the network cannot be looked at: {error}")
        return
    view.broken = {row["name"]: row["error"] for row in interfaces if isinstance(row["error"], str) and row["error"]}
    view.name = ovsdb.from_map(top["external_ids"]).get("system-id", "")


def _processes(layout: Layout) -> dict[str, int]:
    """How often each daemon runs."""
    found: Counter[str] = Counter()
    for identity, _ in belonging_to(layout.state):
        with contextlib.suppress(OSError):
            arguments = Path(f"/proc/{identity.pid}/cmdline").read_text().split("\0")
            files = [Path(one.partition("=")[2]).stem for one in arguments if one.startswith("--pidfile=")]
            found.update(files or [one for one in arguments if one in MODULES])
    return found


def audit(want: Wants, view: HostView) -> dict[str, list[str]]:
    """Statement -> what contradicts it on this host."""
    resting = {id: one for id, one in want.servers.items() if one.observed_generation >= one.generation}
    return {
        "this host can be looked at": view.trouble,
        "every guest belongs to a server, and every server that runs has its guest": _guests(want, resting, view),
        "every disk belongs to a server, and every server has its root disk": _disks(want, resting, view),
        "every tap belongs to a port of a server that runs, and is plugged": _taps(want, resting, view),
        "metadata is answered on the networks of this host's servers, and only there": _namespaces(want, view),
        "no file is left unfinished, and none of a server that is gone": _files(want, view),
        "every daemon runs once": _daemons(view),
    }


def _guests(want: Wants, resting: dict[str, Server], view: HostView) -> list[str]:
    found = [f"{'guest' if pid else 'directory of'} {id}, which is no server of this host"
             for id, pid in view.guests.items() if id not in want.servers]  # fmt: skip
    for id, server in resting.items():
        runs, should = bool(view.guests.get(id)), WITH_GUEST.get(server.phase, False)
        if should is not None and runs != should:
            found.append(f"server {id} is {server.phase} and has {'a' if runs else 'no'} process")
    return found


def _disks(want: Wants, resting: dict[str, Server], view: HostView) -> list[str]:
    found = [f"disks of {id}, which is no server of this host" for id in view.disks if id not in want.servers]
    wanting = [id for id, server in resting.items() if server.phase not in ("error", "building")]
    return found + [f"server {id} has no root disk" for id in wanting if "root" not in view.disks.get(id, ())]


def _taps(want: Wants, resting: dict[str, Server], view: HostView) -> list[str]:
    if view.trouble:
        return []
    ports = {tap_name(port.id): port for port in want.ports}
    plugged = {one.device: one for one in view.plugged if one.server_id}
    # A guest that is paused cannot let go of a card that was taken from it; one that boots does so later.
    kept = {device for device, one in plugged.items() if one.server_id in want.servers
            and (one.server_id not in resting or want.servers[one.server_id].phase == "paused")}  # fmt: skip
    found = [f"{tap} is no port's of this host" for tap in view.taps - set(ports) - kept]
    found += [f"{device} is plugged and is no port's of this host" for device in set(plugged) - set(ports) - kept]
    found += [f"{device}: {error}" for device, error in view.broken.items()]
    found += [f"{one.device} is plugged, and Open vSwitch is deaf to it" for one in view.plugged
              if one.device not in view.heard and one.device not in view.broken]  # fmt: skip
    for tap, port in ports.items():
        server = resting.get(port.device_id)
        if server is None or WITH_GUEST.get(server.phase, False) is not True:
            continue
        if tap not in view.taps or tap not in plugged:
            found.append(f"{tap} of server {server.id} {'is not plugged' if tap in view.taps else 'is missing'}")
        elif not port.up:
            found.append(f"port {port.id} of server {server.id} is plugged and not up")
    return found


def _namespaces(want: Wants, view: HostView) -> list[str]:
    over = [f"namespace of network {id}" for id in view.namespaces if id not in want.networks]
    return over + [f"network {id} has no namespace" for id in want.networks - set(view.namespaces)]


def _files(want: Wants, view: HostView) -> list[str]:
    return view.unfinished + [f"the agent remembers server {id}" for id in view.remembered - set(want.servers)]


def _daemons(view: HostView) -> list[str]:
    found = [f"{name} runs {view.processes.get(name, 0)} times" for name in DAEMONS if view.processes.get(name, 0) != 1]
    return found + ([] if view.tables == 1 else [f"{view.tables} tables of this cloud in nftables"])
