"""Cross-origin requests (the Fetch standard's CORS protocol), as a container's metadata allows them."""

from __future__ import annotations

from bivouac.core.http1 import Response
from bivouac.objects.store.errors import NoSuchContainer
from bivouac.objects.store.interface import Container
from bivouac.objects.swift.call import Call
from bivouac.objects.swift.errors import Refusal

ALLOWED = "HEAD, GET, PUT, POST, COPY, DELETE, OPTIONS"
EXPOSED = (
    "cache-control, content-language, content-type, expires, last-modified, pragma, etag, x-timestamp, "
    "x-trans-id, x-openstack-request-id"
)


def _origins(container: Container) -> list[str]:
    return container.metadata.get("access-control-allow-origin", "").split()


async def _container(call: Call) -> Container | None:
    if call.container is None:
        return None
    try:
        return await call.store.get_container(call.account, call.container)
    except NoSuchContainer:
        return None


async def preflight(call: Call) -> Response:
    """OPTIONS, with or without an origin."""
    request = call.request
    origin, method = request.header("origin"), request.header("access-control-request-method")
    if origin and not method:
        raise Refusal(401)
    if not origin or call.container is None:  # an account has no rules for origins
        return Response(200, [("Allow", ALLOWED), ("Content-Type", "text/html; charset=UTF-8")])
    container = await _container(call)
    origins = _origins(container) if container else []
    if method not in ALLOWED.split(", ") or ("*" not in origins and origin not in origins) or container is None:
        raise Refusal(401)
    headers = [
        ("Allow", ALLOWED),
        ("Access-Control-Allow-Origin", "*" if "*" in origins else origin),
        ("Access-Control-Allow-Methods", ALLOWED),
        ("Vary", "Origin, Access-Control-Request-Headers"),
        ("Content-Type", "text/html; charset=UTF-8"),
    ]
    wanted = request.header("access-control-request-headers")
    if wanted:
        headers.append(("Access-Control-Allow-Headers", wanted))
    age = container.metadata.get("access-control-max-age")
    if age:
        headers.append(("Access-Control-Max-Age", age))
    return Response(200, headers)


async def finish(call: Call, response: Response) -> None:
    """Tell the browser whether its script may see the answer."""
    origin = call.request.header("origin")
    container = await _container(call)
    if not origin or container is None:
        return
    origins = _origins(container)
    if "*" in origins:
        response.headers.append(("Access-Control-Allow-Origin", "*"))
    elif origin in origins:
        response.headers += [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]
    else:
        return
    own = [
        name.lower() for name, _ in response.headers if name.lower().startswith(("x-object-meta-", "x-container-meta-"))
    ]
    extra = container.metadata.get("access-control-expose-headers", "").replace(",", " ").split()
    response.headers.append(("Access-Control-Expose-Headers", ", ".join([EXPOSED, *own, *extra])))
