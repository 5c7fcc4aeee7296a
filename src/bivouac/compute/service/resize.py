"""Resize: another flavor on the same host, to be confirmed or taken back.

A server's disk lives on its host, so a resize stays there: the host must have room for the difference. The old flavor
is kept until the resize is confirmed.
"""

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, Conflict, NotFound, OverQuota
from bivouac.core.ids import new_uuid
from bivouac.core.store import Tx
from bivouac.placement import service as placement
from bivouac.placement.records import Allocation, Host
from bivouac.placement.scheduling import Request

from ..records import Flavor, FlavorShape, Migration, Server
from .flavors import get_flavor
from .images import as_flavor
from .quotas import limits_of, used_by
from .servers import get_server
from .tasks import instant_action, require, wish


def resize(tx: Tx, call: Call, server_id: str, flavor_id: str, disk_config: str | None = None) -> None:
    """Raises BadRequest (flavor, no room), Conflict, Forbidden (quota), NotFound."""
    server = get_server(tx, call, server_id)
    require(call, server, "resize")
    try:
        flavor = get_flavor(tx, call, flavor_id)
    except NotFound as error:
        raise BadRequest(f"Unable to locate requested flavor: {error.message}") from error
    if flavor.id == server.flavor.id:
        raise BadRequest("When resizing, instances must change flavor!")
    if flavor.disabled:
        raise BadRequest(f"Unable to locate requested flavor {flavor_id}.")
    if flavor.root_gib < server.flavor.root_gib:
        raise BadRequest("Resize to a smaller disk is not possible: the root disk would lose its end.")
    _check_quota(tx, server, flavor)
    _claim(tx, call, server, flavor)
    _note_migration(tx, call, server, flavor.id)
    wish(tx, call, server, "resize", flavor=flavor.shape, flavor_id=flavor.id, vcpus=flavor.vcpus,
         memory_mib=flavor.memory_mib, old_flavor=server.flavor,
         disk_config=disk_config or server.disk_config)  # fmt: skip


def _check_quota(tx: Tx, server: Server, flavor: Flavor) -> None:
    limits, used = limits_of(tx, server.project_id), used_by(tx, server.project_id)
    for name, more in (("cores", flavor.vcpus - server.vcpus), ("ram", flavor.memory_mib - server.memory_mib)):
        if more > 0 and 0 <= limits[name] < used[name] + more:
            raise OverQuota(f"Quota exceeded for {name}: Requested {more}, but already used {used[name]} of "
                            f"{limits[name]} {name}")  # fmt: skip


def _claim(tx: Tx, call: Call, server: Server, flavor: Flavor) -> None:
    """Change what the server holds on its host to what the flavor takes. Raises BadRequest when that does not fit."""
    host = tx.first(Host, "WHERE name = ?", server.host)
    if host is None:
        raise Conflict(f"Instance {server.id} is on no host.")
    held = tx.get(Allocation, server.id, host.id)
    user_id = held.user_id if held else server.user_id
    shape = flavor.shape
    asked = Request(vcpus=shape.vcpus, memory_mib=shape.memory_mib, disk_gib=shape.disk_gib, host=host.name)
    placement.release(tx, server.id, host.id)
    try:
        placement.choose(tx, asked, call.now)
    except placement.NoValidHost as error:
        raise BadRequest(f"No valid host found for resize: the server's disk is on {host.name}. {error}") from error
    placement.claim(tx, server.id, host.id, asked, server.project_id, user_id, call.now)


def _note_migration(tx: Tx, call: Call, server: Server, flavor_id: str) -> None:
    number = int(tx.value("SELECT coalesce(max(id), 0) FROM migrations") or 0) + 1
    tx.insert(
        Migration(
            id=number, uuid=new_uuid(), server_id=server.id, project_id=server.project_id, user_id=call.user_id,
            kind="resize", status="migrating", source_host=server.host, destination_host=server.host,
            old_flavor_id=server.flavor.id, new_flavor_id=flavor_id, created_at=call.now, updated_at=call.now,
        )
    )  # fmt: skip


def migrate(tx: Tx, call: Call, server_id: str) -> None:
    """A cold move to another host needs a disk that both reach. Raises BadRequest always; Conflict, NotFound first."""
    server = get_server(tx, call, server_id)
    require(call, server, "migrate")
    raise BadRequest(f"No valid host found for cold migrate: the server's disk is on {server.host} and no other host "
                     "shares it.")  # fmt: skip


def confirm_resize(tx: Tx, call: Call, server_id: str) -> None:
    """Keep the new flavor. Raises NotFound, Conflict."""
    server = get_server(tx, call, server_id)
    require(call, server, "confirm_resize")
    instant_action(tx, call, server, "confirmResize")
    tx.update_where(Migration, "server_id = ? AND status = 'finished'", [server.id], status="confirmed",
                    updated_at=call.now)  # fmt: skip
    phase = "stopped" if server.power_wanted == "stopped" else "active"
    tx.update(server, phase=phase, old_flavor=None, updated_at=call.now)


def revert_resize(tx: Tx, call: Call, server_id: str) -> None:
    """Back to the old flavor; a disk that has grown keeps its size. Raises NotFound, Conflict."""
    server = get_server(tx, call, server_id)
    require(call, server, "revert_resize")
    old: FlavorShape | None = server.old_flavor
    if old is None:
        raise Conflict(f"Instance {server_id} has no flavor to go back to.")
    before = as_flavor(server, call.now)
    tx.update_where(Migration, "server_id = ? AND status = 'finished'", [server.id], status="reverting",
                    updated_at=call.now)  # fmt: skip
    wanted = Flavor(
        id=old.id, name=old.name, memory_mib=old.memory_mib, vcpus=old.vcpus,
        root_gib=max(old.root_gib, before.root_gib), ephemeral_gib=old.ephemeral_gib, swap_mib=old.swap_mib,
        extra_specs=old.extra_specs, created_at=call.now,
    )  # fmt: skip
    _claim(tx, call, server, wanted)
    wish(tx, call, server, "revert_resize", flavor=old, flavor_id=old.id, vcpus=old.vcpus,
         memory_mib=old.memory_mib, old_flavor=None)  # fmt: skip
