"""Receiving a body: undo its coding, check what the request said of it, encrypt it, and hand it to the store.

A small body that has arrived whole is handled in memory; others go through the store's upload piece by piece. Nothing
is committed before every
promise was kept: length, Content-MD5, SHA-256 of the signature, chunk signatures, checksum header or trailer.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import AsyncIterator

from msgspec import Struct

from bivouac.core.http1 import BodyTooLarge, Disconnected
from bivouac.objects.store.interface import Staged
from bivouac.s3 import checksums, encryption
from bivouac.s3.call import Call
from bivouac.s3.errors import S3Error
from bivouac.s3.signing import chunks, v4

MAX_PUT_BYTES = 5 << 30
_HEX = frozenset("0123456789abcdef")


class Received(Struct):
    """A body that kept its promises. `md5` is that of the plain bytes where it is needed as ETag, else ""."""

    body: bytes | Staged
    size: int
    md5: str = ""
    checksums: dict[str, str] = {}


class Promise:
    """What the request says of its body, and the hashes that will tell."""

    def __init__(self, call: Call, algorithm: str = "", want_md5: bool = False, of_body: bool = True) -> None:
        headers = call.request.headers
        self.proof = call.proof
        payload = call.proof.payload
        self.streaming = payload.startswith("STREAMING-")
        if self.streaming and payload not in chunks.KINDS:
            raise S3Error("NotImplemented", f"The payload signing {payload} is not offered.")
        self.sha256 = payload.lower() if payload and payload != v4.UNSIGNED and not self.streaming else ""
        if self.sha256 and (len(self.sha256) != 64 or not _HEX.issuperset(self.sha256)):
            raise S3Error(
                "InvalidArgument",
                "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING-... kind or a valid sha256 value.",
            )
        self.md5 = self._content_md5(headers)
        self.expected = checksums.expected(headers) if of_body else None
        if self.expected is not None:
            algorithm = self.expected.algorithm
        elif not algorithm and (named := headers.get("x-amz-sdk-checksum-algorithm")):
            algorithm = checksums.parse_algorithm(named)
        self.algorithm = algorithm
        self.length = call.request.content_length()
        decoded = headers.get("x-amz-decoded-content-length")
        if self.streaming:
            if decoded is None or not decoded.isdigit():
                raise S3Error("MissingContentLength", "You must provide x-amz-decoded-content-length.")
            self.length = int(decoded)
        self._sha = hashlib.sha256() if self.sha256 else None
        self._md5 = hashlib.md5(usedforsecurity=False) if self.md5 or want_md5 else None
        self._checksum = checksums.new(algorithm) if algorithm else None

    @staticmethod
    def _content_md5(headers: dict[str, str]) -> bytes:
        text = headers.get("content-md5")
        if text is None:
            return b""
        try:
            digest = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            digest = b""
        if len(digest) != 16:
            raise S3Error("InvalidDigest", "The Content-MD5 you specified is not valid.")
        return digest

    @property
    def hashes(self) -> tuple[checksums.Hash, ...]:
        return tuple(one for one in (self._sha, self._md5, self._checksum) if one is not None)

    def update(self, data: bytes) -> None:
        for one in self.hashes:
            one.update(data)

    def check(self, size: int, trailers: dict[str, str]) -> tuple[str, dict[str, str]]:
        """(MD5 in hex or "", {algorithm: checksum}) when all was kept. Raises S3Error."""
        if self.length is not None and size != self.length:
            raise S3Error("IncompleteBody", NumberBytesExpected=str(self.length), NumberBytesProvided=str(size))
        if self._sha is not None and not hmac.compare_digest(self._sha.hexdigest(), self.sha256):
            raise S3Error(
                "XAmzContentSHA256Mismatch",
                ClientComputedContentSHA256=self.sha256,
                S3ComputedContentSHA256=self._sha.hexdigest(),
            )
        if self.md5 and self._md5 is not None and self._md5.digest() != self.md5:
            raise S3Error(
                "BadDigest",
                "The Content-MD5 you specified did not match what we received.",
                ExpectedDigest=self.md5.hex(),
                CalculatedDigest=self._md5.hexdigest(),
            )
        found = {}
        if self._checksum is not None:
            found[self.algorithm] = checksums.encode(self._checksum.digest())
            wanted = self.expected.value if self.expected else None
            if self.expected and wanted is None:
                header = checksums.PREFIX + self.algorithm.lower()
                wanted = trailers.get(header)
                if wanted is None:
                    raise S3Error("InvalidRequest", f"The trailer {header} is missing.")
                checksums.check_value(self.algorithm, wanted, header)
            if wanted is not None and wanted != found[self.algorithm]:
                raise checksums.mismatch(self.algorithm)
        return (self._md5.hexdigest() if self._md5 is not None else ""), found


async def _decoded(call: Call, promise: Promise, trailers: dict[str, str]) -> AsyncIterator[bytes | memoryview]:
    """The payload's pieces; fills `trailers` at the end."""
    raw = call.request.body.chunks()
    if not promise.streaming:
        async for data in raw:
            yield data
        return
    decoder = chunks.Decoder(promise.proof.payload, promise.proof.signature, promise.proof.key)
    async for data in raw:
        pieces = decoder.feed(bytes(data))
        if pieces:
            yield pieces[0] if len(pieces) == 1 else b"".join(pieces)
    decoder.finish()
    trailers.update(decoder.trailers)


