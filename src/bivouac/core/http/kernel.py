"""The ASGI application: mounts of services, and the one way every request takes."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct

from .. import log as logs
from ..call import Call, Caller
from ..clock import Clock
from ..errors import Error, HeadersTooLarge, MethodNotAllowed, NotFound, Unauthorized
from ..ids import new_request_id
from ..metrics import observe_request
from ..policy import Policy
from ..store import Store
from .dialects import KEYSTONE, NOVA, Dialect
from .request import ClientGone, Receive, Request, Response, Send, WebSocket, decode_segment
from .routing import PUBLIC, Microversions, Route, Router

log = logging.getLogger(__name__)
_BODILESS = frozenset({204, 205, 304})
MAX_HEADER_BYTES = 64 << 10
_encode = msgspec.json.Encoder().encode
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "COPY"})
"""What metrics tell apart: a client may not make labels up."""
_NOBODY = Caller(user_id="", user_name="")

Authenticate = Callable[[str, Request], Awaitable[Caller | None]]
"""A token's caller, or None when it is not valid (any more)."""


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
    """ASGI 3 application over a set of mounts.

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
        self.authenticate = authenticate
        self.public_url = public_url.rstrip("/")

    def origin(self, request: Request) -> str:
        """Scheme and host as the client sees them."""
        if self.public_url:
            return self.public_url
        host = request.headers.get("host", "localhost")
        return f"{request.scope.get('scheme', 'http').replace('ws', 'http')}://{host}"

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)

    # --- one request ---------------------------------------------------------------------------------------------

    async def _http(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        mount, path = self._mount(scope["raw_path"].decode("latin-1"))
        request_id = new_request_id()
        logs.request_id.set(request_id)
        headers = [(b"x-openstack-request-id", request_id.encode())]
        request = None
        try:
            if mount is None:
                raise NotFound("No service answers at this path.")
            for name in mount.id_headers:
                headers.append((name.encode(), headers[0][1]))
            request = Request(self, mount, scope, receive, path)
            if sum(map(len, request.raw_headers.values())) > MAX_HEADER_BYTES:
                raise HeadersTooLarge(f"The header fields may have {MAX_HEADER_BYTES} bytes together.")
            response = await self._answer(request, request_id, headers)
        except ClientGone:
            return
        except Error as error:
            response = _error_response(mount, error, request_id)
        except Exception:
            log.exception("request failed", extra={"method": scope["method"], "path": path})
            response = _internal_error(mount, request_id)
        await _send_response(response, headers, scope["method"], send)
        took = time.perf_counter() - started
        service = mount.service_type if mount else "none"
        known = mount is not None and scope["method"] in _METHODS
        observe_request(service, scope["method"] if known else "other", response.status, took)
        if logs.access_wanted():
            caller = request.call.caller if request and request.call else _NOBODY
            logs.access(
                {
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": response.status,
                    "took_ms": round(took * 1000, 2),
                    "project_id": caller.project_id,
                    "user_id": caller.user_id,
                }
            )

    def _mount(self, raw_path: str) -> tuple[Mount | None, str]:
        """The mount whose prefix begins the path, and the path below it."""
        path = raw_path.partition("?")[0]
        for mount in self.mounts:
            prefix = mount.prefix
            if path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == "/" or not prefix):
                return mount, path[len(prefix) :]
        return None, path

    async def _answer(self, request: Request, request_id: str, headers: list[tuple[bytes, bytes]]) -> Response:
        mount = request.mount
        if mount.microversions is not None:
            request.version = mount.microversions.negotiate(request)
            headers += mount.microversions.answer_headers(request.version)
        route, values = await self._route(request, request_id)
        request.route = route
        if request.call is None:
            await self._identify(request, route, request_id)
        if route.rule != PUBLIC and not route.late:
            request.call.enforce(route.rule, {**request.call.own_target(), **values} if values else None)
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
        found = request.mount.router.find(_path_segments(request.path))
        if found is not None:
            by_method, values = found
            method = request.method
            choices = by_method.get(method) or (by_method.get("GET") if method == "HEAD" else None) or []
            for route, names in choices:
                if request.mount.microversions is None or route.fits(request.version):
                    return route, dict(zip(names, values, strict=True))
        await self._identify(request, None, request_id)
        if found is None or any(by_method.get(request.method, ())):
            raise NotFound("The resource could not be found.")
        raise MethodNotAllowed(
            f"The method {request.method} is not allowed for this resource.", headers={"Allow": ", ".join(by_method)}
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
        client = request.scope.get("client")
        request.call = Call(
            caller=caller,
            policy=self.policy,
            request_id=request_id,
            global_request_id=request.header(b"x-openstack-request-id")[:80],
            now=self.clock.now(),
            version=request.version,
            remote_address=client[0] if client else "",
            plan=request.header(b"bivouac-plan").lower() == "true",
            token=token,
        )

    # --- WebSockets ----------------------------------------------------------------------------------------------

    async def _websocket(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Routes with method WEBSOCKET. They are public to the kernel: the handler checks its own ticket."""
        mount, path = self._mount(scope["raw_path"].decode("latin-1"))
        try:
            if mount is None or mount.router is None:
                raise NotFound("nothing here")
            found = mount.router.find(_path_segments(path))
            if found is None or "WEBSOCKET" not in found[0]:
                raise NotFound("nothing here")
        except Error:
            await receive()
            await send({"type": "websocket.close", "code": 4404, "reason": "not found"})
            return
        route, names = found[0]["WEBSOCKET"][0]
        request = Request(self, mount, {**scope, "method": "WEBSOCKET"}, receive, path)
        request_id = new_request_id()
        logs.request_id.set(request_id)
        request.call = Call(
            caller=_NOBODY, policy=self.policy, request_id=request_id, now=self.clock.now(), version=(0, 0)
        )
        socket = WebSocket(request, receive, send)
        try:
            await route.handler(socket, **dict(zip(names, found[1], strict=True)))
        except ClientGone:
            return
        except Error as error:
            await socket.close(4403, error.message[:120])


