"""What the store refuses, in S3's words: one table."""

from __future__ import annotations

from bivouac.objects.store import errors
from bivouac.objects.store.interface import ObjectRecord
from bivouac.s3.call import Call
from bivouac.s3.errors import S3Error
from bivouac.s3.versions import version_id

_CONDITIONS = {
    "if_match": "If-Match",
    "if_none_match": "If-None-Match",
    "if_size": "x-amz-if-match-size",
    "if_modified": "x-amz-if-match-last-modified-time",
    "if_unmodified_since": "If-Unmodified-Since",
    "if_modified_since": "If-Modified-Since",
}


def refusal(error: errors.StoreError, call: Call | None) -> S3Error:
    """The S3 error for a refusal of the store."""
    match error:
        case errors.NoSuchContainer():
            return S3Error("NoSuchBucket", BucketName=call.bucket if call else "")
        case errors.NoSuchObject():
            return _no_such_object(error, call)
        case errors.NoSuchUpload():
            return S3Error("NoSuchUpload")
        case errors.InvalidPart():
            return _invalid_part(error)
        case errors.ContainerExists():
            mine = call is not None and error.account == call.project
            return S3Error("BucketAlreadyOwnedByYou" if mine else "BucketAlreadyExists", BucketName=error.name)
        case errors.ContainerNotEmpty():
            return S3Error("BucketNotEmpty")
        case errors.PreconditionFailed():
            missing = error.current is None and error.condition == "if_match"
            if missing:
                return S3Error("NoSuchKey", Key=call.key if call else "")
            return S3Error("PreconditionFailed", Condition=_CONDITIONS.get(error.condition, error.condition))
        case errors.QuotaExceeded():
            return S3Error("QuotaExceeded", f"The {error}.")
        case errors.ObjectLocked():
            return S3Error("AccessDenied", "Access Denied because object protected by object lock.")
        case errors.RangeInvalid():
            return S3Error("InvalidRange")
        case errors.StoreFull():
            return S3Error("ServiceUnavailable", "The store is full.")
        case _:
            return S3Error("InternalError")


def _no_such_object(error: errors.NoSuchObject, call: Call | None) -> S3Error:
    headers = {"x-amz-delete-marker": "false"}
    if isinstance(error.marker, ObjectRecord):
        headers = {"x-amz-delete-marker": "true", "x-amz-version-id": version_id(error.marker)}
    wanted = call.request.query.get("versionId") if call is not None else None
    if wanted:
        return S3Error("NoSuchVersion", headers=headers, Key=error.name, VersionId=wanted)
    return S3Error("NoSuchKey", headers=headers, Key=error.name)


def _invalid_part(error: errors.InvalidPart) -> S3Error:
    if "small" in error.reason:
        return S3Error("EntityTooSmall", PartNumber=str(error.number))
    if "order" in error.reason:
        return S3Error("InvalidPartOrder")
    if "no part" in error.reason:
        return S3Error("MalformedXML")
    if "bytes together" in error.reason:
        return S3Error("InvalidRequest", "The provided 'x-amz-mp-object-size' does not match what was computed.")
    return S3Error("InvalidPart", PartNumber=str(error.number))
