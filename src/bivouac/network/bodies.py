"""Bodies of requests, as Neutron's API reference describes them. UNSET is what was not sent."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

Text = Annotated[str, Meta(max_length=255)]
LongText = Annotated[str, Meta(max_length=4096)]
Count = Annotated[int, Meta(ge=0, le=2**62)]
Fixed = dict[str, Any]
Maybe = UnsetType


class _Change(Struct, forbid_unknown_fields=True, kw_only=True):
    """What may be changed of everything. A `NewX` is an `XChange` with its owner and what is settled for good."""

    name: Text | Maybe = UNSET
    description: LongText | None | Maybe = UNSET


class NetworkChange(_Change, kw_only=True, rename={
    "external": "router:external", "network_type": "provider:network_type",
    "physical_network": "provider:physical_network", "segmentation_id": "provider:segmentation_id",
}):  # fmt: skip
    admin_state_up: bool | Maybe = UNSET
    shared: bool | Maybe = UNSET
    external: bool | Maybe = UNSET
    is_default: bool | Maybe = UNSET
    mtu: int | Maybe = UNSET
    network_type: str | None | Maybe = UNSET
    physical_network: str | None | Maybe = UNSET
    segmentation_id: int | None | Maybe = UNSET
    port_security_enabled: bool | Maybe = UNSET
    dns_domain: Text | Maybe = UNSET


class NewNetwork(NetworkChange, kw_only=True):
    project_id: Text | Maybe = UNSET
    tenant_id: Text | Maybe = UNSET
    availability_zone_hints: list[str] | Maybe = UNSET


class PoolBody(Struct, forbid_unknown_fields=True):
    start: str
    end: str


class HostRoute(Struct, forbid_unknown_fields=True):
    destination: str
    nexthop: str


class _Subnet(_Change, kw_only=True):
    gateway_ip: str | None | Maybe = UNSET
    enable_dhcp: bool | Maybe = UNSET
    dns_nameservers: list[str] | None | Maybe = UNSET
    host_routes: list[HostRoute] | None | Maybe = UNSET
    service_types: list[str] | Maybe = UNSET


class SubnetChange(_Subnet, kw_only=True):
    allocation_pools: list[PoolBody] | Maybe = UNSET


class NewSubnet(_Subnet, kw_only=True):
    project_id: Text | Maybe = UNSET
    tenant_id: Text | Maybe = UNSET
    network_id: str
    ip_version: int | Maybe = UNSET
    cidr: str | None | Maybe = UNSET
    prefixlen: int | Maybe = UNSET
    subnetpool_id: str | None | Maybe = UNSET
    use_default_subnetpool: bool | Maybe = UNSET
    ipv6_ra_mode: str | None | Maybe = UNSET
    ipv6_address_mode: str | None | Maybe = UNSET
    allocation_pools: list[PoolBody] | None | Maybe = UNSET


class _Subnetpool(_Change, kw_only=True):
    default_prefixlen: int | str | Maybe = UNSET
    min_prefixlen: int | str | Maybe = UNSET
    max_prefixlen: int | str | Maybe = UNSET
    default_quota: Count | None | Maybe = UNSET
    is_default: bool | Maybe = UNSET


class SubnetpoolChange(_Subnetpool, kw_only=True):
    prefixes: list[str] | Maybe = UNSET


class NewSubnetpool(_Subnetpool, kw_only=True):
    project_id: Text | Maybe = UNSET
    tenant_id: Text | Maybe = UNSET
    prefixes: list[str]
    shared: bool | Maybe = UNSET


class AddressPair(Struct, forbid_unknown_fields=True):
    ip_address: str
    mac_address: str | None | Maybe = UNSET


class ExtraDhcpOption(Struct, forbid_unknown_fields=True):
    opt_name: Annotated[str, Meta(min_length=1, max_length=64)]
    opt_value: Annotated[str, Meta(max_length=255)] | None | Maybe = UNSET
    ip_version: int | str | Maybe = UNSET


class PortChange(_Change, kw_only=True, rename={
    "binding_host": "binding:host_id", "binding_vnic_type": "binding:vnic_type", "binding_profile": "binding:profile",
}):  # fmt: skip
    admin_state_up: bool | Maybe = UNSET
    mac_address: str | Maybe = UNSET
    fixed_ips: list[Fixed] | None | Maybe = UNSET
    device_id: Text | Maybe = UNSET
    device_owner: Text | Maybe = UNSET
    port_security_enabled: bool | Maybe = UNSET
    security_groups: list[str] | None | Maybe = UNSET
    allowed_address_pairs: list[AddressPair] | None | Maybe = UNSET
    extra_dhcp_opts: list[ExtraDhcpOption] | None | Maybe = UNSET
    dns_name: Text | Maybe = UNSET
    binding_host: Text | None | Maybe = UNSET
    binding_vnic_type: str | Maybe = UNSET
    binding_profile: dict[str, Any] | None | Maybe = UNSET


class NewPort(PortChange, kw_only=True):
    project_id: Text | Maybe = UNSET
    tenant_id: Text | Maybe = UNSET
    network_id: str


class GatewayInfo(Struct, forbid_unknown_fields=True):
    network_id: str | None | Maybe = UNSET
    enable_snat: bool | Maybe = UNSET
    external_fixed_ips: list[Fixed] | Maybe = UNSET


class _Router(_Change, kw_only=True):
    admin_state_up: bool | Maybe = UNSET
    external_gateway_info: GatewayInfo | None | Maybe = UNSET


class RouterChange(_Router, kw_only=True):
    routes: list[HostRoute] | None | Maybe = UNSET


class NewRouter(_Router, kw_only=True):
    project_id: Text | Maybe = UNSET
    tenant_id: Text | Maybe = UNSET
    availability_zone_hints: list[str] | Maybe = UNSET


class RouterInterface(Struct, forbid_unknown_fields=True):
    subnet_id: str | Maybe = UNSET
    port_id: str | Maybe = UNSET


class ExtraRoutes(Struct, forbid_unknown_fields=True):
    routes: list[HostRoute]


class FloatingIpChange(Struct, forbid_unknown_fields=True, kw_only=True):
    description: LongText | None | Maybe = UNSET
    port_id: str | None | Maybe = UNSET
    fixed_ip_address: str | None | Maybe = UNSET


class NewFloatingIp(FloatingIpChange, kw_only=True):
    project_id: Text | Maybe = UNSET
    tenant_id: Text | Maybe = UNSET
    floating_network_id: str
    floating_ip_address: str | Maybe = UNSET
    subnet_id: str | None | Maybe = UNSET
    dns_name: Text | Maybe = UNSET
    dns_domain: Text | Maybe = UNSET


class SecurityGroupChange(_Change, kw_only=True):
    stateful: bool | Maybe = UNSET


class NewSecurityGroup(SecurityGroupChange, kw_only=True):
    project_id: Text | Maybe = UNSET
    tenant_id: Text | Maybe = UNSET


class NewSecurityGroupRule(Struct, forbid_unknown_fields=True, kw_only=True):
    security_group_id: str
    direction: str
    description: LongText | None | Maybe = UNSET
    project_id: Text | Maybe = UNSET
    tenant_id: Text | Maybe = UNSET
    ethertype: str | None | Maybe = UNSET
    protocol: str | int | None | Maybe = UNSET
    port_range_min: int | str | None | Maybe = UNSET
    port_range_max: int | str | None | Maybe = UNSET
    remote_ip_prefix: str | None | Maybe = UNSET
    remote_group_id: str | None | Maybe = UNSET
