"""CopyObject and UploadPartCopy. Bytes are shared, not moved, unless encryption changes them."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from urllib.parse import unquote

from bivouac.core.http1 import Response
from bivouac.objects import sealed
from bivouac.objects.store.errors import NoSuchContainer, NoSuchObject
from bivouac.objects.store.interface import (
    Container,
    CopySource,
    Kind,
    ObjectRecord,
    Piece,
    PutObject,
    Staged,
)
from bivouac.s3 import access, checksums, conditions, encryption, large, xml
from bivouac.s3.call import Call
from bivouac.s3.conditions import iso_millis
from bivouac.s3.documents import keys, tagging
from bivouac.s3.errors import S3Error
from bivouac.s3.operations.multipart import allow_parts, find, part_cipher, part_number, put_part, upload_algorithm
from bivouac.s3.operations.putting import Attributes, allow_put, attributes_of, new_key
from bivouac.s3.operations.reading import content, decrypted, parts_of, pieces_as_bytes
from bivouac.s3.receive import MAX_PUT_BYTES
from bivouac.s3.versions import headers_of, parse, version_id

PREFIX = "x-amz-copy-source-"


class Source:
    """The object that a request copies from."""

    def __init__(self, container: Container, record: ObjectRecord, key: bytes | None, named: bool) -> None:
        self.container, self.record, self.key, self.named = container, record, key, named

    @property
    def shareable(self) -> bool:
        """Whether its stored bytes are its bytes."""
        return self.key is None and self.record.kind is Kind.PLAIN


def parse_source(text: str) -> tuple[str, str, str | None]:
    """(bucket, key, version) of x-amz-copy-source. Raises InvalidArgument."""
    path, question, query = text.partition("?")
    version = query.removeprefix("versionId=") if question and query.startswith("versionId=") else None
    bucket, _, key = unquote(path, errors="strict").removeprefix("/").partition("/")
    if not bucket or not key or (question and version is None):
        raise S3Error(
            "InvalidArgument",
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            ArgumentName="x-amz-copy-source",
            ArgumentValue=text,
        )
    return bucket, key, version


async def find_source(call: Call) -> Source:
    """The source, readable by the caller and fulfilling the conditions. Raises S3Error."""
    headers = call.request.headers
    try:
        bucket, key, version_text = parse_source(headers["x-amz-copy-source"])
    except UnicodeDecodeError:
        raise S3Error("InvalidArgument", "The copy source is not UTF-8.") from None
    version, null = parse(version_text)
    try:
        container = await call.store.find_bucket(bucket)
    except NoSuchContainer:
        raise S3Error("NoSuchBucket", BucketName=bucket) from None
    expected = headers.get("x-amz-source-expected-bucket-owner")
    if expected is not None and expected != container.account:
        raise S3Error("AccessDenied", "The source bucket's owner is not the one that the request expects.")
    try:
        record = await call.store.get_object(container, key, version, null)
    except NoSuchObject:
        access.allow_bucket(call, "s3:ListBucket", "READ", container=container)
        raise S3Error("NoSuchVersion" if version_text else "NoSuchKey", Key=key) from None
    if record.kind is Kind.DELETE_MARKER:
        raise S3Error(
            "InvalidRequest",
            "The source of a copy request may not specifically refer to a delete marker by version id.",
        )
    action = "s3:GetObject" if version_text is None else "s3:GetObjectVersion"
    access.allow_object(call, action, "READ", record, container=container)
    if record.kind is not Kind.PLAIN:
        container, record = await large.resolve(call.store, container, record)
    conditions.check_read(headers, record.etag, record.modified, PREFIX, copying=True)
    customer = encryption.customer_key(headers, encryption.COPY_SOURCE)
    text = record.documents.get(sealed.DOCUMENT)
    if text is None:
        encryption.refuse_key(customer)
        return Source(container, record, None, version_text is not None)
    data_key = encryption.data_key(encryption.load(text), customer, call.door.masters)
    return Source(container, record, data_key, version_text is not None)


async def _plain(call: Call, source: Source, offset: int, length: int) -> AsyncIterator[bytes]:
    """The source's bytes, decrypted."""
    if source.key is not None:
        async for data in decrypted(call.store, source.record, source.key, offset, length):
            yield data
        return
    pieces: list[Piece]
    if source.record.kind is Kind.PLAIN:
        pieces = await content(call, source.record, offset, length)
    else:
        pieces = await large.pieces(call.store, source.container, source.record, offset, length)
    async for data in pieces_as_bytes(pieces):
        yield data


async def _rewritten(
    call: Call, source: Source, offset: int, length: int, stream: encryption.Stream | None, algorithm: str
) -> tuple[Staged, str, dict[str, str]]:
    """(bytes under their new encryption, plain MD5, checksums)"""
    md5 = hashlib.md5(usedforsecurity=False)
    summed = checksums.new(algorithm) if algorithm else None
    upload = call.store.upload(length)
    try:
        async for data in _plain(call, source, offset, length):
            md5.update(data)
            if summed is not None:
                summed.update(data)
            await upload.write(stream.update(data) if stream else data)
        staged = await upload.finish()
    except BaseException:
        upload.abort()
        raise
    return staged, md5.hexdigest(), {algorithm: checksums.encode(summed.digest())} if summed is not None else {}


def _directive(call: Call, name: str) -> bool:
    """Whether it says REPLACE. Raises InvalidArgument."""
    value = call.header(name, "COPY") or "COPY"
    if value not in ("COPY", "REPLACE"):
        raise S3Error("InvalidArgument", "Unknown directive.", ArgumentName=name, ArgumentValue=value)
    return value == "REPLACE"


