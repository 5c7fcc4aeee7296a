"""`/v3/domains`. Source: Identity API v3, "Domains"."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from ...core.http import Request, Route
from ..records import Project
from ..service import domains
from . import shapes
from .projects import to_new
from .shapes import Name64, Text


class NewDomain(Struct):
    name: Name64
    enabled: bool = True
    description: Text | None = ""
    tags: list[str] = []
    options: dict[str, Any] = {}
    explicit_domain_id: str | None = None


class DomainChanges(Struct):
    name: Name64 | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    description: Text | None | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    options: dict[str, Any] | UnsetType = UNSET


def view(request: Request, row: Project) -> dict[str, Any]:
    """A domain on the wire."""
    return {
        **row.extra,
        "id": row.id,
        "name": row.name,
        "enabled": row.enabled,
        "description": row.description,
        "tags": row.tags,
        "options": row.options,
        "links": shapes.self_link(request, f"domains/{row.id}"),
    }


async def list_domains(request: Request) -> dict[str, Any]:
    page = shapes.page(request, ("name",))
    rows = await request.read(domains.list_domains, shapes.filters(request, ("name", "id"), ("enabled",)), page)
    return shapes.listing(request, "domains", rows, lambda row: view(request, row), page)


async def create_domain(request: Request) -> dict[str, Any]:
    known, extra = shapes.decode(NewDomain, request.body)
    row = await request.write(domains.create, to_new(known, extra), known.explicit_domain_id)
    return {"domain": view(request, row)}


async def show_domain(request: Request, domain_id: str) -> dict[str, Any]:
    return {"domain": view(request, await request.read(domains.get, domain_id))}


async def update_domain(request: Request, domain_id: str) -> dict[str, Any]:
    changes = shapes.patch(DomainChanges, request.body, domain_id)
    row = await request.write(domains.update, domain_id, changes)
    return {"domain": view(request, row)}


async def delete_domain(request: Request, domain_id: str) -> None:
    await request.write(domains.delete, domain_id)


_ONE = "/v3/domains/{domain_id}"
ROUTES = [
    Route(method="GET", path="/v3/domains", handler=list_domains, rule="identity:list_domains", late=True),
    Route(method="POST", path="/v3/domains", handler=create_domain, rule="identity:create_domain", late=True,
          status=201, body=dict[str, Any], envelope="domain"),
    Route(method="GET", path=_ONE, handler=show_domain, rule="identity:get_domain", late=True),
    Route(method="PATCH", path=_ONE, handler=update_domain, rule="identity:update_domain", late=True,
          body=dict[str, Any], envelope="domain"),
    Route(method="DELETE", path=_ONE, handler=delete_domain, rule="identity:delete_domain", late=True, status=204),
]  # fmt: skip
