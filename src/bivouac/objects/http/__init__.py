"""HTTP/1.1 for the object store's front doors: a small server that costs little per request and copies bodies as
seldom as can be.

Why not the ASGI kernel that the other services use: budget here is 100 µs of CPU for a whole GET, and ASGI's
messages and uvicorn's flow
alone cost a third of it; large bodies need buffers that are read into (not bytes that are passed along) and
sendfile. `message` has what a
door sees, `parsing` the strict grammar, `connection` the protocol, `body` the receiving, `sending` the answers,
`server` the listener.
"""

from bivouac.objects.http.message import BodyTooLarge, Disconnected, Request, Response
from bivouac.objects.http.server import Server

__all__ = ["BodyTooLarge", "Disconnected", "Request", "Response", "Server"]
