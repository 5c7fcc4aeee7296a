"""Network drivers: `ovn` (Open vSwitch and ovn-controller on this host) and `sim`.

A driver only plugs: what a port may do was written into OVN by the network service. It also owns the host's own
part: daemons, bridges, the metadata namespaces.
"""

import socket
from typing import Protocol

from bivouac.hostspec.network import NetworkSpec
from bivouac.hostspec.server import PortSpec


class NetDriver(Protocol):
    async def start(self) -> None:
        """Bring the host's daemons and bridges up, adopting what runs; then watch and restart what dies."""
        ...

    async def stop(self) -> None:
        """Stop watching. Daemons go on: guests must not notice that the agent went."""
        ...

    async def shutdown(self) -> None:
        """End daemons and remove bridges: for `bivouac down`."""
        ...

    async def ensure_port(self, server_id: str, port: PortSpec) -> str:
        """A persistent tap for the port, plugged into br-int with `iface-id`. Returns the tap's name."""
        ...

    async def remove_port(self, port_id: str) -> None: ...

    async def observe_ports(self) -> dict[str, str]:
        """Port id -> tap name, of everything this driver has plugged (with the server id kept beside it in OVS)."""
        ...

    async def observe_port_servers(self) -> dict[str, str]:
        """Port id -> id of the server it was plugged for."""
        ...

    async def ensure_network(self, network: NetworkSpec) -> socket.socket | None:
        """Plug the metadata localport into a namespace and return a listening socket on 169.254.169.254:80 in it
        (None where the network has no metadata port). The same socket for repeated calls."""
        ...

    async def remove_network(self, network_id: str) -> None: ...

    async def observe_networks(self) -> tuple[str, ...]: ...

    def daemons(self) -> dict[str, str]:
        """Name -> `running` or why not."""
        ...
