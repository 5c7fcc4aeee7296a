"""Server groups: who should be, or must not be, on the same host."""

from collections import Counter
from typing import Any

from msgspec.structs import replace

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, NotFound, OverQuota
from bivouac.core.ids import new_uuid
from bivouac.core.store import Tx
from bivouac.placement.scheduling import Request

from ..records import Server, ServerGroup
from .quotas import limits_of, used_by

POLICIES = ("affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity")


def create_group(tx: Tx, call: Call, name: str, policy: str, rules: dict[str, int]) -> ServerGroup:
    """Add a group to the caller's project. Raises OverQuota."""
    limit = limits_of(tx, call.project_id)["server_groups"]
    if 0 <= limit <= used_by(tx, call.project_id)["server_groups"]:
        raise OverQuota("Quota exceeded, too many server groups.")
    return tx.insert(
        ServerGroup(id=new_uuid(), name=name, project_id=call.project_id, user_id=call.user_id, policy=policy,
                    rules=rules, created_at=call.now)
    )  # fmt: skip


def get_group(tx: Tx, call: Call, group_id: str) -> tuple[ServerGroup, list[str]]:
    """A group and its members' ids. Raises NotFound."""
    group = tx.get(ServerGroup, group_id)
    if group is None or not (group.project_id == call.project_id or call.is_admin):
        raise NotFound(f"Instance group {group_id} could not be found.")
    return group, members(tx, [group.id]).get(group.id, [])


def list_groups(
    tx: Tx, call: Call, all_projects: bool, limit: int | None, offset: int
) -> list[tuple[ServerGroup, list[str]]]:
    """Groups of the caller's project (or of all), oldest first, with their members."""
    where, args = ("", []) if all_projects else ("WHERE project_id = ?", [call.project_id])
    count = f"LIMIT {int(limit)}" if limit is not None else f"LIMIT {1 << 40}"
    groups = tx.select(ServerGroup, f"{where} ORDER BY created_at, id {count} OFFSET {int(offset)}", *args)
    found = members(tx, [group.id for group in groups])
    return [(group, found.get(group.id, [])) for group in groups]


def members(tx: Tx, group_ids: list[str]) -> dict[str, list[str]]:
    """Ids of the living servers of groups."""
    found: dict[str, list[str]] = {}
    if group_ids:
        marks = ", ".join("?" for _ in group_ids)
        for group_id, server_id in tx.query(
            f"SELECT group_id, id FROM servers WHERE group_id IN ({marks}) AND deleted_at IS NULL "
            "ORDER BY created_at, launch_index",
            *group_ids,
        ):
            found.setdefault(group_id, []).append(server_id)
    return found


def delete_group(tx: Tx, call: Call, group_id: str) -> None:
    """Remove a group; its servers stay. Raises NotFound."""
    group, _ = get_group(tx, call, group_id)
    tx.update_where(Server, "group_id = ?", [group.id], group_id=None)
    tx.delete(group)


def group_request(tx: Tx, request: Request, group: ServerGroup | None, hints: dict[str, Any]) -> Request:
    """The request with what a group and the hints `same_host` and `different_host` say of hosts.

    Raises BadRequest when a hint is no server id.
    """
    same, different = _hint(hints, "same_host"), _hint(hints, "different_host")
    if same:
        request = replace(request, only_hosts=frozenset(_hosts(tx, same)), affinity="the hint same_host")
    if different:
        request = replace(request, never_hosts=frozenset(_hosts(tx, different)), affinity="the hint different_host")
    if group is None:
        return request
    rows = tx.query("SELECT host FROM servers WHERE group_id = ? AND deleted_at IS NULL AND host <> ''", group.id)
    counts = Counter(host for (host,) in rows)
    words = f"{group.policy} of server group {group.name}"
    if group.policy == "affinity" and counts:
        only = frozenset(counts) if request.only_hosts is None else request.only_hosts & frozenset(counts)
        return replace(request, only_hosts=only, affinity=words)
    if group.policy == "anti-affinity":
        most = group.rules.get("max_server_per_host", 1)
        full = frozenset(host for host, count in counts.items() if count >= most)
        return replace(request, never_hosts=request.never_hosts | full, affinity=words)
    if group.policy.startswith("soft-"):
        sign = 1 if group.policy == "soft-affinity" else -1
        return replace(request, liked_hosts={host: sign * count for host, count in counts.items()})
    return request


def _hint(hints: dict[str, Any], name: str) -> list[str]:
    value = hints.get(name)
    if value is None:
        return []
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise BadRequest(f"Invalid input for field/attribute {name}. It wants a server id or a list of them.")
    return values


def _hosts(tx: Tx, server_ids: list[str]) -> list[str]:
    marks = ", ".join("?" for _ in server_ids)
    rows = tx.query(f"SELECT host FROM servers WHERE id IN ({marks}) AND deleted_at IS NULL", *server_ids)
    return [host for (host,) in rows if host]
