"""Buckets themselves: create, head, delete, location."""

from __future__ import annotations

from bivouac.core.http1 import Response
from bivouac.objects.store.errors import ContainerExists
from bivouac.objects.store.interface import Versioning
from bivouac.s3 import access, names, xml
from bivouac.s3.call import Call
from bivouac.s3.documents import acl as acls
from bivouac.s3.documents import bucket as documents
from bivouac.s3.documents import keys, object_lock
from bivouac.s3.errors import S3Error
from bivouac.s3.operations.access_lists import acl_of_headers

_OWN_REGIONS = ("", "us-east-1", "EU", "eu-west-1", "default")
"""What clients send without being told a region."""


async def create(call: Call) -> Response:
    """CreateBucket. Creating one's own bucket again does nothing."""
    if not call.project:
        raise S3Error("AccessDenied", "Anonymous users cannot create buckets.")
    call.authorised = True
    if not call.may_write:
        raise S3Error("AccessDenied", "Creating a bucket needs one of the roles member, manager, admin.")
    names.check_bucket_name(call.bucket)
    location = documents.parse_location(await call.document())
    region = call.door.region
    if location not in _OWN_REGIONS and location.partition(":")[0] not in (region, ""):
        raise S3Error(
            "IllegalLocationConstraintException",
            f"The {location} location constraint is not valid here: the region is {region}.",
        )
    kept: dict[str, str] = {}
    ownership = call.header("x-amz-object-ownership")
    if ownership is not None:
        if ownership not in documents.OWNERSHIPS:
            raise S3Error(
                "InvalidArgument",
                "Invalid x-amz-object-ownership header",
                ArgumentName="x-amz-object-ownership",
                ArgumentValue=ownership,
            )
        kept[keys.OWNERSHIP] = ownership
    acl = await acl_of_headers(call, call.project, call.name)
    if acl is not None and ownership == "BucketOwnerEnforced" and acl != acls.private(call.project, call.name):
        raise S3Error("InvalidBucketAclWithObjectOwnership")
    kept[keys.ACL] = acls.dump(acl or acls.private(call.project, call.name))
    versioning = Versioning.OFF
    if (call.header("x-amz-bucket-object-lock-enabled") or "").lower() == "true":
        kept[keys.OBJECT_LOCK] = object_lock.dump(object_lock.Configuration())
        versioning = Versioning.ENABLED
    try:
        container, new = await call.store.create_container(
            call.project, call.bucket, documents=kept, versioning=versioning, bucket=True
        )
    except ContainerExists as exists:
        raise S3Error("BucketAlreadyExists", BucketName=exists.name) from None
    call.container = container
    if not new and container.documents.get(keys.ACL, kept[keys.ACL]) != kept[keys.ACL]:
        raise S3Error("BucketAlreadyExists", BucketName=call.bucket)
    return call.empty(200, [("location", f"/{call.bucket}")])


async def head(call: Call) -> Response:
    """HeadBucket. The counts are named as Ceph names them."""
    container = await call.load_bucket()
    access.allow_bucket(call, "s3:ListBucket", "READ")
    usage = await call.store.container_usage(container)
    headers = [
        ("x-amz-bucket-region", call.door.region),
        ("x-rgw-object-count", str(usage.objects + usage.older_versions)),
        ("x-rgw-bytes-used", str(usage.bytes + usage.older_bytes)),
    ]
    return call.empty(200, headers)


async def delete(call: Call) -> Response:
    """DeleteBucket, when it is empty; unfinished uploads go with it."""
    container = await call.load_bucket()
    access.allow_bucket(call, "s3:DeleteBucket")
    await call.door.logs.source_changed(container)
    await call.store.delete_container(container)
    call.door.logs.target_deleted(container)
    return call.empty(204)


async def location(call: Call) -> Response:
    await call.load_bucket()
    access.allow_bucket(call, "s3:GetBucketLocation")
    region = call.door.region
    return call.xml_bytes(xml.document("LocationConstraint", xml.escape("" if region == "us-east-1" else region)))
