"""The aws-chunked coding of bodies: each chunk with its size, perhaps a signature, perhaps trailers at the end.

    string(size in hex) [";chunk-signature=" signature] CRLF bytes CRLF ... "0" [";chunk-signature=" ...] CRLF
    [trailer ":" value CRLF ... ["x-amz-trailer-signature:" signature CRLF]] CRLF

Source: "Signature calculations for the Authorization header: Transferring payload in multiple chunks", Amazon S3 API
Reference.
`Decoder` is fed with bytes and gives payload bytes; it knows no sockets.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

from bivouac.s3.errors import S3Error
from bivouac.s3.signing.v4 import Signature, sign

SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
KINDS = (SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER)
_EMPTY = sha256(b"").hexdigest()
MAX_LINE_BYTES = 16 << 10
"""A chunk's head or one trailer line."""
MAX_TRAILER_BYTES = 64 << 10
_HEAD, _DATA, _AFTER, _TRAILER, _DONE = range(5)


class Decoder:
    """Feed it with the coded bytes; `trailers` are complete once `done`. Raises S3Error on a wrong signature or
    form."""

    def __init__(self, kind: str, signature: Signature | None, key: bytes | None) -> None:
        self.signed = kind != UNSIGNED_TRAILER
        self.with_trailer = kind != SIGNED
        if self.signed and (signature is None or key is None):
            raise S3Error("InvalidArgument", "A body with signed chunks needs a signature of version 4.")
        self._key = key or b""
        self._previous = signature.signature if signature else ""
        self._prefix = f"{signature.timestamp}\n{signature.scope}\n" if signature else ""
        self.trailers: dict[str, str] = {}
        self._lines: list[bytes] = []
        self._buffer = bytearray()
        self._state = _HEAD
        self._left = 0
        self._wanted = ""
        self._hash = sha256()
        self._trailer_bytes = 0
        self.payload_bytes = 0

    @property
    def done(self) -> bool:
        return self._state == _DONE

    def feed(self, data: bytes) -> list[bytes]:
        """The payload bytes that `data` completes."""
        out: list[bytes] = []
        view = memoryview(data)
        while len(view):
            if self._state == _DATA:
                piece = bytes(view[: self._left])
                view = view[len(piece) :]
                if self.signed:
                    self._hash.update(piece)
                self._left -= len(piece)
                self.payload_bytes += len(piece)
                out.append(piece)
                if not self._left:
                    self._end_of_chunk()
                    self._state = _AFTER
            elif self._state == _DONE:
                raise S3Error("IncompleteBody", "Bytes follow the last chunk.")
            else:
                view = self._line(view)
        return out

    def finish(self) -> None:
        """The body has ended. Raises IncompleteBody unless the last chunk was seen."""
        if self._state == _TRAILER and not self._buffer:
            self._end_of_trailers()  # some clients leave out the empty line
        if self._state != _DONE:
            raise S3Error("IncompleteBody", "The body ended before its last chunk.")

    def _line(self, view: memoryview) -> memoryview:
        """Take bytes up to a line's end, and act on the line if it is whole."""
        piece = bytes(view[: MAX_LINE_BYTES + 2])
        end = piece.find(b"\n")
        if end < 0:
            self._buffer += piece
            if len(self._buffer) > MAX_LINE_BYTES:
                raise S3Error("InvalidRequest", "A line of the aws-chunked coding is too long.")
            return view[len(piece) :]
        line = bytes(self._buffer) + piece[:end]
        self._buffer.clear()
        line = line[:-1] if line.endswith(b"\r") else line
        if self._state == _HEAD:
            self._head(line)
        elif self._state == _AFTER:
            if line:
                raise S3Error("InvalidRequest", "A chunk is longer than its size says.")
            self._state = _HEAD
        else:
            self._trailer(line)
        return view[end + 1 :]

    def _head(self, line: bytes) -> None:
        size, _, extension = line.partition(b";")
        try:
            self._left = int(size, 16)
        except ValueError:
            self._left = -1
        if self._left < 0 or size[:1] in b"+-":
            raise S3Error("InvalidRequest", "A chunk's size is not a hexadecimal number.")
        if self.signed:
            name, _, self._wanted = extension.decode("latin-1").strip().partition("=")
            if name != "chunk-signature":
                raise S3Error("SignatureDoesNotMatch", "A chunk has no signature.")
            self._hash = sha256()
        if self._left:
            self._state = _DATA
        else:
            self._end_of_chunk()
            self._state = _TRAILER

    def _end_of_chunk(self) -> None:
        if self.signed:
            text = f"AWS4-HMAC-SHA256-PAYLOAD\n{self._prefix}{self._previous}\n{_EMPTY}\n{self._hash.hexdigest()}"
            self._check(text, self._wanted)

    def _check(self, text: str, given: str) -> None:
        if not hmac.compare_digest(sign(self._key, text), given):
            raise S3Error("SignatureDoesNotMatch", "The signature of a chunk or of the trailer does not match.")
        self._previous = given

    def _trailer(self, line: bytes) -> None:
        if not line:
            self._end_of_trailers()
            return
        self._trailer_bytes += len(line)
        if self._trailer_bytes > MAX_TRAILER_BYTES or not self.with_trailer:
            raise S3Error("InvalidRequest", "The trailer is too long, or none was announced.")
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise S3Error("InvalidRequest", "A line of the trailer has no colon.")
        name = name.strip().lower()
        if name == "x-amz-trailer-signature":
            hashed = sha256(b"".join(self._lines)).hexdigest()
            self._check(f"AWS4-HMAC-SHA256-TRAILER\n{self._prefix}{self._previous}\n{hashed}", value.strip())
            self._lines.clear()
        else:
            self._lines.append(f"{name}:{value.strip()}\n".encode("latin-1"))
            self.trailers[name] = value.strip()

    def _end_of_trailers(self) -> None:
        if self.signed and self.with_trailer and self._lines:
            raise S3Error("SignatureDoesNotMatch", "The trailer is not signed.")
        self._state = _DONE
