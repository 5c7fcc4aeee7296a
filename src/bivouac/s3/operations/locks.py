"""Retention and legal hold of versions."""

from __future__ import annotations

from msgspec.structs import replace

from bivouac.core.http1 import Response
from bivouac.objects.store.interface import Lock, ObjectRecord, UpdateObject
from bivouac.s3.call import Call
from bivouac.s3.documents import keys, object_lock
from bivouac.s3.errors import S3Error
from bivouac.s3.operations.deleting import bypasses
from bivouac.s3.operations.lookup import find_version


async def _find(call: Call, action: str) -> ObjectRecord:
    container = await call.load_bucket()
    record = await find_version(call, action, "")
    if keys.OBJECT_LOCK not in container.documents:
        raise S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration")
    return record


async def _set(call: Call, record: ObjectRecord, lock: Lock | None, bypass: bool) -> Response:
    update = UpdateObject(call.container, record.name, record.version, lock=lock, bypass=bypass, touch=False)
    await call.store.update_object(update)
    return call.empty()


async def get_retention(call: Call) -> Response:
    record = await _find(call, "s3:GetObjectRetention")
    if record.lock is None or not record.lock.mode:
        raise S3Error("NoSuchObjectLockConfiguration")
    return call.xml_bytes(object_lock.retention_xml(record.lock))


async def put_retention(call: Call) -> Response:
    record = await _find(call, "s3:PutObjectRetention")
    wanted = object_lock.parse_retention(await call.document(), call.now)
    held = record.lock is not None and record.lock.legal_hold
    old = record.lock
    bypass = bypasses(call)
    retained = old is not None and old.mode == "GOVERNANCE" and (old.retain_until or 0) > call.now
    if retained and old is not None and wanted.mode != old.mode and not bypass:
        # Amazon asks the permission for the stricter mode too.
        raise S3Error("AccessDenied", "Access Denied because object protected by object lock.")
    return await _set(call, record, replace(wanted, legal_hold=held), bypass)


async def get_legal_hold(call: Call) -> Response:
    record = await _find(call, "s3:GetObjectLegalHold")
    return call.xml_bytes(object_lock.legal_hold_xml(record.lock))


async def put_legal_hold(call: Call) -> Response:
    record = await _find(call, "s3:PutObjectLegalHold")
    hold = object_lock.parse_legal_hold(await call.document())
    return await _set(call, record, replace(record.lock or Lock(), legal_hold=hold), False)
