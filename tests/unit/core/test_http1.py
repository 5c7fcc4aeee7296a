"""The doors' HTTP server: the strict grammar by table, and framing, pipelining and flow over real sockets."""

import asyncio
import os
import socket

import pytest

from bivouac.core.http1 import Request, Response, Server
from bivouac.core.http1.body import ChunkedDecoder
from bivouac.core.http1.parsing import BadRequest, Head


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1_0\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: \r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Name: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nName : 1\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: 1\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: x\ny\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: x\0y\r\n\r\n",
        b"GET / HTTP/1.1\r\nNoColon\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"GET relative HTTP/1.1\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/1.1\r\nX-Auth-Token: a\r\nX-Auth-Token: b\r\n\r\n",
    ],
)
def test_heads_that_are_refused(head):
    with pytest.raises(BadRequest):
        Head(head)


def test_a_head_is_read():
    head = Head(b"PUT http://x/a%2Fb?c=d HTTP/1.1\r\nHost: x\r\nX-A:  one \r\nx-a: two\r\nContent-Length: 5\r\n\r\n")
    assert (head.method, head.target, head.query, head.length) == ("PUT", b"/a%2Fb", b"c=d", 5)
    assert head.headers[b"x-a"] == b"one,two"
    assert head.keep_alive
    assert not Head(b"GET / HTTP/1.0\r\n\r\n").keep_alive
    assert not Head(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").keep_alive


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_chunks_are_decoded_however_they_arrive(step):
    raw = b"5;ext=1\r\nhello\r\n10\r\n" + b"x" * 16 + b"\r\n0\r\nTrailer: a\r\n\r\nGET /"
    decoder, found, used = ChunkedDecoder(), bytearray(), 0
    for begin in range(0, len(raw), step):
        used += decoder.feed(raw[begin : begin + step], found.extend)
    assert bytes(found) == b"hello" + b"x" * 16
    assert raw[used:] == b"GET /"


@pytest.mark.parametrize(
    "raw", [b"x\r\n", b"\r\n", b"-1\r\n", b"5\nhello", b"1\r\nab\r\n", b"f" * 17 + b"\r\n", b"0x5\r\n", b"1" * 5000]
)
def test_chunks_that_are_refused(raw):
    with pytest.raises(ValueError):
        ChunkedDecoder().feed(raw, lambda data: None)


class Door:
    """Echoes bodies; `/wait` suspends first; `/unread` leaves the body; `/stream` streams."""

    async def handle(self, request: Request) -> Response:
        if request.target == b"/unread":
            return Response(403, [], b"no")
        if request.target == b"/stream":

            async def parts():
                for n in range(3):
                    yield b"%d" % n

            return Response(200, [], parts())
        if request.target == b"/big":
            return Response(200, [], b"B" * 5_000_000)
        if request.target == b"/fail":
            raise RuntimeError("on purpose")
        if request.target == b"/split":
            return Response(200, [("Location", "/a\r\nSet-Cookie: b")], b"")
        if request.target == b"/wait":
            await asyncio.sleep(0)
        parts = [bytes(chunk) async for chunk in request.chunks()]
        return Response(200, [("X-Method", request.method)], b"".join(parts))


def exchange(talk):
    """Run `talk(reader, writer)` against a server."""

    async def main():
        server = Server(Door().handle)
        port = await server.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        try:
            async with asyncio.timeout(20):
                return await talk(reader, writer)
        finally:
            writer.close()
            await server.stop(1)

    return asyncio.run(main())


async def answer(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
    if "chunked" in headers.get("transfer-encoding", ""):
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return int(head.split()[1]), headers, body
    return int(head.split()[1]), headers, await reader.readexactly(int(headers.get("content-length", 0)))


def test_pipelined_requests_are_answered_in_order():
    async def talk(reader, writer):
        for n in range(50):
            path = "/wait" if n % 3 else "/"
            writer.write(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(str(n))}\r\n\r\n{n}".encode())
        return [(await answer(reader))[2] for _ in range(50)]

    assert exchange(talk) == [str(n).encode() for n in range(50)]


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3 << 20, 9 << 20])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_of_all_sizes(size, chunked):
    data = os.urandom(size)

    async def talk(reader, writer):
        for _ in range(2):
            if chunked:
                writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
                for begin in range(0, size, 70_001):
                    part = data[begin : begin + 70_001]
                    writer.write(b"%x\r\n%s\r\n" % (len(part), part))
                writer.write(b"0\r\n\r\n")
            else:
                writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + data)
            assert (await answer(reader))[2] == data
        return True

    assert exchange(talk)


