"""HTTP to a source: kept connections for several threads, and answers whose bodies are read in steps."""

from __future__ import annotations

import contextlib
import http.client
import queue
import socket
import ssl
import weakref
from urllib.parse import urlsplit

from bivouac.objects.importing.source import SourceError

TIMEOUT_S = 60.0
KEPT = 16
LARGEST_ANSWER = 64 << 20  # bytes of a listing


class Answer:
    """`headers` have lower-case names. Close it, or read it to its end, to give the connection back."""

    def __init__(self, origin: Origin, connection: http.client.HTTPConnection, raw: http.client.HTTPResponse) -> None:
        self._origin, self._connection, self._raw = origin, connection, raw
        self.status = raw.status
        self.headers = {name.lower(): _text(value) for name, value in raw.getheaders()}

    def read(self, size: int) -> bytes:
        return self._raw.read(size)

    def whole(self) -> bytes:
        """Raises SourceError above what any listing can have."""
        try:
            body = self._raw.read(LARGEST_ANSWER + 1)
        finally:
            self.close()
        if len(body) > LARGEST_ANSWER:
            raise SourceError("the answer is too long")
        return body

    def close(self) -> None:
        if self._raw.isclosed() and not self._raw.will_close:
            self._origin.give_back(self._connection)
        else:
            self._connection.close()


def _text(value: str) -> str:
    """http.client decodes as Latin-1; names and metadata are UTF-8 as a rule."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value


class Origin:
    """One address: scheme, host and port of `url`."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SourceError(f"{url} is no address of HTTP")
        self.host = parts.netloc.rpartition("@")[2]
        self.path = parts.path.rstrip("/")
        self._secure, self._name, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._kept: queue.LifoQueue[http.client.HTTPConnection] = queue.LifoQueue(KEPT)
        self._open: weakref.WeakSet[http.client.HTTPConnection] = weakref.WeakSet()

    def ask(self, method: str, target: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
        """One request; on a kept connection that the source has closed meanwhile, once more on a new one. Raises
        SourceError."""
        try:
            connection = self._kept.get_nowait()
        except queue.Empty:
            return self._on(self._connect(), method, target, headers, body)
        try:
            return self._on(connection, method, target, headers, body)
        except SourceError:
            return self._on(self._connect(), method, target, headers, body)

    def _on(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        headers: dict[str, str],
        body: bytes | None,
    ) -> Answer:
        try:
            connection.request(method, target, body, headers)
            return Answer(self, connection, connection.getresponse())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise SourceError(f"{self.host} does not answer: {error}") from error

    def _connect(self) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            made = http.client.HTTPSConnection(self._name, self._port, timeout=TIMEOUT_S, context=context)
        else:
            made = http.client.HTTPConnection(self._name, self._port, timeout=TIMEOUT_S)
        self._open.add(made)
        return made

    def give_back(self, connection: http.client.HTTPConnection) -> None:
        try:
            self._kept.put_nowait(connection)
        except queue.Full:
            connection.close()

    def close(self) -> None:
        """End all connections; threads that wait on one get an error."""
        for connection in list(self._open):
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
