"""What handlers see: a request, a response, a WebSocket."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from .. import http1
from ..call import Call
from ..errors import BadRequest, TooLarge, UnsupportedMediaType
from ..http1 import BodyTooLarge
from ..http1.message import FileRange
from .routing import Route, Version

if TYPE_CHECKING:
    from .kernel import Application, Mount

T = TypeVar("T")


class Response:
    """An answer. `body` is bytes, None or any value msgspec can encode; in its place there may be an async iterator of
    bytes (`stream`), or bytes of an open file (`file`), which the server closes."""

    __slots__ = ("body", "file", "headers", "media_type", "status", "stream")

    def __init__(
        self,
        body: Any = None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str = "application/json",
        stream: AsyncIterator[bytes] | None = None,
        file: FileRange | None = None,
    ):
        self.body = body
        self.status = status
        self.headers = dict(headers) if headers else {}
        self.media_type = media_type
        self.stream = stream
        self.file = file


class Request:
    """One HTTP request on its way through the kernel."""

    __slots__ = (
        "_headers",
        "_query",
        "application",
        "body",
        "call",
        "enforced",
        "message",
        "method",
        "mount",
        "path",
        "route",
        "version",
    )

    def __init__(self, application: "Application", mount: "Mount", message: http1.Request, path: str):
        self.application = application
        self.mount = mount
        self.message = message
        """As it came over the wire."""
        self.method = message.method
        self.path = path
        """Path below the mount, as sent (percent-encoded)."""
        self._headers: dict[str, str] | None = None
        self._query: list[tuple[str, str]] | None = None
        self.version: Version = (0, 0)
        self.route: Route | None = None
        self.call: Call = None  # type: ignore[assignment] - set by the kernel before any handler runs
        self.body: Any = None
        self.enforced = False

    # --- what was asked ------------------------------------------------------------------------------------------

    @property
    def headers(self) -> dict[str, str]:
        """Header fields by lower-case name, repeated ones joined by commas."""
        if self._headers is None:
            fields = self.message.headers.items()
            self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in fields}
        return self._headers

    def header(self, name: bytes) -> str:
        """One field, empty when absent: for what every request asks, without decoding them all."""
        value = self.message.headers.get(name)
        return value.decode("latin-1") if value else ""

    @property
    def query(self) -> list[tuple[str, str]]:
        """Pairs of the query string, in order."""
        if self._query is None:
            try:
                text = self.message.query.decode("ascii")
                pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=1000)
            except ValueError as error:
                raise BadRequest("The query string is not valid percent-encoded UTF-8.") from error
            if any("\0" in name or "\0" in value for name, value in pairs):
                raise BadRequest("The query string may not contain NUL.")
            self._query = pairs
        return self._query

    def query_value(self, name: str, default: str | None = None) -> str | None:
        """The last value of a query parameter."""
        found = default
        for key, value in self.query:
            if key == name:
                found = value
        return found

    def query_values(self, name: str) -> list[str]:
        return [value for key, value in self.query if key == name]

    @property
    def base_url(self) -> str:
        """Absolute URL of the mount, as the client reached it: `http://host:port/compute`."""
        return self.application.origin(self) + self.mount.prefix

    @property
    def url(self) -> str:
        """Absolute URL of the request without its query."""
        return self.base_url + self.path

    # --- body ----------------------------------------------------------------------------------------------------

    async def stream(self) -> AsyncIterator[bytes]:
        """The body's chunks as they arrive. Raises Disconnected when it breaks off."""
        async for chunk in self.message.chunks():
            yield bytes(chunk)

    async def body_bytes(self, limit: int) -> bytes:
        """The whole body. Raises TooLarge, Disconnected."""
        try:
            return await self.message.read(limit)
        except BodyTooLarge as error:
            raise TooLarge(f"Request is too large: the body may have {limit} bytes.") from error

    async def decode_body(self, route: Route) -> Any:
        """The body as the route's Struct. Raises BadRequest, TooLarge, UnsupportedMediaType."""
        raw = await self.body_bytes(route.max_body_bytes)
        if not raw and route.optional_body:
            return None
        media_type = self.header(b"content-type").partition(";")[0].strip().lower()
        if media_type and media_type not in route.media_types:
            raise UnsupportedMediaType(f"Content type {media_type} is not one of: {', '.join(route.media_types)}.")
        if b"\\u0000" in raw:
            raise BadRequest("Strings may not contain NUL characters.")
        assert route.decode is not None
        try:
            decoded = route.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(f"Invalid input: {error}") from error
        return getattr(decoded, route.envelope) if route.envelope else decoded

    # --- rules ---------------------------------------------------------------------------------------------------

    async def read(self, rule: Callable[..., T], *args: Any) -> T:
        """Run `rule(tx, call, *args)` in a reading transaction."""
        return await self.application.store.read(rule, self.call, *args)

    async def write(self, rule: Callable[..., T], *args: Any) -> T:
        """Run `rule(tx, call, *args)` in one transaction, durable when this returns (rolled back for a plan)."""
        return await self.application.store.write(rule, self.call, *args, actor=self.call, plan=self.call.plan)

    def enforce(self, target: Mapping[str, Any] | None = None, rule: str = "") -> None:
        """Check the route's policy rule (or another) against a target. Raises Forbidden."""
        assert self.route is not None
        self.enforced = True
        self.call.enforce(rule or self.route.rule, target)


class WebSocket:
    """What handlers of routes with method `WEBSOCKET` see: the request that opened it, and the socket's own verbs
    (`http1.WebSocket`)."""

    def __init__(self, request: Request, wire: http1.WebSocket):
        self.request = request
        self.subprotocols = wire.subprotocols
        self.accept = wire.accept
        self.receive = wire.receive
        self.send = wire.send
        self.close = wire.close
