"""What handlers see: a request, a response, a WebSocket."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec

from ..call import Call
from ..errors import BadRequest, TooLarge, UnsupportedMediaType
from .routing import Route, Version

if TYPE_CHECKING:
    from .kernel import Application, Mount

T = TypeVar("T")
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class ClientGone(Exception):
    """The client hung up while its body was read."""


class Response:
    """An answer. `body` is bytes, None, any value msgspec can encode, or an async iterator of bytes (`stream`)."""

    __slots__ = ("body", "headers", "media_type", "status", "stream")

    def __init__(
        self,
        body: Any = None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str = "application/json",
        stream: AsyncIterator[bytes] | None = None,
    ):
        self.body = body
        self.status = status
        self.headers = dict(headers or {})
        self.media_type = media_type
        self.stream = stream


class Request:
    """One HTTP request on its way through the kernel."""

    __slots__ = (
        "_headers",
        "_query",
        "_receive",
        "application",
        "body",
        "call",
        "enforced",
        "method",
        "mount",
        "path",
        "raw_headers",
        "route",
        "scope",
        "version",
    )

    def __init__(self, application: "Application", mount: "Mount", scope: dict[str, Any], receive: Receive, path: str):
        self.application = application
        self.mount = mount
        self.scope = scope
        self._receive = receive
        self.method: str = scope.get("method", "GET")
        self.path = path
        """Path below the mount, as sent (percent-encoded)."""
        self.raw_headers: dict[bytes, bytes] = dict(scope["headers"])
        """Header fields by lower-case name; of a repeated one the last."""
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
            found: dict[str, str] = {}
            for name, value in self.scope["headers"]:
                key, text = name.decode("latin-1"), value.decode("latin-1")
                found[key] = f"{found[key]}, {text}" if key in found else text
            self._headers = found
        return self._headers

    def header(self, name: bytes) -> str:
        """One field, empty when absent: for what every request asks, without decoding them all."""
        value = self.raw_headers.get(name)
        return value.decode("latin-1") if value is not None else ""

    @property
    def query(self) -> list[tuple[str, str]]:
        """Pairs of the query string, in order."""
        if self._query is None:
            raw: bytes = self.scope["query_string"]
            try:
                pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=1000)
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
        """The body's chunks as they arrive. Raises ClientGone when it breaks off."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            if chunk := message.get("body", b""):
                yield chunk
            if not message.get("more_body", False):
                return

    async def body_bytes(self, limit: int) -> bytes:
        """The whole body. Raises TooLarge."""
        declared = self.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise TooLarge(f"Request is too large: the body may have {limit} bytes.")
        chunks, size = [], 0
        async for chunk in self.stream():
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"Request is too large: the body may have {limit} bytes.")
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def decode_body(self, route: Route) -> Any:
        """The body as the route's Struct. Raises BadRequest, TooLarge, UnsupportedMediaType."""
        raw = await self.body_bytes(route.max_body_bytes)
        if not raw and route.optional_body:
            return None
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
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
    """An accepted-or-not WebSocket of a route with method `WEBSOCKET`."""

    def __init__(self, request: Request, receive: Receive, send: Send):
        self.request = request
        self._receive = receive
        self._send = send

    @property
    def subprotocols(self) -> list[str]:
        return list(self.request.scope.get("subprotocols", ()))

    async def accept(self, subprotocol: str | None = None) -> None:
        message = await self._receive()
        if message["type"] != "websocket.connect":
            raise ClientGone
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol})

    async def receive(self) -> bytes | str | None:
        """The next message, or None when the other side has closed."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            return None
        return message["bytes"] if message.get("bytes") is not None else message["text"]

    async def send(self, data: bytes | str) -> None:
        key = "text" if isinstance(data, str) else "bytes"
        await self._send({"type": "websocket.send", key: data})

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})


def decode_segment(segment: bytes) -> str:
    """A path segment as text. Raises BadRequest for NUL and for what is not UTF-8."""
    try:
        text = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError as error:
        raise BadRequest("The path is not valid UTF-8.") from error
    if "\0" in text:
        raise BadRequest("The path may not contain NUL.")
    return text
