"""Listings of multipart uploads and of their parts."""

from __future__ import annotations

from bivouac.core.http1 import Response
from bivouac.objects.store.interface import Multipart
from bivouac.s3 import access, checksums, xml
from bivouac.s3.call import Call
from bivouac.s3.conditions import iso_millis
from bivouac.s3.documents import keys
from bivouac.s3.operations.listings import Encode, encoder, owner_xml
from bivouac.s3.operations.multipart import find, upload_algorithm

MOST = 1000


def _initiator(call: Call, project: str) -> str:
    return f"<Initiator>{xml.leaf('ID', project)}{xml.leaf('DisplayName', call.door.display_name(project))}</Initiator>"


def _upload(call: Call, upload: Multipart, encode: Encode) -> str:
    owner = upload.owner or call.container.account
    algorithm, kind = upload_algorithm(upload)
    return (
        f"<Upload><Key>{encode(upload.name)}</Key>{xml.leaf('UploadId', upload.id)}{_initiator(call, owner)}"
        f"{owner_xml(call, owner)}{xml.leaf('StorageClass', upload.documents.get(keys.STORAGE_CLASS, 'STANDARD'))}"
        f"{xml.leaf('Initiated', iso_millis(upload.created))}{xml.optional('ChecksumAlgorithm', algorithm or None)}"
        f"{xml.optional('ChecksumType', kind or None)}</Upload>"
    )


async def list_uploads(call: Call) -> Response:
    """ListMultipartUploads."""
    container = await call.load_bucket()
    access.allow_bucket(call, "s3:ListBucketMultipartUploads", "READ")
    query, encode = call.request.query, encoder(call)
    limit = min(call.request.integer("max-uploads", MOST), MOST)
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    marker, id_marker = query.get("key-marker", ""), query.get("upload-id-marker", "")
    shown: list[Multipart] = []
    prefixes: list[str] = []
    more, at, at_id = False, marker, id_marker
    while not more:
        page = await call.store.list_multiparts(container, prefix, at, at_id, MOST)
        for upload in page:
            rolled = _rolled(upload.name, prefix, delimiter)
            if rolled and (rolled in prefixes[-1:] or rolled == marker):
                continue
            if len(shown) + len(prefixes) >= limit:
                more = True
                break
            if rolled:
                prefixes.append(rolled)
            else:
                shown.append(upload)
            at, at_id = upload.name, upload.id
        if len(page) < MOST:
            break
        if not more:
            at, at_id = page[-1].name, page[-1].id
    inner = xml.leaf("Bucket", call.bucket) + f"<KeyMarker>{encode(marker)}</KeyMarker>"
    inner += xml.leaf("UploadIdMarker", id_marker)
    if more and (shown or prefixes):
        inner += f"<NextKeyMarker>{encode(at)}</NextKeyMarker>{xml.leaf('NextUploadIdMarker', at_id)}"
    inner += f"<Prefix>{encode(prefix)}</Prefix>" + (f"<Delimiter>{encode(delimiter)}</Delimiter>" if delimiter else "")
    inner += xml.leaf("MaxUploads", limit) + ("<EncodingType>url</EncodingType>" if encode is not xml.escape else "")
    inner += xml.leaf("IsTruncated", more) + "".join(_upload(call, one, encode) for one in shown)
    inner += "".join(f"<CommonPrefixes><Prefix>{encode(one)}</Prefix></CommonPrefixes>" for one in prefixes)
    return call.xml("ListMultipartUploadsResult", inner)


def _rolled(name: str, prefix: str, delimiter: str) -> str:
    if not delimiter:
        return ""
    end = name.find(delimiter, len(prefix))
    return "" if end < 0 else name[: end + len(delimiter)]


async def list_parts(call: Call) -> Response:
    """ListParts."""
    container, upload = await find(call)
    access.allow_bucket(call, "s3:ListMultipartUploadParts", "WRITE", key=upload.name)
    limit = min(call.request.integer("max-parts", MOST), MOST)
    marker = call.request.integer("part-number-marker", 0)
    found = await call.store.list_parts(upload, marker, limit + 1)
    more, found = len(found) > limit, found[:limit]
    owner = upload.owner or container.account
    algorithm, kind = upload_algorithm(upload)
    inner = xml.leaf("Bucket", call.bucket) + xml.leaf("Key", call.key) + xml.leaf("UploadId", upload.id)
    inner += _initiator(call, owner) + owner_xml(call, owner)
    inner += xml.leaf("StorageClass", upload.documents.get(keys.STORAGE_CLASS, "STANDARD"))
    inner += xml.leaf("PartNumberMarker", marker) + xml.leaf("NextPartNumberMarker", found[-1].number if found else 0)
    inner += xml.leaf("MaxParts", limit) + xml.leaf("IsTruncated", more)
    inner += xml.optional("ChecksumAlgorithm", algorithm or None) + xml.optional("ChecksumType", kind or None)
    for part in found:
        values = "".join(
            xml.leaf("Checksum" + name, part.checksums[name]) for name in checksums.ALGORITHMS if name in part.checksums
        )
        inner += (
            f"<Part>{xml.leaf('PartNumber', part.number)}{xml.leaf('LastModified', iso_millis(part.modified))}"
            f"{xml.leaf('ETag', chr(34) + part.etag + chr(34))}{xml.leaf('Size', part.size)}{values}</Part>"
        )
    return call.xml("ListPartsResult", inner)
