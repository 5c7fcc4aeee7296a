"""PutObject: everything a new object carries, and its bytes."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from bivouac.core.http1 import Response
from bivouac.objects import sealed
from bivouac.objects.store.interface import Container, Lock, PutObject, Staged, Stored
from bivouac.s3 import access, checksums, conditions, encryption
from bivouac.s3.call import Call
from bivouac.s3.documents import acl as acls
from bivouac.s3.documents import keys, object_lock, tagging
from bivouac.s3.errors import S3Error
from bivouac.s3.header_text import text_of
from bivouac.s3.operations.access_lists import acl_of_headers, check_acl
from bivouac.s3.operations.reading import expiration_header
from bivouac.s3.receive import Received, receive
from bivouac.s3.versions import headers_of

KEPT_HEADERS = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")
STORAGE_CLASSES = frozenset(
    [
        "STANDARD",
        "REDUCED_REDUNDANCY",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER",
        "GLACIER_IR",
        "DEEP_ARCHIVE",
    ]
)
MAX_METADATA_BYTES = 2048
META = "x-amz-meta-"


class Attributes(Struct):
    """What the headers of a PUT, a copy or a multipart upload say about the new object."""

    content_type: str
    metadata: dict[str, str]
    headers: dict[str, str]
    tags: dict[str, str]
    documents: dict[str, str]
    lock: Lock | None
    owner: str

    def fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__struct_fields__}


def metadata_of(headers: dict[str, str]) -> dict[str, str]:
    """x-amz-meta-... Raises MetadataTooLarge."""
    found = {name[11:]: text_of(value) for name, value in headers.items() if name.startswith(META)}
    if found and sum(len(name) + len(value.encode()) for name, value in found.items()) > MAX_METADATA_BYTES:
        raise S3Error("MetadataTooLarge", MaxSizeAllowed=str(MAX_METADATA_BYTES))
    return found


def kept_headers(headers: dict[str, str]) -> dict[str, str]:
    """The standard headers that come back with the object; aws-chunked is a coding of the transfer only."""
    found = {name: text_of(headers[name]) for name in KEPT_HEADERS if name in headers}
    if "content-encoding" in found:
        codings = [one.strip() for one in found["content-encoding"].split(",") if one.strip().lower() != "aws-chunked"]
        found["content-encoding"] = ", ".join(codings)
        if not codings:
            del found["content-encoding"]
    return found


async def attributes_of(call: Call, container: Container, tags: dict[str, str] | None = None) -> Attributes:
    """Read the headers; check tags, ACL, lock and storage class. Raises S3Error."""
    headers = call.request.headers
    documents: dict[str, str] = {}
    storage_class = headers.get("x-amz-storage-class")
    if storage_class is not None and storage_class != "STANDARD":
        if storage_class not in STORAGE_CLASSES:
            raise S3Error("InvalidStorageClass", StorageClassRequested=storage_class)
        documents[keys.STORAGE_CLASS] = storage_class
    redirect = headers.get("x-amz-website-redirect-location")
    if redirect is not None:
        if not redirect.startswith(("/", "http://", "https://")):
            raise S3Error(
                "InvalidArgument", "The website redirect location must have a prefix of 'http://' or 'https://' or '/'."
            )
        documents[keys.REDIRECT] = redirect
    owner = await owner_and_acl(call, container, documents)
    if tags is None:
        tags = tagging.parse_header(headers.get("x-amz-tagging"))
    return Attributes(
        content_type=text_of(headers.get("content-type") or "binary/octet-stream"),
        metadata=metadata_of(headers),
        headers=kept_headers(headers),
        tags=tags,
        documents=documents,
        lock=lock_of(call, container),
        owner=owner,
    )


async def owner_and_acl(call: Call, container: Container, documents: dict[str, str], canned: str | None = None) -> str:
    """The new object's owner; puts its ACL among the documents. Raises S3Error."""
    owner, name = call.project or container.account, call.name
    ownership = access.ownership(container)
    acl = await acl_of_headers(call, owner, name, container, canned)
    if ownership == "BucketOwnerEnforced":
        wanted = canned or call.header("x-amz-acl")
        if acl is not None and wanted != "bucket-owner-full-control":
            raise S3Error("AccessControlListNotSupported")
        return container.account
    if ownership == "BucketOwnerPreferred" and (canned or call.header("x-amz-acl")) == "bucket-owner-full-control":
        return container.account
    if acl is not None:
        check_acl(container, acl)
        if acl != acls.private(owner, name):
            documents[keys.ACL] = acls.dump(acl)
    return owner


