"""What `bivouac db check` finds when rows disagree with each other, or with a host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bivouac.app.cloud import PACKAGES
from bivouac.cli.host_audit import DAEMONS, HostView, Wants, audit, wants
from bivouac.compute.audit import audit as audit_compute
from bivouac.compute.records import Fault, FlavorShape, Server
from bivouac.core.settings import Compute
from bivouac.core.store import Store, Tx
from bivouac.drivers.net.ovn.driver import tap_name
from bivouac.drivers.net.ovn.switch import Plugged
from bivouac.hostspec.link import HostFacts
from bivouac.network.audit import audit as audit_network
from bivouac.network.records import Network, Port
from bivouac.placement import service as placement
from bivouac.placement.records import Allocation

OTHER_PACKAGES = [one for one in PACKAGES if one != "bivouac.core"]
"""Of which every test's store has the core's."""
FLAVOR = FlavorShape(id="f", name="f", memory_mib=64, vcpus=1, root_gib=1)
SERVER = Server(
    id="server", project_id="p", user_id="u", name="n", hostname="n", created_at=1.0, updated_at=1.0,
    reservation_id="r", flavor=FLAVOR, flavor_id="f", vcpus=1, memory_mib=64, host="host", phase="active",
    observed_generation=1,
)  # fmt: skip
STANDARD: dict[str, Any] = {"project_id": "p", "created_at": 1.0, "updated_at": 1.0}
NETWORK = Network(id="network", mtu=1442, **STANDARD)
PORT = Port(
    id="port-of-server", network_id="network", mac_address="fa:16:3e:00:00:01", device_id="server",
    device_owner="compute:nova", binding_host="host", up=True, **STANDARD,
)  # fmt: skip
TAP = tap_name(PORT.id)
PLUGGED = Plugged(TAP, PORT.id, "server", "network", PORT.mac_address)


def sound(tx: Tx) -> None:
    """A host with a server and its port."""
    host = placement.register_host(tx, HostFacts("host", 4, 4096, 100), Compute(), 1.0)
    tx.insert(SERVER)
    tx.insert(Allocation(consumer_id="server", host_id=host.id, project_id="p", user_id="u", vcpus=1, memory_mib=64,
                         disk_gib=1, created_at=1.0))  # fmt: skip
    placement.recount(tx, host)
    tx.insert(NETWORK)
    tx.insert(PORT)


def orphaned_port(tx: Tx, owner: str) -> None:
    tx.insert(replace(PORT, id="orphan", mac_address="fa:16:3e:00:00:02", device_owner=owner, device_id="gone"))


def late(tx: Tx) -> None:
    tx.update(SERVER, task="stop", generation=2, deadline=1.0)


DAMAGE: dict[str, tuple[Callable[[Tx], Any], str]] = {
    "an allocation too few": (lambda tx: tx.execute("DELETE FROM allocations"), "no allocation"),
    "an allocation too many": (lambda tx: tx.execute("UPDATE servers SET deleted_at = 5"), "which is gone"),
    "usage that drifted": (lambda tx: tx.execute("UPDATE host_usage SET vcpus_free = 99"), "host"),
    "an error without a reason": (lambda tx: tx.update(SERVER, phase="error"), "server"),
    "a task past its deadline": (late, "server"),
    "a port of a server that is gone": (lambda tx: orphaned_port(tx, "compute:nova"), "orphan"),
    "a port of a router that is gone": (lambda tx: orphaned_port(tx, "network:router_interface"), "orphan"),
    "a port of a floating IP that is gone": (lambda tx: orphaned_port(tx, "network:floatingip"), "orphan"),
}


def contradictions(store: Store) -> list[str]:
    found = store.read_now(audit_compute, 100.0) | store.read_now(audit_network)
    return [problem for problems in found.values() for problem in problems]


@pytest.mark.parametrize("name", DAMAGE)
def test_rows_that_disagree_are_found(make_store: Callable[..., Store], name: str) -> None:
    store = make_store(*OTHER_PACKAGES)
    store.write_now(sound)
    assert contradictions(store) == []
    damage, words = DAMAGE[name]
    store.write_now(damage)
    assert any(words in one for one in contradictions(store))


def test_an_error_with_a_reason_is_none(make_store: Callable[..., Store]) -> None:
    store = make_store(*OTHER_PACKAGES)
    store.write_now(sound)
    store.write_now(lambda tx: tx.update(SERVER, phase="error", fault=Fault("The disk is full.", 1.0)))
    assert contradictions(store) == []


def view(**changes: Any) -> HostView:
    """A host that is as it should be, but for some changes."""
    known: dict[str, Any] = {
        "name": "host", "guests": {"server": 7}, "disks": {"server": {"root"}}, "taps": {TAP}, "plugged": [PLUGGED],
        "heard": {TAP}, "namespaces": ("network",), "remembered": {"server"},
        "processes": dict.fromkeys(DAEMONS, 1), "tables": 1,
    }  # fmt: skip
    return HostView(**known | changes)


def wanted(**server: Any) -> Wants:
    return Wants(servers={"server": replace(SERVER, **server)}, ports=[PORT], networks={"network"})


STRANGE: list[tuple[str, Wants, HostView, str]] = [
    ("a guest nobody wants", wanted(), view(guests={"server": 7, "other": 8}), "guest other"),
    ("a guest's directory", wanted(), view(guests={"server": 7, "other": 0}), "directory of other"),
    ("a server without its guest", wanted(), view(guests={"server": 0}), "has no process"),
    ("a stopped server with a guest", wanted(phase="stopped"), view(), "has a process"),
    ("disks nobody wants", wanted(), view(disks={"server": {"root"}, "other": set()}), "disks of other"),
    ("a server without a disk", wanted(), view(disks={"server": {"config"}}), "no root disk"),
    ("a tap nobody wants", wanted(), view(taps={TAP, "tapother"}), "tapother is no port's"),
    ("a plug nobody wants", wanted(), view(plugged=[PLUGGED, replace(PLUGGED, device="tapx")]), "tapx is plugged"),
    ("a tap that is missing", wanted(), view(taps=set()), f"{TAP} of server server is missing"),
    ("a tap that is not plugged", wanted(), view(plugged=[]), "is not plugged"),
    ("a tap that was made anew", wanted(), view(heard=set()), "deaf"),
    ("a device that failed", wanted(), view(broken={TAP: "No such device"}), "No such device"),
    ("a namespace nobody wants", wanted(), view(namespaces=("network", "other")), "namespace of network other"),
    ("a network without a namespace", wanted(), view(namespaces=()), "network network has no namespace"),
    ("half a disk", wanted(), view(unfinished=["disks/server/.new-root"]), ".new-root"),
    ("memory of one that is gone", wanted(), view(remembered={"other"}), "remembers server other"),
    ("a daemon that is gone", wanted(), view(processes=dict.fromkeys(DAEMONS[1:], 1)), f"{DAEMONS[0]} runs 0 times"),
    ("a daemon twice", wanted(), view(processes=dict.fromkeys(DAEMONS, 2)), "runs 2 times"),
    ("no way out", wanted(), view(tables=0), "0 tables"),
    ("a host that hides", wanted(), view(trouble=["no answer"]), "no answer"),
]


@pytest.mark.parametrize(("name", "want", "seen", "words"), STRANGE, ids=[one[0] for one in STRANGE])
def test_a_host_that_is_not_as_wanted_is_found(name: str, want: Wants, seen: HostView, words: str) -> None:
    assert any(words in problem for problems in audit(want, seen).values() for problem in problems)


@pytest.mark.parametrize(
    ("want", "seen"),
    [
        (wanted(), view()),
        (wanted(phase="stopped"), view(guests={"server": 0}, taps=set(), plugged=[])),
        (wanted(phase="error"), view(guests={"server": 0})),
        (wanted(generation=2), view(guests={}, disks={}, taps=set(), plugged=[])),  # its host is at work on it
        (Wants(servers={"server": replace(SERVER, phase="paused")}, networks={"network"}), view()),  # a card taken
    ],
)
def test_a_host_that_is_as_wanted(want: Wants, seen: HostView) -> None:
    assert [problem for problems in audit(want, seen).values() for problem in problems] == []


def test_what_a_host_is_to_have(make_store: Callable[..., Store], tmp_path: Path) -> None:
    store = make_store(*OTHER_PACKAGES)
    store.write_now(sound)
    store.write_now(lambda tx: orphaned_port(tx, "network:floatingip"))
    found = store.read_now(wants, "host")
    assert list(found.servers) == ["server"] and [port.id for port in found.ports] == [PORT.id]
    assert found.networks == set()  # no metadata port yet
    assert store.read_now(wants, "elsewhere") == Wants()
