"""Event notifications on their way: a bounded queue per process, sent to web hooks as CloudEvents, tried again a few
times.

A hook that does not answer loses events after the last try, and the log says so: notifications inform, they are no
journal.
"""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import quote, urlsplit

from bivouac.objects.store.interface import Container
from bivouac.s3.call import Call
from bivouac.s3.conditions import iso_millis
from bivouac.s3.documents import keys, notification

log = logging.getLogger("bivouac.s3")
QUEUED = 10_000
TRIES = 4
TIMEOUT_S = 10.0


class Events:
    """`publish` never waits; one task sends."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._queue: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(QUEUED)
        self._task: asyncio.Task[None] | None = None

    def publish(self, call: Call, event: str, key: str, size: int, etag: str, version: int | None) -> None:
        """Queue an event for every hook of the request's bucket that wants it."""
        self.emit(call.container, call.now, event, key, size, etag, version)

    def emit(
        self, container: Container, now: float, event: str, key: str, size: int, etag: str, version: int | None
    ) -> None:
        """Queue an event of a bucket."""
        text = container.documents.get(keys.NOTIFICATION)
        if text is None:
            return
        for rule in notification.load(text):
            if not rule.wants(event, key):
                continue
            record = {"key": quote(key), "size": size, "eTag": etag, "sequencer": f"{int(now * 1_000_000):016X}"}
            if version is not None:
                record["versionId"] = str(version)
            moment = iso_millis(int(now * 1_000_000))
            body = notification.cloud_event(event, moment, self._region, container.name, container.account, record)
            try:
                self._queue.put_nowait((rule.url, body))
            except asyncio.QueueFull:
                log.warning("an event for %s was dropped: too many wait", rule.url)
                continue
            if self._task is None or self._task.done():
                self._task = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        while not self._queue.empty():
            url, body = self._queue.get_nowait()
            for attempt in range(TRIES):
                try:
                    async with asyncio.timeout(TIMEOUT_S):
                        status = await post(url, body)
                    if status < 500:
                        break
                except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
                    pass
                if attempt < TRIES - 1:
                    await asyncio.sleep(0.5 * 4**attempt)
            else:
                log.warning("an event could not be delivered to %s", url)

    async def close(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


async def post(url: str, body: bytes) -> int:
    """One CloudEvent to a hook; the answer's status. Raises OSError, ValueError."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=secure or None)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\nConnection: close\r\n"
            f"Content-Type: application/cloudevents+json; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        line = await reader.readline()
        return int(line.split(b" ", 2)[1])
    except IndexError:
        raise ValueError("no HTTP answer") from None
    finally:
        writer.close()
