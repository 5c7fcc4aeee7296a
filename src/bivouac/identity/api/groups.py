"""`/v3/groups` and membership. Source: Identity API v3, "Groups"."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from ...core.http import Request, Route
from ..records import Group
from ..service import groups
from . import shapes, users
from .shapes import Id64, Name64, Text

_TEXTS = ("name", "domain_id", "id")


class NewGroup(Struct):
    name: Name64
    domain_id: Id64 | None = None
    description: Text | None = ""


class GroupChanges(Struct):
    name: Name64 | UnsetType = UNSET
    domain_id: Id64 | UnsetType = UNSET
    description: Text | None | UnsetType = UNSET


def view(request: Request, row: Group) -> dict[str, Any]:
    """A group on the wire."""
    return {
        **row.extra,
        "id": row.id,
        "name": row.name,
        "domain_id": row.domain_id,
        "description": row.description,
        "links": shapes.self_link(request, f"groups/{row.id}"),
    }


async def list_groups(request: Request) -> dict[str, Any]:
    page = shapes.page(request, ("name",))
    rows = await request.read(groups.list_groups, shapes.filters(request, _TEXTS), page)
    return shapes.listing(request, "groups", rows, lambda row: view(request, row), page)


async def create_group(request: Request) -> dict[str, Any]:
    known, extra = shapes.decode(NewGroup, request.body)
    row = await request.write(groups.create, known.name, known.domain_id, known.description or "", extra)
    return {"group": view(request, row)}


async def show_group(request: Request, group_id: str) -> dict[str, Any]:
    return {"group": view(request, await request.read(groups.get, group_id))}


async def update_group(request: Request, group_id: str) -> dict[str, Any]:
    changes = shapes.patch(GroupChanges, request.body, group_id)
    row = await request.write(groups.update, group_id, changes)
    return {"group": view(request, row)}


async def delete_group(request: Request, group_id: str) -> None:
    await request.write(groups.delete, group_id)


async def list_group_users(request: Request, group_id: str) -> dict[str, Any]:
    page = shapes.page(request, ("name",))
    rows = await request.read(groups.users_of, group_id, users.filters_of(request), page)
    return shapes.listing(request, "users", rows, lambda row: users.view(request, row), page)


async def list_user_groups(request: Request, user_id: str) -> dict[str, Any]:
    page = shapes.page(request, ("name",))
    rows = await request.read(groups.groups_of, user_id, shapes.filters(request, _TEXTS), page)
    # Only members by an identity provider's mapping come to an end, and there are none here.
    unending = {"membership_expires_at": None}
    return shapes.listing(request, "groups", rows, lambda row: {**view(request, row), **unending}, page)


async def add_user(request: Request, group_id: str, user_id: str) -> None:
    await request.write(groups.add_user, group_id, user_id)


async def check_user(request: Request, group_id: str, user_id: str) -> None:
    await request.read(groups.check_user, group_id, user_id)


async def remove_user(request: Request, group_id: str, user_id: str) -> None:
    await request.write(groups.remove_user, group_id, user_id)


_ONE, _MEMBER = "/v3/groups/{group_id}", "/v3/groups/{group_id}/users/{user_id}"
ROUTES = [
    Route(method="GET", path="/v3/groups", handler=list_groups, rule="identity:list_groups", late=True),
    Route(method="POST", path="/v3/groups", handler=create_group, rule="identity:create_group", late=True, status=201,
          body=dict[str, Any], envelope="group"),
    Route(method="GET", path=_ONE, handler=show_group, rule="identity:get_group", late=True),
    Route(method="PATCH", path=_ONE, handler=update_group, rule="identity:update_group", late=True,
          body=dict[str, Any], envelope="group"),
    Route(method="DELETE", path=_ONE, handler=delete_group, rule="identity:delete_group", late=True, status=204),
    Route(method="GET", path=f"{_ONE}/users", handler=list_group_users, rule="identity:list_users_in_group", late=True),
    Route(method="GET", path="/v3/users/{user_id}/groups", handler=list_user_groups,
          rule="identity:list_groups_for_user", late=True),
    Route(method="PUT", path=_MEMBER, handler=add_user, rule="identity:add_user_to_group", late=True, status=204),
    Route(method="GET", path=_MEMBER, handler=check_user, rule="identity:check_user_in_group", late=True, status=204),
    Route(method="DELETE", path=_MEMBER, handler=remove_user, rule="identity:remove_user_from_group", late=True,
          status=204),
]  # fmt: skip
