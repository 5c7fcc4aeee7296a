"""A network for a project that has none: network, subnet and router to the outside, made when a server asks for `auto`
or somebody asks for the topology itself.

Source: Nova's API guide on `networks: "auto"`; Neutron's API reference, "Auto allocated topologies".
"""

from bivouac.core.call import Call
from bivouac.core.errors import Conflict
from bivouac.core.store import Tx

from ..bodies import GatewayInfo, NewNetwork, NewRouter, NewSubnet, RouterInterface
from ..records import Network, Router, Subnet
from . import networks, routers, subnets
from .standard import in_use

CIDR = "10.0.0.0/24"
NAME, SUBNET_NAME, ROUTER_NAME = "auto_allocated_network", "auto_allocated_subnet_v4", "auto_allocated_router"
_ITS = "WHERE project_id = ? AND name = ? ORDER BY created_at, id"


def outside(tx: Tx) -> Network:
    """The external network to lead to, the default one first. Raises Conflict."""
    found = tx.first(Network, "WHERE external = 1 ORDER BY is_default DESC, created_at, id")
    if found is None:
        raise _failure("Deployment error: there is no external network.")
    return found


def ensure(tx: Tx, call: Call, project_id: str) -> Network:
    """The project's automatic network, made if there is none. Raises Conflict (nothing to lead to), Forbidden,
    OverQuota."""
    if (found := tx.first(Network, _ITS, project_id, NAME)) is not None:
        return found
    gateway = GatewayInfo(network_id=outside(tx).id)
    network = networks.create(tx, call, NewNetwork(name=NAME, project_id=project_id))
    subnet = subnets.create(tx, call, NewSubnet(network_id=network.id, cidr=CIDR, name=SUBNET_NAME))
    router = routers.create(
        tx, call, NewRouter(name=ROUTER_NAME, project_id=project_id, external_gateway_info=gateway)
    )
    routers.add_interface(tx, call, router.id, RouterInterface(subnet_id=subnet.id))
    return network


def check(tx: Tx, call: Call) -> None:
    """Whether a topology could be made. Raises Conflict."""
    outside(tx)


def delete(tx: Tx, call: Call, project_id: str) -> None:
    """Remove the project's automatic network with its router; nothing there is fine. Raises Conflict (in use),
    Forbidden."""
    network = tx.first(Network, _ITS, project_id, NAME)
    if network is None:
        return
    ours = {one.id for one in tx.select(Subnet, "WHERE network_id = ?", network.id)}
    for router in tx.select(Router, _ITS, project_id, ROUTER_NAME):
        joined = {subnet.id for subnet, _ in routers.connected(tx, router)}
        for subnet_id in sorted(joined & ours):
            routers.remove_interface(tx, call, router.id, RouterInterface(subnet_id=subnet_id))
        if joined <= ours:
            routers.delete(tx, call, router.id)
    networks.delete(tx, call, network.id)


def _failure(words: str) -> Conflict:
    return in_use(words, "AutoAllocationFailure")
