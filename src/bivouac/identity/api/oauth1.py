"""`/v3/OS-OAUTH1`: consumers, request tokens, access tokens. Source: Identity API v3, "OS-OAUTH1"."""

from typing import Any
from urllib.parse import parse_qsl, urlencode

from msgspec import UNSET, Struct, UnsetType

from ...core.clock import iso_micro
from ...core.errors import BadRequest, NotFound, Unauthorized
from ...core.http import PUBLIC, Request, Response, Route
from ...core.store import Tx
from ..oauth_signature import SignedRequest
from ..records import AccessToken, Consumer
from ..service import oauth1, targets
from ..service.oauth1 import RoleName
from . import shapes
from .auth import signed_request
from .roles import view as role_view
from .shapes import Text

FORM = "application/x-www-form-urlencoded"


class ConsumerBody(Struct):
    description: Text | None = None


class ConsumerChanges(Struct):
    description: Text | None | UnsetType = UNSET
    secret: Any | UnsetType = UNSET


class AuthorizeBody(Struct):
    roles: list[RoleName]


def view(request: Request, row: Consumer, with_secret: bool = False) -> dict[str, Any]:
    """A consumer on the wire; the secret is shown once, when it is made."""
    shaped = {
        **row.extra,
        "id": row.id,
        "description": row.description,
        "links": shapes.self_link(request, f"OS-OAUTH1/consumers/{row.id}"),
    }
    if with_secret:
        shaped["secret"] = row.secret
    return shaped


async def list_consumers(request: Request) -> dict[str, Any]:
    rows = await request.read(oauth1.list_consumers)
    return shapes.listing(request, "consumers", rows, lambda row: view(request, row))


async def create_consumer(request: Request) -> dict[str, Any]:
    known, extra = shapes.decode(ConsumerBody, request.body)
    row = await request.write(oauth1.create_consumer, known.description, extra)
    return {"consumer": view(request, row, with_secret=True)}


async def show_consumer(request: Request, consumer_id: str) -> dict[str, Any]:
    return {"consumer": view(request, await request.read(oauth1.get_consumer, consumer_id))}


async def update_consumer(request: Request, consumer_id: str) -> dict[str, Any]:
    changes = shapes.patch(ConsumerChanges, request.body, consumer_id)
    if "id" in request.body:
        changes["id"] = request.body["id"]
    return {"consumer": view(request, await request.write(oauth1.update_consumer, consumer_id, changes))}


async def delete_consumer(request: Request, consumer_id: str) -> None:
    await request.write(oauth1.delete_consumer, consumer_id)


async def _signed(request: Request) -> SignedRequest:
    """The signed request, its form body included. Raises Unauthorized."""
    signed = signed_request(request)
    if signed is None:
        raise Unauthorized("The request is not signed: an Authorization header of OAuth is wanted.")
    raw = await request.body_bytes(16 << 10)
    if raw and request.headers.get("content-type", "").startswith(FORM):
        pairs = tuple(parse_qsl(raw.decode("latin-1"), keep_blank_values=True))
        return SignedRequest(
            signed.method, signed.url, signed.parameters, (*signed.query, *pairs), signed.requested_project_id
        )
    return signed


def _form(**values: str) -> Response:
    return Response(urlencode(values).encode(), 201, media_type=FORM)


async def create_request_token(request: Request) -> Response:
    signed = await _signed(request)
    if not signed.requested_project_id:
        raise BadRequest("The header Requested-Project-Id is missing.")
    token = await request.application.store.write(oauth1.create_request_token, signed, request.call.now)
    return _form(
        oauth_token=token.id, oauth_token_secret=token.secret, oauth_expires_at=iso_micro(token.expires_at) or ""
    )


async def authorize(request: Request, request_token_id: str) -> dict[str, Any]:
    known, _ = shapes.decode(AuthorizeBody, request.body)
    return {"token": {"oauth_verifier": await request.write(oauth1.authorize, request_token_id, known.roles)}}


async def create_access_token(request: Request) -> Response:
    signed = await _signed(request)
    token = await request.application.store.write(oauth1.create_access_token, signed, request.call.now)
    return _form(
        oauth_token=token.id, oauth_token_secret=token.secret, oauth_expires_at=iso_micro(token.expires_at) or ""
    )


