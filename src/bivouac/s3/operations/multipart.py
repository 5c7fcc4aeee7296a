"""Multipart uploads: begin, send a part, complete, abort."""

from __future__ import annotations

from msgspec import Struct

from bivouac.core.http1 import Response
from bivouac.objects import sealed
from bivouac.objects.store.errors import NoSuchObject, NoSuchUpload
from bivouac.objects.store.interface import CompleteMultipart, Container, CreateMultipart, Multipart, Part
from bivouac.s3 import access, checksums, conditions, encryption, xml
from bivouac.s3.call import Call
from bivouac.s3.documents import keys, tagging
from bivouac.s3.errors import S3Error
from bivouac.s3.operations.putting import allow_put, attributes_of, new_key
from bivouac.s3.operations.reading import expiration_header
from bivouac.s3.receive import receive
from bivouac.s3.versions import headers_of

MIN_PART_BYTES = 5 << 20
MAX_PART = 10_000
MAX_PART_BYTES = 5 << 30
UPLOAD_ID = "s3:upload-id"
"""At a finished object: of which upload it was made, so that completing again answers the same."""


def allow_parts(call: Call, upload: Multipart) -> None:
    """Whoever may put the object may send its parts."""
    access.allow_bucket(call, "s3:PutObject", "WRITE", key=upload.name)


async def find(call: Call) -> tuple[Container, Multipart]:
    """The bucket and the upload. Raises NoSuchUpload."""
    container = await call.load_bucket()
    upload = await call.store.get_multipart(container, call.key, call.request.query.get("uploadId", ""))
    return container, upload


async def create(call: Call) -> Response:
    """CreateMultipartUpload."""
    call.check_key()
    container = await call.load_bucket()
    tags = tagging.parse_header(call.request.headers.get("x-amz-tagging"))
    allow_put(call, container, tags)
    attributes = await attributes_of(call, container, tags)
    made = new_key(call, container)
    answer: list[tuple[str, str]] = []
    if made is not None:
        attributes.documents[sealed.DOCUMENT] = encryption.dump(made[0])
        answer += encryption.headers_of(made[0]).items()
    algorithm = call.header("x-amz-checksum-algorithm")
    if algorithm is not None:
        algorithm = checksums.parse_algorithm(algorithm)
        kind = checksums.parse_type(call.header("x-amz-checksum-type"), algorithm)
        attributes.documents[keys.CHECKSUM] = f"{algorithm} {kind}"
        answer += [("x-amz-checksum-algorithm", algorithm), ("x-amz-checksum-type", kind)]
    elif call.header("x-amz-checksum-type"):
        raise S3Error(
            "InvalidRequest",
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
        )
    upload = await call.store.create_multipart(
        CreateMultipart(container=container, name=call.key, **attributes.fields())
    )
    inner = xml.leaf("Bucket", call.bucket) + xml.leaf("Key", call.key) + xml.leaf("UploadId", upload.id)
    return call.xml("InitiateMultipartUploadResult", inner, answer)


def part_number(call: Call) -> int:
    """Raises InvalidArgument."""
    text = call.request.query.get("partNumber", "")
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_PART:
        raise S3Error(
            "InvalidArgument",
            "Part number must be an integer between 1 and 10000, inclusive",
            ArgumentName="partNumber",
            ArgumentValue=text,
        )
    return int(text)


def upload_algorithm(upload: Multipart) -> tuple[str, str]:
    """(algorithm, type) of the upload's checksum, or ("", "")."""
    algorithm, _, kind = upload.documents.get(keys.CHECKSUM, "").partition(" ")
    return algorithm, kind


class PartCipher(Struct):
    """How a part of an encrypted upload is written."""

    envelope: encryption.Envelope
    key: bytes
    nonce: str

    def stream(self) -> encryption.Stream:
        return encryption.Stream(self.key, self.nonce)

    def etag(self, md5: str) -> str:
        return encryption.etag_of(self.envelope, self.key, md5)


def part_cipher(call: Call, upload: Multipart) -> PartCipher | None:
    """For a part of an upload that is encrypted. Raises S3Error without the key that it was begun with."""
    text = upload.documents.get(sealed.DOCUMENT)
    customer = encryption.customer_key(call.request.headers)
    if text is None:
        encryption.refuse_key(customer)
        return None
    envelope = encryption.load(text)
    return PartCipher(envelope, encryption.data_key(envelope, customer, call.door.masters), encryption.new_nonce())


async def put_part(call: Call) -> Response:
    """UploadPart."""
    number = part_number(call)
    _, upload = await find(call)
    allow_parts(call, upload)
    cipher = part_cipher(call, upload)
    algorithm, _ = upload_algorithm(upload)
    received = await receive(
        call,
        algorithm=algorithm,
        stream=cipher.stream() if cipher else None,
        plain_etag=cipher is not None,
        limit=MAX_PART_BYTES,
    )
    facts = dict(received.checksums)
    if cipher:
        facts["nonce"] = cipher.nonce
    etag = cipher.etag(received.md5) if cipher else None
    part = await call.store.put_part(upload, number, received.body, facts, etag)
    call.log_size, call.log_etag = part.size, part.etag
    return part_done(part, received.checksums, cipher.envelope if cipher else None)


def part_done(part: Part, found: dict[str, str], envelope: encryption.Envelope | None) -> Response:
    headers = [("etag", f'"{part.etag}"')]
    headers += [(checksums.PREFIX + name.lower(), value) for name, value in found.items()]
    if envelope is not None:
        headers += encryption.headers_of(envelope).items()
    return Response(200, headers)


class _Named(Struct):
    """A part as the client's list names it."""

    number: int
    etag: str
    checksums: dict[str, str]


