"""The application: mounts of services, and the one way every request takes."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct

from .. import http1
from .. import log as logs
from ..call import Call, Caller
from ..clock import Clock
from ..errors import Error, MethodNotAllowed, NotFound, Unauthorized
from ..http1 import Disconnected
from ..ids import new_request_id
from ..metrics import observe_request
from ..policy import Policy
from ..store import Store
from .dialects import KEYSTONE, NOVA, Dialect
from .request import Request, Response, WebSocket
from .routing import PUBLIC, Microversions, Route, Router

log = logging.getLogger(__name__)
_BODILESS = frozenset({204, 205, 304})
_encode = msgspec.json.Encoder().encode
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "COPY"})
"""What metrics tell apart: a client may not make labels up."""
_NOBODY = Caller(user_id="", user_name="")

Authenticate = Callable[[str, Request], Awaitable[Caller | None]]
"""A token's caller, or None when it is not valid (any more)."""
Fields = list[tuple[str, str]]


class Mount(Struct, kw_only=True):
    """A service under a prefix. `service_type` is the catalog's word (for access rules and metrics).

    `id_headers` are further names under which the request id is answered (`x-compute-request-id`);
    `authenticate_uri` goes into 401's WWW-Authenticate. `service` is the service's own object, if it has one: handlers
    find it as `request.mount.service`.
    """

    prefix: str
    service_type: str
    routes: list[Route]
    dialect: Dialect = NOVA
    microversions: Microversions | None = None
    id_headers: tuple[str, ...] = ()
    service: Any = None
    router: Router | None = None

    def __post_init__(self) -> None:
        self.router = Router(self.routes)


