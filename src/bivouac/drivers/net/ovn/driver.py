"""The network driver of a host: its daemons and bridges, the taps of its guests, its metadata namespaces."""

import asyncio
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct

from bivouac.core import ovsdb
from bivouac.core.crash import side_effect
from bivouac.core.run import CommandError, run
from bivouac.drivers.hypervisor import DriverError
from bivouac.hostspec.network import NetworkSpec
from bivouac.hostspec.server import PortSpec

from . import gateway, kernel, metadata
from .central import Secured, environment, prepare_database
from .daemons import Daemon, Supervisor
from .switch import EXTERNAL, INTEGRATION, Plugged, Switch

log = logging.getLogger(__name__)
T = TypeVar("T")
SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")


class HostNetwork(Struct, frozen=True):
    """How a host takes part. `southbound` is OVN's southbound database as the host reaches it, by `secured` where
    that is over TLS.

    `gateway` is the address, with its prefix length, that the host owns on br-ex and masquerades behind: on one
    machine it is the way out of the provider network. Empty: br-ex is only a bridge. `datapath` is chosen by what
    the kernel offers unless given.
    """

    state: Path
    host: str
    southbound: str
    encapsulation_address: str = "127.0.0.1"
    physical_network: str = "public"
    gateway: str = ""
    datapath: str = ""
    secured: Secured | None = None


