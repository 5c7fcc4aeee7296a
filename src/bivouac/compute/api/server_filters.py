"""What a list of servers may be filtered and sorted by, as SQL conditions. Reference: Compute API, "List Servers"."""

from typing import Any

import msgspec

from bivouac.core.clock import parse_iso
from bivouac.core.errors import BadRequest, Forbidden
from bivouac.core.http import Request

from ..service.listing import Filters
from ..states import ALL_STATUSES, POWER_STATES, TASKS
from .fields import flag, strict_query

SORT_COLUMNS = {
    "created_at": "created_at", "display_name": "name", "uuid": "id", "updated_at": "updated_at",
    "project_id": "project_id", "user_id": "user_id", "host": "host", "node": "host", "vm_state": "phase",
    "task_state": "task", "power_state": "power_observed", "launched_at": "launched_at",
    "terminated_at": "terminated_at", "display_description": "description", "image_ref": "image_id",
    "instance_type_id": "flavor_id", "key_name": "key_name", "launch_index": "launch_index",
    "availability_zone": "availability_zone", "access_ip_v4": "access_ipv4", "access_ip_v6": "access_ipv6",
    "config_drive": "config_drive", "locked_by": "locked_by", "memory_mb": "memory_mib", "vcpus": "vcpus",
    "hostname": "hostname", "auto_disk_config": "disk_config", "root_device_name": "root_device_name",
}  # fmt: skip
EQUAL = {
    "image": "image_id", "flavor": "flavor_id", "reservation_id": "reservation_id", "user_id": "user_id",
    "host": "host", "node": "host", "availability_zone": "availability_zone", "key_name": "key_name",
    "hostname": "hostname", "launch_index": "launch_index", "uuid": "id", "vm_state": "phase",
    "description": "description", "kernel_id": "kernel_id", "ramdisk_id": "ramdisk_id",
    "root_device_name": "root_device_name", "locked_by": "locked_by",
}  # fmt: skip
ANYBODY = frozenset(
    {"name", "status", "image", "flavor", "ip", "ip6", "reservation_id", "changes-since", "changes-before",
     "all_tenants", "tags", "tags-any", "not-tags", "not-tags-any", "locked", "limit", "marker", "sort_key",
     "sort_dir"}
)  # fmt: skip
ANYBODY_SINCE_283 = frozenset(
    {"availability_zone", "config_drive", "key_name", "created_at", "launched_at", "terminated_at", "power_state",
     "task_state", "vm_state", "progress", "user_id"}
)  # fmt: skip
KNOWN = ANYBODY | ANYBODY_SINCE_283 | EQUAL.keys() | {
    "project_id", "tenant_id", "deleted", "soft_deleted", "access_ip_v4", "access_ip_v6", "auto_disk_config",
    "is_public", "changes_since", "display_description", "image_ref", "instance_type_id", "host", "metadata",
    "system_metadata",
}  # fmt: skip
IGNORED = frozenset({"kernel_id", "ramdisk_id"})


def sort_of(request: Request) -> tuple[tuple[str, str], ...]:
    """Pairs of column and direction; newest first when none is given. Raises BadRequest."""
    keys, ways = request.query_values("sort_key"), request.query_values("sort_dir")
    if len(ways) > len(keys) and keys:
        raise BadRequest("Sort direction size exceeds sort key size")
    pairs = []
    for index, key in enumerate(keys or ["created_at"]):
        way = ways[index] if index < len(ways) else (ways[0] if ways else "desc")
        if key not in SORT_COLUMNS or way not in ("asc", "desc"):
            raise BadRequest(f"Invalid sort: {key} {way}.")
        pairs.append((SORT_COLUMNS[key], way))
    if not keys:
        way = ways[0] if ways else "desc"
        pairs = [("created_at", way), ("id", way)]
    return tuple(dict(pairs).items())


