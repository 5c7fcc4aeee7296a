"""The extensions of the Network API that exist here: an alias is listed only if its whole behaviour is there."""

from typing import Any

_TABLE = """
agent|The agent management extension.
allowed-address-pairs|Further addresses that a port may send from.
auto-allocated-topology|A network with a way out for a project that has none.
availability_zone|Availability zones of networks and routers.
binding|Where a port is bound, and how.
default-subnetpools|One default subnet pool for each IP version.
dns-integration|Names of ports in the network's DNS.
empty-string-filtering|Filters with an empty value.
ext-gw-mode|A router's gateway without source NAT.
external-net|Networks of the outside.
extra_dhcp_opt|DHCP options for one port.
extraroute|Further routes of a router.
extraroute-atomic|Add and remove routes of a router one by one.
filter-validation|Filters that name no attribute are refused.
fip-port-details|Details of a floating IP's port.
ip-substring-filtering|Find ports by a part of an address.
net-mtu|The MTU of a network.
net-mtu-writable|The MTU of a network may be chosen.
network-ip-availability|How many addresses of networks are used.
network_availability_zone|Availability zones of networks.
pagination|Pages of lists.
port-security|Switch a port's filters off.
project-id|project_id beside tenant_id.
provider|Networks on the operator's own wires.
quota_details|Quotas with what is used.
quotas|Quotas of projects.
revision-if-match|Changes that ask for a revision.
router|Routers and floating IPs.
router_availability_zone|Availability zones of routers.
security-group|Security groups and their rules.
security-groups-normalized-cidr|Remote prefixes in canonical form.
service-type|Providers of services.
sorting|Sorted lists.
standard-attr-description|Descriptions of everything.
standard-attr-revisions|Revisions of everything.
standard-attr-tag|Tags on everything.
standard-attr-timestamp|Times of creation and change.
stateful-security-group|Groups may be stateless.
subnet-external-network|Subnets of external networks are seen by all.
subnet-service-types|Subnets for certain device owners.
subnet_allocation|Subnet pools.
"""
UPDATED = "2026-01-01T00:00:00-00:00"


def _extensions() -> dict[str, dict[str, Any]]:
    found = {}
    for line in _TABLE.strip().splitlines():
        alias, _, description = line.partition("|")
        found[alias] = {
            "alias": alias,
            "name": alias.replace("_", " ").replace("-", " ").capitalize(),
            "description": description,
            "updated": UPDATED,
            "links": [],
        }
    return found


EXTENSIONS = _extensions()