def token_view(request: Request, row: AccessToken) -> dict[str, Any]:
    """An access token on the wire, without its secret."""
    path = f"users/{row.authorizing_user_id}/OS-OAUTH1/access_tokens/{row.id}"
    return {
        "id": row.id,
        "consumer_id": row.consumer_id,
        "authorizing_user_id": row.authorizing_user_id,
        "project_id": row.project_id,
        "expires_at": iso_micro(row.expires_at),
        "links": {**shapes.self_link(request, path), "roles": f"{request.base_url}/v3/{path}/roles"},
    }


async def list_access_tokens(request: Request, user_id: str) -> dict[str, Any]:
    rows = await request.read(oauth1.list_access_tokens, user_id)
    return shapes.listing(request, "access_tokens", rows, lambda row: token_view(request, row))


async def show_access_token(request: Request, user_id: str, access_token_id: str) -> dict[str, Any]:
    row = await request.read(oauth1.get_access_token, user_id, access_token_id)
    return {"access_token": token_view(request, row)}


async def delete_access_token(request: Request, user_id: str, access_token_id: str) -> None:
    await request.write(oauth1.delete_access_token, user_id, access_token_id)


def _roles(tx: Tx, call: Any, user_id: str, token_id: str, role_id: str | None) -> Any:
    rule = "identity:list_access_token_roles" if role_id is None else "identity:get_access_token_role"
    token = oauth1.get_access_token(tx, call, user_id, token_id, rule)
    if role_id is None:
        return [targets.role(tx, one) for one in token.role_ids]
    if role_id not in token.role_ids:
        raise NotFound(f"Could not find role: {role_id}.")
    return targets.role(tx, role_id)


async def list_access_token_roles(request: Request, user_id: str, access_token_id: str) -> dict[str, Any]:
    rows = await request.read(_roles, user_id, access_token_id, None)
    return shapes.listing(request, "roles", rows, lambda row: role_view(request, row))


async def show_access_token_role(
    request: Request, user_id: str, access_token_id: str, role_id: str
) -> dict[str, Any]:
    return {"role": role_view(request, await request.read(_roles, user_id, access_token_id, role_id))}


_ALL = "/v3/OS-OAUTH1/consumers"
_ONE = f"{_ALL}/{{consumer_id}}"
_TOKENS = "/v3/users/{user_id}/OS-OAUTH1/access_tokens"
_TOKEN = f"{_TOKENS}/{{access_token_id}}"
ROUTES = [
    Route(method="GET", path=_ALL, handler=list_consumers, rule="identity:list_consumers", late=True),
    Route(method="POST", path=_ALL, handler=create_consumer, rule="identity:create_consumer", late=True, status=201,
          body=dict[str, Any], envelope="consumer"),
    Route(method="GET", path=_ONE, handler=show_consumer, rule="identity:get_consumer", late=True),
    Route(method="PATCH", path=_ONE, handler=update_consumer, rule="identity:update_consumer", late=True,
          body=dict[str, Any], envelope="consumer"),
    Route(method="DELETE", path=_ONE, handler=delete_consumer, rule="identity:delete_consumer", late=True, status=204),
    Route(method="POST", path="/v3/OS-OAUTH1/request_token", handler=create_request_token, rule=PUBLIC, status=201),
    Route(method="PUT", path="/v3/OS-OAUTH1/authorize/{request_token_id}", handler=authorize,
          rule="identity:authorize_request_token", late=True, body=dict[str, Any]),
    Route(method="POST", path="/v3/OS-OAUTH1/access_token", handler=create_access_token, rule=PUBLIC, status=201),
    Route(method="GET", path=_TOKENS, handler=list_access_tokens, rule="identity:list_access_tokens", late=True),
    Route(method="GET", path=_TOKEN, handler=show_access_token, rule="identity:get_access_token", late=True),
    Route(method="DELETE", path=_TOKEN, handler=delete_access_token, rule="identity:delete_access_token", late=True,
          status=204),
    Route(method="GET", path=f"{_TOKEN}/roles", handler=list_access_token_roles,
          rule="identity:list_access_token_roles", late=True),
    Route(method="GET", path=f"{_TOKEN}/roles/{{role_id}}", handler=show_access_token_role,
          rule="identity:get_access_token_role", late=True),
]  # fmt: skip
