"""`/v3/credentials`, OS-EC2 keys, `/v3/ec2tokens` and `/v3/s3tokens`.

Source: Identity API v3, "Credentials", OS-EC2; keystone's `ec2tokens` and `s3tokens`.
"""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from ...core.errors import BadRequest, Unauthorized
from ...core.http import Request, Response, Route
from ..ec2_signature import Ec2Request, holds, string_holds
from ..identity import identity_of
from ..records import Credential
from ..service import credentials
from ..service.validity import Proven
from . import shapes
from .auth import answer_with_token
from .shapes import Id64


class CredentialBody(Struct):
    type: str
    blob: str
    user_id: Id64 | None = None
    project_id: Id64 | None = None


class CredentialChanges(Struct):
    type: str | UnsetType = UNSET
    blob: str | UnsetType = UNSET
    user_id: Id64 | UnsetType = UNSET
    project_id: Id64 | None | UnsetType = UNSET


class KeyBody(Struct):
    tenant_id: str | None = None
    project_id: str | None = None


def view(request: Request, row: Credential) -> dict[str, Any]:
    """A credential on the wire."""
    return {
        **row.extra,
        "id": row.id,
        "type": row.type,
        "blob": row.blob,
        "user_id": row.user_id,
        "project_id": row.project_id,
        "links": shapes.self_link(request, f"credentials/{row.id}"),
    }


async def list_credentials(request: Request) -> dict[str, Any]:
    filters = {name: value for name in ("user_id", "type") if (value := request.query_value(name)) is not None}
    rows = await request.read(credentials.list_credentials, identity_of(request).vault, filters)
    return shapes.listing(request, "credentials", rows, lambda row: view(request, row))


async def create_credential(request: Request) -> dict[str, Any]:
    known, extra = shapes.decode(CredentialBody, request.body)
    row = await request.write(
        credentials.create, identity_of(request).vault, known.type, known.blob, known.user_id, known.project_id, extra
    )
    return {"credential": view(request, row)}


async def show_credential(request: Request, credential_id: str) -> dict[str, Any]:
    row = await request.read(credentials.show, identity_of(request).vault, credential_id)
    return {"credential": view(request, row)}


async def update_credential(request: Request, credential_id: str) -> dict[str, Any]:
    changes = shapes.patch(CredentialChanges, request.body, credential_id)
    row = await request.write(credentials.update, identity_of(request).vault, credential_id, changes)
    return {"credential": view(request, row)}


async def delete_credential(request: Request, credential_id: str) -> None:
    await request.write(credentials.delete, credential_id)


# --- OS-EC2 ------------------------------------------------------------------------------------------------------


def key_view(request: Request, row: Credential) -> dict[str, Any]:
    """An EC2 key on the wire."""
    return {
        "access": row.access,
        "secret": credentials.secret_of(row),
        "user_id": row.user_id,
        "tenant_id": row.project_id,
        "trust_id": row.trust_id,
        "links": shapes.self_link(request, f"users/{row.user_id}/credentials/OS-EC2/{row.access}"),
    }


async def list_keys(request: Request, user_id: str) -> dict[str, Any]:
    rows = await request.read(credentials.list_keys, identity_of(request).vault, user_id)
    return shapes.collection(request, "credentials", [key_view(request, row) for row in rows])


async def create_key(request: Request, user_id: str) -> dict[str, Any]:
    project_id = request.body.tenant_id or request.body.project_id
    if not project_id:
        raise BadRequest("An EC2 key needs a tenant_id: the project that it is for.")
    row = await request.write(credentials.create_key, identity_of(request).vault, user_id, project_id)
    return {"credential": key_view(request, row)}


async def show_key(request: Request, user_id: str, credential_id: str) -> dict[str, Any]:
    row = await request.read(credentials.show_key, identity_of(request).vault, user_id, credential_id)
    return {"credential": key_view(request, row)}


async def delete_key(request: Request, user_id: str, credential_id: str) -> None:
    await request.write(credentials.delete_key, user_id, credential_id)


# --- tokens for signatures ---------------------------------------------------------------------------------------


async def _proven(request: Request, access: Any) -> Proven:
    """Whom the access key stands for. Raises Unauthorized."""
    proven = await identity_of(request).authenticator.access_key(access) if isinstance(access, str) else None
    if proven is None:
        raise Unauthorized("EC2 access key not found.")
    return proven


async def _token(request: Request, proven: Proven) -> Response:
    identity = identity_of(request)
    return await answer_with_token(request, identity.authenticator.keys.issue(proven.token), proven, 200)


async def ec2_token(request: Request) -> Response:
    given = request.body.get("credentials") or request.body.get("ec2Credentials")
    if not isinstance(given, dict):
        raise BadRequest("The body must hold credentials.")
    known, _ = shapes.decode(Ec2Request, given)
    proven = await _proven(request, known.access)
    if not holds(known, proven.access_secret):
        host, _, _ = known.host.partition(":")
        without_port = Ec2Request(
            access=known.access, signature=known.signature, host=host, verb=known.verb, path=known.path,
            params=known.params, headers=known.headers, body_hash=known.body_hash,
        )  # fmt: skip
        if host == known.host or not holds(without_port, proven.access_secret):
            raise Unauthorized("EC2 signature not supplied or invalid.")
    return await _token(request, proven)


async def s3_token(request: Request) -> Response:
    given = request.body.get("credentials")
    if not isinstance(given, dict):
        raise BadRequest("The body must hold credentials.")
    proven = await _proven(request, given.get("access"))
    if not string_holds(str(given.get("token")), str(given.get("signature")), proven.access_secret):
        raise Unauthorized("Credential signature mismatch.")
    return await _token(request, proven)


_ONE, _KEYS = "/v3/credentials/{credential_id}", "/v3/users/{user_id}/credentials/OS-EC2"
_KEY = f"{_KEYS}/{{credential_id}}"
ROUTES = [
    Route(method="GET", path="/v3/credentials", handler=list_credentials, rule="identity:list_credentials", late=True),
    Route(method="POST", path="/v3/credentials", handler=create_credential, rule="identity:create_credential",
          late=True, status=201, body=dict[str, Any], envelope="credential"),
    Route(method="GET", path=_ONE, handler=show_credential, rule="identity:get_credential", late=True),
    Route(method="PATCH", path=_ONE, handler=update_credential, rule="identity:update_credential", late=True,
          body=dict[str, Any], envelope="credential"),
    Route(method="DELETE", path=_ONE, handler=delete_credential, rule="identity:delete_credential", late=True,
          status=204),
    Route(method="GET", path=_KEYS, handler=list_keys, rule="identity:ec2_list_credentials", late=True),
    Route(method="POST", path=_KEYS, handler=create_key, rule="identity:ec2_create_credential", late=True, status=201,
          body=KeyBody),
    Route(method="GET", path=_KEY, handler=show_key, rule="identity:ec2_get_credential", late=True),
    Route(method="DELETE", path=_KEY, handler=delete_key, rule="identity:ec2_delete_credential", late=True,
          status=204),
    Route(method="POST", path="/v3/ec2tokens", handler=ec2_token, rule="identity:ec2tokens_validate",
          body=dict[str, Any]),
    Route(method="POST", path="/v3/s3tokens", handler=s3_token, rule="identity:s3tokens_validate",
          body=dict[str, Any]),
]  # fmt: skip
