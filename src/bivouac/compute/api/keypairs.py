"""`/os-keypairs`: a user's key pairs."""

import asyncio
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from bivouac.core.clock import iso_micro
from bivouac.core.errors import BadRequest
from bivouac.core.http import Request, Response

from ..records import Keypair
from ..service import keypairs as service
from .fields import Body, next_link, operation, strict_query, window

KeyName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A[^\x00-\x1f\x7f/]*\Z")]


class NewKeypair(Body):
    name: KeyName
    type: Literal["ssh", "x509"] | UnsetType = UNSET
    public_key: Annotated[str, Meta(min_length=1)] | UnsetType = UNSET
    user_id: Annotated[str, Meta(min_length=1, max_length=255)] | UnsetType = UNSET


def view(request: Request, keypair: Keypair, *, detail: bool = False) -> dict[str, Any]:
    """A key pair as the API shows it."""
    shape: dict[str, Any] = {
        "name": keypair.name, "public_key": keypair.public_key, "fingerprint": keypair.fingerprint,
    }  # fmt: skip
    if request.version >= (2, 2):
        shape["type"] = keypair.type
    if detail:
        shape |= {
            "user_id": keypair.user_id, "id": keypair.number, "created_at": iso_micro(keypair.created_at, ""),
            "deleted": False, "deleted_at": None, "updated_at": None,
        }  # fmt: skip
    return shape


def _user(request: Request, rule: str) -> str:
    """Whose keys: the caller's, or from 2.10 another user's by policy."""
    user_id = request.query_value("user_id") if request.version >= (2, 10) else None
    user_id = user_id or request.call.user_id
    request.enforce({"user_id": user_id}, rule)
    return user_id


async def create(request: Request) -> Response:
    new: NewKeypair = request.body
    _check(request, new)
    user_id = request.call.user_id if new.user_id is UNSET else new.user_id
    request.enforce({"user_id": user_id})
    kind = "ssh" if new.type is UNSET else new.type
    private = None
    if new.public_key is UNSET:
        public, private, fingerprint = await asyncio.to_thread(service.make_pair, kind, user_id)
    else:
        public, fingerprint = new.public_key, service.fingerprint_of(kind, new.public_key)
    keypair = await request.write(service.create_keypair, user_id, new.name, kind, public, fingerprint)
    shape = view(request, keypair) | {"user_id": keypair.user_id}
    if private is not None:
        shape["private_key"] = private
    return Response({"keypair": shape}, 200 if request.version < (2, 2) else 201)


def _check(request: Request, new: NewKeypair) -> None:
    """What came with later versions, and what went with 2.92. Raises BadRequest."""
    version = request.version
    for since, name in (((2, 2), "type"), ((2, 10), "user_id")):
        if version < since and getattr(new, name) is not UNSET:
            raise BadRequest(f"Additional properties are not allowed ('{name}' was unexpected)")
    if version >= (2, 92) and new.public_key is UNSET:
        raise BadRequest("Invalid input for field/attribute keypair. 'public_key' is a required property")
    allowed = " _-" + (".@" if version >= (2, 92) else "")
    if new.name != new.name.strip() or not all(one.isascii() and one.isalnum() or one in allowed for one in new.name):
        raise BadRequest("Keypair data is invalid: Keypair name contains unsafe characters")


async def listing(request: Request) -> dict[str, Any]:
    strict_query(request, ("user_id", "limit", "marker"))
    user_id = _user(request, "os_compute_api:os-keypairs:index")
    if request.version < (2, 35):
        found = await request.read(service.list_keypairs, user_id, None, None)
        return {"keypairs": [{"keypair": view(request, one)} for one in found]}
    part = window(request)
    found = await request.read(service.list_keypairs, user_id, part.limit, part.marker)
    return {
        "keypairs": [{"keypair": view(request, one)} for one in found],
        **next_link(request, "keypairs", [one.name for one in found], part.limit),
    }


async def show(request: Request, name: str) -> dict[str, Any]:
    user_id = _user(request, "os_compute_api:os-keypairs:show")
    return {"keypair": view(request, await request.read(service.get_keypair, user_id, name), detail=True)}


async def delete(request: Request, name: str) -> Response:
    user_id = _user(request, "os_compute_api:os-keypairs:delete")
    await request.write(service.delete_keypair, user_id, name)
    return Response(None, 202 if request.version < (2, 2) else 204)


_P = "os_compute_api:os-keypairs:"
ROUTES = [
    operation("GET", "/os-keypairs", listing, _P + "index", late=True),
    operation("POST", "/os-keypairs", create, _P + "create", late=True,
          body=NewKeypair, envelope="keypair"),
    operation("GET", "/os-keypairs/{name}", show, _P + "show", late=True),
    operation("DELETE", "/os-keypairs/{name}", delete, _P + "delete", late=True),
]  # fmt: skip
