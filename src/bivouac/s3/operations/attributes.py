"""GetObjectAttributes: what HEAD tells, and the parts, in one answer."""

from __future__ import annotations

from bivouac.core.http1 import Response
from bivouac.objects import sealed
from bivouac.s3 import checksums, conditions, encryption, xml
from bivouac.s3.call import Call
from bivouac.s3.documents import keys
from bivouac.s3.errors import S3Error
from bivouac.s3.operations.lookup import find_version
from bivouac.s3.operations.reading import parts_of
from bivouac.s3.versions import headers_of

NAMES = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")


def _checksum_element(algorithm: str, value: str) -> str:
    return xml.leaf("Checksum" + algorithm, value)


async def get(call: Call) -> Response:
    """Raises InvalidArgument without or with unknown attributes."""
    await call.load_bucket()
    asked = [one.strip() for one in (call.header("x-amz-object-attributes") or "").split(",") if one.strip()]
    if not asked or any(one not in NAMES for one in asked):
        raise S3Error(
            "InvalidArgument",
            "Invalid attribute name specified.",
            ArgumentName="x-amz-object-attributes",
            ArgumentValue=",".join(asked),
        )
    record = await find_version(call, "s3:GetObjectAttributes", "READ")
    text = record.documents.get(sealed.DOCUMENT)
    customer = encryption.customer_key(call.request.headers)
    if text is not None:
        encryption.data_key(encryption.load(text), customer, call.door.masters)
    else:
        encryption.refuse_key(customer)
    inner = ""
    if "ETag" in asked:
        inner += xml.leaf("ETag", record.etag)
    if "Checksum" in asked and record.checksums:
        whole = next(iter(record.checksums.values()))
        kind = checksums.COMPOSITE if "-" in whole[-7:] else checksums.FULL_OBJECT
        values = "".join(_checksum_element(name, value) for name, value in record.checksums.items())
        inner += f"<Checksum>{values}{xml.leaf('ChecksumType', kind)}</Checksum>"
    parts = parts_of(record)
    if "ObjectParts" in asked and parts:
        inner += _parts(call, parts, bool(record.checksums))
    if "StorageClass" in asked:
        inner += xml.leaf("StorageClass", record.documents.get(keys.STORAGE_CLASS, "STANDARD"))
    if "ObjectSize" in asked:
        inner += xml.leaf("ObjectSize", record.size)
    headers = [("last-modified", conditions.http_date(record.modified // 1_000_000))]
    headers += headers_of(call.container, record.version, record.null_version)
    return call.xml("GetObjectAttributesResponse", inner, headers)


def _number(call: Call, name: str, default: int) -> int:
    text = call.header(name)
    if text is None:
        return default
    if not text.isdigit():
        raise S3Error("InvalidArgument", f"{name} is not a number", ArgumentName=name, ArgumentValue=text)
    return int(text)


def _parts(call: Call, parts: list[tuple[int, int, dict[str, str]]], detailed: bool) -> str:
    """A page of the parts; their sizes only where checksums are kept, as Amazon does."""
    marker, most = _number(call, "x-amz-part-number-marker", 0), min(_number(call, "x-amz-max-parts", 1000), 1000)
    later = [part for part in parts if part[0] > marker]
    page = later[:most]
    inner = xml.leaf("PartsCount", len(parts)) + xml.leaf("PartNumberMarker", marker)
    inner += xml.leaf("NextPartNumberMarker", page[-1][0] if page else 0) + xml.leaf("MaxParts", most)
    inner += xml.leaf("IsTruncated", len(later) > len(page))
    for number, size, facts in page:
        values = "".join(_checksum_element(name, facts[name]) for name in checksums.ALGORITHMS if name in facts)
        inner += f"<Part>{xml.leaf('PartNumber', number)}{xml.leaf('Size', size)}{values}</Part>"
    return f"<ObjectParts>{inner}</ObjectParts>"
