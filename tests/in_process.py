"""One request to an application in process, as its server would hand it over: no sockets, no threads."""

import asyncio
from collections.abc import Sequence
from typing import Any

from bivouac.core.http import Application
from bivouac.core.http1 import Disconnected, Request
from bivouac.core.http1.body import NO_BODY, Body

Answer = tuple[int, dict[str, str], bytes]
"""Status, header fields by their names in lower case, body."""


def exchange(
    application: Application, method: str, target: str, fields: dict[str, str], content: bytes = b""
) -> Answer:
    """One request with all of its body; the target's path is sent as it is."""
    return asyncio.run(exchange_in_loop(application, method, target, fields, content))


async def exchange_in_loop(
    application: Application, method: str, target: str, fields: dict[str, str], content: bytes = b""
) -> Answer:
    body = NO_BODY
    if content:
        body = Body(len(content), False, lambda pause: None, lambda: None)
        body.feed(content)
        fields = {**fields, "content-length": str(len(content))}
    return await _ask(application, method, target, fields, body)


async def exchange_in_chunks(
    application: Application, method: str, target: str, fields: dict[str, str], chunks: Sequence[bytes | None]
) -> Answer:
    """One request whose body arrives bit by bit; None stands for a client that hangs up: then there is no answer.
    Raises Disconnected."""
    body = Body(None, True, lambda pause: None, lambda: None)

    async def feed() -> None:
        for chunk in chunks:
            await asyncio.sleep(0)
            if chunk is None:
                body.fail(Disconnected("connection lost"))
                return
            if chunk:
                body.feed(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        body.feed(b"0\r\n\r\n")

    feeding = asyncio.create_task(feed())
    try:
        return await _ask(application, method, target, {**fields, "transfer-encoding": "chunked"}, body)
    finally:
        await feeding


async def _ask(application: Application, method: str, target: str, fields: dict[str, str], body: Body) -> Answer:
    path, _, query = target.partition("?")
    headers = {name.lower().encode("latin-1"): value.encode("latin-1") for name, value in fields.items()}
    answer = await application.handle(Request(method, path.encode(), query.encode(), headers, "", False, body))
    sent: Any = answer.body
    if isinstance(sent, bytes):
        payload = sent
    elif isinstance(sent, list):
        payload = b"".join(part if isinstance(part, bytes) else _read(part) for part in sent)
    else:
        payload = b"".join([part async for part in sent])
    shown = {name.lower(): value for name, value in answer.headers}
    if answer.status not in (204, 304):
        shown["content-length"] = str(len(payload) if answer.length is None else answer.length)
    return answer.status, shown, b"" if method == "HEAD" else payload


def _read(piece: Any) -> bytes:
    with piece:
        return piece.read()


class Dialled:
    """A WebSocket as the server would hand it over, that keeps what its client is told. It never says anything."""

    def __init__(self, target: str, fields: dict[str, str], subprotocols: Sequence[str] = ()):
        path, _, query = target.partition("?")
        headers = {name.lower().encode("latin-1"): value.encode("latin-1") for name, value in fields.items()}
        self.request = Request("GET", path.encode(), query.encode(), headers, "", False, NO_BODY)
        self.subprotocols = list(subprotocols)
        self.told: list[tuple[Any, ...]] = []

    async def accept(self, subprotocol: str | None = None) -> None:
        self.told.append(("accept", subprotocol))

    def refuse(self, status: int, words: str) -> None:
        self.told.append(("refuse", status, words))

    async def receive(self) -> bytes | str | None:
        return None

    async def send(self, data: bytes | str) -> None:
        self.told.append(("send", data))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.told.append(("close", code, reason))
