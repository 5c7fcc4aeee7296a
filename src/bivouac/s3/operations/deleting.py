"""DeleteObject and DeleteObjects."""

from __future__ import annotations

from bivouac.core.http1 import Response
from bivouac.objects.store.errors import NoSuchObject, PreconditionFailed, StoreError
from bivouac.objects.store.interface import Conditions, Container, Deleted, DeleteObject, ObjectRecord, Versioning
from bivouac.s3 import access, conditions, xml
from bivouac.s3.call import Call
from bivouac.s3.documents import keys
from bivouac.s3.errors import S3Error
from bivouac.s3.refusals import refusal
from bivouac.s3.versions import NULL, parse

MOST = 1000


async def _record(call: Call, key: str, version: int | None, null: bool) -> ObjectRecord | None:
    try:
        return await call.store.get_object(call.container, key, version, null)
    except NoSuchObject:
        return None


async def _allow(call: Call, key: str, version: int | None, null: bool) -> None:
    """Deleting needs WRITE on the bucket. A policy may look at the object's tags."""
    action = "s3:DeleteObjectVersion" if version is not None or null else "s3:DeleteObject"
    extra = None
    if keys.POLICY in call.container.documents:
        record = await _record(call, key, version, null)
        if record is not None:
            extra = {"s3:existingobjecttag/" + tag.lower(): [value] for tag, value in record.tags.items()}
    access.allow_bucket(call, action, "WRITE", key=key, extra=extra)


def bypasses(call: Call) -> bool:
    """Whether GOVERNANCE retention is to be overridden, by somebody who may."""
    if (call.header("x-amz-bypass-governance-retention") or "").lower() != "true":
        return False
    access.allow_bucket(call, "s3:BypassGovernanceRetention", key=call.key or None)
    return True


async def _has_current(call: Call, key: str, wanted: Conditions) -> bool:
    """Whether there is something to hold the conditions against; a delete marker never fits an ETag, a size, a time.

    Raises PreconditionFailed.
    """
    try:
        await call.store.get_object(call.container, key)
    except NoSuchObject as missing:
        marker = missing.marker
        if marker is None:
            return False
        seconds = marker.modified // 1_000_000
        if (
            (wanted.if_match is not None and "*" not in wanted.if_match)
            or wanted.if_size not in (None, 0)
            or wanted.if_modified not in (None, seconds)
        ):
            raise S3Error("PreconditionFailed") from None
        return False
    return True


async def _delete(call: Call, key: str, version_text: str | None, wanted: Conditions | None, bypass: bool) -> Deleted:
    version, null = parse(version_text)
    await _allow(call, key, version, null)
    if wanted is not None and version is None and not null and not await _has_current(call, key, wanted):
        return Deleted(found=False)
    delete = DeleteObject(
        call.container, key, version, null, wanted, bypass, owner=call.project or call.container.account
    )
    try:
        deleted = await call.store.delete_object(delete)
    except PreconditionFailed as failed:
        if failed.current is not None:
            raise
        return Deleted(found=False)  # nothing there is nothing to hold a condition against
    made_marker = version is None and not null and deleted.marker is not None
    event = "s3:ObjectRemoved:DeleteMarkerCreated" if made_marker else "s3:ObjectRemoved:Delete"
    call.door.events.publish(call, event, key, 0, "", deleted.marker if made_marker else version)
    return deleted


async def delete(call: Call) -> Response:
    """DeleteObject: 204 whether or not there was anything."""
    container = await call.load_bucket()
    headers = call.request.headers
    wanted = conditions.for_delete(
        headers.get("if-match"), headers.get("x-amz-if-match-size"), headers.get("x-amz-if-match-last-modified-time")
    )
    text = call.request.query.get("versionId")
    deleted = await _delete(call, call.key, text, wanted, bypasses(call))
    call.log_version = text or ""
    return call.empty(204, _headers(container, deleted, text))


def _headers(container: Container, deleted: Deleted, asked: str | None) -> list[tuple[str, str]]:
    found = []
    if deleted.marker is not None:
        found.append(("x-amz-delete-marker", "true"))
    which = _which(container, deleted, asked)
    if which:
        found.append(("x-amz-version-id", which))
    return found


def _which(container: Container, deleted: Deleted, asked: str | None) -> str:
    """The version id that the answer names."""
    if asked is not None:
        return asked
    if deleted.marker is not None and container.versioning is not Versioning.OFF:
        return NULL if deleted.null_version else str(deleted.marker)
    return ""


async def delete_many(call: Call) -> Response:
    """DeleteObjects: up to a thousand, each with a result of its own."""
    await call.load_bucket()
    body = await call.document(2 << 20)
    headers = call.request.headers
    if not body:
        raise S3Error("MissingRequestBodyError")
    try:
        tree = xml.parse(body, "Delete", max_bytes=2 << 20)
    except xml.XmlError as error:
        raise S3Error("MalformedXML", str(error)) from None
    objects = tree.all("Object")
    if not objects or len(objects) > MOST or any(node.child("Key") is None for node in objects):
        raise S3Error("MalformedXML")
    call.authorised = True
    quiet = (tree.value("Quiet", "") or "").lower() == "true"
    bypass = (headers.get("x-amz-bypass-governance-retention") or "").lower() == "true" and bypasses(call)
    inner = "".join([await _delete_one(call, node, quiet, bypass) for node in objects])
    return call.xml("DeleteResult", inner)


async def _delete_one(call: Call, node: xml.Element, quiet: bool, bypass: bool) -> str:
    """The result of one object, as XML."""
    key_node = node.child("Key")
    key = key_node.text if key_node is not None else ""
    version = node.value("VersionId") or None
    which = xml.leaf("Key", key) + xml.optional("VersionId", version)
    call.request.query.pop("versionId", None)
    try:
        wanted = conditions.for_delete(node.value("ETag"), node.value("Size"), node.value("LastModifiedTime"))
        deleted = await _delete(call, key, version, wanted, bypass)
    except PreconditionFailed as error:
        refused = refusal(error, call)
        refused.elements["Key"] = key
    except StoreError as error:
        refused = refusal(error, call)
    except S3Error as error:
        refused = error
    else:
        await call.door.logs.record_delete(call, key, version, 204)
        if quiet:
            return ""
        if deleted.marker is not None:
            which += xml.leaf("DeleteMarker", True)
            made = version if version is not None else NULL if deleted.null_version else str(deleted.marker)
            which += xml.leaf("DeleteMarkerVersionId", made)
        return f"<Deleted>{which}</Deleted>"
    await call.door.logs.record_delete(call, key, version, refused.status)
    return f"<Error>{which}{xml.leaf('Code', refused.code)}{xml.leaf('Message', refused.message)}</Error>"
