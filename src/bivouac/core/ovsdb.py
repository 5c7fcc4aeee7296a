"""A small client of OVSDB, the database protocol of Open vSwitch and OVN (RFC 7047: JSON-RPC over a stream).

Two uses: one-shot transactions (`transact`), and a `Session` that keeps a connection, mirrors tables by `monitor` and
tells what moved. Blocking: callers run it in a thread. `ovs` with `ovsdbapp` would do the same for 17 MiB of memory a
process.
"""

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Operation = dict[str, Any]
_CHUNK = 1 << 18
_LONGEST_SOCKET_PATH = 100
"""sockaddr_un has 108 bytes; longer paths are reached through /proc/self/fd."""


class OvsdbError(Exception):
    """The database refused an operation, or does not answer."""


# --- values -----------------------------------------------------------------------------------------------------------


def uuid_of(text: str) -> list[str]:
    """A reference to a row that exists."""
    return ["uuid", text]


def named(text: str) -> list[str]:
    """A reference to a row inserted in the same transaction under `uuid-name`."""
    return ["named-uuid", text]


def to_set(values: Sequence[Any]) -> list[Any]:
    return ["set", list(values)]


def to_map(values: Mapping[Any, Any]) -> list[Any]:
    return ["map", [[key, value] for key, value in values.items()]]


def from_set(value: Any) -> list[Any]:
    """A set column as a list; a set of one travels as the bare value. References become plain UUID texts."""
    if isinstance(value, list) and value and value[0] == "set":
        return [_plain(one) for one in value[1]]
    return [_plain(value)]


def from_map(value: Any) -> dict[Any, Any]:
    """A map column as a dictionary; references become plain UUID texts."""
    return {_plain(key): _plain(one) for key, one in value[1]}


def _plain(value: Any) -> Any:
    return value[1] if isinstance(value, list) and value and value[0] == "uuid" else value


# --- the connection ---------------------------------------------------------------------------------------------------


