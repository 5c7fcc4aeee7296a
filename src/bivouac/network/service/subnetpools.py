"""Subnet pools: prefixes from which subnets are cut without meeting each other."""

from typing import Any

from msgspec import UNSET

from bivouac.core.call import Call
from bivouac.core.store import Tx

from .. import addressing
from ..bodies import NewSubnetpool, SubnetpoolChange
from ..records import Subnet, Subnetpool
from . import quotas
from .standard import (
    check_revision,
    enforce_given,
    fresh,
    get,
    given,
    in_use,
    invalid,
    not_found,
    owner,
    project_of,
    target,
    touch,
)

SMALLEST = {4: 8, 6: 64}


def create(tx: Tx, call: Call, body: NewSubnetpool) -> Subnetpool:
    """A pool. Raises BadRequest, Forbidden, OverQuota."""
    project_id = owner(call, project_of(body))
    policy_target = {"project_id": project_id, "tenant_id": project_id}
    call.enforce("create_subnetpool", policy_target)
    wanted = {name for name in ("shared", "is_default") if getattr(body, name) is True}
    enforce_given(call, "create_subnetpool", dict.fromkeys(wanted), policy_target)
    quotas.claim(tx, project_id, "subnetpool")
    prefixes = _prefixes(body.prefixes)
    version = prefixes[0].version
    lengths = _lengths(
        body, version, {"min_prefixlen": SMALLEST[version], "max_prefixlen": 32 if version == 4 else 128}
    )
    is_default = body.is_default is True
    if is_default:
        _refuse_second_default(tx, version)
    return tx.insert(
        Subnetpool(
            **fresh(call, project_id, body.description), **lengths, **given(body, "name", "default_quota", "shared"),
            is_default=is_default, ip_version=version, prefixes=[str(one) for one in prefixes],
        )
    )  # fmt: skip


def update(tx: Tx, call: Call, id: str, body: SubnetpoolChange, revision: int | None = None) -> Subnetpool:
    """Change a pool; prefixes only grow. Raises NotFound, BadRequest, Forbidden."""
    pool = get(tx, call, Subnetpool, id)
    call.enforce("update_subnetpool", target(pool))
    if body.is_default is not UNSET:
        enforce_given(call, "update_subnetpool", {"is_default": 1}, target(pool))
    check_revision(revision, pool)
    fields: dict[str, Any] = given(body, "name", "default_quota", "is_default")
    if body.description is not UNSET:
        fields["description"] = body.description or ""
    if fields.get("is_default") and not pool.is_default:
        _refuse_second_default(tx, pool.ip_version)
    if body.prefixes is not UNSET:
        prefixes = _prefixes(body.prefixes)
        if prefixes[0].version != pool.ip_version:
            raise invalid("Illegal prefix bounds: the IP version of a subnet pool cannot change.", "BadRequest")
        for old in pool.prefixes:
            if not any(addressing.parse_cidr(old).subnet_of(one) for one in prefixes):  # type: ignore[arg-type]
                raise invalid("Illegal update to prefixes: existing prefixes must be kept.", "IllegalSubnetPoolUpdate")
        fields["prefixes"] = [str(one) for one in prefixes]
    before = {name: getattr(pool, name) for name in ("default_prefixlen", "min_prefixlen", "max_prefixlen")}
    fields.update(_lengths(body, pool.ip_version, before))
    return touch(tx, call, pool, **fields)


def delete(tx: Tx, call: Call, id: str) -> None:
    """Remove a pool. Raises NotFound, Forbidden, Conflict."""
    pool = get(tx, call, Subnetpool, id)
    call.enforce("delete_subnetpool", target(pool))
    if tx.count(Subnet, "WHERE subnetpool_id = ?", id):
        raise in_use("Unable to delete subnet pool: Subnet pool has existing allocations.", "SubnetPoolDeleteError")
    tx.delete(pool)


def default_id(tx: Tx, version: int) -> str:
    """The default pool of an IP version. Raises BadRequest."""
    pool = tx.first(Subnetpool, "WHERE is_default = 1 AND ip_version = ?", version)
    if pool is None:
        raise invalid(f"No default subnetpool found for IPv{version}", "BadRequest")
    return pool.id


