"""Answers on the wire: head and small body in one write, files by sendfile.

sendfile runs in threads, because a page that is not in memory must be waited for; a thread sends as long as the
client keeps up and gives
itself back when the client is slow.
"""

from __future__ import annotations

import asyncio
import os
import select
import time
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from http import HTTPStatus

from bivouac.core.http1.message import FileRange

REASONS = {status.value: status.phrase for status in HTTPStatus} | {499: "Client Disconnect"}
STATUS_LINES = {status: f"HTTP/1.1 {status} {reason}\r\n" for status, reason in REASONS.items()}
PATIENCE_MS = 20  # how long a thread waits for the client before it lets others use it
AT_ONCE = 256 * 1024  # bytes a sendfile call is asked for: with 8 MiB it takes a quarter longer and more CPU


class DateHeader:
    """The Date header's line, made once a second."""

    def __init__(self) -> None:
        self._second, self._line = 0, ""

    def line(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._line = f"Date: {http_date(second)}\r\n"
        return self._line


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@lru_cache(maxsize=1024)
def http_date(seconds: int) -> str:
    """RFC 9110's date, whatever the locale is."""
    t = time.gmtime(seconds)
    return (
        f"{_DAYS[t.tm_wday]}, {t.tm_mday:02d} {_MONTHS[t.tm_mon]} {t.tm_year}"
        f" {t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d} GMT"
    )


def status_line(status: int, reason: str) -> str:
    if reason:
        return f"HTTP/1.1 {status} {reason}\r\n"
    return STATUS_LINES.get(status) or f"HTTP/1.1 {status} Unknown\r\n"


def one_line(text: str) -> str:
    """A field's text that cannot end its line: what a name from a request brought in must not make a field of its
    own (RFC 9110, section 5.5)."""
    return text.replace("\r", " ").replace("\n", " ")


async def send_file(threads: ThreadPoolExecutor, socket: int, piece: FileRange) -> None:
    """Send a piece over a non-blocking socket. Raises OSError when the client is gone, EOFError when the file is
    too short."""
    loop = asyncio.get_running_loop()
    source, offset, left = piece.fd, piece.offset, piece.length
    while left:
        sent = await loop.run_in_executor(threads, _send_while_ready, socket, source, offset, left)
        offset += sent
        left -= sent
        if left:
            await _writable(loop, socket)


def _send_while_ready(socket: int, source: int, offset: int, left: int) -> int:
    poll = select.poll()
    poll.register(socket, select.POLLOUT)
    begin = offset
    while left:
        try:
            sent = os.sendfile(socket, source, offset, min(left, AT_ONCE))
        except BlockingIOError:
            if not poll.poll(PATIENCE_MS):
                break
            continue
        if sent == 0:
            raise EOFError("file shorter than recorded")
        offset += sent
        left -= sent
    return offset - begin


async def _writable(loop: asyncio.AbstractEventLoop, socket: int) -> None:
    """Wait until the socket takes more. On a copy of the descriptor, because the transport owns the original."""
    ready = loop.create_future()
    copy = os.dup(socket)
    loop.add_writer(copy, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_writer(copy)
        os.close(copy)