class OvnDriver:
    """Open vSwitch and ovn-controller on this host (the network namespace that we run in)."""

    def __init__(self, settings: HostNetwork):
        self.settings = settings
        self.directory = settings.state / "ovn-host"
        where = self.directory
        secured = settings.secured.options if settings.secured else ()
        self.switch = Switch(f"unix:{where}/switch.sock")
        self._sockets: dict[str, socket.socket] = {}
        self._served: dict[str, dict[str, str]] = {}
        """Network id -> whose addresses its neighbour table may know."""
        self._locks = [asyncio.Lock() for _ in range(64)]
        self._cloud = metadata.cloud_name(self.directory)
        self._group = int(self._cloud[:7], 16)
        """Group of this cloud's taps."""
        self._supervisor = Supervisor(
            where,
            [
                Daemon(
                    "ovsdb-switch",
                    (
                        "ovsdb-server",
                        f"{where}/switch.db",
                        f"--remote=punix:{where}/switch.sock",
                        f"--unixctl={where}/switch.ctl",
                    ),
                    where / "switch.sock",
                ),
                Daemon(
                    "ovs-vswitchd",
                    ("ovs-vswitchd", f"unix:{where}/switch.sock", f"--unixctl={where}/vswitchd.ctl"),
                    where / "vswitchd.ctl",
                ),
                Daemon("ovn-controller", ("ovn-controller", f"unix:{where}/switch.sock", *secured)),
            ],
            environment(where),
            self._after_restart,
        )

    # --- the host ------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bring daemons and bridges up, adopting what runs; then watch. Raises DriverError."""
        try:
            await asyncio.to_thread(self._prepare)
            await self._supervisor.start("ovsdb-switch")
            await asyncio.to_thread(self._configure)
            await self._supervisor.start("ovs-vswitchd")
            await asyncio.to_thread(self._bring_up)
            await asyncio.to_thread(self._remove_stray_taps)
            await self._supervisor.start("ovn-controller")
        except (OSError, CommandError, ovsdb.OvsdbError) as error:
            raise DriverError("The host's network could not be started.", str(error)) from error
        self._supervisor.watch()

    async def stop(self) -> None:
        """Stop watching; daemons, taps and namespaces stay."""
        await self._supervisor.stop()
        for listening in self._sockets.values():
            listening.close()
        self._sockets.clear()

    async def shutdown(self) -> None:
        """Remove every port and network of ours, end the daemons, take bridges and masquerading away."""
        if not (self.directory / "switch.db").exists():
            return
        try:
            await self._supervisor.stop()
            await self._supervisor.start("ovsdb-switch")
            for port_id in await self.observe_ports():
                await self.remove_port(port_id)
            for network_id in await self.observe_networks():
                await self.remove_network(network_id)
            await asyncio.to_thread(self._remove_stray_taps)
            await asyncio.to_thread(self.switch.remove_bridges)
        except (DriverError, ovsdb.OvsdbError):
            log.warning("the switch does not answer; removing what is left of it")
        await self._supervisor.shutdown()
        await asyncio.to_thread(self._take_down)

    def daemons(self) -> dict[str, str]:
        """Name -> `running` or why not."""
        return self._supervisor.states()

    def pid(self, daemon: str) -> int | None:
        return self._supervisor.pid(daemon)

    def _prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        if self._supervisor.pid("ovsdb-switch") is None:
            prepare_database(self.directory / "switch.db", SCHEMA)
        if self._supervisor.pid("ovn-controller") is None:
            for stale in self.directory.glob("ovn-controller.*.ctl"):
                stale.unlink()

    def _configure(self) -> None:
        settings = self.settings
        known = self.switch.datapath_types()
        if INTEGRATION not in known and kernel.device_exists(INTEGRATION):
            raise DriverError(
                "The host's network could not be started.",
                f"a device {INTEGRATION} exists that is not ours: another Open vSwitch runs in this network namespace",
            )
        datapath = known.get(INTEGRATION) or settings.datapath or gateway.best_datapath()
        external_ids = {
            "system-id": settings.host,
            "hostname": settings.host,
            "ovn-remote": settings.southbound,
            "ovn-encap-type": "geneve",
            "ovn-encap-ip": settings.encapsulation_address,
            "ovn-bridge": INTEGRATION,
            "ovn-bridge-datapath-type": datapath,
            "ovn-monitor-all": "false",
        }
        if settings.physical_network:
            external_ids["ovn-bridge-mappings"] = f"{settings.physical_network}:{EXTERNAL}"
            external_ids["ovn-cms-options"] = "enable-chassis-as-gw"
        self.switch.configure(external_ids)
        self.switch.ensure_bridge(INTEGRATION, datapath, fail_mode="secure")
        if settings.physical_network:
            self.switch.ensure_bridge(EXTERNAL, datapath)

    def _bring_up(self) -> None:
        self.switch.settle()
        kernel.set_up(INTEGRATION)
        if self.settings.physical_network:
            kernel.set_up(EXTERNAL)
            if self.settings.gateway:
                gateway.ensure(EXTERNAL, self.settings.gateway, self._cloud, self.directory)

    def _take_down(self) -> None:
        gateway.remove(self._cloud, self.directory)
        for device in (INTEGRATION, EXTERNAL, "ovs-netdev", "genev_sys_6081"):
            if kernel.device_exists(device):
                side_effect(f"remove {device}")
                run(["ip", "link", "del", device], check=False)

    async def _after_restart(self, daemon: str) -> None:
        """A new ovs-vswitchd may have made the bridges' devices anew: they need their addresses again."""
        if daemon == "ovs-vswitchd":
            await asyncio.to_thread(self._bring_up)

    # --- ports ---------------------------------------------------------------------------------------------------

    async def ensure_port(self, server_id: str, port: PortSpec) -> str:
        """A persistent tap, plugged. Returns its name. Raises DriverError."""
        return await self._locked(port.id, self._ensure_port, server_id, port)

    async def remove_port(self, port_id: str) -> None:
        """Unplug the port and remove its tap, if present. Raises DriverError."""
        await self._locked(port_id, self._remove_port, port_id)

    async def observe_ports(self) -> dict[str, str]:
        """Port id -> tap. Raises DriverError."""
        plugged = await self._locked("", self.switch.plugged)
        return {one.port_id: device for device, one in plugged.items() if one.server_id}

    async def observe_port_servers(self) -> dict[str, str]:
        """Port id -> id of the server it was plugged for. Raises DriverError."""
        plugged = await self._locked("", self.switch.plugged)
        return {one.port_id: one.server_id for one in plugged.values() if one.server_id}

    def _ensure_port(self, server_id: str, port: PortSpec) -> str:
        tap = tap_name(port.id)
        wanted = Plugged(tap, port.id, server_id, port.network_id, port.mac_address)
        if not kernel.device_exists(tap):
            # A tap that vanished and returns under its name stays dead in a switch that has not forgotten it.
            if self.switch.unplug(tap):
                self.switch.settle()
            side_effect(f"create {tap}")
            kernel.make_tap(tap, self._group)
        kernel.set_up(tap, port.mtu)
        if self.switch.plugged().get(tap) != wanted:
            self.switch.plug(wanted)
        return tap

    def _remove_port(self, port_id: str) -> None:
        tap = tap_name(port_id)
        self.switch.unplug(tap)
        if kernel.device_exists(tap):
            side_effect(f"remove {tap}")
            run(["ip", "link", "del", tap])

    def _remove_stray_taps(self) -> None:
        """Taps of ours that are not plugged: somebody died between making and plugging, or unplugging and removing."""
        for tap in kernel.taps(self._group) - set(self.switch.plugged()):
            side_effect(f"remove {tap}")
            run(["ip", "link", "del", tap])

    # --- networks ------------------------------------------------------------------------------------------------

    async def ensure_network(self, network: NetworkSpec) -> socket.socket | None:
        """The listening socket on 169.254.169.254:80 in the network's own namespace. Raises DriverError."""
        if network.metadata_port is None:
            await self.remove_network(network.id)
            return None
        return await self._locked(network.id, self._ensure_network, network)

    async def remove_network(self, network_id: str) -> None:
        """Unplug the network's metadata port and remove its namespace, if present. Raises DriverError."""
        await self._locked(network_id, self._remove_network, network_id)

    async def observe_networks(self) -> tuple[str, ...]:
        """Networks that have a metadata namespace here."""
        return await asyncio.to_thread(metadata.observe, self._cloud)

    def _ensure_network(self, network: NetworkSpec) -> socket.socket:
        namespace = metadata.namespace_name(self._cloud, network.id)
        device = metadata.device_name(network.id)
        assert network.metadata_port is not None
        if not metadata.is_linked(namespace, device):
            # As for taps: a device that vanished and returns stays dead in a switch that has not forgotten it.
            if self.switch.unplug(device):
                self.switch.settle()
            self._close(network.id)
            metadata.link(namespace, device)
        metadata.configure(namespace, device, network)
        wanted = Plugged(device, network.metadata_port.id, "", network.id, network.metadata_port.mac_address)
        if self.switch.plugged().get(device) != wanted:
            self.switch.plug(wanted)
        if self._served.get(network.id, network.servers) != network.servers:
            metadata.forget_neighbours(namespace)
        self._served[network.id] = network.servers
        if network.id not in self._sockets:
            self._sockets[network.id] = kernel.in_namespace(namespace, metadata.listen)
        return self._sockets[network.id]

    def _remove_network(self, network_id: str) -> None:
        self._served.pop(network_id, None)
        self._close(network_id)
        device = metadata.device_name(network_id)
        if self._supervisor.pid("ovsdb-switch") is not None:
            self.switch.unplug(device)
        metadata.remove_namespace(metadata.namespace_name(self._cloud, network_id), device)

    def _close(self, network_id: str) -> None:
        if listening := self._sockets.pop(network_id, None):
            listening.close()

    async def _locked(self, key: str, work: Callable[..., T], *arguments: Any) -> T:
        """Run blocking work in a thread, one at a time for a key; errors of the tools become DriverErrors."""
        try:
            async with self._locks[hash(key) % len(self._locks)]:
                return await asyncio.to_thread(work, *arguments)
        except (OSError, CommandError, ovsdb.OvsdbError) as error:
            raise DriverError("The host's network did not do as asked.", str(error)) from error


def tap_name(port_id: str) -> str:
    """Name of a port's tap: 14 of the 15 bytes that Linux allows."""
    return "tap" + port_id[:11]
