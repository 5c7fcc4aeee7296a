"""`/v3/auth`: tokens, and what their bearer can be scoped to.

Source: Identity API v3, "Authentication and token management".
"""

from typing import Any

import msgspec

from ...core.call import Caller
from ...core.clock import iso_micro
from ...core.errors import Forbidden, Gone, NotFound
from ...core.http import PUBLIC, Request, Response, Route
from ...core.store import Tx
from .. import revocation
from ..identity import identity_of
from ..login import AuthRequest, Partial
from ..oauth_signature import SignedRequest, parse_authorization
from ..records import Project
from ..service import available
from ..service.validity import MICROSECONDS, Proven
from . import domains, projects, shapes
from .token_document import encoded

MAX_BODY_BYTES = 112 << 10
"""As Keystone's `[oslo_middleware] max_request_body_size`."""
_SUBJECT = {"Vary": "X-Auth-Token"}


def with_catalog(request: Request) -> bool:
    """Whether the answer shall hold the catalog."""
    return not request.message.query or not any(name == "nocatalog" for name, _ in request.query)


def signed_request(request: Request) -> SignedRequest | None:
    """The request as OAuth signed it, if it did."""
    parameters = parse_authorization(request.headers.get("authorization", ""))
    if not parameters:
        return None
    return SignedRequest(
        request.method,
        request.url,
        parameters,
        tuple(request.query),
        request.headers.get("requested-project-id", ""),
    )


async def catalog_of(request: Request, who: Caller) -> bytes:
    """The caller's catalog as JSON."""
    identity = identity_of(request)
    known = identity.catalogs.known(who.user_id, who.project_id)
    return known or await identity.store.read(identity.catalogs.encoded, who.user_id, who.project_id)


async def answer_with_token(request: Request, text: str, proven: Proven, status: int) -> Response:
    catalog = await catalog_of(request, proven.caller) if with_catalog(request) else None
    return Response(encoded(proven, catalog), status, {"X-Subject-Token": text, **_SUBJECT})


async def issue_token(request: Request) -> Response:
    identity = identity_of(request)
    receipt = request.headers.get("openstack-auth-receipt", "")
    try:
        text, proven = await identity.login.issue(request.body, receipt, signed_request(request))
    except Partial as partial:
        return await _receipt(request, partial)
    return await answer_with_token(request, text, proven, 201)


async def _receipt(request: Request, partial: Partial) -> Response:
    """401 with what has been shown and what is still asked."""
    domain = await request.application.store.read(lambda tx: tx.get(Project, partial.user.domain_id))
    body = {
        "receipt": {
            "methods": partial.receipt.methods,
            "user": {
                "id": partial.user.id,
                "name": partial.user.name,
                "domain": {"id": partial.user.domain_id, "name": domain.name if domain else ""},
            },
            "expires_at": iso_micro(partial.receipt.expires_us / MICROSECONDS),
            "issued_at": iso_micro(partial.receipt.issued_us / MICROSECONDS),
        },
        "required_auth_methods": partial.rules,
    }
    return Response(body, 401, {"Openstack-Auth-Receipt": partial.text})


async def _subject(request: Request, rule: str) -> tuple[str, Proven]:
    """The token in X-Subject-Token. Raises NotFound for one that does not count, to everybody: a void token tells
    nothing. Raises Forbidden for somebody else's."""
    text = request.header(b"x-subject-token")
    proven = await identity_of(request).authenticator.prove(text) if text else None
    if proven is None:
        raise NotFound("Could not find token." if text else "No token in the request.")
    request.enforce({"target.token.user_id": proven.caller.user_id}, rule)
    if proven.caller.access_rules is not None and not _understands_access_rules(request):
        raise NotFound("Could not find token.")
    return text, proven


def _understands_access_rules(request: Request) -> bool:
    """Services that do not know access rules must not take such a token for an unrestricted one."""
    try:
        return float(request.headers.get("openstack-identity-access-rules", "0")) >= 1.0
    except ValueError:
        return False


async def show_token(request: Request) -> Response:
    text, proven = await _subject(request, "identity:validate_token")
    return await answer_with_token(request, text, proven, 200)


async def check_token(request: Request) -> Response:
    text, _ = await _subject(request, "identity:check_token")
    return Response(None, 200, {"X-Subject-Token": text, **_SUBJECT})


async def revoke_token(request: Request) -> Response:
    _, proven = await _subject(request, "identity:revoke_token")
    await request.write(_revoke, proven)
    return Response(None, 204)


def _revoke(tx: Tx, call: Any, proven: Proven) -> None:
    token = proven.token
    revocation.revoke(tx, call.now, token.expires_us / MICROSECONDS, audit_id=token.audit_ids[0])


async def list_revoked(request: Request) -> Response:
    """Tokens are not kept, so there is no list of revoked ones (Keystone without `revoke_by_id`)."""
    raise Gone("The list of revoked tokens is not kept; see /v3/OS-REVOKE/events.")


async def show_catalog(request: Request) -> Response:
    who = request.call.caller
    if not who.project_id:
        raise Forbidden("A project-scoped token is required to produce a service catalog.")
    catalog = await catalog_of(request, who)
    link = msgspec.json.encode(f"{request.base_url}/v3/auth/catalog")
    return Response(b'{"catalog":' + catalog + b',"links":{"self":' + link + b',"previous":null,"next":null}}')


async def list_auth_projects(request: Request) -> dict[str, Any]:
    rows = await request.read(available.projects)
    return shapes.listing(request, "projects", rows, lambda row: projects.view(request, row))


async def list_auth_domains(request: Request) -> dict[str, Any]:
    rows = await request.read(available.domains)
    return shapes.listing(request, "domains", rows, lambda row: domains.view(request, row))


async def show_auth_system(request: Request) -> dict[str, Any]:
    found = await request.read(available.system)
    return {"system": [{"all": True}] if found else [], "links": {"self": request.url}}




ROUTES = [
    Route(method="POST", path="/v3/auth/tokens", handler=issue_token, rule=PUBLIC, status=201, body=AuthRequest,
          envelope="auth", max_body_bytes=MAX_BODY_BYTES),
    Route(method="GET", path="/v3/auth/tokens", handler=show_token, rule="identity:validate_token", late=True),
    Route(method="HEAD", path="/v3/auth/tokens", handler=check_token, rule="identity:check_token", late=True),
    Route(method="DELETE", path="/v3/auth/tokens", handler=revoke_token, rule="identity:revoke_token", status=204,
          late=True),
    Route(method="GET", path="/v3/auth/tokens/OS-PKI/revoked", handler=list_revoked, rule="identity:revocation_list"),
    Route(method="GET", path="/v3/auth/catalog", handler=show_catalog, rule="identity:get_auth_catalog"),
    Route(method="GET", path="/v3/auth/projects", handler=list_auth_projects, rule="identity:get_auth_projects"),
    Route(method="GET", path="/v3/auth/domains", handler=list_auth_domains, rule="identity:get_auth_domains"),
    Route(method="GET", path="/v3/auth/system", handler=show_auth_system, rule="identity:get_auth_system"),
]  # fmt: skip