def _parse(body: bytes) -> list[_Named]:
    """The parts of a CompleteMultipartUpload. Raises MalformedXML, InvalidPartOrder."""
    try:
        tree = xml.parse(body, "CompleteMultipartUpload")
    except xml.XmlError as error:
        raise S3Error("MalformedXML", str(error)) from None
    found: list[_Named] = []
    for node in tree.all("Part"):
        number, etag = node.value("PartNumber", ""), node.value("ETag", "")
        if not number or not number.isascii() or not number.isdigit() or not etag:
            raise S3Error("MalformedXML")
        values = {name: text for name in checksums.ALGORITHMS if (text := node.value("Checksum" + name))}
        found.append(_Named(int(number), etag.strip('"'), values))
    if not found or len(found) > MAX_PART:
        raise S3Error("MalformedXML")
    if any(one.number > after.number for one, after in zip(found, found[1:], strict=False)):
        raise S3Error("InvalidPartOrder")
    return list({one.number: one for one in found}.values())


async def _held_parts(call: Call, upload: Multipart) -> dict[int, Part]:
    held: dict[int, Part] = {}
    after = 0
    while page := await call.store.list_parts(upload, after, 1000):
        held |= {part.number: part for part in page}
        after = page[-1].number
    return held


async def _checksum(call: Call, upload: Multipart, named: list[_Named]) -> dict[str, str]:
    """The whole's checksum, from those of its parts. Raises InvalidPart, BadDigest, InvalidRequest."""
    algorithm, kind = upload_algorithm(upload)
    if not algorithm and not any(one.checksums for one in named):
        return {}
    held = await _held_parts(call, upload)
    parts = []
    for one in named:
        part = held.get(one.number)
        if part is None or part.etag != one.etag:
            raise S3Error("InvalidPart", PartNumber=str(one.number))
        for name, value in one.checksums.items():
            if name in part.checksums and part.checksums[name] != value:
                raise S3Error(
                    "InvalidPart", "A part's checksum is not the one it was uploaded with.", PartNumber=str(one.number)
                )
        parts.append(part)
    if not algorithm:
        return {}
    texts = [part.checksums.get(algorithm, "") for part in parts]
    if kind == checksums.COMPOSITE:
        whole = checksums.composite(algorithm, texts)
    else:
        whole = checksums.combine(algorithm, [(text, part.size) for text, part in zip(texts, parts, strict=True)])
    wanted = call.header(checksums.PREFIX + algorithm.lower())
    if whole is not None and wanted is not None and wanted not in (whole, whole.partition("-")[0]):
        raise checksums.mismatch(algorithm)
    return {} if whole is None else {algorithm: whole}


async def complete(call: Call) -> Response:
    """CompleteMultipartUpload. Done again, it answers as before while the object is the one it made."""
    container = await call.load_bucket()
    upload_id = call.request.query.get("uploadId", "")
    named = _parse(await call.document(8 << 20, of_body=False))
    try:
        upload = await call.store.get_multipart(container, call.key, upload_id)
    except NoSuchUpload:
        return await _completed_before(call, container, upload_id)
    allow_parts(call, upload)
    part_cipher(call, upload)
    size = call.header("x-amz-mp-object-size")
    whole = await _checksum(call, upload, named)
    stored = await call.store.complete_multipart(
        CompleteMultipart(
            upload=upload,
            container=container,
            parts=tuple((one.number, one.etag) for one in named),
            minimum=MIN_PART_BYTES,
            checksums=whole,
            documents={UPLOAD_ID: upload.id},
            size=int(size) if size and size.isdigit() else None,
            conditions=conditions.for_write(call.request.headers),
        )
    )
    headers = headers_of(container, stored.version, stored.null_version)
    text = upload.documents.get(sealed.DOCUMENT)
    if text is not None:
        headers += encryption.headers_of(encryption.load(text)).items()
    headers += expiration_header(call, call.key, stored.size, upload.tags, stored.version)
    call.log_size, call.log_etag = stored.size, stored.etag
    call.log_version = "" if stored.null_version else str(stored.version)
    event = "s3:ObjectCreated:CompleteMultipartUpload"
    call.door.events.publish(call, event, call.key, stored.size, stored.etag, stored.version)
    return _result(call, stored.etag, whole, headers)


def _result(call: Call, etag: str, whole: dict[str, str], headers: list[tuple[str, str]]) -> Response:
    inner = xml.leaf("Location", f"/{call.bucket}/{call.key}") + xml.leaf("Bucket", call.bucket)
    inner += xml.leaf("Key", call.key) + xml.leaf("ETag", f'"{etag}"')
    for algorithm, value in whole.items():
        inner += xml.leaf("Checksum" + algorithm, value)
        kind = checksums.COMPOSITE if "-" in value[-7:] else checksums.FULL_OBJECT
        inner += xml.leaf("ChecksumType", kind)
    return call.xml("CompleteMultipartUploadResult", inner, headers)


async def _completed_before(call: Call, container: Container, upload_id: str) -> Response:
    access.allow_bucket(call, "s3:PutObject", "WRITE", key=call.key)
    try:
        record = await call.store.get_object(container, call.key)
    except NoSuchObject:
        raise S3Error("NoSuchUpload", UploadId=upload_id) from None
    if record.documents.get(UPLOAD_ID) != upload_id:
        raise S3Error("NoSuchUpload", UploadId=upload_id)
    headers = headers_of(container, record.version, record.null_version)
    return _result(call, record.etag, record.checksums, headers)


async def abort(call: Call) -> Response:
    """AbortMultipartUpload."""
    _, upload = await find(call)
    access.allow_bucket(call, "s3:AbortMultipartUpload", "WRITE", key=upload.name)
    await call.store.abort_multipart(upload)
    return call.empty(204)
