"""Quota: limits per project, user and class; use is counted over the rows it limits."""

from collections.abc import Mapping

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, OverQuota
from bivouac.core.store import Tx

from ..records import Keypair, Quota, ServerGroup

DEFAULTS: dict[str, int] = {
    "instances": 10,
    "cores": 20,
    "ram": 50 * 1024,
    "metadata_items": 128,
    "injected_files": 5,
    "injected_file_content_bytes": 10 * 1024,
    "injected_file_path_bytes": 255,
    "key_pairs": 100,
    "server_groups": 10,
    "server_group_members": 10,
}
PROXIED: dict[str, int] = {
    "fixed_ips": -1,
    "floating_ips": 10,
    "security_groups": 10,
    "security_group_rules": 20,
    "networks": 3,
}
"""What the network service limits; shown in old microversions, limited there."""
PER_USER = frozenset({"instances", "cores", "ram", "metadata_items", "key_pairs", "server_groups",
                      "server_group_members"})  # fmt: skip


def limits_of(tx: Tx, project_id: str, user_id: str = "") -> dict[str, int]:
    """All limits of a project (of one user in it): their own, else the default class's, else the built-in ones."""
    owners = ["class:default", f"project:{project_id}"]
    if user_id:
        owners.append(f"user:{project_id}:{user_id}")
    marks = ", ".join("?" for _ in owners)
    found = {(row.owner, row.resource): row.amount
             for row in tx.select(Quota, f"WHERE owner IN ({marks})", *owners)}  # fmt: skip
    limits = {**DEFAULTS, **PROXIED}
    for owner in owners:
        limits.update({resource: amount for (of, resource), amount in found.items() if of == owner})
    return limits


def class_limits(tx: Tx, name: str) -> dict[str, int]:
    """Limits of a quota class; only `default` has any meaning."""
    rows = tx.select(Quota, "WHERE owner = ?", f"class:{name}")
    return {**DEFAULTS, **PROXIED, **{row.resource: row.amount for row in rows}}


def limit_of(tx: Tx, project_id: str, resource: str) -> int:
    return limits_of(tx, project_id)[resource]


def used_by(tx: Tx, project_id: str, user_id: str = "") -> dict[str, int]:
    """What a project (or one user in it) uses, counted."""
    owner, args = ("project_id = ? AND user_id = ?", [project_id, user_id]) if user_id else (
        "project_id = ?", [project_id])  # fmt: skip
    instances, cores, ram = tx.query(
        f"SELECT count(*), coalesce(sum(vcpus), 0), coalesce(sum(memory_mib), 0) FROM servers "
        f"WHERE deleted_at IS NULL AND {owner}",
        *args,
    )[0]
    use = dict.fromkeys((*DEFAULTS, *PROXIED), 0)
    use.update(instances=int(instances), cores=int(cores), ram=int(ram))
    use["server_groups"] = tx.count(ServerGroup, f"WHERE {owner}", *args)
    if user_id:
        use["key_pairs"] = tx.count(Keypair, "WHERE user_id = ?", user_id)
    return use


def check_room(tx: Tx, call: Call, project_id: str, wanted: Mapping[str, int]) -> None:
    """Raise OverQuota unless so much more of each resource fits the project."""
    limits, used = limits_of(tx, project_id), used_by(tx, project_id)
    over = [name for name, amount in wanted.items() if 0 <= limits[name] < used[name] + amount]
    if over:
        asked = ", ".join(f"{wanted[name]}" for name in over)
        have = ", ".join(f"{used[name]}" for name in over)
        most = ", ".join(f"{limits[name]}" for name in over)
        raise OverQuota(
            f"Quota exceeded for {', '.join(over)}: Requested {asked}, but already used {have} of {most} "
            f"{', '.join(over)}"
        )


def set_limits(
    tx: Tx, call: Call, owner: str, project_id: str, user_id: str, limits: Mapping[str, int], force: bool
) -> None:
    """Write limits of a project, a user or a class. Raises BadRequest below what is in use (unless forced)."""
    used = used_by(tx, project_id, user_id) if project_id else {}
    ceiling = limits_of(tx, project_id) if user_id else {}
    for resource, amount in limits.items():
        if amount < -1:
            raise BadRequest(f"Quota limit {amount} for {resource} must be -1 or greater.")
        if not force and 0 <= amount < used.get(resource, 0):
            raise BadRequest(f"Quota limit {amount} for {resource} must be greater than or equal to already used and "
                             f"reserved {used[resource]}.")  # fmt: skip
        top = ceiling.get(resource, -1)
        if user_id and top >= 0 and (amount > top or amount == -1):
            raise BadRequest(f"Quota limit {amount} for {resource} must be less than or equal to {top}.")
        tx.upsert(Quota(owner=owner, resource=resource, amount=amount))


def reset_limits(tx: Tx, call: Call, project_id: str, user_id: str = "") -> None:
    """Back to the defaults, for a project with all its users, or for one user."""
    if user_id:
        tx.delete_where(Quota, "owner = ?", f"user:{project_id}:{user_id}")
        return
    tx.delete_where(Quota, "owner = ?", f"project:{project_id}")
    prefix = f"user:{project_id}:"
    tx.delete_where(Quota, "substr(owner, 1, ?) = ?", len(prefix), prefix)
