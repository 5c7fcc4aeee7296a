"""Receiving a request's body.

Bodies of known, small length are gathered whole before the door is asked. Others are received into a few large
buffers: the socket is read straight into one while the door works on another, and reading pauses when the door is
behind. The buffers are pages of memory, so that a file can be written from them without another copy (O_DIRECT).
"""

from __future__ import annotations

import asyncio
import mmap
from collections import deque
from collections.abc import AsyncIterator, Callable

from bivouac.core.http1.message import Disconnected

# bytes: bodies up to here (those the store keeps in its index) arrive whole before the door is asked
GATHERED = 64 * 1024
BUFFER = 1024 * 1024  # bytes: long enough that a thread's start is nothing beside hashing it
HELD = 3  # chunks that the door may be working on: the one it was given last, and those before
BUFFERS = HELD + 2  # one being filled, one between
SPARE = 2 * BUFFERS  # kept for the next bodies: memory that is new costs as much as receiving into it
CHUNK_LINE = 4096  # bytes of chunk size line or trailer that are accepted


_spare: list[mmap.mmap] = []


class Body:
    """The body of one request. The connection feeds it; the door takes `chunks`."""

    def __init__(
        self, length: int | None, chunked: bool, pause: Callable[[bool], None], begin: Callable[[], None]
    ) -> None:
        self.declared = length
        self.expected = chunked or bool(length)
        self.complete = not self.expected
        self.complete_at_once: bytes | None = b"" if self.complete else None
        self._left = length or 0
        self._decoder = ChunkedDecoder() if chunked else None
        self._pause, self._begin = pause, begin
        self._ready: deque[memoryview] = deque()
        self._filling: memoryview | None = None
        self._filled = 0
        self._made = 0
        self._held: deque[memoryview] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._gathered = bytearray() if not chunked and length is not None and 0 < length <= GATHERED else None
        self.paused = False

    @property
    def small(self) -> bool:
        """It is being gathered: the door is asked when it is complete."""
        return self._gathered is not None and not self.complete

    # fed by the connection

    def feed(self, data: bytes | memoryview) -> int:
        """Take what belongs to the body; gives how many bytes that were."""
        if self._decoder is not None:
            return self._feed_chunked(data)
        taken = min(self._left, len(data))
        self._left -= taken
        if self._gathered is not None:
            self._gathered += data[:taken]
        else:
            self._store(data[:taken])
        if not self._left:
            self._finish()
        return taken

    def buffer(self) -> memoryview | None:
        """Where the socket may be read to directly. None: hand the bytes to `feed`."""
        if self._decoder is not None or self._gathered is not None or self.complete:
            return None
        filling = self._filling if self._filling is not None else self._fill_another()
        return filling[self._filled : self._filled + min(self._left, BUFFER - self._filled)]

    def received(self, count: int) -> None:
        """`count` bytes were read into `buffer()`."""
        self._filled += count
        self._left -= count
        if not self._left:
            self._finish()
        elif self._filled == BUFFER:
            self._hand_over()

    def fail(self, error: Exception) -> None:
        """Nothing more will come."""
        if not self.complete:
            self._error = error
            self._wake()

    def _store(self, data: bytes | memoryview) -> None:
        """Copy into the buffer that is being filled."""
        while len(data):
            filling = self._filling if self._filling is not None else self._fill_another()
            room = BUFFER - self._filled
            part = data[:room]
            filling[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            data = data[room:]
            if self._filled == BUFFER:
                self._hand_over()

    def _fill_another(self) -> memoryview:
        filling = self._filling = memoryview(_spare.pop() if _spare else mmap.mmap(-1, BUFFER))
        self._filled = 0
        self._made += 1
        return filling

    def _hand_over(self) -> None:
        if self._filling is not None and self._filled:
            self._ready.append(self._filling[: self._filled])
            self._filling = None
        if self._made >= BUFFERS and not self.complete and not self.paused:
            self.paused = True
            self._pause(True)
        self._wake()

    def _feed_chunked(self, data: bytes | memoryview) -> int:
        assert self._decoder is not None
        try:
            taken = self._decoder.feed(bytes(data), self._store)
        except ValueError as error:
            self.fail(Disconnected(str(error)))
            raise
        if self._decoder.complete:
            self._finish()
        elif self._waiter is not None:
            self._hand_over()  # a slow sender: don't let the door wait for a full buffer
        return taken

    def _finish(self) -> None:
        self.complete = True
        if self._gathered is not None:
            self.complete_at_once = bytes(self._gathered)
        else:
            self._hand_over()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # taken by the door

    def _give_back(self) -> None:
        """The door is done with the chunk it has held longest."""
        chunk = self._held.popleft()
        if len(_spare) < SPARE:
            _spare.append(chunk.obj)  # type: ignore[arg-type] - all of them are views of our buffers
        self._made -= 1

    def answered(self) -> None:
        """The door is done with all of them."""
        while self._held:
            self._give_back()

    async def chunks(self) -> AsyncIterator[memoryview]:
        """In order. A view is good until `HELD` steps later, or the answer."""
        if self.complete_at_once is not None:
            if self.complete_at_once:
                yield memoryview(self.complete_at_once)
            return
        self._begin()
        while True:
            while not self._ready:
                if self._error is not None:
                    raise self._error
                if self.complete:
                    return
                self._waiter = asyncio.get_running_loop().create_future()
                try:
                    await self._waiter
                finally:
                    self._waiter = None
            self._held.append(self._ready.popleft())
            yield self._held[-1]
            if len(self._held) == HELD:
                self._give_back()
            if self.paused and self._made < BUFFERS:
                self.paused = False
                self._pause(False)


NO_BODY = Body(None, False, lambda pause: None, lambda: None)
"""Of all requests without one: complete from the beginning, so nothing in it ever changes."""


class ChunkedDecoder:
    """The chunked transfer coding (RFC 9112, section 7.1). Extensions and trailers are read past."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._left = 0
        self._state = "size"
        self.complete = False

    def feed(self, data: bytes, store: Callable[[memoryview], None]) -> int:
        """Give the chunks' bytes to `store`; returns how many bytes were used. Raises ValueError."""
        position, view = 0, memoryview(data)
        while position < len(data) and not self.complete:
            if self._state == "data":
                part = view[position : position + self._left]
                store(part)
                position += len(part)
                self._left -= len(part)
                if not self._left:
                    self._state = "end"
                continue
            newline = data.find(b"\n", position)
            stop = len(data) if newline < 0 else newline + 1
            self._line += view[position:stop]
            position = stop
            if len(self._line) > CHUNK_LINE:
                raise ValueError("chunk line too long")
            if newline >= 0:
                line, self._line = bytes(self._line), bytearray()
                self._take_line(line)
        return position

    def _take_line(self, line: bytes) -> None:
        if not line.endswith(b"\r\n"):
            raise ValueError("chunk line does not end in CR LF")
        line = line[:-2]
        if self._state == "end":
            if line:
                raise ValueError("chunk longer than declared")
            self._state = "size"
        elif self._state == "trailer":
            self.complete = not line
        else:
            digits = line.partition(b";")[0].strip(b" \t")
            if not digits or len(digits) > 15 or not all(byte in b"0123456789abcdefABCDEF" for byte in digits):
                raise ValueError("invalid chunk size")
            self._left = int(digits, 16)
            self._state = "data" if self._left else "trailer"
