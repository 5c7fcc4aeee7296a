"""Tags of objects."""

from __future__ import annotations

from bivouac.core.http1 import Response
from bivouac.objects.store.interface import ObjectRecord, UpdateObject
from bivouac.s3 import access
from bivouac.s3.call import Call
from bivouac.s3.documents import keys, tagging
from bivouac.s3.errors import S3Error
from bivouac.s3.operations.lookup import action_of, find_version
from bivouac.s3.versions import headers_of


def _versioned(call: Call, record: ObjectRecord) -> list[tuple[str, str]]:
    return headers_of(call.container, record.version, record.null_version)


async def get(call: Call) -> Response:
    await call.load_bucket()
    record = await find_version(call, "s3:GetObjectTagging", "READ")
    return call.xml_bytes(tagging.to_xml(record.tags), _versioned(call, record))


async def _set(call: Call, action: str, tags: dict[str, str], event: str) -> ObjectRecord:
    record = await find_version(call, action, "WRITE")
    if keys.POLICY in call.container.documents:
        extra = access.request_tags(tags)
        if access.policy_verdict(call, call.container, action_of(call, action), call.key, record, extra) is (
            access.policy.Verdict.DENY
        ):
            raise S3Error("AccessDenied")
    update = UpdateObject(call.container, record.name, record.version, tags=tags, touch=False)
    await call.store.update_object(update)
    call.door.events.publish(call, event, record.name, record.size, record.etag, record.version)
    return record


async def put(call: Call) -> Response:
    await call.load_bucket()
    tags = tagging.parse(await call.document())
    record = await _set(call, "s3:PutObjectTagging", tags, "s3:ObjectTagging:Put")
    return call.empty(200, _versioned(call, record))


async def delete(call: Call) -> Response:
    await call.load_bucket()
    record = await _set(call, "s3:DeleteObjectTagging", {}, "s3:ObjectTagging:Delete")
    return call.empty(204, _versioned(call, record))
