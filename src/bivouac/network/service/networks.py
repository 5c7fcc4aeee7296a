"""Networks: tenant networks on OVN's overlay, and provider networks (flat, VLAN) on a physical network."""

from typing import Any

from msgspec import UNSET

from bivouac.core.call import Call
from bivouac.core.errors import Conflict
from bivouac.core.store import Duplicate, Tx

from ..bodies import NetworkChange, NewNetwork
from ..records import METADATA, FloatingIp, Network, Port, Router, Subnet
from ..settings import defaults
from . import quotas
from .standard import (
    changed,
    enforce_given,
    fresh,
    get,
    given,
    in_use,
    invalid,
    owner,
    project_of,
    target,
    touch,
)

SMALLEST_MTU, LARGEST_MTU = 68, 1500
_RESTRICTED = {
    "shared": "shared", "external": "router:external", "is_default": "is_default",
    "network_type": "provider:network_type", "physical_network": "provider:physical_network",
    "segmentation_id": "provider:segmentation_id",
}  # fmt: skip
_COLUMNS = ("name", "admin_state_up", "shared", "external", "is_default", "mtu", "port_security_enabled", "dns_domain")


def create(tx: Tx, call: Call, body: NewNetwork) -> Network:
    """A network. Raises BadRequest, Forbidden, Conflict (segment taken), OverQuota."""
    project_id = owner(call, project_of(body))
    policy_target = {"project_id": project_id, "tenant_id": project_id}
    call.enforce("create_network", policy_target)
    sent = {wire for name, wire in _RESTRICTED.items() if getattr(body, name) not in (UNSET, None, False)}
    enforce_given(call, "create_network", dict.fromkeys(sent), policy_target)
    quotas.claim(tx, project_id, "network")
    chosen = defaults(tx)
    segment = _segment(body, chosen.physical_network)
    fields = {name: value for name, value in given(body, *_COLUMNS).items() if name != "mtu"}
    network = Network(
        **fresh(call, project_id, body.description), **fields, **segment, mtu=_mtu(body.mtu, chosen.mtu),
        availability_zone_hints=_zones(body.availability_zone_hints),
    )  # fmt: skip
    try:
        _check_segment(tx, network)
        tx.insert(network)
    except Duplicate as error:
        raise _segment_taken(network) from error
    changed(tx)
    return network


def update(tx: Tx, call: Call, id: str, body: NetworkChange, revision: int | None = None) -> Network:
    """Change a network. Raises NotFound, BadRequest, Forbidden, Conflict."""
    from .standard import check_revision  # noqa: PLC0415

    network = get(tx, call, Network, id)
    call.enforce("update_network", target(network))
    sent = {wire for name, wire in _RESTRICTED.items() if getattr(body, name) is not UNSET}
    enforce_given(call, "update_network", dict.fromkeys(sent), target(network))
    check_revision(revision, network)
    if any(getattr(body, name) is not UNSET for name in ("network_type", "physical_network", "segmentation_id")):
        raise invalid("Plugin does not support updating provider attributes", "InvalidInput")
    fields = given(body, *_COLUMNS, "description")
    if "mtu" in fields:
        fields["mtu"] = _mtu(fields["mtu"], defaults(tx).mtu)
    if "description" in fields:
        fields["description"] = fields["description"] or ""
    if network.external and fields.get("external") is False:
        _refuse_if_external_used(tx, network)
    if network.shared and fields.get("shared") is False:
        strangers = tx.count(Port, "WHERE network_id = ? AND project_id NOT IN (?, '')", network.id, network.project_id)
        if strangers:
            raise in_use(
                f"Unable to reconfigure sharing settings for network {id}. Multiple tenants are using it.",
                "InvalidSharedSetting",
            )
    return touch(tx, call, network, **fields)