def test_continue_is_sent_when_the_body_is_wanted():
    async def talk(reader, writer):
        head = b"PUT %s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 200000\r\n\r\n"
        writer.write(head % b"/")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(b"x" * 200_000)
        assert len((await answer(reader))[2]) == 200_000
        writer.write(head % b"/unread")
        status, headers, body = await answer(reader)
        assert (status, headers["connection"], body) == (403, "close", b"no")
        return await reader.read()

    assert exchange(talk) == b""


def test_a_body_nobody_reads_does_not_break_what_follows():
    async def talk(reader, writer):
        writer.write(b"PUT /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n" + b"x" * 500_000)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return [(await answer(reader))[0] for _ in range(2)]

    assert exchange(talk) == [403, 200]


def test_streams_big_answers_and_failures():
    async def talk(reader, writer):
        writer.write(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\nGET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await answer(reader))[2] == b"012"
        assert len((await answer(reader))[2]) == 5_000_000
        writer.write(b"GET /fail HTTP/1.1\r\nHost: x\r\n\r\nHEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await answer(reader))[0] == 500
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        return True

    assert exchange(talk)


@pytest.mark.parametrize("raw", [b"GARBAGE\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: " + b"x" * 70_000])
def test_what_is_no_http_is_answered_and_closed(raw):
    async def talk(reader, writer):
        writer.write(raw)
        status, headers, _ = await answer(reader)
        assert headers["connection"] == "close"
        return status, await reader.read()

    assert exchange(talk) in ((400, b""), (431, b""))


def test_ten_megabytes_of_header_fields_get_their_answer():
    """A client that goes on sending reads 431, not a reset, and nothing of it is kept."""

    async def talk(reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nCookie: ")
        for _ in range(10):
            writer.write(b"x" * (1 << 20))
            await writer.drain()
        return (await answer(reader))[0]

    assert exchange(talk) == 431


def test_a_field_of_an_answer_cannot_make_another():
    async def talk(reader, writer):
        writer.write(b"GET /split HTTP/1.1\r\nHost: x\r\n\r\n")
        return (await answer(reader))[1]

    headers = exchange(talk)
    assert headers["location"] == "/a  set-cookie: b"
    assert "set-cookie" not in headers


def test_a_long_pipeline_lets_others_in():
    """Two clients: one has a thousand requests waiting, the other's single one is answered before they all are."""

    async def main():
        server = Server(Door().handle)
        port = await server.start("127.0.0.1", 0)
        async with asyncio.timeout(20):
            eager, eager_writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
            other, other_writer = await asyncio.open_connection("127.0.0.1", port)
            eager_writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
            other_writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            first = await asyncio.wait(
                [asyncio.create_task(answers(eager, 1000)), asyncio.create_task(answers(other, 1))],
                return_when=asyncio.FIRST_COMPLETED,
            )
            sizes = [task.result() for task in first[0]]
            await asyncio.gather(*first[1])
        eager_writer.close()
        other_writer.close()
        await server.stop(1)
        return sizes

    assert asyncio.run(main()) == [1]


async def answers(reader, number):
    for _ in range(number):
        await answer(reader)
    return number


def test_a_broken_body_is_not_taken_for_whole():
    """The connection ends in the middle of a body, or its chunks are malformed: the door never sees the end."""

    class Reading:
        ended = "no"

        async def handle(self, request):
            try:
                async for _ in request.chunks():
                    pass
                self.ended = "whole"
            except Exception as error:
                self.ended = type(error).__name__
                raise
            return Response(200)

    async def main(raw):
        door = Reading()
        server = Server(door.handle)
        port = await server.start("127.0.0.1", 0)
        with socket.create_connection(("127.0.0.1", port)) as raw_socket:
            raw_socket.sendall(raw)
            raw_socket.shutdown(socket.SHUT_WR)
            await asyncio.to_thread(raw_socket.recv, 100)
        await server.stop(1)
        return door.ended

    assert asyncio.run(main(b"PUT / HTTP/1.1\r\nContent-Length: 500000\r\n\r\nshort")) == "Disconnected"
    assert asyncio.run(main(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")) == "no"
    assert asyncio.run(main(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX")) in (
        "no",
        "Disconnected",
    )
