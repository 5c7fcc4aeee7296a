"""HTTP/1.1 and WebSockets under every front door: a small server that costs little per request and copies bodies as
seldom as can be.

Why not ASGI and one of its servers: their messages and flow cost more than most of our answers, and large bodies need
buffers that are read into (not bytes that are passed along) and sendfile. `message` has what a handler sees,
`parsing` the strict grammar, `connection` the protocol, `body` the receiving, `sending` the answers, `websocket` what
follows an upgrade, `server` the listener. The other services' routes, tokens and dialects are `core.http`'s, above
this.
"""

from bivouac.core.http1.message import BodyTooLarge, Disconnected, Request, Response
from bivouac.core.http1.server import AddressTaken, Server, tcp_socket, unix_socket
from bivouac.core.http1.websocket import WebSocket

__all__ = [
    "AddressTaken",
    "BodyTooLarge",
    "Disconnected",
    "Request",
    "Response",
    "Server",
    "WebSocket",
    "tcp_socket",
    "unix_socket",
]