class _Conditions:
    """Conditions and their arguments, in the making."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.args: list[Any] = []

    def add(self, text: str, *args: Any) -> None:
        self.texts.append(text)
        self.args += args


def filters_of(request: Request, detail: bool) -> Filters | None:
    """The filters of a list request; None when nothing can match. Raises BadRequest, Forbidden."""
    strict_query(request, KNOWN)
    call = request.call
    allowed = ANYBODY | (ANYBODY_SINCE_283 if request.version >= (2, 83) else frozenset())
    everything = call.allows("os_compute_api:servers:allow_all_filters")
    asked = {name: value for name, value in request.query if everything or name in allowed}
    found = _Conditions()
    deleted = _scope(request, asked, found, detail)
    statuses = request.query_values("status")
    if statuses and not _check_statuses(request, statuses, found):
        return None
    if "deleted" in asked:
        deleted = flag("deleted", asked["deleted"]) or False
        found.add("servers.deleted_at IS NOT NULL" if deleted else "servers.deleted_at IS NULL")
    elif "DELETED" in (one.upper() for one in statuses):
        pass
    elif "changes-since" not in asked and "changes-before" not in asked:
        found.add("servers.deleted_at IS NULL")
    _moments(request, asked, found)
    _columns(asked, found)
    _tags(request, asked, found)
    ip6 = asked.get("ip6", "") if everything or request.version >= (2, 5) else ""
    return Filters(
        tuple(found.texts), tuple(found.args), asked.get("name", ""), asked.get("ip", ""), ip6,
        tuple(one.upper() for one in statuses),
    )  # fmt: skip


def _scope(request: Request, asked: dict[str, str], found: _Conditions, detail: bool) -> bool:
    """Whose servers: the project's, or with `all_tenants` everybody's, by policy."""
    call = request.call
    word = asked.get("all_tenants")
    everybody = bool(flag("all_tenants", word or "true")) if word is not None else False
    if everybody:
        call.enforce(f"os_compute_api:servers:{'detail' if detail else 'index'}:get_all_tenants")
        project_id = asked.get("project_id") or asked.get("tenant_id")
        if project_id:
            found.add("servers.project_id = ?", project_id)
    else:
        found.add("servers.project_id = ?", call.project_id)
    return everybody


def _check_statuses(request: Request, statuses: list[str], found: _Conditions) -> bool:
    """False when no server can have any of the statuses. Raises BadRequest (from 2.38), Forbidden."""
    known = [one for one in statuses if one.upper() in ALL_STATUSES]
    if not known:
        if request.version >= (2, 38):
            raise BadRequest(f"Invalid status value: {statuses[0]}")
        return False
    if "DELETED" in (one.upper() for one in statuses) and not request.call.is_admin:
        raise Forbidden("Only administrators may list deleted instances")
    return True


def moment(name: str, text: str) -> float:
    """Raises BadRequest."""
    try:
        return parse_iso(text.replace(" ", "+", 1) if text.count(" ") == 1 and "T" in text else text)
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"Invalid input for query parameters {name}. Value: {text}. It is no ISO 8601 moment."
                         ) from error  # fmt: skip


def _moments(request: Request, asked: dict[str, str], found: _Conditions) -> None:
    since = moment("changes-since", asked["changes-since"]) if "changes-since" in asked else None
    if since is not None:
        found.add("servers.updated_at >= ?", since)
    if "changes-before" in asked and request.version >= (2, 66):
        before = moment("changes-before", asked["changes-before"])
        if since is not None and before < since:
            raise BadRequest("The value of changes-since must be less than or equal to changes-before.")
        found.add("servers.updated_at <= ?", before)
    for name in ("created_at", "launched_at", "terminated_at"):
        if name in asked:
            at = moment(name, asked[name])
            found.add(f"servers.{name} >= ? AND servers.{name} < ?", at, at + 1)


_TASK = "CASE WHEN servers.observed_generation < servers.generation THEN servers.task ELSE '' END"


def _columns(asked: dict[str, str], found: _Conditions) -> None:
    for name, column in EQUAL.items():
        if name in asked and name not in IGNORED:
            found.add(f"servers.{column} = ?", int(asked[name]) if name == "launch_index" and asked[name].isdigit()
                      else asked[name])  # fmt: skip
    if "config_drive" in asked:
        found.add("servers.config_drive = ?", int(flag("config_drive", asked["config_drive"]) or False))
    if "locked" in asked:
        found.add("servers.locked_by <> ''" if flag("locked", asked["locked"]) else "servers.locked_by = ''")
    if "task_state" in asked:
        names = [name for name, task in TASKS.items() if task.task_state == asked["task_state"]] or ["?"]
        found.add(f"{_TASK} IN ({', '.join('?' for _ in names)})", *names)
    if "power_state" in asked:
        words = [word for word, number in POWER_STATES.items() if str(number) == asked["power_state"]] or ["?"]
        found.add(f"servers.power_observed IN ({', '.join('?' for _ in words)})", *words)
    for name, column in (("access_ip_v4", "access_ipv4"), ("access_ip_v6", "access_ipv6")):
        if name in asked:
            found.add(f"servers.{column} = ?", asked[name])
    if "metadata" in asked:
        _metadata(asked["metadata"], found)


def _metadata(text: str, found: _Conditions) -> None:
    """A JSON object (or a list of them): each pair must be there."""
    try:
        tree = msgspec.json.decode(text.replace("'", '"'), type=dict[str, str] | list[dict[str, str]])
    except msgspec.DecodeError as error:
        raise BadRequest("Malformed metadata filter: it wants a JSON object.") from error
    for one in [tree] if isinstance(tree, dict) else tree:
        for key, value in one.items():
            pair = msgspec.json.encode({key: value}).decode()[1:-1]
            found.add("replace(servers.metadata, ?, '') <> servers.metadata", pair)


def _tags(request: Request, asked: dict[str, str], found: _Conditions) -> None:
    """`tags` and its kin: tags hold no comma, so `,tag,` is found by replacing it."""
    if request.version < (2, 26):
        return
    has = "replace(servers.tags, ?, '') <> servers.tags"
    for name, word, negated in (
        ("tags", " AND ", False), ("tags-any", " OR ", False), ("not-tags", " AND ", True),
        ("not-tags-any", " OR ", True),
    ):  # fmt: skip
        tags = [tag for tag in asked.get(name, "").split(",") if tag]
        if tags:
            text = f"({word.join(has for _ in tags)})"
            found.add(f"NOT {text}" if negated else text, *[f",{tag}," for tag in tags])
