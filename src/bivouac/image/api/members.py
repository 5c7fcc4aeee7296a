"""Members of shared images."""

from typing import Any

from bivouac.core.errors import BadRequest
from bivouac.core.http import Request, Route

from ..service import members
from .images import json_body
from .wire import member_view


async def list_members(request: Request, image_id: str) -> dict[str, Any]:
    """Projects with which an image is shared."""
    found = await request.read(members.list_members, image_id)
    return {"members": [member_view(member) for member in found], "schema": "/v2/schemas/members"}


async def show(request: Request, image_id: str, member_id: str) -> dict[str, Any]:
    """One share of an image."""
    return member_view(await request.read(members.show, image_id, member_id))


async def add(request: Request, image_id: str) -> dict[str, Any]:
    """Share an image with a project."""
    member_id = await _text(request, "member")
    return member_view(await request.write(members.add, image_id, member_id))


async def update(request: Request, image_id: str, member_id: str) -> dict[str, Any]:
    """Accept or reject a shared image."""
    status = await _text(request, "status")
    return member_view(await request.write(members.set_status, image_id, member_id, status))


async def remove(request: Request, image_id: str, member_id: str) -> None:
    """Share an image with a project no more."""
    await request.write(members.remove, image_id, member_id)


async def _text(request: Request, name: str) -> str:
    value = (await json_body(request)).get(name)
    if not isinstance(value, str):
        raise BadRequest(f'Expected a body of the form: {{"{name}": "..."}}')
    return value


_ALL = "/v2/images/{image_id}/members"
_ONE = f"{_ALL}/{{member_id}}"
ROUTES = [
    Route(method="GET", path=_ALL, handler=list_members, rule="get_members", late=True),
    Route(method="POST", path=_ALL, handler=add, rule="add_member", late=True),
    Route(method="GET", path=_ONE, handler=show, rule="get_member", late=True),
    Route(method="PUT", path=_ONE, handler=update, rule="modify_member", late=True),
    Route(method="DELETE", path=_ONE, handler=remove, rule="delete_member", status=204, late=True),
]