async def receive_document(call: Call, limit: int, of_body: bool = True) -> bytes:
    """A whole small body. Without `of_body` the checksum headers speak of something else (a whole object). Raises
    MaxMessageLengthExceeded and whatever a broken promise is."""
    promise = Promise(call, of_body=of_body)
    parts, size, trailers = [], 0, {}
    if promise.length is not None and promise.length > limit:
        raise S3Error("MaxMessageLengthExceeded")
    async for data in _decoded(call, promise, trailers):
        size += len(data)
        if size > limit:
            raise S3Error("MaxMessageLengthExceeded")
        parts.append(bytes(data))
    body = b"".join(parts)
    promise.update(body)
    promise.check(size, trailers)
    return body


async def receive(
    call: Call,
    *,
    algorithm: str = "",
    stream: encryption.Stream | None = None,
    plain_etag: bool = False,
    limit: int = MAX_PUT_BYTES,
) -> Received:
    """The body of a PUT. `algorithm` is a checksum to take in any case; `stream` encrypts; `plain_etag` asks for the
    MD5 of the plain bytes.

    Raises S3Error; the caller must spend or discard what it gets.
    """
    promise = Promise(call, algorithm, want_md5=plain_etag)
    if promise.length is None and not call.request.body.has_body:
        raise S3Error("MissingContentLength")
    if promise.length is not None and promise.length > limit:
        raise S3Error("EntityTooLarge", ProposedSize=str(promise.length), MaxSizeAllowed=str(limit))
    whole = call.request.body.read_now()
    if whole is not None and not promise.streaming:
        promise.update(whole)
        md5, found = promise.check(len(whole), {})
        return Received(stream.update(whole) if stream else whole, len(whole), md5 if plain_etag else "", found)
    return await _receive_large(call, promise, stream, plain_etag, limit)


async def _receive_large(
    call: Call, promise: Promise, stream: encryption.Stream | None, plain_etag: bool, limit: int
) -> Received:
    upload = call.store.upload(promise.length, () if stream else promise.hashes)
    trailers: dict[str, str] = {}
    try:
        async for data in _decoded(call, promise, trailers):
            if stream:
                promise.update(bytes(data))
                data = stream.update(data)
            await upload.write(data)
            if upload.size > limit:
                raise S3Error("EntityTooLarge", MaxSizeAllowed=str(limit))
        staged = await upload.finish()
    except Disconnected:
        upload.abort()
        raise S3Error("IncompleteBody") from None
    except BaseException:
        upload.abort()
        raise
    try:
        md5, found = promise.check(staged.size, trailers)
    except S3Error:
        await call.store.discard(staged)
        raise
    return Received(staged, staged.size, md5 if plain_etag else "", found)


async def read_all(call: Call, limit: int) -> bytes:
    """The raw body, for forms. Raises MaxMessageLengthExceeded."""
    try:
        return await call.request.body.read(limit)
    except BodyTooLarge:
        raise S3Error("MaxMessageLengthExceeded") from None
