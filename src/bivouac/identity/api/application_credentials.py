"""`/v3/users/{user_id}/application_credentials` and `access_rules`.

Source: Identity API v3, "Application Credentials".
"""

import os
from base64 import urlsafe_b64encode
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from ...core.clock import parse_iso
from ...core.errors import BadRequest
from ...core.http import Request, Route
from ..passwords import hash_in_thread
from ..records import AccessRuleRow
from ..service import application_credentials
from ..service.application_credentials import NewAccessRule, NewApplicationCredential, Shown
from ..service.delegation import RoleName
from . import shapes
from .moments import moment_text
from .roles import view as role_view
from .shapes import Name255, Text

_Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


class AccessRuleBody(Struct):
    service: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    method: _Method | None = None
    path: Annotated[str, Meta(min_length=1, max_length=225, pattern="^/")] | None = None
    id: str | None = None


class ApplicationCredentialBody(Struct):
    name: Name255
    description: Text | None = None
    secret: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    roles: list[RoleName] | None = None
    expires_at: str | None = None
    unrestricted: bool | None = False
    access_rules: list[AccessRuleBody] | None = None


def moment(text: str | None) -> float | None:
    """A moment in a body. Raises BadRequest."""
    if text is None:
        return None
    try:
        return parse_iso(text)
    except ValueError as error:
        raise BadRequest(f"{text} is not a moment in ISO 8601.") from error


def rule_view(row: AccessRuleRow) -> dict[str, Any]:
    """An access rule within an application credential."""
    return {"id": row.id, "service": row.service, "method": row.method, "path": row.path}


def view(request: Request, shown: Shown) -> dict[str, Any]:
    """An application credential on the wire, without its secret."""
    row = shown.row
    shaped = {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "user_id": row.user_id,
        "project_id": row.project_id,
        "system": None,
        "roles": [role_view(request, role) for role in shown.roles],
        "expires_at": moment_text(row.expires_at),
        "unrestricted": row.unrestricted,
        "links": shapes.self_link(request, f"users/{row.user_id}/application_credentials/{row.id}"),
    }
    if row.access_rule_ids is not None:
        shaped["access_rules"] = [rule_view(rule) for rule in shown.rules]
    return shaped


async def list_credentials(request: Request, user_id: str) -> dict[str, Any]:
    rows = await request.read(application_credentials.list_of, user_id, request.query_value("name"))
    return shapes.collection(request, "application_credentials", [view(request, one) for one in rows])


async def create_credential(request: Request, user_id: str) -> dict[str, Any]:
    known, _ = shapes.decode(ApplicationCredentialBody, request.body)
    secret = known.secret or urlsafe_b64encode(os.urandom(64)).rstrip(b"=").decode()
    rules = known.access_rules
    new = NewApplicationCredential(
        name=known.name,
        secret_hash=await hash_in_thread(secret),
        description=known.description,
        roles=known.roles or None,
        expires_at=moment(known.expires_at),
        unrestricted=bool(known.unrestricted),
        access_rules=None
        if rules is None
        else [NewAccessRule(service=one.service, method=one.method, path=one.path, id=one.id) for one in rules],
    )
    shown = await request.write(application_credentials.create, user_id, new)
    return {"application_credential": {**view(request, shown), "secret": secret}}


async def show_credential(request: Request, user_id: str, application_credential_id: str) -> dict[str, Any]:
    shown = await request.read(application_credentials.get, user_id, application_credential_id)
    return {"application_credential": view(request, shown)}


async def delete_credential(request: Request, user_id: str, application_credential_id: str) -> None:
    await request.write(application_credentials.delete, user_id, application_credential_id)


def _with_links(request: Request, row: AccessRuleRow) -> dict[str, Any]:
    return {**rule_view(row), "links": shapes.self_link(request, f"users/{row.user_id}/access_rules/{row.id}")}


async def list_rules(request: Request, user_id: str) -> dict[str, Any]:
    names = ("service", "method", "path")
    filters = {name: value for name in names if (value := request.query_value(name)) is not None}
    rows = await request.read(application_credentials.list_rules, user_id, filters)
    return shapes.listing(request, "access_rules", rows, lambda row: _with_links(request, row))


async def show_rule(request: Request, user_id: str, access_rule_id: str) -> dict[str, Any]:
    row = await request.read(application_credentials.get_rule, user_id, access_rule_id)
    return {"access_rule": _with_links(request, row)}


async def delete_rule(request: Request, user_id: str, access_rule_id: str) -> None:
    await request.write(application_credentials.delete_rule, user_id, access_rule_id)


_ALL, _RULES = "/v3/users/{user_id}/application_credentials", "/v3/users/{user_id}/access_rules"
_ONE, _RULE = f"{_ALL}/{{application_credential_id}}", f"{_RULES}/{{access_rule_id}}"
ROUTES = [
    Route(method="GET", path=_ALL, handler=list_credentials, rule="identity:list_application_credentials", late=True),
    Route(method="POST", path=_ALL, handler=create_credential, rule="identity:create_application_credential",
          late=True, status=201, body=dict[str, Any], envelope="application_credential"),
    Route(method="GET", path=_ONE, handler=show_credential, rule="identity:get_application_credential", late=True),
    Route(method="DELETE", path=_ONE, handler=delete_credential, rule="identity:delete_application_credential",
          late=True, status=204),
    Route(method="GET", path=_RULES, handler=list_rules, rule="identity:list_access_rules", late=True),
    Route(method="GET", path=_RULE, handler=show_rule, rule="identity:get_access_rule", late=True),
    Route(method="DELETE", path=_RULE, handler=delete_rule, rule="identity:delete_access_rule", late=True, status=204),
]  # fmt: skip