def cut(
    tx: Tx, call: Call, pool_id: str, project_id: str, wanted: addressing.IpNetwork | None, length: int | None
) -> addressing.IpNetwork:
    """The wanted block of a pool, or its first free one. Raises NotFound, BadRequest, Conflict."""
    pool = tx.get(Subnetpool, pool_id)
    if pool is None or not (call.is_admin or pool.shared or pool.project_id == call.project_id):
        raise not_found(Subnetpool, pool_id)
    own = tx.select(Subnet, "WHERE subnetpool_id = ?", pool_id)
    taken = [addressing.parse_cidr(one.cidr) for one in own]
    prefixes = [addressing.parse_cidr(one) for one in pool.prefixes]
    length = wanted.prefixlen if wanted is not None else (length if length is not None else pool.default_prefixlen)
    if length < pool.min_prefixlen:
        raise invalid(
            f"Unable to allocate subnet with prefix length {length}, minimum allowed prefix is {pool.min_prefixlen}.",
            "MinPrefixSubnetAllocationError",
        )
    if length > pool.max_prefixlen:
        raise invalid(
            f"Unable to allocate subnet with prefix length {length}, maximum allowed prefix is {pool.max_prefixlen}.",
            "MaxPrefixSubnetAllocationError",
        )
    if pool.default_quota is not None:
        unit = 32 if pool.ip_version == 4 else 64
        spent = sum(2 ** max(0, unit - addressing.parse_cidr(one.cidr).prefixlen) for one in own
                    if one.project_id == project_id)  # fmt: skip
        if spent + 2 ** max(0, unit - length) > pool.default_quota:
            raise in_use("Per-tenant subnet pool prefix quota exceeded.", "SubnetPoolQuotaExceeded")
    if wanted is None:
        found = addressing.first_free_prefix(prefixes, taken, length)
        if found is None:
            raise invalid("Failed to allocate subnet: Insufficient prefix space to allocate subnet size "
                          f"/{length}", "SubnetAllocationError")  # fmt: skip
        return found
    if wanted.version != pool.ip_version:
        raise invalid(f"cidr '{wanted}' does not match the ip_version of the subnet pool.")
    inside = any(wanted.subnet_of(one) for one in prefixes)  # type: ignore[arg-type]
    if not inside or any(wanted.overlaps(one) for one in taken):  # type: ignore[arg-type]
        raise invalid("Failed to allocate subnet: Cannot allocate requested subnet from the available set of prefixes",
                      "SubnetAllocationError")  # fmt: skip
    return wanted


def _prefixes(texts: list[str]) -> list[addressing.IpNetwork]:
    """Prefixes of one IP version, none within another. Raises BadRequest."""
    if not texts:
        raise invalid("Bad prefix list: a subnet pool must have at least one prefix.", "HTTPBadRequest")
    parsed = [addressing.parse_cidr(one, "prefixes") for one in texts]
    if len({one.version for one in parsed}) != 1:
        raise invalid("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.", "PrefixVersionMismatch")
    kept: list[addressing.IpNetwork] = []
    for one in sorted(set(parsed), key=lambda prefix: (prefix.prefixlen, int(prefix.network_address))):
        if not any(one.subnet_of(other) for other in kept):  # type: ignore[arg-type]
            kept.append(one)
    return kept


def _lengths(body: NewSubnetpool | SubnetpoolChange, version: int, before: dict[str, int]) -> dict[str, int]:
    """min, max and default prefix length. Raises BadRequest."""
    found = dict(before)
    for name in ("min_prefixlen", "max_prefixlen", "default_prefixlen"):
        value = getattr(body, name)
        if value is UNSET:
            continue
        try:
            found[name] = int(value)
        except ValueError:
            raise invalid(f"Invalid input for {name}. Reason: '{value}' is not an integer.", "HTTPBadRequest") from None
    found.setdefault("default_prefixlen", found["min_prefixlen"])
    smallest, default, largest = found["min_prefixlen"], found["default_prefixlen"], found["max_prefixlen"]
    if not 0 <= smallest <= default <= largest <= (32 if version == 4 else 128):
        raise invalid(
            f"Illegal prefix bounds: min_prefixlen={smallest}, default_prefixlen={default}, max_prefixlen={largest}.",
            "IllegalSubnetPoolPrefixBounds",
        )
    return found


def _refuse_second_default(tx: Tx, version: int) -> None:
    if tx.count(Subnetpool, "WHERE is_default = 1 AND ip_version = ?", version):
        raise invalid(f"A default subnetpool for IPv{version} has already been set.", "InvalidInput")