class Session:
    """One connection to one database of a server. `remote` is `unix:PATH` or `tcp:HOST:PORT`."""

    def __init__(self, remote: str, database: str, timeout_s: float = 20.0):
        self.database = database
        self._timeout_s = timeout_s
        self._socket = _connect(remote, timeout_s)
        self._buffer = ""
        self._decoder = json.JSONDecoder()
        self._pending_bytes = b""
        self._next_id = 0
        self.tables: dict[str, dict[str, Row]] = {}
        """The mirror: table -> row's UUID -> columns, of what `monitor` asked for."""
        self.moved = 0
        """Grows with every update of the mirror."""
        self._locks: dict[str, bool] = {}

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def transact(self, *operations: Operation) -> list[dict[str, Any]]:
        """Run the operations as one transaction and return each one's result. Raises OvsdbError."""
        answer = self._call("transact", [self.database, *operations])
        for position, result in enumerate(answer):
            if result and "error" in result:
                operation = operations[position] if position < len(operations) else {}
                raise OvsdbError(
                    f"{result['error']}: {result.get('details', '')} "
                    f"({operation.get('op', 'commit')} {operation.get('table', '')})"
                )
        return answer

    def monitor(self, tables: Mapping[str, Sequence[str]]) -> None:
        """Mirror the named columns of the tables in `self.tables`, now and from now on."""
        asked = {table: {"columns": list(columns)} for table, columns in tables.items()}
        self.tables = {table: {} for table in tables}
        self._update(self._call("monitor", [self.database, "mirror", asked]))

    def wait_lock(self, name: str) -> bool:
        """Ask for a lock of the server's (RFC 7047, 4.1.8), once, and say whether it is ours by now."""
        if name not in self._locks:
            self._locks[name] = bool(self._call("lock", [name])["locked"])
        self.wait(0)
        return self._locks[name]

    def fileno(self) -> int:
        """To watch for something to read."""
        return self._socket.fileno()

    @property
    def has_unread(self) -> bool:
        """Whether bytes were received that are not yet taken in."""
        return bool(self._buffer or self._pending_bytes)

    def wait(self, timeout_s: float) -> bool:
        """Take in updates until something moved or the time is over; whether something moved."""
        before, end = self.moved, time.monotonic() + timeout_s
        while self.moved == before:
            message = next(self._buffered(), None)
            if message is None:
                if not self._receive(max(0.0, end - time.monotonic())):
                    break
                continue
            self._notice(message)
        for message in self._buffered():
            self._notice(message)
        return self.moved != before

    def _call(self, method: str, params: list[Any]) -> Any:
        self._next_id += 1
        self._send({"method": method, "params": params, "id": self._next_id})
        end = time.monotonic() + self._timeout_s
        while True:
            for message in self._buffered():
                if message.get("id") == self._next_id and "method" not in message:
                    if message.get("error"):
                        raise OvsdbError(f"{method} of {self.database}: {message['error']}")
                    return message["result"]
                self._notice(message)
            if not self._receive(end - time.monotonic()):
                raise OvsdbError(f"{self.database} has not answered {method} in {self._timeout_s} s")

    def _notice(self, message: dict[str, Any]) -> None:
        if message.get("method") == "echo":
            self._send({"result": message["params"], "error": None, "id": message["id"]})
        elif message.get("method") == "update":
            self._update(message["params"][1])
        elif message.get("method") in ("locked", "stolen"):
            self._locks[message["params"][0]] = message["method"] == "locked"

    def _update(self, updates: Mapping[str, Mapping[str, Any]]) -> None:
        for table, rows in updates.items():
            mirror = self.tables[table]
            for uuid, change in rows.items():
                if "new" in change:
                    mirror[uuid] = change["new"]
                else:
                    mirror.pop(uuid, None)
                self.moved += 1

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._socket.settimeout(self._timeout_s)
            self._socket.sendall(json.dumps(message, separators=(",", ":")).encode())
        except OSError as error:
            raise OvsdbError(f"{self.database} does not take requests: {error}") from error

    def _receive(self, timeout_s: float) -> bool:
        """Read what is there; False when nothing came in time. Raises OvsdbError when the server hung up."""
        try:
            self._socket.settimeout(max(0.0, timeout_s))
            chunk = self._socket.recv(_CHUNK)
        except (TimeoutError, BlockingIOError):
            return False
        except OSError as error:
            raise OvsdbError(f"{self.database} does not answer: {error}") from error
        if not chunk:
            raise OvsdbError(f"{self.database} has closed the connection")
        self._pending_bytes += chunk
        if chunk.endswith(b"}"):
            # Messages follow each other without any separator; only a closing brace can be an end.
            self._buffer += self._pending_bytes.decode()
            self._pending_bytes = b""
        return True

    def _buffered(self) -> Iterator[dict[str, Any]]:
        while self._buffer:
            try:
                message, end = self._decoder.raw_decode(self._buffer)
            except json.JSONDecodeError:
                return
            self._buffer = self._buffer[end:].lstrip()
            yield message


def transact(remote: str, database: str, *operations: Operation, timeout_s: float = 20.0) -> list[dict[str, Any]]:
    """One transaction on a connection of its own (0.2 ms on a Unix socket). Raises OvsdbError."""
    with Session(remote, database, timeout_s) as session:
        return session.transact(*operations)


def _connect(remote: str, timeout_s: float) -> socket.socket:
    kind, _, where = remote.partition(":")
    try:
        if kind == "tcp":
            host, _, port = where.rpartition(":")
            return socket.create_connection((host.strip("[]"), int(port)), timeout_s)
        if kind == "unix":
            return connect_unix(Path(where), timeout_s)
    except OSError as error:
        raise OvsdbError(f"cannot reach {remote}: {error}") from error
    raise OvsdbError(f"{remote} is neither unix:PATH nor tcp:HOST:PORT")


def connect_unix(path: Path, timeout_s: float) -> socket.socket:
    """Connect to a daemon's socket, however long its path is. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
            connection.connect(str(path))
        else:
            directory = os.open(path.parent, os.O_PATH)
            try:
                connection.connect(f"/proc/self/fd/{directory}/{path.name}")
            finally:
                os.close(directory)
    except OSError:
        connection.close()
        raise
    return connection
