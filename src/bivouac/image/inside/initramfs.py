"""Names in an initramfs: one or several cpio archives (newc), the last mostly packed (Linux, "buffer-format")."""

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from .disk import Unreadable

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_MAGICS = (b"070701", b"070702")
_PACKED = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "zstd"}
_NOT_READ = {b"\x04\x22\x4d\x18": "lz4", b"\x02\x21\x4c\x18": "lz4", b"\x89LZO": "lzo"}
MAX_UNPACKED = 512 << 20
_STEP = 1 << 20
_MAX_WINDOW_LOG = 25
"""32 MiB of memory to unpack zstd, four times what `zstd -19` asks for."""


class Stream:
    """Bytes that come in pieces, of which some are skipped."""

    def __init__(self, pieces: Iterator[bytes]):
        self._pieces = pieces
        self._buffer = b""
        self._at = 0
        self.taken = 0

    def peek(self, count: int) -> bytes:
        """The next bytes, fewer only at the end."""
        if len(self._buffer) - self._at < count:
            parts = [self._buffer[self._at :]]
            have = len(parts[0])
            while have < count and (piece := next(self._pieces, None)) is not None:
                parts.append(piece)
                have += len(piece)
            self._buffer, self._at = b"".join(parts), 0
        return self._buffer[self._at : self._at + count]

    def take(self, count: int) -> bytes:
        data = self.peek(count)
        self._at += len(data)
        self.taken += len(data)
        if self.taken > MAX_UNPACKED:
            raise Unreadable("the initramfs is too large")
        return data

    def skip_zeros(self) -> None:
        """Archives begin at a multiple of 4 bytes, mostly of a block."""
        while chunk := self.peek(_STEP):
            zeros = len(chunk) - len(chunk.lstrip(b"\0"))
            self.take(zeros)
            if zeros < len(chunk):
                return

    def skip(self, count: int) -> None:
        while count > 0:
            step = len(self.take(min(count, _STEP)))
            if not step:
                return
            count -= step

    def rest(self) -> Iterator[bytes]:
        if self._at < len(self._buffer):
            yield self._buffer[self._at :]
        yield from self._pieces


def names(pieces: Iterator[bytes]) -> set[str]:
    """All names in an initramfs. Raises Unreadable."""
    stream = Stream(pieces)
    found: set[str] = set()
    while True:
        stream.skip_zeros()
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
    tools: dict[str, Callable[[], Any]] = {
        "gzip": lambda: zlib.decompressobj(31),
        "xz": lambda: lzma.LZMADecompressor(memlimit=256 << 20),
        "bzip2": bz2.BZ2Decompressor,
        "zstd": lambda: zstd.ZstdDecompressor(
            options={zstd.DecompressionParameter.window_log_max: _MAX_WINDOW_LOG}
        ),
    }
    tool = tools[kind]()
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
    except (zlib.error, lzma.LZMAError, zstd.ZstdError, OSError, ValueError, EOFError) as error:
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
