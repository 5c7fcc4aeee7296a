"""Names in an initramfs: one or several cpio archives (newc), the last mostly packed (Linux, "buffer-format")."""

import bz2
import lzma
import zlib
from collections.abc import Iterator
from typing import Any

from .disk import Unreadable

_MAGICS = (b"070701", b"070702")
_PACKED = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz", b"BZh": "bzip2"}
_NOT_READ = {b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4", b"\x02\x21\x4c\x18": "lz4", b"\x89LZO": "lzo"}
MAX_UNPACKED = 512 << 20
_STEP = 1 << 20


class Stream:
    """Bytes that come in pieces, of which some are skipped."""

    def __init__(self, pieces: Iterator[bytes]):
        self._pieces = pieces
        self._buffer = b""
        self.taken = 0

    def peek(self, count: int) -> bytes:
        """The next bytes, fewer only at the end."""
        parts = [self._buffer]
        have = len(self._buffer)
        while have < count and (piece := next(self._pieces, None)) is not None:
            parts.append(piece)
            have += len(piece)
        self._buffer = b"".join(parts)
        return self._buffer[:count]

    def take(self, count: int) -> bytes:
        data = self.peek(count)
        self._buffer = self._buffer[count:]
        self.taken += len(data)
        if self.taken > MAX_UNPACKED:
            raise Unreadable("the initramfs is too large")
        return data

    def skip(self, count: int) -> None:
        while count > 0:
            step = len(self.take(min(count, _STEP)))
            if not step:
                return
            count -= step

    def rest(self) -> Iterator[bytes]:
        if self._buffer:
            yield self._buffer
        yield from self._pieces


def names(pieces: Iterator[bytes]) -> set[str]:
    """All names in an initramfs. Raises Unreadable."""
    stream = Stream(pieces)
    found: set[str] = set()
    while True:
        while (head := stream.peek(1)) == b"\0":
            stream.take(1)
        head = stream.peek(6)
        if not head:
            return found
        if head in _MAGICS:
            _read_cpio(stream, found)
            continue
        for magic, kind in _NOT_READ.items():
            if head.startswith(magic):
                raise Unreadable(f"the initramfs is packed with {kind}, which is not read")
        kind = next((kind for magic, kind in _PACKED.items() if head.startswith(magic)), "")
        if not kind:
            raise Unreadable("the initramfs is of an unknown kind")
        _read_cpio(Stream(_unpacked(kind, stream.rest())), found)
        return found


def _unpacked(kind: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Unpacked in small steps, however much one piece holds."""
    tool: Any = {"gzip": lambda: zlib.decompressobj(31), "xz": lambda: lzma.LZMADecompressor(memlimit=256 << 20),
                 "bzip2": bz2.BZ2Decompressor}[kind]()  # fmt: skip
    try:
        for piece in pieces:
            data = tool.decompress(piece, _STEP)
            while data:
                yield data
                left = tool.unconsumed_tail if kind == "gzip" else b""
                if tool.eof or not (left or (kind != "gzip" and not tool.needs_input)):
                    break
                data = tool.decompress(left, _STEP)
            if tool.eof:
                return
    except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError) as error:
        raise Unreadable("the initramfs is damaged") from error


def _read_cpio(stream: Stream, found: set[str]) -> None:
    """One archive, up to its trailer."""
    while True:
        header = stream.take(110)
        if len(header) < 110 or header[:6] not in _MAGICS:
            raise Unreadable("the initramfs is damaged")
        try:
            size, name_size = int(header[54:62], 16), int(header[94:102], 16)
        except ValueError:
            raise Unreadable("the initramfs is damaged") from None
        if not 0 < name_size <= 4096 or len(found) > 200_000:
            raise Unreadable("the initramfs is damaged")
        name = stream.take(name_size).rstrip(b"\0").decode("utf-8", "replace")
        stream.skip(-(110 + name_size) % 4)
        if name == "TRAILER!!!":
            return
        found.add(name)
        stream.skip(size + -size % 4)
