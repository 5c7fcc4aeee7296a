"""A network for a project that has none: network, subnet and router to the outside, made when a server asks for `auto`.

Source: Nova's API guide on `networks: "auto"`; Neutron's "Auto-allocated topology".
"""

from bivouac.core.call import Call
from bivouac.core.store import Tx

from ..bodies import GatewayInfo, NewNetwork, NewRouter, NewSubnet, RouterInterface
from ..records import Network
from . import networks, routers, subnets
from .standard import invalid

CIDR = "10.0.0.0/24"
NAME = "auto_allocated_network"


def ensure(tx: Tx, call: Call) -> Network:
    """The project's automatic network. Raises BadRequest (there is no external network to lead to), OverQuota."""
    outside = tx.first(Network, "WHERE external = 1 ORDER BY is_default DESC, created_at, id")
    if outside is None:
        raise invalid("Unable to automatically allocate a network: there is no external network.", "BadRequest")
    network = networks.create(tx, call, NewNetwork(name=NAME))
    subnet = subnets.create(tx, call, NewSubnet(network_id=network.id, cidr=CIDR, name="auto_allocated_subnet_v4"))
    router = routers.create(
        tx, call, NewRouter(name="auto_allocated_router", external_gateway_info=GatewayInfo(network_id=outside.id))
    )
    routers.add_interface(tx, call, router.id, RouterInterface(subnet_id=subnet.id))
    return network
