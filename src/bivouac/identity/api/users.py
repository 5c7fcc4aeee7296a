"""`/v3/users`. Source: Identity API v3, "Users"."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from ...core.clock import iso_micro, parse_iso
from ...core.errors import BadRequest
from ...core.http import PUBLIC, Request, Route
from ..identity import identity_of
from ..passwords import check_strength, hash_in_thread, is_known_format
from ..records import User
from ..service import users
from ..service.filters import Filters
from ..service.login_facts import UserName
from . import shapes
from .shapes import Id64, Name255, Text

_TEXTS = ("name", "domain_id", "id")
_FEDERATED = ("idp_id", "protocol_id", "unique_id")
"""Filters on users of identity providers, of which there are none here."""


class NewUser(Struct):
    name: Name255
    domain_id: Id64 | None = None
    enabled: bool = True
    default_project_id: Id64 | None = None
    description: Text | None = None
    password: str | None = None
    password_hash: str | None = None
    """A hash that another cloud has written (bcrypt, scrypt, pbkdf2, argon2id): the user keeps the password."""
    options: dict[str, Any] = {}


class UserChanges(Struct):
    name: Name255 | UnsetType = UNSET
    domain_id: Id64 | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    default_project_id: Id64 | None | UnsetType = UNSET
    description: Text | None | UnsetType = UNSET
    password: str | None | UnsetType = UNSET
    options: dict[str, Any] | UnsetType = UNSET


class PasswordChange(Struct):
    original_password: str
    password: str


def view(request: Request, row: User) -> dict[str, Any]:
    """A user on the wire."""
    shaped = {
        **row.extra,
        "id": row.id,
        "name": row.name,
        "domain_id": row.domain_id,
        "enabled": row.enabled,
        "password_expires_at": iso_micro(row.password_expires_at, ""),
        "options": row.options,
        "links": shapes.self_link(request, f"users/{row.id}"),
    }
    if row.default_project_id is not None:
        shaped["default_project_id"] = row.default_project_id
    if row.description is not None:
        shaped["description"] = row.description
    return shaped


def _with_expiry(request: Request, filters: Filters) -> Filters:
    """`password_expires_at=lt:2026-01-01T00:00:00Z` and its kin. Raises BadRequest."""
    signs = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "eq": "=", "neq": "<>"}
    for text in request.query_values("password_expires_at"):
        sign, colon, moment = text.partition(":")
        if not colon or sign not in signs:
            raise BadRequest("password_expires_at wants an operator: lt:, lte:, gt:, gte:, eq: or neq: and a moment.")
        try:
            filters = filters.having(f"password_expires_at {signs[sign]} ?", parse_iso(moment))
        except ValueError as error:
            raise BadRequest(f"{moment} is not a moment in ISO 8601.") from error
    return filters


def filters_of(request: Request) -> Filters:
    """The query's filters of users. Raises BadRequest."""
    found = _with_expiry(request, shapes.filters(request, _TEXTS, ("enabled",)))
    if any(request.query_value(name) is not None for name in _FEDERATED):
        found = found.having("1 = 0")
    return found


async def list_users(request: Request) -> dict[str, Any]:
    page = shapes.page(request, ("name",))
    filters = filters_of(request)
    rows = await request.read(users.list_users, filters, page)
    return shapes.listing(request, "users", rows, lambda row: view(request, row), page)


async def create_user(request: Request) -> dict[str, Any]:
    known, extra = shapes.decode(NewUser, request.body)
    security = identity_of(request).settings.security
    hashed = known.password_hash
    if hashed is not None and not is_known_format(hashed):
        raise BadRequest("The password_hash is of a format that is not known.")
    if known.password is not None:
        check_strength(security, known.password)
        hashed = await hash_in_thread(known.password)
    new = users.NewUser(
        name=known.name, domain_id=known.domain_id, enabled=known.enabled, description=known.description,
        default_project_id=known.default_project_id, password_hash=hashed, options=known.options, extra=extra,
    )  # fmt: skip
    return {"user": view(request, await request.write(users.create, new, security))}


async def show_user(request: Request, user_id: str) -> dict[str, Any]:
    return {"user": view(request, await request.read(users.get, user_id))}


async def update_user(request: Request, user_id: str) -> dict[str, Any]:
    changes = shapes.patch(UserChanges, request.body, user_id)
    security = identity_of(request).settings.security
    if "password" in changes:
        password = changes.pop("password")
        if password is not None:
            check_strength(security, password)
        changes["password_hash"] = await hash_in_thread(password) if password is not None else None
    return {"user": view(request, await request.write(users.update, user_id, changes, security))}


async def delete_user(request: Request, user_id: str) -> None:
    await request.write(users.delete, user_id)


async def change_password(request: Request, user_id: str) -> None:
    """The user sets a new password, proving the old one: a token is not asked, since an expired password gets none."""
    wanted: PasswordChange = request.body
    identity = identity_of(request)
    security = identity.settings.security
    user = await identity.login.check_password(UserName(id=user_id, password=wanted.original_password))
    check_strength(security, wanted.password)
    history = await request.read(lambda tx, call: users.password_history(tx, user_id, security))
    if await identity.login.fits_any(history, wanted.password):
        raise BadRequest(
            f"The new password cannot be identical to a previous password. The number of previous passwords that must "
            f"be unique is: {security.unique_last_password_count}"
        )
    hashed = await hash_in_thread(wanted.password)
    await request.write(users.change_password, user_id, user.password_hash, hashed, security)


_ONE = "/v3/users/{user_id}"
ROUTES = [
    Route(method="GET", path="/v3/users", handler=list_users, rule="identity:list_users", late=True),
    Route(method="POST", path="/v3/users", handler=create_user, rule="identity:create_user", late=True, status=201,
          body=dict[str, Any], envelope="user"),
    Route(method="GET", path=_ONE, handler=show_user, rule="identity:get_user", late=True),
    Route(method="PATCH", path=_ONE, handler=update_user, rule="identity:update_user", late=True,
          body=dict[str, Any], envelope="user"),
    Route(method="DELETE", path=_ONE, handler=delete_user, rule="identity:delete_user", late=True, status=204),
    Route(method="POST", path="/v3/users/{user_id}/password", handler=change_password, rule=PUBLIC, status=204,
          body=PasswordChange, envelope="user"),
]  # fmt: skip
