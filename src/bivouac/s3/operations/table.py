"""One table of all operations: level, method, the query parameter that selects it, its name, its name in access logs,
and its function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct

from bivouac.core.http1 import Response
from bivouac.s3.call import Call
from bivouac.s3.errors import S3Error
from bivouac.s3.operations import (
    access_lists,
    attributes,
    buckets,
    configurations,
    copying,
    deleting,
    forms,
    listings,
    locks,
    multipart,
    putting,
    reading,
    service,
    tags,
    uploads,
)

Run = Callable[[Call], Awaitable[Response]]


class Operation(Struct, frozen=True):
    name: str
    log: str
    run: Run


def _op(name: str, log: str, run: Run) -> Operation:
    return Operation(name, log, run)


SERVICE: dict[tuple[str, str], Operation] = {
    ("GET", ""): _op("ListBuckets", "REST.GET.SERVICE", service.list_buckets),
    ("HEAD", ""): _op("ListBuckets", "REST.HEAD.SERVICE", service.list_buckets),
}

BUCKET: dict[tuple[str, str], Operation] = {
    ("PUT", ""): _op("CreateBucket", "REST.PUT.BUCKET", buckets.create),
    ("HEAD", ""): _op("HeadBucket", "REST.HEAD.BUCKET", buckets.head),
    ("DELETE", ""): _op("DeleteBucket", "REST.DELETE.BUCKET", buckets.delete),
    ("GET", ""): _op("ListObjects", "REST.GET.BUCKET", listings.objects),
    ("POST", ""): _op("PostObject", "REST.POST.OBJECT", forms.post_object),
    ("GET", "location"): _op("GetBucketLocation", "REST.GET.LOCATION", buckets.location),
    ("GET", "versions"): _op("ListObjectVersions", "REST.GET.BUCKETVERSIONS", listings.versions),
    ("GET", "uploads"): _op("ListMultipartUploads", "REST.GET.UPLOADS", uploads.list_uploads),
    ("POST", "delete"): _op("DeleteObjects", "REST.POST.MULTI_OBJECT_DELETE", deleting.delete_many),
    ("GET", "acl"): _op("GetBucketAcl", "REST.GET.ACL", access_lists.get_bucket),
    ("PUT", "acl"): _op("PutBucketAcl", "REST.PUT.ACL", access_lists.put_bucket),
    ("POST", "logging"): _op("PostBucketLogging", "REST.POST.LOGGING_STATUS", configurations.flush_logging),
    **{
        (method, parameter): _op(
            f"{method.capitalize()}Bucket{kind.title}", f"REST.{method}.{kind.log}", getattr(kind, method.lower())
        )
        for parameter, kind in configurations.KINDS.items()
        for method in kind.methods
    },
    ("GET", "policyStatus"): _op("GetBucketPolicyStatus", "REST.GET.POLICY_STATUS", configurations.policy_status),
}

OBJECT: dict[tuple[str, str], Operation] = {
    ("GET", ""): _op("GetObject", "REST.GET.OBJECT", reading.get),
    ("HEAD", ""): _op("HeadObject", "REST.HEAD.OBJECT", reading.get),
    ("PUT", ""): _op("PutObject", "REST.PUT.OBJECT", putting.put_or_copy),
    ("DELETE", ""): _op("DeleteObject", "REST.DELETE.OBJECT", deleting.delete),
    ("POST", "uploads"): _op("CreateMultipartUpload", "REST.POST.UPLOADS", multipart.create),
    ("PUT", "uploadId"): _op("UploadPart", "REST.PUT.PART", copying.upload_part_or_copy),
    ("POST", "uploadId"): _op("CompleteMultipartUpload", "REST.POST.UPLOAD", multipart.complete),
    ("DELETE", "uploadId"): _op("AbortMultipartUpload", "REST.DELETE.UPLOAD", multipart.abort),
    ("GET", "uploadId"): _op("ListParts", "REST.GET.UPLOAD", uploads.list_parts),
    ("GET", "attributes"): _op("GetObjectAttributes", "REST.GET.OBJECT_ATTRIBUTES", attributes.get),
    ("GET", "acl"): _op("GetObjectAcl", "REST.GET.ACL", access_lists.get_object),
    ("PUT", "acl"): _op("PutObjectAcl", "REST.PUT.ACL", access_lists.put_object),
    ("GET", "tagging"): _op("GetObjectTagging", "REST.GET.OBJECT_TAGGING", tags.get),
    ("PUT", "tagging"): _op("PutObjectTagging", "REST.PUT.OBJECT_TAGGING", tags.put),
    ("DELETE", "tagging"): _op("DeleteObjectTagging", "REST.DELETE.OBJECT_TAGGING", tags.delete),
    ("GET", "retention"): _op("GetObjectRetention", "REST.GET.RETENTION", locks.get_retention),
    ("PUT", "retention"): _op("PutObjectRetention", "REST.PUT.RETENTION", locks.put_retention),
    ("GET", "legal-hold"): _op("GetObjectLegalHold", "REST.GET.LEGAL_HOLD", locks.get_legal_hold),
    ("PUT", "legal-hold"): _op("PutObjectLegalHold", "REST.PUT.LEGAL_HOLD", locks.put_legal_hold),
}

TABLE = {"service": SERVICE, "bucket": BUCKET, "object": OBJECT}
NOT_OFFERED = frozenset(
    ("accelerate", "analytics", "intelligent-tiering", "inventory", "metrics", "replication", "restore", "select",
     "torrent", "metadataTable", "metadataConfiguration", "session", "append", "renameObject", "abac")
)  # fmt: skip
_SELECTING = {level: {parameter for _, parameter in table if parameter} | NOT_OFFERED for level, table in TABLE.items()}


def find(call: Call) -> Operation:
    """The operation of a request. Raises MethodNotAllowed or NotImplemented."""
    level = "object" if call.key else "bucket" if call.bucket else "service"
    method, query = call.request.method, call.request.query
    chosen = ""
    if query:
        for parameter in query:
            if parameter in _SELECTING[level]:
                chosen = parameter
                if (method, parameter) in TABLE[level]:
                    break
    operation = TABLE[level].get((method, chosen))
    if operation is None:
        if chosen in NOT_OFFERED:
            raise S3Error("NotImplemented", f"The sub-resource {chosen} is not offered.")
        raise S3Error("MethodNotAllowed", Method=method, ResourceType=level.upper())
    return operation
