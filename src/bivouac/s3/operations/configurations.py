"""The configurations of a bucket: one description each, three functions for all.

What differs is in `KINDS`: the query parameter, the document's key, the actions a policy names, how the body is read
and written, and which
error says that there is none.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from bivouac.core.http1 import Response
from bivouac.objects.store.interface import Container, Versioning
from bivouac.s3 import access, xml
from bivouac.s3.call import Call
from bivouac.s3.conditions import http_date
from bivouac.s3.documents import acl as acls
from bivouac.s3.documents import (
    bucket,
    cors,
    keys,
    lifecycle,
    logging,
    notification,
    object_lock,
    policy,
    tagging,
    website,
)
from bivouac.s3.errors import S3Error


class Configuration:
    """A configuration that is kept as text. `read` turns a body into that text, `write` the text into an answer's
    body."""

    methods = ("GET", "PUT", "DELETE")

    def __init__(
        self,
        title: str,
        log: str,
        key: str,
        read: Callable[[bytes], str],
        write: Callable[[str], bytes],
        missing: str | Callable[[], bytes],
        action: str = "",
        deletable: bool = True,
    ) -> None:
        self.title, self.log, self.key, self.missing = title, log, key, missing
        self.read, self.write = read, write
        self.action = action or f"Bucket{title}"
        if not deletable:
            self.methods = ("GET", "PUT")

    async def get(self, call: Call) -> Response:
        container = await call.load_bucket()
        access.allow_bucket(call, f"s3:Get{self.action}")
        text = container.documents.get(self.key)
        if text is not None:
            return call.xml_bytes(self.write(text))
        if callable(self.missing):
            return call.xml_bytes(self.missing())
        raise S3Error(self.missing, BucketName=container.name)

    async def put(self, call: Call) -> Response:
        container = await call.load_bucket()
        access.allow_bucket(call, f"s3:Put{self.action}")
        text = self.read(await call.document())
        self.check(call, container, text)
        await call.store.update_container(container, documents={self.key: text})
        return call.empty()

    async def delete(self, call: Call) -> Response:
        container = await call.load_bucket()
        access.allow_bucket(call, f"s3:{self.deleting_action}")
        await call.store.update_container(container, documents={self.key: None})
        return call.empty(204)

    @property
    def deleting_action(self) -> str:
        """Amazon asks the Put permission for deleting most configurations."""
        return f"Put{self.action}"

    def check(self, call: Call, container: Container, text: str) -> None:
        """What else must hold before it is put. Raises S3Error."""


class _Policy(Configuration):
    """Policies are JSON, and a public one may be refused."""

    @property
    def deleting_action(self) -> str:
        return "DeleteBucketPolicy"

    async def get(self, call: Call) -> Response:
        container = await call.load_bucket()
        access.allow_bucket(call, "s3:GetBucketPolicy")
        text = container.documents.get(self.key)
        if text is None:
            raise S3Error("NoSuchBucketPolicy", BucketName=container.name)
        return Response(200, [("content-type", "application/json")], text.encode())

    async def put(self, call: Call) -> Response:
        container = await call.load_bucket()
        access.allow_bucket(call, "s3:PutBucketPolicy")
        text = (await call.document(policy.MAX_BYTES)).decode("utf-8", "replace")
        rules = policy.parse(text, container.name)
        if access.public_access_block(container).block_policy and policy.is_public(rules):
            raise S3Error("AccessDenied", "The bucket's public access block refuses public policies.")
        await call.store.update_container(container, documents={self.key: text})
        return call.empty(204)


class _Versioning(Configuration):
    """Kept by the store itself."""

    methods = ("GET", "PUT")

    async def get(self, call: Call) -> Response:
        container = await call.load_bucket()
        access.allow_bucket(call, "s3:GetBucketVersioning")
        return call.xml_bytes(bucket.versioning_xml(container.versioning))

    async def put(self, call: Call) -> Response:
        container = await call.load_bucket()
        access.allow_bucket(call, "s3:PutBucketVersioning")
        versioning = bucket.parse_versioning(await call.document())
        if versioning is Versioning.SUSPENDED and keys.OBJECT_LOCK in container.documents:
            raise S3Error(
                "InvalidBucketState",
                "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.",
            )
        await call.store.update_container(container, versioning=versioning)
        return call.empty()


class _ObjectLock(Configuration):
    """Needs versions, and once on stays on."""

    methods = ("GET", "PUT")

    def check(self, call: Call, container: Container, text: str) -> None:
        if container.versioning is not Versioning.ENABLED:
            raise S3Error(
                "InvalidBucketState", "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
            )


class _Ownership(Configuration):
    def check(self, call: Call, container: Container, text: str) -> None:
        acl = access.bucket_acl(container)
        others = [grant for grant in acl.grants if grant.id != container.account]
        if text == "BucketOwnerEnforced" and others:
            raise S3Error("InvalidBucketAclWithObjectOwnership")


class _Logging(Configuration):
    """The target must be the caller's and let the log writer in; a change flushes what waits."""

    methods = ("GET", "PUT")

    async def get(self, call: Call) -> Response:
        container = await call.load_bucket()
        access.allow_bucket(call, "s3:GetBucketLogging")
        text = container.documents.get(self.key)
        found = logging.load(text) if text else None
        headers = [("last-modified", http_date(found.changed // 1_000_000))] if found else []
        return call.xml_bytes(logging.to_xml(found), headers)

    async def put(self, call: Call) -> Response:
        container = await call.load_bucket()
        access.allow_bucket(call, "s3:PutBucketLogging")
        wanted = logging.parse(await call.document())
        text = container.documents.get(self.key)
        current = logging.load(text) if text else None
        if wanted is not None:
            await call.door.logs.check_target(call, container, wanted)
            if current is not None and replace(current, changed=0) == replace(wanted, changed=0):
                return call.empty()
            wanted = replace(wanted, changed=int(call.now * 1_000_000))
        flushed = await call.door.logs.source_changed(container)
        await call.store.update_container(
            container, documents={self.key: logging.dump(wanted) if wanted is not None else None}
        )
        if flushed:
            return call.xml("PostBucketLoggingOutput", xml.leaf("FlushedLoggingObject", flushed))
        return call.empty()


class _RequestPayment(Configuration):
    methods = ("GET", "PUT")


async def flush_logging(call: Call) -> Response:
    """Ceph's PostBucketLogging: write the records that wait into a log object now."""
    container = await call.load_bucket()
    access.allow_bucket(call, "s3:PutBucketLogging")
    if keys.LOGGING not in container.documents:
        raise S3Error("InvalidRequest", "Logging is not configured on this bucket.")
    name = await call.door.logs.flush_source(container)
    return call.xml("PostBucketLoggingOutput", xml.leaf("FlushedLoggingObject", name))


async def policy_status(call: Call) -> Response:
    """GetBucketPolicyStatus: whether policy or ACL let the world in."""
    container = await call.load_bucket()
    access.allow_bucket(call, "s3:GetBucketPolicyStatus")
    text = container.documents.get(keys.POLICY)
    public = (text is not None and policy.is_public(policy.load(text))) or acls.is_public(access.bucket_acl(container))
    return call.xml("PolicyStatus", xml.leaf("IsPublic", public))


def _tags(text: str) -> dict[str, str]:
    return msgspec.json.decode(text, type=dict[str, str])


def _tag_text(body: bytes) -> str:
    return msgspec.json.encode(tagging.parse(body, tagging.MAX_BUCKET_TAGS)).decode()


def _empty_notification() -> bytes:
    return notification.to_xml(())


KINDS: dict[str, Configuration] = {
    "policy": _Policy("Policy", "BUCKETPOLICY", keys.POLICY, bytes.decode, str.encode, "NoSuchBucketPolicy"),
    "versioning": _Versioning("Versioning", "VERSIONING", "", bytes.decode, str.encode, ""),
    "cors": Configuration(
        "Cors",
        "CORS",
        keys.CORS,
        lambda body: cors.dump(cors.parse(body)),
        lambda text: cors.to_xml(cors.load(text)),
        "NoSuchCORSConfiguration",
        "BucketCORS",
    ),
    "lifecycle": Configuration(
        "Lifecycle",
        "LIFECYCLE",
        keys.LIFECYCLE,
        lambda body: lifecycle.dump(lifecycle.parse(body)),
        lambda text: lifecycle.to_xml(lifecycle.load(text)),
        "NoSuchLifecycleConfiguration",
        "LifecycleConfiguration",
    ),
    "tagging": Configuration(
        "Tagging", "TAGGING", keys.TAGGING, _tag_text, lambda text: tagging.to_xml(_tags(text)), "NoSuchTagSet"
    ),
    "encryption": Configuration(
        "Encryption",
        "ENCRYPTION",
        keys.ENCRYPTION,
        bucket.parse_encryption,
        bucket.encryption_xml,
        "ServerSideEncryptionConfigurationNotFoundError",
        "EncryptionConfiguration",
    ),
    "website": Configuration(
        "Website",
        "WEBSITE",
        keys.WEBSITE,
        lambda body: website.dump(website.parse(body)),
        lambda text: website.to_xml(website.load(text)),
        "NoSuchWebsiteConfiguration",
    ),
    "ownershipControls": _Ownership(
        "OwnershipControls",
        "OWNERSHIP_CONTROLS",
        keys.OWNERSHIP,
        bucket.parse_ownership,
        bucket.ownership_xml,
        "OwnershipControlsNotFoundError",
        "BucketOwnershipControls",
    ),
    "publicAccessBlock": Configuration(
        "PublicAccessBlock",
        "PUBLIC_ACCESS_BLOCK",
        keys.PUBLIC_ACCESS_BLOCK,
        lambda body: bucket.dump_public_access_block(bucket.parse_public_access_block(body)),
        lambda text: bucket.public_access_block_xml(bucket.load_public_access_block(text)),
        "NoSuchPublicAccessBlockConfiguration",
        "BucketPublicAccessBlock",
    ),
    "object-lock": _ObjectLock(
        "ObjectLockConfiguration",
        "OBJECT_LOCK",
        keys.OBJECT_LOCK,
        lambda body: object_lock.dump(object_lock.parse(body)),
        lambda text: object_lock.to_xml(object_lock.load(text)),
        "ObjectLockConfigurationNotFoundError",
        "BucketObjectLockConfiguration",
    ),
    "logging": _Logging("Logging", "LOGGING_STATUS", keys.LOGGING, bytes.decode, str.encode, ""),
    "notification": Configuration(
        "Notification",
        "NOTIFICATION",
        keys.NOTIFICATION,
        lambda body: notification.dump(notification.parse(body)),
        lambda text: notification.to_xml(notification.load(text)),
        _empty_notification,
        deletable=True,
    ),
    "requestPayment": _RequestPayment(
        "RequestPayment",
        "REQUEST_PAYMENT",
        keys.REQUEST_PAYMENT,
        bucket.parse_request_payment,
        bucket.request_payment_xml,
        lambda: bucket.request_payment_xml("BucketOwner"),
    ),
}
