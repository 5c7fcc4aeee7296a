"""A network driver in memory, for fleets of thousands of hosts: it plugs nothing and remembers everything.

`failures` maps a verb to how many times it fails before it works again (-1: always), to see what the loops above do.
"""

import socket
from collections.abc import Callable

from bivouac.core.crash import side_effect
from bivouac.drivers.hypervisor import DriverError
from bivouac.hostspec.network import NetworkSpec
from bivouac.hostspec.server import PortSpec


class SimNetDriver:
    """One simulated host's network. `on_plug(port_id, plugged)` is told of every change, to stand for OVN's answer."""

    def __init__(self, on_plug: Callable[[str, bool], None] | None = None):
        self.failures: dict[str, int] = {}
        self._on_plug = on_plug
        self._ports: dict[str, str] = {}
        self._servers: dict[str, str] = {}
        self._networks: dict[str, NetworkSpec] = {}
        self._state = "not started"

    async def start(self) -> None:
        self._maybe_fail("start")
        self._state = "running"

    async def stop(self) -> None:
        """Nothing watches, so nothing stops."""

    async def shutdown(self) -> None:
        for port_id in list(self._ports):
            await self.remove_port(port_id)
        self._networks.clear()
        self._state = "stopped"

    async def ensure_port(self, server_id: str, port: PortSpec) -> str:
        self._maybe_fail("ensure_port")
        tap = "tap" + port.id[:11]
        if port.id not in self._ports:
            side_effect(f"plug {tap}")
            self._ports[port.id] = tap
            if self._on_plug is not None:
                self._on_plug(port.id, True)
        self._servers[port.id] = server_id
        return tap

    async def remove_port(self, port_id: str) -> None:
        self._maybe_fail("remove_port")
        if port_id in self._ports:
            side_effect(f"unplug {self._ports[port_id]}")
            del self._ports[port_id]
            del self._servers[port_id]
            if self._on_plug is not None:
                self._on_plug(port_id, False)

    async def observe_ports(self) -> dict[str, str]:
        self._maybe_fail("observe_ports")
        return dict(self._ports)

    async def observe_port_servers(self) -> dict[str, str]:
        """Port id -> id of the server it was plugged for."""
        return dict(self._servers)

    async def ensure_network(self, network: NetworkSpec) -> socket.socket | None:
        """There is nobody to ask for metadata, so nothing listens: always None."""
        self._maybe_fail("ensure_network")
        if network.metadata_port is None:
            self._networks.pop(network.id, None)
        else:
            self._networks[network.id] = network

    async def remove_network(self, network_id: str) -> None:
        self._maybe_fail("remove_network")
        self._networks.pop(network_id, None)

    async def observe_networks(self) -> tuple[str, ...]:
        return tuple(sorted(self._networks))

    def daemons(self) -> dict[str, str]:
        return {"sim": self._state}

    def _maybe_fail(self, verb: str) -> None:
        left = self.failures.get(verb, 0)
        if left:
            self.failures[verb] = left - 1 if left > 0 else left
            raise DriverError("The host's network did not do as asked.", f"simulated failure of {verb}")
