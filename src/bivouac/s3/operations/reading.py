"""GetObject and HeadObject: conditions, ranges, parts, decryption, and the headers an object has."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import msgspec

from bivouac.core.http1 import Response
from bivouac.objects import sealed
from bivouac.objects.store.errors import NoSuchObject
from bivouac.objects.store.interface import Kind, ObjectRecord, Piece, Store, Versioning
from bivouac.s3 import access, checksums, conditions, encryption, large
from bivouac.s3.call import Call
from bivouac.s3.documents import keys, lifecycle, object_lock
from bivouac.s3.errors import S3Error
from bivouac.s3.header_text import as_sent
from bivouac.s3.operations.lookup import action_of, find_version, marker_refusal
from bivouac.s3.versions import version_id

OVERRIDES = {
    "response-content-type": "content-type",
    "response-content-language": "content-language",
    "response-expires": "expires",
    "response-cache-control": "cache-control",
    "response-content-disposition": "content-disposition",
    "response-content-encoding": "content-encoding",
}
STEP = 1 << 20
_NO_BODY = b""
_MAKE_LIVE = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")


def parts_of(record: ObjectRecord) -> list[tuple[int, int, dict[str, str]]]:
    """[(number, size, checksums)] of a multipart object; empty for others."""
    text = record.documents.get(keys.PARTS)
    return msgspec.json.decode(text, type=list[tuple[int, int, dict[str, str]]]) if text else []


def object_headers(call: Call, record: ObjectRecord) -> list[tuple[str, str]]:
    """What GET and HEAD tell about a version."""
    seconds = record.modified // 1_000_000
    headers = [
        ("content-type", as_sent(record.content_type) or "binary/octet-stream"),
        ("etag", f'"{record.etag}"'),
        ("last-modified", conditions.http_date(seconds)),
        ("accept-ranges", "bytes"),
    ]
    headers += [("x-amz-meta-" + name, as_sent(value)) for name, value in record.metadata.items()]
    if record.headers:
        headers += [(name, as_sent(value)) for name, value in record.headers.items() if not name.startswith("x-")]
    if record.tags:
        headers.append(("x-amz-tagging-count", str(len(record.tags))))
    if record.lock:
        headers += object_lock.to_headers(record.lock).items()
    if record.documents:
        headers += _document_headers(record.documents)
    if call.container.versioning is not Versioning.OFF:
        headers.append(("x-amz-version-id", version_id(record)))
    if record.current and keys.LIFECYCLE in call.container.documents:
        headers += expiration_header(call, record.name, record.size, record.tags, record.version)
    return headers


def _document_headers(documents: dict[str, str]) -> list[tuple[str, str]]:
    headers = []
    if keys.STORAGE_CLASS in documents:
        headers.append(("x-amz-storage-class", documents[keys.STORAGE_CLASS]))
    if keys.REDIRECT in documents:
        headers.append(("x-amz-website-redirect-location", documents[keys.REDIRECT]))
    if sealed.DOCUMENT in documents:
        headers += encryption.headers_of(encryption.load(documents[sealed.DOCUMENT])).items()
    return headers


def expiration_header(call: Call, name: str, size: int, tags: dict[str, str], version: int) -> list[tuple[str, str]]:
    """x-amz-expiration, if a lifecycle rule will remove the object."""
    text = call.container.documents.get(keys.LIFECYCLE)
    if text is None:
        return []
    found = lifecycle.expiration(lifecycle.load(text).rules, name, size, tags, version / 1_000_000)
    if found is None:
        return []
    return [("x-amz-expiration", f'expiry-date="{conditions.http_date(found[0])}", rule-id="{found[1]}"')]


def checksum_headers(record: ObjectRecord) -> list[tuple[str, str]]:
    """x-amz-checksum-..., for a client that asks with x-amz-checksum-mode."""
    headers = []
    for algorithm, value in record.checksums.items():
        headers.append((checksums.PREFIX + algorithm.lower(), value))
        kind = checksums.COMPOSITE if "-" in value[-7:] else checksums.FULL_OBJECT
        headers.append(("x-amz-checksum-type", kind))
    return headers


async def _find(call: Call) -> tuple[ObjectRecord, bytes | None]:
    """The record, with its bytes if they are small and at hand."""
    if "versionId" in call.request.query or call.request.method == "HEAD":
        return await find_version(call, "s3:GetObject", "READ"), None
    try:
        record, data = await call.store.get_with_data(call.container, call.key)
    except NoSuchObject:
        if not access.may_list(call):
            raise S3Error("AccessDenied") from None
        raise
    if record.kind is Kind.DELETE_MARKER:
        raise marker_refusal(record)
    access.allow_object(call, action_of(call, "s3:GetObject"), "READ", record)
    return record, data


async def get(call: Call) -> Response:
    """GetObject, and HeadObject, which is the same without the bytes."""
    await call.load_bucket()
    record, data = await _find(call)
    if "x-amz-server-side-encryption" in call.request.headers:
        raise S3Error("InvalidArgument", "x-amz-server-side-encryption header is not supported for this operation.")
    if record.kind is not Kind.PLAIN and record.kind is not Kind.STATIC_LARGE:
        call.container, record = await large.resolve(call.store, call.container, record)
        data = None
    elif record.kind is Kind.STATIC_LARGE:
        data = None
    call.log_size, call.log_version = record.size, version_id(record) if record.version else ""
    request = call.request
    headers = request.headers
    for name in _MAKE_LIVE:
        if name in headers:
            conditions.check_read(headers, record.etag, record.modified)
            break
    answer = object_headers(call, record)
    customer = encryption.customer_key(headers)
    key = _data_key(call, record, customer)
    status, offset, length = 200, 0, record.size
    if "partNumber" in request.query:
        status, offset, length, more = _part(call, record)
        answer += more
    elif "range" in headers and (found := conditions.parse_range(headers["range"], record.size)) is not None:
        status, (offset, length) = 206, found
    if status == 206:
        answer.append(("content-range", f"bytes {offset}-{offset + length - 1}/{record.size}"))
    elif headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        answer += checksum_headers(record)
    if any(name.startswith("response-") for name in request.query):
        answer = _overridden(call, answer)
    if request.method == "HEAD":
        return Response(status, answer, _NO_BODY, length)
    if key is not None:
        return Response(status, answer, decrypted(call.store, record, key, offset, length), length)
    if data is not None:
        return Response(status, answer, data if length == len(data) else data[offset : offset + length])
    return Response(status, answer, await content(call, record, offset, length), length)


def _data_key(call: Call, record: ObjectRecord, customer: encryption.CustomerKey | None) -> bytes | None:
    text = record.documents.get(sealed.DOCUMENT)
    if text is None:
        encryption.refuse_key(customer)
        return None
    return encryption.data_key(encryption.load(text), customer, call.door.masters)


def _part(call: Call, record: ObjectRecord) -> tuple[int, int, int, list[tuple[str, str]]]:
    """(status, offset, length, headers) of one part. Raises InvalidPartNumber."""
    number = call.request.integer("partNumber", 0, 1, 10_000)
    if "range" in call.request.headers:
        raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    parts = parts_of(record)
    if not parts:
        if number != 1:
            raise S3Error("InvalidPart", "The requested partnumber is not satisfiable", PartNumberRequested=str(number))
        return (206 if record.size else 200), 0, record.size, []
    if number > len(parts):
        raise S3Error(
            "InvalidPart",
            "The requested partnumber is not satisfiable",
            PartNumberRequested=str(number),
            ActualPartCount=str(len(parts)),
        )
    offset = sum(part[1] for part in parts[: number - 1])
    _, length, facts = parts[number - 1]
    more = [("x-amz-mp-parts-count", str(len(parts)))]
    if call.request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        more += [(checksums.PREFIX + name.lower(), facts[name]) for name in checksums.ALGORITHMS if name in facts]
        more += [one for one in checksum_headers(record) if one[0] == "x-amz-checksum-type"]
    return 206, offset, length, more


def _overridden(call: Call, answer: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """response-... parameters replace headers, for those who signed. Raises InvalidRequest."""
    wanted = {OVERRIDES[name]: value for name, value in call.request.query.items() if name in OVERRIDES}
    if wanted and not call.project:
        raise S3Error("InvalidRequest", "Request specific response headers cannot be used for anonymous GET requests.")
    for value in wanted.values():
        if any(ord(character) < 32 for character in value):
            raise S3Error("InvalidArgument", "A response header cannot hold control characters.")
    return [one for one in answer if one[0] not in wanted] + list(wanted.items())


async def content(call: Call, record: ObjectRecord, offset: int, length: int) -> list[Piece]:
    """The bytes as pieces, also those of Swift's large objects."""
    if record.kind is not Kind.PLAIN:
        return await large.pieces(call.store, call.container, record, offset, length)
    if length == 0:
        return []
    return await call.store.read(record, offset, length)