async def copy_object(call: Call) -> Response:
    """CopyObject."""
    call.check_key()
    container = await call.load_bucket()
    replace_metadata, replace_tags = (
        _directive(call, "x-amz-metadata-directive"),
        _directive(call, "x-amz-tagging-directive"),
    )
    source = await find_source(call)
    record = source.record
    if record.size > MAX_PUT_BYTES:
        raise S3Error(
            "InvalidRequest",
            "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120",
        )
    tags = tagging.parse_header(call.header("x-amz-tagging")) if replace_tags else record.tags
    allow_put(call, container, tags)
    made = new_key(call, container)
    _check_itself(call, container, source, replace_metadata, made is not None)
    attributes = await attributes_of(call, container, tags)
    if not replace_metadata:
        attributes.content_type, attributes.metadata = record.content_type, record.metadata
        attributes.headers = {name: value for name, value in record.headers.items() if not name.startswith("x-")}
    wanted = call.header("x-amz-checksum-algorithm")
    algorithm = checksums.parse_algorithm(wanted) if wanted else ""
    return await _copy(call, container, source, attributes, made, algorithm)


def _check_itself(call: Call, container: Container, source: Source, replacing: bool, encrypting: bool) -> None:
    """A copy onto itself must change something. Raises InvalidRequest."""
    same = source.container.id == container.id and source.record.name == call.key and not source.named
    headers = call.request.headers
    changing = (
        replacing or encrypting or "x-amz-storage-class" in headers or "x-amz-website-redirect-location" in headers
    )
    if same and not changing:
        raise S3Error(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself "
            "without changing the object's metadata, storage class, website redirect location or encryption "
            "attributes.",
        )


async def _copy(
    call: Call,
    container: Container,
    source: Source,
    attributes: Attributes,
    made: tuple[encryption.Envelope, bytes] | None,
    algorithm: str,
) -> Response:
    record = source.record
    answer: list[tuple[str, str]] = []
    body: Staged | CopySource
    etag: str | None = None
    sums = {name: value for name, value in record.checksums.items() if "-" not in value[-7:]}
    if source.shareable and made is None and (not algorithm or algorithm in sums):
        body, etag = CopySource(record), record.etag
        if parts_of(record) and "-" in record.etag:
            attributes.documents[keys.PARTS] = record.documents[keys.PARTS]
            sums = record.checksums
    else:
        stream = encryption.Stream(made[1]) if made else None
        body, etag, found = await _rewritten(call, source, 0, record.size, stream, algorithm)
        sums = found or sums
        if made is not None:
            etag = encryption.etag_of(made[0], made[1], etag)
    if made is not None:
        attributes.documents[sealed.DOCUMENT] = encryption.dump(made[0])
        answer += encryption.headers_of(made[0]).items()
    stored = await call.store.put_object(
        PutObject(
            container=container,
            name=call.key,
            body=body,
            etag=etag,
            checksums=sums,
            conditions=conditions.for_write(call.request.headers),
            **attributes.fields(),
        )
    )
    answer += headers_of(container, stored.version, stored.null_version)
    if source.container.versioning.value != "off":
        answer.append(("x-amz-copy-source-version-id", version_id(record)))
    call.log_size, call.log_etag = stored.size, stored.etag
    call.log_version = "" if stored.null_version else str(stored.version)
    call.door.events.publish(call, "s3:ObjectCreated:Copy", call.key, stored.size, stored.etag, stored.version)
    inner = xml.leaf("LastModified", iso_millis(stored.version)) + xml.leaf("ETag", f'"{stored.etag}"')
    inner += "".join(xml.leaf("Checksum" + name, value) for name, value in sums.items())
    return call.xml("CopyObjectResult", inner, answer)


async def upload_part_or_copy(call: Call) -> Response:
    if "x-amz-copy-source" in call.request.headers:
        return await copy_part(call)
    return await put_part(call)


async def copy_part(call: Call) -> Response:
    """UploadPartCopy."""
    number = part_number(call)
    _, upload = await find(call)
    allow_parts(call, upload)
    source = await find_source(call)
    record = source.record
    offset, length = 0, record.size
    text = call.header("x-amz-copy-source-range")
    if text is not None:
        offset, length = conditions.parse_copy_range(text, record.size)
    cipher = part_cipher(call, upload)
    algorithm, _ = upload_algorithm(upload)
    if source.shareable and cipher is None and not algorithm:
        part = await call.store.put_part(upload, number, CopySource(record, offset, length))
        found: dict[str, str] = {}
    else:
        stream = cipher.stream() if cipher else None
        staged, md5, found = await _rewritten(call, source, offset, length, stream, algorithm)
        facts = found | ({"nonce": cipher.nonce} if cipher else {})
        part = await call.store.put_part(upload, number, staged, facts, cipher.etag(md5) if cipher else md5)
    headers = encryption.headers_of(cipher.envelope).items() if cipher else ()
    answer = list(headers)
    if source.container.versioning.value != "off":
        answer.append(("x-amz-copy-source-version-id", version_id(record)))
    inner = xml.leaf("LastModified", iso_millis(part.modified)) + xml.leaf("ETag", f'"{part.etag}"')
    inner += "".join(xml.leaf("Checksum" + name, value) for name, value in found.items())
    call.log_size, call.log_etag = part.size, part.etag
    return call.xml("CopyPartResult", inner, answer)