def delete(tx: Tx, call: Call, id: str) -> None:
    """Remove a network with its subnets and the floating IPs of it that lead nowhere.

    Raises NotFound, Forbidden, Conflict (ports are on it).
    """
    network = get(tx, call, Network, id)
    call.enforce("delete_network", target(network))
    idle = "SELECT floating_port_id FROM floating_ips WHERE floating_network_id = ? AND port_id IS NULL"
    if tx.count(Port, f"WHERE network_id = ? AND device_owner <> ? AND id NOT IN ({idle})", id, METADATA, id):
        raise in_use(
            f"Unable to complete operation on network {id}. There are one or more ports still in use on the network.",
            "NetworkInUse",
        )
    from .ports import remove  # noqa: PLC0415 - ports know networks too

    for floating in tx.select(FloatingIp, "WHERE floating_network_id = ? AND port_id IS NULL", id):
        tx.delete(floating)
    for port in tx.select(Port, "WHERE network_id = ?", id):
        remove(tx, port)
    tx.delete_where(Subnet, "network_id = ?", id)
    tx.delete(network)
    changed(tx)


def _mtu(wanted: object, default: int) -> int:
    if wanted in (UNSET, 0):
        return default
    if not isinstance(wanted, int) or not SMALLEST_MTU <= wanted <= 65535:
        raise invalid(f"Invalid input for mtu. Reason: '{wanted}' is not an MTU.", "HTTPBadRequest")
    if wanted > max(default, LARGEST_MTU):
        raise invalid(f"Invalid input for operation: Requested MTU {wanted} is too big, maximum is {LARGEST_MTU}.")
    return wanted


def _zones(wanted: object) -> list[str]:
    return list(wanted) if isinstance(wanted, list) else []


def _segment(body: NewNetwork, known: str) -> dict[str, Any]:
    """Type, physical network and VLAN of a new network. Raises BadRequest."""
    kind = body.network_type or "" if body.network_type is not UNSET else ""
    physical = body.physical_network if body.physical_network is not UNSET else None
    number = body.segmentation_id if body.segmentation_id is not UNSET else None
    if not kind:
        if physical or number is not None:
            raise invalid("network_type required", "InvalidInput")
        return {"network_type": "geneve"}
    if kind == "geneve":
        if physical:
            raise invalid("provider:physical_network specified for geneve network")
        return {"network_type": kind}
    if kind not in ("flat", "vlan"):
        raise invalid(f"Invalid input for operation: network_type value '{kind}' not supported.")
    if not physical:
        raise invalid(f"Invalid input for operation: physical_network required for {kind} provider network.")
    if physical != known:
        raise invalid(
            f"Invalid input for operation: physical_network '{physical}' unknown for {kind} provider network."
        )
    if kind == "flat" and number is not None:
        raise invalid("Invalid input for operation: segmentation_id specified for flat network.")
    if kind == "vlan" and not (isinstance(number, int) and 1 <= number <= 4094):
        raise invalid("Invalid input for operation: segmentation_id out of range (1 through 4094).")
    return {"network_type": kind, "physical_network": physical, "segmentation_id": number}


def _check_segment(tx: Tx, network: Network) -> None:
    if network.physical_network is None:
        return
    if tx.first(
        Network, "WHERE physical_network = ? AND network_type = ? AND coalesce(segmentation_id, 0) = ?",
        network.physical_network, network.network_type, network.segmentation_id or 0,
    ):  # fmt: skip
        raise _segment_taken(network)


def _segment_taken(network: Network) -> Conflict:
    if network.network_type == "flat":
        return in_use(
            f"Unable to create the flat network. Physical network {network.physical_network} is in use.",
            "FlatNetworkInUse",
        )
    return in_use(
        f"Unable to create the network. The VLAN {network.segmentation_id} on physical network "
        f"{network.physical_network} is in use.",
        "VlanIdInUse",
    )


def _refuse_if_external_used(tx: Tx, network: Network) -> None:
    if tx.count(Router, "WHERE gateway_network_id = ?", network.id):
        raise in_use(
            f"External network {network.id} cannot be updated to be made non-external, since it has existing gateway "
            "ports.",
            "ExternalNetworkInUse",
        )
