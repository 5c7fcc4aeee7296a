"""`/os-aggregates` and `/os-availability-zone`."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from bivouac.core.clock import iso_micro
from bivouac.core.errors import BadRequest
from bivouac.core.http import Request, Response
from bivouac.placement.records import Aggregate

from ..service import hosts as service
from ..service.hosts import HostView
from .fields import Body, Key, Name, Value, operation
from .services import HostName

Zone = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A(?!\s)[^:\x00-\x1f]*(?<!\s)\Z")]


class NewAggregate(Body):
    name: Name
    availability_zone: Zone | None = None


class AggregateChange(Body):
    name: Name | UnsetType = UNSET
    availability_zone: Zone | None | UnsetType = UNSET


class HostEntry(Body):
    host: HostName


class MetadataEntry(Body):
    metadata: dict[Key, Value | None]


class AggregateAction(Body):
    add_host: HostEntry | UnsetType = UNSET
    remove_host: HostEntry | UnsetType = UNSET
    set_metadata: MetadataEntry | UnsetType = UNSET


def view(request: Request, row: Aggregate, hosts: list[str], brief: bool = False) -> dict[str, Any]:
    """An aggregate; a new one (`brief`) is shown without hosts and metadata."""
    shape: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "availability_zone": row.metadata.get("availability_zone"),
        "created_at": iso_micro(row.created_at, ""),
        "updated_at": iso_micro(row.updated_at, ""),
        "deleted": False,
        "deleted_at": None,
    }
    if not brief:
        shape |= {"hosts": hosts, "metadata": row.metadata}
    if request.version >= (2, 41):
        shape["uuid"] = row.uuid
    return shape


async def listing(request: Request) -> dict[str, Any]:
    return {"aggregates": [view(request, *one) for one in await request.read(service.list_aggregates)]}


async def create(request: Request) -> dict[str, Any]:
    new: NewAggregate = request.body
    made = await request.write(service.create_aggregate, new.name, new.availability_zone)
    return {"aggregate": view(request, *made, brief=True)}


async def show(request: Request, aggregate_id: str) -> dict[str, Any]:
    return {"aggregate": view(request, *await request.read(service.get_aggregate, aggregate_id))}


async def update(request: Request, aggregate_id: str) -> dict[str, Any]:
    change: AggregateChange = request.body
    if change.name is UNSET and change.availability_zone is UNSET:
        raise BadRequest("Invalid input for field/attribute aggregate. It wants name or availability_zone.")
    name = None if change.name is UNSET else change.name
    zone = None if change.availability_zone is UNSET else change.availability_zone
    return {"aggregate": view(request, *await request.write(service.update_aggregate, aggregate_id, name, zone))}


async def delete(request: Request, aggregate_id: str) -> Response:
    await request.write(service.delete_aggregate, aggregate_id)
    return Response(None, 200)


async def act(request: Request, aggregate_id: str) -> dict[str, Any]:
    body: AggregateAction = request.body
    asked = [name for name in ("add_host", "remove_host", "set_metadata") if getattr(body, name) is not UNSET]
    if len(asked) != 1:
        raise BadRequest("It wants exactly one of add_host, remove_host and set_metadata.")
    request.enforce(rule=f"os_compute_api:os-aggregates:{asked[0]}")
    if body.set_metadata is not UNSET:
        rule, argument = service.set_metadata, body.set_metadata.metadata
    elif body.add_host is not UNSET:
        rule, argument = service.add_host, body.add_host.host
    else:
        rule, argument = service.remove_host, body.remove_host.host  # type: ignore[union-attr]
    return {"aggregate": view(request, *await request.write(rule, aggregate_id, argument))}


# --- availability zones --------------------------------------------------------------------------------------------


async def list_zones(request: Request) -> dict[str, Any]:
    found = await request.read(service.list_hosts)
    return {"availabilityZoneInfo": [_zone(name, hosts, False) for name, hosts in _by_zone(found)]}


async def list_zones_detail(request: Request) -> dict[str, Any]:
    found = await request.read(service.list_hosts)
    return {"availabilityZoneInfo": [_zone(name, hosts, True) for name, hosts in _by_zone(found)]}


def _by_zone(found: list[HostView]) -> list[tuple[str, list[HostView]]]:
    zones: dict[str, list[HostView]] = {}
    for one in found:
        zones.setdefault(one.host.availability_zone, []).append(one)
    return sorted(zones.items())


def _zone(name: str, hosts: list[HostView], detail: bool) -> dict[str, Any]:
    """A zone is available while one of its hosts is enabled."""
    shown = None
    if detail:
        shown = {
            one.host.name: {
                "nova-compute": {
                    "available": one.up, "active": not one.host.disabled, "updated_at": iso_micro(one.last_seen, ""),
                }
            }
            for one in hosts
        }  # fmt: skip
    return {"zoneName": name, "zoneState": {"available": any(not one.host.disabled for one in hosts)}, "hosts": shown}


_P, _A = "os_compute_api:os-aggregates:", "/os-aggregates"
ROUTES = [
    operation("GET", _A, listing, _P + "index"),
    operation("POST", _A, create, _P + "create", body=NewAggregate, envelope="aggregate"),
    operation("GET", _A + "/{aggregate_id}", show, _P + "show"),
    operation("PUT", _A + "/{aggregate_id}", update, _P + "update", body=AggregateChange, envelope="aggregate"),
    operation("DELETE", _A + "/{aggregate_id}", delete, _P + "delete"),
    operation("POST", _A + "/{aggregate_id}/action", act, _P + "add_host", body=AggregateAction, late=True),
    operation("GET", "/os-availability-zone", list_zones, "os_compute_api:os-availability-zone:list"),
    operation("GET", "/os-availability-zone/detail", list_zones_detail, "os_compute_api:os-availability-zone:detail"),
]