async def decrypted(store: Store, record: ObjectRecord, key: bytes, offset: int, length: int) -> AsyncIterator[bytes]:
    """The plain bytes of an encrypted object, part by part."""
    parts = parts_of(record) or [(0, record.size, {})]
    start = 0
    for _, size, facts in parts:
        first, last = max(offset - start, 0), min(offset + length - start, size)
        if first < last:
            stream = encryption.Stream(key, facts.get("nonce", ""), first)
            async for data in pieces_as_bytes(await store.read(record, start + first, last - first)):
                yield stream.update(data)
        start += size


async def pieces_as_bytes(pieces: list[Piece]) -> AsyncIterator[bytes]:
    """The bytes of pieces, a step at a time, without holding the event loop for long."""
    loop = asyncio.get_running_loop()
    for piece in pieces:
        if isinstance(piece, bytes):
            for at in range(0, len(piece), STEP):
                yield piece[at : at + STEP] if len(piece) > STEP else piece
            continue
        with piece:
            at, end = piece.offset, piece.offset + piece.length
            while at < end:
                data = await loop.run_in_executor(None, os.pread, piece.fd, min(STEP, end - at), at)
                if not data:
                    raise S3Error("InternalError", "An object's file is shorter than recorded.")
                at += len(data)
                yield data
