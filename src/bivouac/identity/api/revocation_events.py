"""`/v3/OS-REVOKE/events`. Source: Identity API v3, "OS-REVOKE"."""

from typing import Any

from ...core.clock import iso_micro, parse_iso
from ...core.errors import BadRequest
from ...core.http import Request, Route
from ...core.store import Tx
from .. import revocation
from ..records import RevocationEvent
from . import shapes

_MOMENTS = ("issued_before", "revoked_at", "expires_at")
_NAMES = {
    "audit_id": "audit_id", "audit_chain_id": "audit_chain_id", "user_id": "user_id", "project_id": "project_id",
    "domain_id": "domain_id", "role_id": "role_id", "trust_id": "OS-TRUST:trust_id",
    "consumer_id": "OS-OAUTH1:consumer_id", "access_token_id": "OS-OAUTH1:access_token_id",
}  # fmt: skip


def view(row: RevocationEvent) -> dict[str, Any]:
    """An event on the wire: only what it has."""
    shaped = {wire: value for name, wire in _NAMES.items() if (value := getattr(row, name)) is not None}
    return shaped | {name: iso_micro(value) for name in _MOMENTS if (value := getattr(row, name)) is not None}


async def list_events(request: Request) -> dict[str, Any]:
    since = request.query_value("since")
    try:
        moment = parse_iso(since) if since else None
    except ValueError as error:
        raise BadRequest(f"{since} is not a moment in ISO 8601.") from error
    rows = await request.read(_events, moment)
    return shapes.collection(request, "events", [view(row) for row in rows])


def _events(tx: Tx, call: Any, since: float | None) -> list[RevocationEvent]:
    return revocation.events(tx, since)


ROUTES = [
    Route(method="GET", path="/v3/OS-REVOKE/events", handler=list_events, rule="identity:list_revoke_events"),
]
