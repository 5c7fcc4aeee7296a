"""`/extensions` (a list frozen long ago, by which old clients find features) and `/os-server-external-events`."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from bivouac.core.errors import BadRequest, NotFound
from bivouac.core.http import Request, Response

from ..records import Server
from ..service.tasks import quiet_wish
from .fields import Body, Uuid, operation

ALIASES = {
    "NMN": "Multinic", "OS-DCF": "DiskConfig", "OS-EXT-AZ": "ExtendedAvailabilityZone", "OS-EXT-IPS": "ExtendedIps",
    "OS-EXT-IPS-MAC": "ExtendedIpsMac", "OS-EXT-SRV-ATTR": "ExtendedServerAttributes",
    "OS-EXT-STS": "ExtendedStatus", "OS-FLV-DISABLED": "FlavorDisabled", "OS-FLV-EXT-DATA": "FlavorExtraData",
    "OS-SCH-HNT": "SchedulerHints", "OS-SRV-USG": "ServerUsage", "os-access-ips": "AccessIPs",
    "os-admin-actions": "AdminActions", "os-admin-password": "AdminPassword", "os-aggregates": "Aggregates",
    "os-attach-interfaces": "AttachInterfaces", "os-availability-zone": "AvailabilityZone",
    "os-config-drive": "ConfigDrive", "os-console-auth-tokens": "ConsoleAuthTokens",
    "os-console-output": "ConsoleOutput", "os-consoles": "Consoles", "os-create-server-ext": "Createserverext",
    "os-deferred-delete": "DeferredDelete", "os-flavor-access": "FlavorAccess",
    "os-flavor-extra-specs": "FlavorExtraSpecs", "os-flavor-manage": "FlavorManage",
    "os-flavor-rxtx": "FlavorRxtx", "os-flavor-swap": "FlavorSwap", "os-hosts": "Hosts",
    "os-hypervisors": "Hypervisors", "os-instance-actions": "ServerInstanceActions",
    "os-instance_usage_audit_log": "OSInstanceUsageAuditLog", "os-keypairs": "Keypairs",
    "os-lock-server": "LockServer", "os-migrations": "Migrations", "os-multiple-create": "MultipleCreate",
    "os-pause-server": "PauseServer", "os-personality": "Personality", "os-quota-class-sets": "QuotaClasses",
    "os-quota-sets": "Quotas", "os-remote-consoles": "Consoles", "os-rescue": "Rescue",
    "os-security-groups": "SecurityGroups", "os-server-diagnostics": "ServerDiagnostics",
    "os-server-external-events": "ServerExternalEvents", "os-server-groups": "ServerGroups",
    "os-server-password": "ServerPassword", "os-server-tags": "ServerTags", "os-services": "Services",
    "os-shelve": "Shelve", "os-simple-tenant-usage": "SimpleTenantUsage", "os-suspend-server": "SuspendServer",
    "os-used-limits": "UsedLimits", "os-user-data": "UserData",
}  # fmt: skip


def _view(alias: str) -> dict[str, Any]:
    return {
        "alias": alias,
        "name": ALIASES[alias],
        "description": f"{ALIASES[alias]}.",
        "links": [],
        "namespace": "http://docs.openstack.org/compute/ext/fake_xml",
        "updated": "2014-12-03T00:00:00Z",
    }


async def listing(request: Request) -> dict[str, Any]:
    return {"extensions": [_view(alias) for alias in ALIASES]}


async def show(request: Request, alias: str) -> dict[str, Any]:
    if alias not in ALIASES:
        raise NotFound("The resource could not be found.")
    return {"extension": _view(alias)}


# --- external events -----------------------------------------------------------------------------------------------

Event = Literal["network-changed", "network-vif-plugged", "network-vif-unplugged", "network-vif-deleted",
                "volume-extended", "power-update", "accelerator-request-bound", "volume-reimaged"]  # fmt: skip
SINCE: dict[str, tuple[int, int]] = {
    "volume-extended": (2, 51), "power-update": (2, 76), "accelerator-request-bound": (2, 82),
    "volume-reimaged": (2, 93),
}  # fmt: skip


class ExternalEvent(Body):
    server_uuid: Uuid
    name: Event
    status: Literal["failed", "completed", "in-progress"] = "completed"
    tag: Annotated[str, Meta(max_length=255)] | None = None


async def create_events(request: Request) -> Response:
    """Another service says that something moved: the host is told anew what it should know. 207 when some servers
    are unknown, 404 when all are."""
    events: list[ExternalEvent] = request.body
    for one in events:
        if request.version < SINCE.get(one.name, (2, 1)):
            raise BadRequest(f"Invalid input for field/attribute name. Value: {one.name}.")
    known = await request.write(_notice, [one.server_uuid for one in events])
    shapes = []
    for one in events:
        found = one.server_uuid in known
        shape: dict[str, Any] = {"name": one.name, "server_uuid": one.server_uuid}
        shape |= {"status": one.status, "code": 200} if found else {"status": "failed", "code": 404}
        if one.tag is not None:
            shape["tag"] = one.tag
        shapes.append(shape)
    if not known:
        raise NotFound("No instances found for any event")
    return Response({"events": shapes}, 200 if all(one["code"] == 200 for one in shapes) else 207)


def _notice(tx: Any, call: Any, server_ids: list[str]) -> set[str]:
    """Ids of those servers that exist; each is told anew to its host."""
    known = set()
    for id in dict.fromkeys(server_ids):
        server = tx.get(Server, id)
        if server is not None and server.deleted_at is None:
            known.add(id)
            if server.host:
                quiet_wish(tx, call, server)
    return known


ROUTES = [
    operation("GET", "/extensions", listing, "os_compute_api:extensions"),
    operation("GET", "/extensions/{alias}", show, "os_compute_api:extensions"),
    operation("POST", "/os-server-external-events", create_events, "os_compute_api:os-server-external-events:create",
              body=Annotated[list[ExternalEvent], Meta(min_length=1)], envelope="events"),
]  # fmt: skip
