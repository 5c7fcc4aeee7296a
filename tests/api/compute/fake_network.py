"""A network service in memory, for tests of compute alone: one network per project, addresses handed out in order."""

import itertools
import re
from collections.abc import Sequence
from typing import Any

from bivouac.compute.neighbours import Address, NetworkRequest, ServerPort
from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, NotFound
from bivouac.core.ids import new_uuid
from bivouac.core.store import Tx
from bivouac.hostspec.network import NetworkSpec


class FakeNetwork:
    def __init__(self) -> None:
        self.networks = {"11111111-1111-4111-8111-111111111111": "private"}
        self.ports: dict[str, ServerPort] = {}
        self.hosts: dict[str, str] = {}
        self._numbers = itertools.count(10)

    def resolve_requests(self, tx: Tx, call: Call, requests: Any, servers: int = 1) -> tuple[NetworkRequest, ...]:
        if requests in (None, "auto"):
            return (NetworkRequest(next(iter(self.networks))),)
        if requests == "none":
            return ()
        for one in requests:
            if one.network_id and one.network_id not in self.networks:
                raise BadRequest(f"Network {one.network_id} could not be found.")
        return tuple(requests)

    def attach_port(
        self, tx: Tx, call: Call, request: NetworkRequest, *, server_id: str, project_id: str, host: str,
        availability_zone: str, hostname: str, security_groups: Sequence[str] = (),
    ) -> ServerPort:  # fmt: skip
        number = next(self._numbers)
        port = ServerPort(
            id=new_uuid(), server_id=server_id, network_id=request.network_id,
            network_name=self.networks[request.network_id], mac_address=f"fa:16:3e:00:00:{number % 256:02x}", mtu=1442,
            status="ACTIVE",
            addresses=(Address(request.fixed_ip or f"10.0.{number // 250}.{number % 250 + 1}", 4, "s"),),
            security_groups=tuple(security_groups) or ("default",), tag=request.tag,
        )  # fmt: skip
        self.ports[port.id] = port
        self.hosts[server_id] = host
        return port

    def bind_ports(self, tx: Tx, server_id: str, host: str) -> None:
        self.hosts[server_id] = host

    def detach_port(self, tx: Tx, server_id: str, port_id: str) -> None:
        if port_id not in self.ports or self.ports[port_id].server_id != server_id:
            raise NotFound(f"Port {port_id} could not be found.")
        del self.ports[port_id]

    def release_ports(self, tx: Tx, server_id: str) -> None:
        self.ports = {id: port for id, port in self.ports.items() if port.server_id != server_id}

    def ports_of(self, tx: Tx, server_ids: Sequence[str]) -> dict[str, list[ServerPort]]:
        found: dict[str, list[ServerPort]] = {}
        for port in self.ports.values():
            if port.server_id in server_ids:
                found.setdefault(port.server_id, []).append(port)
        return found

    def address_lines(self, tx: Tx, server_ids: Sequence[str]) -> list[tuple[str, str, str, str | None, str | None]]:
        return [(port.server_id, port.network_name, port.mac_address, one.address, None)
                for port in self.ports.values() if port.server_id in server_ids for one in port.addresses]  # fmt: skip

    def group_names(self, tx: Tx, server_ids: Sequence[str]) -> list[tuple[str, str]]:
        return sorted({(port.server_id, name) for port in self.ports.values() if port.server_id in server_ids
                       for name in port.security_groups})  # fmt: skip

    def servers_with_address(self, tx: Tx, version: int, pattern: str, project_id: str = "") -> list[str]:
        matches = re.compile(pattern)
        return [port.server_id for port in self.ports.values()
                if any(one.version == version and matches.search(one.address) for one in port.addresses)]  # fmt: skip

    def set_server_security_group(self, tx: Tx, call: Call, server_id: str, name: str, present: bool) -> None:
        raise NotFound(f"Security group {name} not found.")

    def network_data(self, tx: Tx, server_id: str) -> dict[str, Any]:
        return {"links": [], "networks": [], "services": []}

    def network_specs(self, tx: Tx, host: str, network_ids: Any = None) -> tuple[NetworkSpec, ...]:
        return tuple(NetworkSpec(id, 1, 1442, None) for id in self.networks if network_ids is None or id in network_ids)