async def _send_response(response: Response, headers: list[tuple[bytes, bytes]], method: str, send: Send) -> None:
    status, body = response.status, response.body
    no_body = status in _BODILESS
    empty = no_body or (body is None and response.stream is None)
    payload = b""
    typed = False
    for name, value in response.headers.items():
        lowered = name.lower()
        typed = typed or lowered == "content-type"
        headers.append((lowered.encode("latin-1"), value.encode("latin-1", "replace")))
    if not empty:
        if response.stream is None:
            payload = body if isinstance(body, bytes) else _encode(body)
            headers.append((b"content-length", b"%d" % len(payload)))
        if not typed:
            headers.append((b"content-type", response.media_type.encode()))
    elif not no_body:
        headers.append((b"content-length", b"0"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if response.stream is not None and method != "HEAD":
        async for chunk in response.stream:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        payload = b""
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else payload})


def _error_response(mount: Mount | None, error: Error, request_id: str) -> Response:
    dialect = mount.dialect if mount else NOVA
    status, media_type, body = dialect.answer(error, request_id)
    return Response(body, status, error.headers, media_type)


def _internal_error(mount: Mount | None, request_id: str) -> Response:
    dialect = mount.dialect if mount else NOVA
    words = f"An unexpected error prevented the server from fulfilling your request. ({request_id})"
    media_type, body = dialect.render(500, words, "", "", request_id)
    return Response(body, 500, {}, media_type)


def _path_segments(path: str) -> list[str]:
    """The decoded segments of a raw path. Raises BadRequest."""
    path = path.strip("/")
    if not path:
        return []
    segments = path.split("/")
    if "%" in path or not path.isascii():
        return [decode_segment(one.encode("latin-1")) for one in segments]
    return segments


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


