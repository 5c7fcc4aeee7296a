"""Quotas: limits as Identity's unified limits say them, use as it is counted over the rows.

An operator registers limits for the service of type image: `image_size_total` and `image_stage_total` (MiB),
`image_count_total`, `image_count_uploading` (Glance's names). What is not registered is not limited; -1 means so too.
"""

from bivouac.core.call import Call
from bivouac.core.errors import OverQuota
from bivouac.core.store import Tx
from bivouac.identity.catalog_records import Limit, RegisteredLimit

from ..records import ImageRow
from ..states import UNDER_WAY

_MIB = 1 << 20
NAMES = ("image_size_total", "image_stage_total", "image_count_total", "image_count_uploading")


def mib(size: int) -> int:
    """Bytes as the limits count them: whole MiB, rounded up."""
    return -(-size // _MIB)


def limits_of(tx: Tx, project_id: str) -> dict[str, int]:
    """The limits that are registered, as they are for the project."""
    registered = tx.select(
        RegisteredLimit, "JOIN services ON services.id = registered_limits.service_id WHERE services.type = 'image'"
    )
    found = {}
    for row in registered:
        own = tx.first(Limit, "WHERE registered_limit_id = ? AND project_id = ?", row.id, project_id)
        found[row.resource_name] = own.resource_limit if own is not None else row.default_limit
    return found


def used(tx: Tx, project_id: str, name: str) -> int:
    """What the project has of one resource."""
    if name == "image_count_total":
        return tx.count(ImageRow, "WHERE owner = ?", project_id)
    if name == "image_count_uploading":
        marks = ", ".join("?" for _ in UNDER_WAY)
        return tx.count(ImageRow, f"WHERE owner = ? AND status IN ({marks})", project_id, *UNDER_WAY)
    if name == "image_stage_total":
        where = "owner = ? AND staged IS NOT NULL"
        return int(tx.value(f"SELECT COALESCE(SUM(size), 0) FROM images WHERE {where}", project_id)) // _MIB
    total = 0
    for size, stores in tx.query("SELECT size, stores FROM images WHERE owner = ? AND size > 0", project_id):
        total += size * max(0, stores.count('":"'))
    return total // _MIB


def enforce(tx: Tx, owner: str | None, **wanted: int) -> None:
    """Each name with what is to be added. Raises OverQuota."""
    if not owner:
        return
    limits = limits_of(tx, owner)
    for name, more in wanted.items():
        limit = limits.get(name, -1)
        if limit >= 0:
            have = used(tx, owner, name)
            if have + more > limit or (not more and have >= limit and name == "image_size_total"):
                raise OverQuota(f"Project {owner} is over a limit for {name}: {limit} allowed, {have} used.")


def usage(tx: Tx, call: Call) -> dict[str, dict[str, int]]:
    """Limits and use of the caller's project."""
    limits = limits_of(tx, call.project_id)
    return {
        name: {"limit": limits.get(name, -1), "usage": used(tx, call.project_id, name)}
        for name in NAMES
        if name in limits
    }
