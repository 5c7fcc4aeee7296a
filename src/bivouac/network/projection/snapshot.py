"""All that the projection depends on, read at one moment."""

from msgspec import Struct, field

from bivouac.core.store import Tx

from ..records import Address, FloatingIp, Network, Port, Router, SecurityGroup, SecurityGroupRule, Subnet


class Chassis(Struct, frozen=True, order=True):
    """A host as OVN's southbound database knows it."""

    name: str
    physical_networks: tuple[str, ...] = ()


class Snapshot(Struct, kw_only=True):
    """Rows of one moment, with the ways to find them."""

    networks: list[Network] = []
    subnets: dict[str, Subnet] = {}
    ports: list[Port] = []
    addresses: dict[str, list[Address]] = {}
    """By port."""
    routers: list[Router] = []
    floating_ips: list[FloatingIp] = []
    security_groups: list[SecurityGroup] = []
    rules: list[SecurityGroupRule] = []
    chassis: tuple[Chassis, ...] = ()
    name_servers: tuple[str, ...] = ()
    ports_by_device: dict[str, list[Port]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for port in self.ports:
            if port.device_id:
                self.ports_by_device.setdefault(port.device_id, []).append(port)

    def held(self, port: Port) -> list[tuple[Subnet, str]]:
        """Subnets and addresses of a port."""
        return [(self.subnets[one.subnet_id], one.address) for one in self.addresses.get(port.id, ())]


def read(tx: Tx) -> Snapshot:
    """Everything, in as many statements as there are tables."""
    addresses: dict[str, list[Address]] = {}
    for row in tx.select(Address, "ORDER BY port_id, position, number"):
        addresses.setdefault(row.port_id, []).append(row)
    return Snapshot(
        networks=tx.select(Network, "ORDER BY id"),
        subnets={row.id: row for row in tx.select(Subnet, "ORDER BY created_at, id")},
        ports=tx.select(Port, "ORDER BY id"),
        addresses=addresses,
        routers=tx.select(Router, "ORDER BY id"),
        floating_ips=tx.select(FloatingIp, "ORDER BY id"),
        security_groups=tx.select(SecurityGroup, "ORDER BY id"),
        rules=tx.select(SecurityGroupRule, "ORDER BY id"),
    )
