"""Rows of the network service. Wire names that differ from columns are in `resources`."""

import ipaddress
from typing import Any, ClassVar

from bivouac.core.store import Row

Pool = tuple[str, str]
"""First and last address of an allocation pool."""


class Standard(Row, frozen=True, kw_only=True):
    """What every resource of the API has (Neutron's standard attributes)."""

    id: str
    project_id: str
    description: str = ""
    tags: list[str] = []
    revision_number: int = 1
    created_at: float
    updated_at: float


class Network(Standard, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "networks"
    name: str = ""
    admin_state_up: bool = True
    shared: bool = False
    external: bool = False
    is_default: bool = False
    mtu: int
    network_type: str = "geneve"
    physical_network: str | None = None
    segmentation_id: int | None = None
    port_security_enabled: bool = True
    dns_domain: str = ""
    availability_zone_hints: list[str] = []


class Subnetpool(Standard, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "subnetpools"
    name: str = ""
    ip_version: int
    prefixes: list[str]
    default_prefixlen: int
    min_prefixlen: int
    max_prefixlen: int
    default_quota: int | None = None
    shared: bool = False
    is_default: bool = False


class Subnet(Standard, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "subnets"
    network_id: str
    name: str = ""
    ip_version: int
    cidr: str
    gateway_ip: str | None
    enable_dhcp: bool = True
    ipv6_ra_mode: str | None = None
    ipv6_address_mode: str | None = None
    allocation_pools: list[Pool]
    dns_nameservers: list[str] = []
    host_routes: list[dict[str, str]] = []
    service_types: list[str] = []
    subnetpool_id: str | None = None

    @property
    def is_auto_addressed(self) -> bool:
        """Ports get the address that their MAC address makes (EUI-64), as their guest does by itself."""
        return self.ipv6_address_mode in ("slaac", "dhcpv6-stateless")


class SecurityGroup(Standard, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "security_groups"
    name: str
    stateful: bool = True
    is_default: bool = False


class SecurityGroupRule(Standard, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "security_group_rules"
    security_group_id: str
    direction: str
    ethertype: str = "IPv4"
    protocol: str | None = None
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ip_prefix: str | None = None
    """As it was given, host bits included."""
    remote_group_id: str | None = None

    @property
    def normalized_cidr(self) -> str | None:
        """The remote prefix without host bits, as packets are matched."""
        if self.remote_ip_prefix is None:
            return None
        return str(ipaddress.ip_network(self.remote_ip_prefix, strict=False))


class Port(Standard, frozen=True, kw_only=True):
    """`up` is written by the projection alone: the port is plugged and its chassis has taken it up."""

    TABLE: ClassVar[str] = "ports"
    network_id: str
    name: str = ""
    mac_address: str
    admin_state_up: bool = True
    device_id: str = ""
    device_owner: str = ""
    port_security_enabled: bool = True
    security_groups: list[str] = []
    """Ids, sorted; the table port_security_groups says the same for the other direction."""
    allowed_address_pairs: list[dict[str, str]] = []
    extra_dhcp_opts: list[dict[str, Any]] = []
    dns_name: str = ""
    binding_host: str = ""
    binding_vnic_type: str = "normal"
    binding_profile: dict[str, Any] = {}
    up: bool = False
    device_tag: str = ""
    made_by_compute: bool = False
    attached_at: float | None = None

    @property
    def status(self) -> str:
        """As the API says it. Ports of routers live in every chassis and are active as soon as they are wanted."""
        if not self.admin_state_up:
            return "DOWN"
        if self.device_owner == FLOATING_IP:
            return "N/A"
        if self.device_owner in ROUTER_OWNERS or self.device_owner == METADATA:
            return "ACTIVE"
        return "ACTIVE" if self.up and self.binding_host else "DOWN"


class PortSecurityGroup(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "port_security_groups"
    KEY: ClassVar[tuple[str, ...]] = ("port_id", "security_group_id")
    LOGGED: ClassVar[bool] = False
    port_id: str
    security_group_id: str


class Address(Row, frozen=True, kw_only=True):
    """An address that a port holds: the primary key is the claim."""

    TABLE: ClassVar[str] = "addresses"
    KEY: ClassVar[tuple[str, ...]] = ("subnet_id", "number")
    subnet_id: str
    number: str
    address: str
    port_id: str
    position: int = 0


class Router(Standard, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "routers"
    name: str = ""
    admin_state_up: bool = True
    gateway_network_id: str | None = None
    gateway_port_id: str | None = None
    enable_snat: bool = True
    routes: list[dict[str, str]] = []
    availability_zone_hints: list[str] = []


class FloatingIp(Standard, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "floating_ips"
    floating_network_id: str
    floating_ip_address: str
    floating_port_id: str
    port_id: str | None = None
    fixed_ip_address: str | None = None
    router_id: str | None = None
    dns_name: str = ""
    dns_domain: str = ""

    @property
    def status(self) -> str:
        return "ACTIVE" if self.port_id and self.router_id else "DOWN"


class NetworkQuota(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "network_quotas"
    KEY: ClassVar[tuple[str, ...]] = ("project_id", "resource")
    project_id: str
    resource: str
    maximum: int


METADATA = "network:distributed"
"""Owner of the port on which every host answers a network's metadata."""
ROUTER_INTERFACE = "network:router_interface"
ROUTER_GATEWAY = "network:router_gateway"
FLOATING_IP = "network:floatingip"
ROUTER_OWNERS = (ROUTER_INTERFACE, ROUTER_GATEWAY)
COMPUTE = "compute:"