class Application:
    """What a `http1.Server` asks: `handle` for requests, `websocket` for WebSockets, over a set of mounts.

    `authenticate` proves a token; `internal` mounts need none of it (the agents' socket has its own listener).
    """

    def __init__(
        self,
        *,
        store: Store,
        policy: Policy,
        clock: Clock,
        mounts: list[Mount],
        authenticate: Authenticate,
        public_url: str = "",
    ):
        self.store = store
        self.policy = policy
        self.clock = clock
        self.mounts = sorted(mounts, key=lambda mount: -len(mount.prefix))
        self._by_segment = {
            segment: [mount for mount in self.mounts if _first_segment(mount.prefix) in (segment, "")]
            for segment in {_first_segment(mount.prefix) for mount in mounts} | {""}
        }
        self.authenticate = authenticate
        self.public_url = public_url.rstrip("/")

    def origin(self, request: Request) -> str:
        """Scheme and host as the client sees them."""
        if self.public_url:
            return self.public_url
        return f"{'https' if request.message.secure else 'http'}://{request.header(b'host') or 'localhost'}"

    # --- one request ---------------------------------------------------------------------------------------------

    async def handle(self, message: http1.Request) -> http1.Response:
        """Answer one request. Raises Disconnected when its client is gone."""
        started = time.perf_counter()
        mount, path = self._mount(message.target.decode("latin-1"))
        request_id = new_request_id()
        logs.request_id.set(request_id)
        fields = [("x-openstack-request-id", request_id)]
        request = None
        try:
            if mount is None:
                raise NotFound("No service answers at this path.")
            for name in mount.id_headers:
                fields.append((name, request_id))
            request = Request(self, mount, message, path)
            response = await self._answer(request, request_id, fields)
        except Disconnected:
            raise
        except Error as error:
            response = _error_response(mount, error, request_id)
        except Exception:
            log.exception("request failed", extra={"method": message.method, "path": path})
            response = _internal_error(mount, request_id)
        answer = _on_the_wire(response, fields, message.method)
        took = time.perf_counter() - started
        service = mount.service_type if mount else "none"
        known = mount is not None and message.method in _METHODS
        observe_request(service, message.method if known else "other", response.status, took)
        if logs.access_wanted():
            caller = request.call.caller if request and request.call else _NOBODY
            logs.access(
                {
                    "method": message.method,
                    "path": message.target.decode("latin-1"),
                    "status": response.status,
                    "took_ms": round(took * 1000, 2),
                    "project_id": caller.project_id,
                    "user_id": caller.user_id,
                }
            )
        return answer

    def _mount(self, path: str) -> tuple[Mount | None, str]:
        """The mount whose prefix begins the path, and the path below it."""
        mounts = self._by_segment.get(_first_segment(path)) or self._by_segment[""]
        for mount in mounts:
            prefix = mount.prefix
            if path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == "/" or not prefix):
                return mount, path[len(prefix) :]
        return None, path

    async def _answer(self, request: Request, request_id: str, fields: Fields) -> Response:
        mount = request.mount
        if mount.microversions is not None:
            request.version = mount.microversions.negotiate(request)
            fields += mount.microversions.answer_headers(request.version)
        route, values = await self._route(request, request_id)
        request.route = route
        if request.call is None:
            await self._identify(request, route, request_id)
        if route.rule != PUBLIC and not route.late:
            if values and not self.policy.keys(route.rule).isdisjoint(values):
                request.call.enforce(route.rule, {**request.call.own_target(), **values})
            else:
                request.call.enforce(route.rule)
        if route.decode is not None:
            request.body = await request.decode_body(route)
        result = await route.handler(request, **values)
        if route.rule != PUBLIC and route.late and not (request.enforced or request.call.enforced):
            raise RuntimeError(f"{route.method} {route.path} answered without enforcing {route.rule}")
        if isinstance(result, Response):
            return result
        return Response(result, route.status)

    async def _route(self, request: Request, request_id: str) -> tuple[Route, dict[str, str]]:
        """The route and the values of its parameters. Raises NotFound, MethodNotAllowed; Unauthorized first, for
        nobody learns which paths exist without a token."""
        assert request.mount.router is not None
        by_method, values = request.mount.router.find(request.path) or ({}, [])
        method = request.method
        for route, names in by_method.get(method) or (by_method.get("GET") if method == "HEAD" else None) or ():
            if request.mount.microversions is None or route.fits(request.version):
                return route, dict(zip(names, values, strict=True))
        await self._identify(request, None, request_id)
        if not by_method or method in by_method:
            raise NotFound("The resource could not be found.")
        raise MethodNotAllowed(
            f"The method {method} is not allowed for this resource.", headers={"Allow": ", ".join(by_method)}
        )

    async def _identify(self, request: Request, route: Route | None, request_id: str) -> None:
        """Set `request.call`. Raises Unauthorized unless the route is public."""
        token = request.header(b"x-auth-token")
        caller = await self.authenticate(token, request) if token else None
        public = route is not None and route.rule == PUBLIC
        if caller is None:
            if not public and not (route is None and request.mount.dialect is KEYSTONE):
                raise Unauthorized(
                    "The request you have made requires authentication.",
                    headers={"WWW-Authenticate": f'Keystone uri="{self.origin(request)}/identity"'},
                )
            caller = _NOBODY
        request.call = Call(
            caller=caller,
            policy=self.policy,
            request_id=request_id,
            global_request_id=request.header(b"x-openstack-request-id")[:80],
            now=self.clock.now(),
            version=request.version,
            remote_address=request.message.peer,
            plan=request.message.headers.get(b"bivouac-plan", b"").lower() == b"true",
            token=token,
        )

    # --- WebSockets ----------------------------------------------------------------------------------------------

    async def websocket(self, wire: http1.WebSocket) -> None:
        """Routes with method WEBSOCKET. They are public to the kernel: the handler checks its own ticket."""
        message = wire.request
        mount, path = self._mount(message.target.decode("latin-1"))
        try:
            found = mount.router.find(path) if mount is not None and mount.router is not None else None
        except Error:
            found = None
        if mount is None or found is None or "WEBSOCKET" not in found[0]:
            wire.refuse(404, "not found")
            return
        route, names = found[0]["WEBSOCKET"][0]
        request = Request(self, mount, message, path)
        request_id = new_request_id()
        logs.request_id.set(request_id)
        request.call = Call(
            caller=_NOBODY, policy=self.policy, request_id=request_id, now=self.clock.now(), version=(0, 0)
        )
        try:
            await route.handler(WebSocket(request, wire), **dict(zip(names, found[1], strict=True)))
        except Error as error:
            await wire.close(4403, error.message[:120])


def _first_segment(path: str) -> str:
    return path[1:].partition("/")[0]


def _on_the_wire(response: Response, fields: Fields, method: str) -> http1.Response:
    """The answer with its header fields and its body as bytes."""
    status, body = response.status, response.body
    typed = False
    length = None
    for name, value in response.headers.items():
        lowered = name.lower()
        typed = typed or lowered == "content-type"
        if lowered == "content-length":
            length = int(value)
        else:
            fields.append((lowered, value))
    if response.file is not None:
        fields.append(("content-type", response.media_type))
        return http1.Response(status, fields, [response.file])
    if status in _BODILESS or (body is None and response.stream is None):
        return http1.Response(status, fields)
    if not typed:
        fields.append(("content-type", response.media_type))
    if response.stream is not None:
        return http1.Response(status, fields, b"" if method == "HEAD" else response.stream, length)
    return http1.Response(status, fields, body if isinstance(body, bytes) else _encode(body))


def _error_response(mount: Mount | None, error: Error, request_id: str) -> Response:
    dialect = mount.dialect if mount else NOVA
    status, media_type, body = dialect.answer(error, request_id)
    return Response(body, status, error.headers, media_type)


def _internal_error(mount: Mount | None, request_id: str) -> Response:
    dialect = mount.dialect if mount else NOVA
    words = f"An unexpected error prevented the server from fulfilling your request. ({request_id})"
    media_type, body = dialect.render(500, words, "", "", request_id)
    return Response(body, 500, {}, media_type)
