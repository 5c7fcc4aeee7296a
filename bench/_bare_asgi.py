"""The floor of the token check: a bare ASGI application on uvicorn, uvloop and httptools that answers the bytes of a
file and nothing else. `_bare_asgi.py PORT FILE`.

uvicorn writes head and body of an answer by themselves; here they leave in one system call, as ours do, so that the
floor is not higher than it must be.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class CorkedTransport:
    """Gathers what is written within one turn of the event loop."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop):
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def _flush(self) -> None:
        data, self._parts = b"".join(self._parts), []
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class CorkedProtocol(HttpToolsProtocol):
    def connection_made(self, transport: Any) -> None:
        super().connection_made(CorkedTransport(transport, asyncio.get_running_loop()))  # type: ignore[arg-type]


def main() -> None:
    body = Path(sys.argv[2]).read_bytes()
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]

    async def bare(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    config = uvicorn.Config(
        bare, port=int(sys.argv[1]), loop="none", http=CorkedProtocol, lifespan="off", access_log=False,
        log_config=None, server_header=False, proxy_headers=False,
    )  # fmt: skip
    uvloop.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main()