def lock_of(call: Call, container: Container) -> Lock | None:
    """Retention and legal hold of a new version, by its headers or the bucket's default. Raises InvalidRequest."""
    text = container.documents.get(keys.OBJECT_LOCK)
    lock = object_lock.from_headers(call.request.headers, call.now)
    if text is None:
        if lock is not None:
            raise S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration")
        return None
    if lock is not None and lock.mode:
        return lock
    default = object_lock.default_lock(object_lock.load(text), call.now)
    if lock is not None and default is not None:
        return Lock(default.mode, default.retain_until, lock.legal_hold)
    return lock or default


def allow_put(call: Call, container: Container, tags: dict[str, str], key: str = "") -> None:
    """PutObject, and what else the headers ask for. Raises AccessDenied."""
    headers, key = call.request.headers, key or call.key
    extra = access.request_tags(tags) if tags else None
    access.allow_bucket(call, "s3:PutObject", "WRITE", key=key, container=container, extra=extra)
    if keys.POLICY not in container.documents:
        return
    denied = access.policy.Verdict.DENY
    asked = []
    if "x-amz-acl" in headers or any(name in headers for name in acls.HEADERS):
        asked.append("s3:PutObjectAcl")
    if tags:
        asked.append("s3:PutObjectTagging")
    for action in asked:
        if access.policy_verdict(call, container, action, key, None, extra) is denied:
            raise S3Error("AccessDenied", f"The bucket's policy denies {action}.")


def new_key(call: Call, container: Container) -> tuple[encryption.Envelope, bytes] | None:
    """Envelope and data key of a new object, if its headers or its bucket ask for encryption. Raises S3Error."""
    headers = call.request.headers
    algorithm = encryption.requested(headers, container.documents.get(keys.ENCRYPTION))
    return encryption.new_envelope(algorithm, encryption.customer_key(headers), call.door.masters)


async def put_or_copy(call: Call) -> Response:
    """A PUT with x-amz-copy-source is a copy."""
    if "x-amz-copy-source" in call.request.headers:
        from bivouac.s3.operations.copying import copy_object

        return await copy_object(call)
    return await put(call)


async def put(call: Call) -> Response:
    """PutObject."""
    call.check_key()
    container = await call.load_bucket()
    tags = tagging.parse_header(call.request.headers.get("x-amz-tagging"))
    allow_put(call, container, tags)
    attributes = await attributes_of(call, container, tags)
    made = new_key(call, container)
    conditional = conditions.for_write(call.request.headers)
    stream = encryption.Stream(made[1]) if made else None
    received = await receive(call, stream=stream, plain_etag=made is not None)
    answer: list[tuple[str, str]] = []
    if made is not None:
        attributes.documents[sealed.DOCUMENT] = encryption.dump(made[0])
        answer += encryption.headers_of(made[0]).items()
    new = PutObject(
        container=container,
        name=call.key,
        body=received.body,
        etag=encryption.etag_of(*made, received.md5) if made else None,
        checksums=received.checksums,
        conditions=conditional,
        **attributes.fields(),
    )
    stored = await call.store.put_object(new)
    return done(call, container, stored, received, tags, answer, "s3:ObjectCreated:Put")


def done(
    call: Call,
    container: Container,
    stored: Stored,
    received: Received,
    tags: dict[str, str],
    answer: list[tuple[str, str]],
    event: str,
) -> Response:
    """The answer to a PUT that is durable now."""
    headers = [("etag", f'"{stored.etag}"'), *headers_of(container, stored.version, stored.null_version), *answer]
    for algorithm, value in received.checksums.items():
        headers.append((checksums.PREFIX + algorithm.lower(), value))
        headers.append(("x-amz-checksum-type", checksums.FULL_OBJECT))
    if keys.LIFECYCLE in container.documents:
        headers += expiration_header(call, call.key, stored.size, tags, stored.version)
    call.log_size, call.log_etag = stored.size, stored.etag
    call.log_version = "" if stored.null_version else str(stored.version)
    call.door.events.publish(call, event, call.key, stored.size, stored.etag, stored.version)
    return Response(200, headers)


async def drop(call: Call, received: Received) -> None:
    """Staged bytes that no object will have."""
    if isinstance(received.body, Staged):
        await call.store.discard(received.body)
