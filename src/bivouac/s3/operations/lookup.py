"""Finding the version a request names, with the permission to touch it."""

from __future__ import annotations

from bivouac.objects.store.errors import NoSuchObject
from bivouac.objects.store.interface import Kind, ObjectRecord
from bivouac.s3 import access
from bivouac.s3.call import Call
from bivouac.s3.errors import S3Error
from bivouac.s3.versions import parse, version_id

_VERSIONED = {
    "s3:GetObject", "s3:GetObjectAcl", "s3:PutObjectAcl", "s3:GetObjectTagging", "s3:PutObjectTagging",
    "s3:DeleteObjectTagging", "s3:GetObjectAttributes",
}  # fmt: skip


def action_of(call: Call, action: str) -> str:
    """`s3:GetObject` becomes `s3:GetObjectVersion` when a version is named."""
    if "versionId" in call.request.query and action in _VERSIONED:
        verb, _, rest = action.partition("Object")
        return f"{verb}ObjectVersion{rest}"
    return action


async def find_version(call: Call, action: str, permission: str, key: str | None = None) -> ObjectRecord:
    """The current version, or the one of the query's versionId. Raises NoSuchKey, NoSuchVersion, MethodNotAllowed,
    AccessDenied."""
    key = call.key if key is None else key
    version, null = parse(call.request.query.get("versionId"))
    try:
        record = await call.store.get_object(call.container, key, version, null)
    except NoSuchObject:
        if not access.may_list(call):
            raise S3Error("AccessDenied") from None
        raise
    if record.kind is Kind.DELETE_MARKER:
        raise marker_refusal(record)
    access.allow_object(call, action_of(call, action), permission, record)
    return record


def marker_refusal(record: ObjectRecord) -> S3Error:
    headers = {"x-amz-delete-marker": "true", "x-amz-version-id": version_id(record), "allow": "DELETE"}
    return S3Error("MethodNotAllowed", headers=headers, Method="GET", ResourceType="DeleteMarker")
