"""ACLs of buckets and objects."""

from __future__ import annotations

from msgspec.structs import replace

from bivouac.core.http1 import Response
from bivouac.objects.store.interface import Container, ObjectRecord, UpdateObject
from bivouac.s3 import access
from bivouac.s3.call import Call
from bivouac.s3.documents import acl as acls
from bivouac.s3.documents import keys
from bivouac.s3.documents.acl import Acl
from bivouac.s3.errors import S3Error
from bivouac.s3.operations.lookup import find_version


async def _resolved(call: Call, acl: Acl) -> Acl:
    """Addresses become projects, ids get names. Raises UnresolvableGrantByEmailAddress, InvalidArgument."""
    grants = []
    for grant in acl.grants:
        if grant.email:
            project = await call.door.find_email(grant.email)
            if project is None:
                raise S3Error("UnresolvableGrantByEmailAddress", EmailAddress=grant.email)
            grant = replace(grant, id=project, email="")
        if grant.id:
            if call.door.project_exists is not None and not await call.door.project_exists(grant.id):
                raise S3Error("InvalidArgument", "Invalid id", ArgumentName="CanonicalUser/ID", ArgumentValue=grant.id)
            grant = replace(grant, name=grant.name or call.door.display_name(grant.id))
        grants.append(grant)
    return replace(acl, grants=tuple(grants))


async def acl_of_headers(
    call: Call, owner: str, owner_name: str, bucket: Container | None = None, canned: str | None = None
) -> Acl | None:
    """The ACL that x-amz-acl or x-amz-grant-... ask for; None without them. Raises S3Error."""
    headers = call.request.headers
    canned = canned or headers.get("x-amz-acl")
    granted = acls.from_headers(headers, owner, owner_name)
    if canned is not None and granted is not None:
        raise S3Error("InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed")
    if canned is not None:
        bucket_owner = bucket.account if bucket is not None else ""
        return acls.canned(canned, owner, owner_name, bucket_owner, call.door.display_name(bucket_owner))
    return None if granted is None else await _resolved(call, granted)


def check_acl(container: Container, acl: Acl) -> None:
    """Whether the bucket takes ACLs at all, and this one. Raises AccessControlListNotSupported or AccessDenied."""
    if access.ownership(container) == "BucketOwnerEnforced":
        raise S3Error("AccessControlListNotSupported")
    if acls.is_public(acl) and access.public_access_block(container).block_acls:
        raise S3Error("AccessDenied", "The bucket's public access block refuses public ACLs.")


async def _given(call: Call, current: Acl, bucket: Container | None) -> Acl:
    """The ACL of a PUT: by headers or as XML. The owner stays. Raises S3Error."""
    body = await call.document(1 << 20)
    by_header = await acl_of_headers(call, current.owner, current.owner_name, bucket)
    if by_header is not None:
        return by_header
    if not body.strip():
        raise S3Error(
            "MissingSecurityHeader",
            "Your request is missing a required header: x-amz-acl",
            MissingHeaderName="x-amz-acl",
        )
    acl = acls.parse(body)
    if acl.owner and acl.owner != current.owner:
        raise S3Error("AccessDenied", "An ACL cannot change the owner.")
    return await _resolved(call, replace(acl, owner=current.owner, owner_name=current.owner_name))


async def get_bucket(call: Call) -> Response:
    container = await call.load_bucket()
    access.allow_bucket(call, "s3:GetBucketAcl", "READ_ACP")
    return call.xml_bytes(acls.to_xml(access.bucket_acl(container, call.door.display_name(container.account))))


async def put_bucket(call: Call) -> Response:
    container = await call.load_bucket()
    access.allow_bucket(call, "s3:PutBucketAcl", "WRITE_ACP")
    current = access.bucket_acl(container, call.door.display_name(container.account))
    acl = await _given(call, current, None)
    check_acl(container, acl)
    await call.store.update_container(container, documents={keys.ACL: acls.dump(acl)})
    return call.empty()


def named_object_acl(call: Call, record: ObjectRecord) -> Acl:
    acl = access.object_acl(call.container, record)
    if acl.owner_name:
        return acl
    name = call.door.display_name(acl.owner)
    grants = tuple(replace(one, name=name) if one.id == acl.owner and not one.name else one for one in acl.grants)
    return Acl(acl.owner, name, grants)


async def get_object(call: Call) -> Response:
    await call.load_bucket()
    record = await find_version(call, "s3:GetObjectAcl", "READ_ACP")
    return call.xml_bytes(acls.to_xml(named_object_acl(call, record)))


async def put_object(call: Call) -> Response:
    container = await call.load_bucket()
    record = await find_version(call, "s3:PutObjectAcl", "WRITE_ACP")
    acl = await _given(call, named_object_acl(call, record), container)
    check_acl(container, acl)
    await call.store.update_object(
        UpdateObject(container, record.name, record.version, documents={keys.ACL: acls.dump(acl)}, touch=False)
    )
    call.door.events.publish(call, "s3:ObjectAcl:Put", record.name, record.size, record.etag, record.version)
    return call.empty()
