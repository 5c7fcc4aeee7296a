"""QMP without sockets: bytes in, messages out, commands to bytes.

QEMU Machine Protocol specification: a greeting, `qmp_capabilities`, then JSON objects, one a line. Answers carry the
command's id; events come at any time. https://www.qemu.org/docs/master/interop/qmp-spec.html
"""

from typing import Any

import msgspec
from msgspec import Struct

MAX_LINE_BYTES = 16 << 20
"""More than any answer needs; a process that sends more is broken or hostile."""


class ProtocolError(Exception):
    """What came is not QMP."""


class Greeting(Struct, frozen=True):
    """The first message. `version` is (major, minor, micro)."""

    version: tuple[int, int, int]


class Event(Struct, frozen=True):
    name: str
    data: dict[str, Any]


class Reply(Struct, frozen=True):
    """The answer to the command of the same id: `value`, or `error` with QEMU's class of error."""

    id: int | None
    value: Any = None
    error: str = ""
    error_class: str = ""


Message = Greeting | Event | Reply

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Conversation:
    """One side of a QMP link."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._last_id = 0

    def command(self, name: str, arguments: dict[str, Any] | None = None) -> tuple[int, bytes]:
        """The id and the bytes of a command."""
        self._last_id += 1
        message: dict[str, Any] = {"execute": name, "id": self._last_id}
        if arguments:
            message["arguments"] = arguments
        return self._last_id, _encode(message) + b"\n"

    def feed(self, data: bytes) -> list[Message]:
        """Take what was received; give the messages that are complete now. Raises ProtocolError."""
        self._buffer += data
        messages = []
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end]).strip()
            del self._buffer[: end + 1]
            if line:
                messages.append(_parse(line))
        if len(self._buffer) > MAX_LINE_BYTES:
            raise ProtocolError("endless line")
        return messages


def _parse(line: bytes) -> Message:
    try:
        message = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"not JSON: {line[:80]!r}") from error
    if "event" in message:
        return Event(str(message["event"]), message.get("data") or {})
    if "return" in message:
        return Reply(message.get("id"), message["return"])
    if "error" in message:
        error = message["error"]
        if not isinstance(error, dict):
            raise ProtocolError(f"odd error: {line[:80]!r}")
        return Reply(message.get("id"), None, str(error.get("desc", "")), str(error.get("class", "")))
    if "QMP" in message:
        try:
            version = message["QMP"]["version"]["qemu"]
            return Greeting((int(version["major"]), int(version["minor"]), int(version["micro"])))
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError("odd greeting") from error
    raise ProtocolError(f"neither answer nor event: {line[:80]!r}")
