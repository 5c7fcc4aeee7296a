"""What compute asks of the network and image services: the one place where their functions are named.

Everything here runs inside compute's own transaction, so that a server, its ports and its snapshot are made or not
made together. `bivouac.network.for_compute` and `bivouac.image.for_compute` are modules that have these functions.

Both services ring the bell `server-specs` with a server's id when something changed that its guest or its host must
learn (an address, a floating IP, an MTU, a security group).
"""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, cast

from msgspec import Struct

from bivouac.core.call import Call
from bivouac.core.store import Tx
from bivouac.hostspec.network import NetworkSpec
from bivouac.hostspec.server import ImageRef
from bivouac.image import for_compute as image_for_compute
from bivouac.network import for_compute as network_for_compute

SPEC_BELL = "server-specs"


class NetworkRequest(Struct, frozen=True):
    """One entry of `networks` in a create or attach: a port that exists, or a network to make one on."""

    network_id: str = ""
    port_id: str = ""
    fixed_ip: str = ""
    tag: str = ""


class Address(Struct, frozen=True):
    """An address of a port. `kind` as Nova says it in `OS-EXT-IPS:type`."""

    address: str
    version: Literal[4, 6]
    subnet_id: str = ""
    kind: Literal["fixed", "floating"] = "fixed"


class ServerPort(Struct, frozen=True):
    """A port as compute needs it. `addresses`: the fixed ones, each followed by the floating IPs that lead to it."""

    id: str
    server_id: str
    network_id: str
    network_name: str
    mac_address: str
    mtu: int
    status: str
    addresses: tuple[Address, ...] = ()
    security_groups: tuple[str, ...] = ()
    """Names."""
    tag: str = ""
    made_by_compute: bool = True
    """A port that compute made goes with its server; one that was given is only unbound."""


class Network(Protocol):
    def resolve_requests(
        self, tx: Tx, call: Call, requests: Sequence[NetworkRequest] | Literal["auto", "none"] | None, servers: int = 1
    ) -> tuple[NetworkRequest, ...]:
        """The networks and ports for each of so many servers, checked before anything is made.

        None: the project's only network (shared ones count when it has none of its own), nothing when there is none.
        `auto`: the project's network, made on the spot (network, subnet, router) if there is none. Raises BadRequest
        (unknown network or port, malformed, port in use by several), Conflict (several networks and none named; a
        port in use; an address in use), Forbidden, OverQuota (ports).
        """
        ...

    def attach_port(
        self, tx: Tx, call: Call, request: NetworkRequest, *, server_id: str, project_id: str, host: str,
        availability_zone: str, hostname: str, security_groups: Sequence[str] = (),
    ) -> ServerPort:  # fmt: skip
        """Make (or take) a port for a server: device_id, device_owner `compute:ZONE`, dns_name, binding to `host`.

        `security_groups` are names or ids of the project's groups (empty: the default group) and count for ports that
        are made here. Raises BadRequest (unknown group or several of the name), Conflict, NotFound, OverQuota.
        """
        ...

    def bind_ports(self, tx: Tx, server_id: str, host: str) -> None:
        """Bind all ports of a server to a host (empty: unbind), for moves and shelving."""
        ...

    def detach_port(self, tx: Tx, server_id: str, port_id: str) -> None:
        """Take a port from a server: delete it if compute made it, otherwise unbind it. Raises NotFound."""
        ...

    def release_ports(self, tx: Tx, server_id: str) -> None:
        """`detach_port` for all ports of a server that goes. Nothing there is fine."""
        ...

    def ports_of(self, tx: Tx, server_ids: Sequence[str]) -> dict[str, list[ServerPort]]:
        """Ports of many servers in a few statements, in the order in which they were attached."""
        ...

    def address_lines(
        self, tx: Tx, server_ids: Sequence[str]
    ) -> list[tuple[str, str, str, str | None, str | None]]:
        """(server id, network's name, MAC address, fixed address or None, floating IP or None) of many servers, in
        the order of attaching: `ports_of` for lists, without rows."""
        ...

    def group_names(self, tx: Tx, server_ids: Sequence[str]) -> list[tuple[str, str]]:
        """(server id, security group's name) of many servers."""
        ...

    def servers_with_address(self, tx: Tx, version: Literal[4, 6], pattern: str, project_id: str = "") -> list[str]:
        """Ids of servers with an address that matches a regular expression (Nova's `ip` and `ip6` filters)."""
        ...

    def set_server_security_group(self, tx: Tx, call: Call, server_id: str, name: str, present: bool) -> None:
        """Put all ports of a server into a group (name or id), or out of it. Raises NotFound, Conflict."""
        ...

    def network_data(self, tx: Tx, server_id: str) -> dict[str, Any]:
        """The finished `network_data.json` of a server: links, networks, services."""
        ...

    def network_specs(self, tx: Tx, host: str, network_ids: Sequence[str] | None = None) -> tuple[NetworkSpec, ...]:
        """What a host must know of the networks (all, or some) that servers bound to it use."""
        ...


class ServerImage(Struct, frozen=True):
    """An image that a server may be made from."""

    ref: ImageRef
    name: str
    min_disk_gib: int
    min_ram_mib: int
    virtual_size_bytes: int
    properties: dict[str, str] = {}
    """As the API shows them at top level: `hw_disk_bus`, `os_distro`, `kernel_id`, ..."""
    container_format: str = "bare"
    project_id: str = ""


class NewSnapshot(Struct, frozen=True):
    """An image about to be uploaded by a host. `properties` as Glance would show them."""

    name: str
    project_id: str
    user_id: str
    disk_format: str
    min_disk_gib: int
    min_ram_mib: int
    properties: dict[str, str] = {}
    container_format: str = "bare"


class Image(Protocol):
    def server_image(self, tx: Tx, call: Call, image_id: str) -> ServerImage:
        """An image the caller may use. Raises NotFound (absent or invisible), BadRequest (not active)."""
        ...

    def image_ref(self, tx: Tx, image_id: str) -> ImageRef | None:
        """What an agent needs to fetch an image, whoever asks; None when it has no bytes."""
        ...

    def create_snapshot(self, tx: Tx, call: Call, snapshot: NewSnapshot) -> str:
        """The id of a new image in `queued`. Raises OverQuota."""
        ...

    def fail_snapshot(self, tx: Tx, image_id: str) -> None:
        """The bytes will not come: mark `killed` or remove. Nothing there is fine."""
        ...


def network() -> Network:
    """The network service."""
    return cast(Network, network_for_compute)


def image() -> Image:
    """The image service."""
    return cast(Image, image_for_compute)
