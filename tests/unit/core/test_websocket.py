"""WebSockets of the HTTP server, against the client of `websockets`."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bivouac.core.http1 import Disconnected, Request, Response, Server, WebSocket


async def no_requests(request: Request) -> Response:
    return Response(404, [], b"no")


def against(
    handle: Callable[[WebSocket], Awaitable[None]], talk: Callable[[str, Server], Awaitable[Any]]
) -> Any:
    """Run `talk(url, server)` against a server whose WebSockets go to `handle`; nothing may fail unheard."""
    unheard: list[dict[str, Any]] = []

    async def main() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: unheard.append(context))
        server = Server(no_requests, handle)  # type: ignore[arg-type]
        port = await server.start("127.0.0.1", 0)
        try:
            async with asyncio.timeout(20):
                return await talk(f"ws://127.0.0.1:{port}/there?a=b", server)
        finally:
            await server.stop(1)
            gc.collect()

    result = asyncio.run(main())
    assert unheard == []
    return result


async def echo(socket: WebSocket) -> None:
    await socket.accept("binary" if "binary" in socket.subprotocols else None)
    while (data := await socket.receive()) is not None:
        await socket.send(data)


@pytest.mark.parametrize("message", ["", "text \U0001f3d5", b"", b"\x00\xff" * 40_000, b"x" * (3 << 20)])
def test_messages_come_back_as_they_went(message: str | bytes) -> None:
    async def talk(url: str, server: Server) -> Any:
        async with connect(url, max_size=None) as client:
            for _ in range(3):
                await client.send(message)
                assert await client.recv() == message
            await client.send([message[:1], message[1:]])
            return await client.recv()

    assert against(echo, talk) == message


def test_the_handshake_gives_request_and_subprotocol() -> None:
    seen = []

    async def handle(socket: WebSocket) -> None:
        seen.append((socket.request.target, socket.request.query, socket.subprotocols))
        await echo(socket)

    async def talk(url: str, server: Server) -> Any:
        async with connect(url, subprotocols=["binary", "base64"]) as client:  # type: ignore[list-item]
            return client.subprotocol

    assert against(handle, talk) == "binary"
    assert seen == [(b"/there", b"a=b", ["binary", "base64"])]


def test_a_socket_that_is_refused_gets_an_answer_of_http() -> None:
    async def refuse(socket: WebSocket) -> None:
        socket.refuse(404, "nothing here")

    async def close(socket: WebSocket) -> None:
        await socket.close(4403, "not you")

    async def talk(url: str, server: Server) -> int:
        with pytest.raises(InvalidStatus) as refused:
            await connect(url)
        return refused.value.response.status_code

    assert against(refuse, talk) == 404
    assert against(close, talk) == 403


def test_an_incomplete_handshake_is_refused_and_a_plain_request_is_not_taken_for_one() -> None:
    async def talk(url: str, server: Server) -> list[bytes]:
        found = []
        for fields in (b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"Connection: close\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[2].split("/")[0]))
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n")
            found.append((await reader.read()).split(b"\r\n")[0])
            writer.close()
        return found

    assert against(echo, talk) == [b"HTTP/1.1 400 Bad Request", b"HTTP/1.1 404 Not Found"]


def test_both_ends_may_close_and_the_other_learns_it() -> None:
    ended = []

    async def handle(socket: WebSocket) -> None:
        await socket.accept()
        ended.append(await socket.receive())
        if ended[-1] == "close":
            await socket.close(4000, "as asked")
        with pytest.raises(Disconnected):
            await socket.send("too late")

    async def talk(url: str, server: Server) -> tuple[int, str]:
        async with connect(url) as client:
            await client.close()
        client = await connect(url)
        await client.send("close")
        with pytest.raises(ConnectionClosed):
            await client.recv()
        return client.close_code or 0, client.close_reason or ""

    assert against(handle, talk) == (4000, "as asked")
    assert ended == [None, "close"]


def test_a_server_that_stops_says_goodbye() -> None:
    async def talk(url: str, server: Server) -> int:
        client: ClientConnection = await connect(url)
        await client.send("are you there?")
        await client.recv()
        await server.stop(1)
        with pytest.raises(ConnectionClosed):
            await client.recv()
        return client.close_code or 0

    assert against(echo, talk) == 1001


def test_a_reader_that_is_behind_holds_the_sender_back() -> None:
    """What waits stays bounded while a handler is slow, and all of it arrives."""
    waited, counted = [], []

    async def handle(socket: WebSocket) -> None:
        await socket.accept()
        while (data := await socket.receive()) is not None:
            counted.append(len(data))
            for _ in range(50):
                await asyncio.sleep(0)
            waited.append(socket._waiting)
            if len(counted) == 64:
                await socket.send("all")

    async def talk(url: str, server: Server) -> Any:
        async with connect(url) as client:
            for _ in range(64):
                await client.send(b"x" * (1 << 20))
            return await client.recv()

    assert against(handle, talk) == "all"
    assert counted == [1 << 20] * 64
    assert 0 < max(waited) <= 3 << 20


def test_a_bug_in_a_handler_closes_the_socket_and_says_so() -> None:
    async def handle(socket: WebSocket) -> None:
        await socket.accept()
        raise ZeroDivisionError

    async def talk(url: str, server: Server) -> int:
        client = await connect(url)
        with pytest.raises(ConnectionClosed):
            await client.recv()
        return client.close_code or 0

    assert against(handle, talk) == 1011
