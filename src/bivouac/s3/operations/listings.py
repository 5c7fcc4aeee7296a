"""Listings of a bucket: objects (version 1 and 2) and versions."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from urllib.parse import quote

from bivouac.core.http1 import Response
from bivouac.objects.store.errors import NoSuchObject
from bivouac.objects.store.interface import Kind, Listing, ObjectEntry, Page
from bivouac.s3 import access, xml
from bivouac.s3.call import Call
from bivouac.s3.conditions import iso_millis
from bivouac.s3.documents import keys
from bivouac.s3.errors import S3Error
from bivouac.s3.versions import NULL, version_id

MOST = 1000
Encode = Callable[[str], str]


def encoder(call: Call) -> Encode:
    """How names are written: as XML text, or percent-encoded if the client asked. Raises InvalidArgument."""
    encoding = call.request.query.get("encoding-type")
    if encoding is None or encoding == "":
        return xml.escape
    if encoding != "url":
        raise S3Error(
            "InvalidArgument",
            "Invalid Encoding Method specified in Request",
            ArgumentName="encoding-type",
            ArgumentValue=encoding,
        )
    return lambda text: quote(text, safe="/-_.~*")


def _max_keys(call: Call) -> int:
    return min(call.request.integer("max-keys", MOST), MOST)


def _entry(
    call: Call, entry: ObjectEntry, encode: Encode, owner: bool, tag: str = "Contents", version: str = ""
) -> str:
    checksums = "".join(xml.leaf("ChecksumAlgorithm", one) for one in entry.checksums) if entry.checksums else ""
    whose = owner_xml(call, entry.owner or call.container.account) if owner else ""
    storage_class = entry.documents.get(keys.STORAGE_CLASS, "STANDARD") if entry.documents else "STANDARD"
    return (
        f"<{tag}><Key>{encode(entry.name)}</Key>{version}<LastModified>{iso_millis(entry.modified)}</LastModified>"
        f"<ETag>&quot;{entry.etag}&quot;</ETag><Size>{entry.size}</Size>{checksums}{whose}"
        f"<StorageClass>{storage_class}</StorageClass></{tag}>"
    )


def owner_xml(call: Call, project: str) -> str:
    return f"<Owner>{xml.leaf('ID', project)}{xml.leaf('DisplayName', call.door.display_name(project))}</Owner>"


def _prefixes(page: Page, encode: Encode) -> str:
    return "".join(
        f"<CommonPrefixes><Prefix>{encode(entry.name)}</Prefix></CommonPrefixes>"
        for entry in page.entries
        if entry.prefix
    )


async def objects(call: Call) -> Response:
    """ListObjects, or ListObjectsV2 with list-type=2."""
    query = call.request.query
    await call.load_bucket()
    access.allow_bucket(call, "s3:ListBucket", "READ")
    if query.get("allow-unordered", "").lower() == "true" and query.get("delimiter"):
        raise S3Error("InvalidArgument", "An unordered listing cannot have a delimiter.")
    if "list-type" in query and query["list-type"] == "2":
        return await _version_2(call)
    encode, limit = encoder(call), _max_keys(call)
    prefix, delimiter, marker = query.get("prefix", ""), query.get("delimiter", ""), query.get("marker", "")
    listing = Listing(prefix=prefix, delimiter=delimiter, marker=marker, limit=limit)
    page = await call.store.list_objects(call.container, listing) if limit else Page([], False)
    inner = (
        f"{xml.leaf('Name', call.bucket)}{xml.leaf('Prefix', prefix)}<Marker>{encode(marker)}</Marker>"
        f"<MaxKeys>{limit}</MaxKeys>"
    )
    if delimiter:
        inner += f"<Delimiter>{encode(delimiter)}</Delimiter>"
    if encode is not xml.escape:
        inner += "<EncodingType>url</EncodingType>"
    inner += xml.leaf("IsTruncated", page.truncated)
    if page.truncated and page.entries:
        inner += f"<NextMarker>{encode(page.entries[-1].name)}</NextMarker>"
    inner += "".join(_entry(call, entry, encode, True) for entry in page.entries if not entry.prefix)
    return call.xml("ListBucketResult", inner + _prefixes(page, encode))


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _of_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, ValueError):
        raise S3Error(
            "InvalidArgument",
            "The continuation token provided is incorrect",
            ArgumentName="continuation-token",
            ArgumentValue=token,
        ) from None


async def _version_2(call: Call) -> Response:
    query = call.request.query
    encode, limit = encoder(call), _max_keys(call)
    prefix, delimiter, start = query.get("prefix", ""), query.get("delimiter", ""), query.get("start-after", "")
    token = query.get("continuation-token")
    marker = _of_token(token) if token else start
    listing = Listing(prefix=prefix, delimiter=delimiter, marker=marker, limit=limit)
    page = await call.store.list_objects(call.container, listing) if limit else Page([], False)
    owner = query.get("fetch-owner", "").lower() == "true"
    inner = (
        f"{xml.leaf('Name', call.bucket)}<Prefix>{encode(prefix)}</Prefix><MaxKeys>{limit}</MaxKeys>"
        f"<KeyCount>{len(page.entries)}</KeyCount>{xml.leaf('IsTruncated', page.truncated)}"
    )
    if delimiter:
        inner += f"<Delimiter>{encode(delimiter)}</Delimiter>"
    if encode is not xml.escape:
        inner += "<EncodingType>url</EncodingType>"
    if start:
        inner += f"<StartAfter>{encode(start)}</StartAfter>"
    if token is not None:
        inner += xml.leaf("ContinuationToken", token)
    if page.truncated and page.entries:
        inner += xml.leaf("NextContinuationToken", _token(page.entries[-1].name))
    inner += "".join(_entry(call, entry, encode, owner) for entry in page.entries if not entry.prefix)
    return call.xml("ListBucketResult", inner + _prefixes(page, encode))


def _version_marker(call: Call, name: str, text: str) -> int | None:
    """The time of a version-id-marker; `null` is looked up by the caller."""
    if text and not name:
        raise S3Error(
            "InvalidArgument",
            "A version-id marker cannot be specified without a key marker.",
            ArgumentName="version-id-marker",
            ArgumentValue=text,
        )
    if text and text != NULL and not (text.isascii() and text.isdigit()):
        raise S3Error(
            "InvalidArgument", "Invalid version id specified", ArgumentName="version-id-marker", ArgumentValue=text
        )
    return int(text) if text and text != NULL else None


async def _null_version(call: Call, name: str) -> int:
    """Where the version called null stands; if it is gone meanwhile, behind all of the name."""
    try:
        return (await call.store.get_object(call.container, name, None, True)).version
    except NoSuchObject:
        return 0


async def versions(call: Call) -> Response:
    """ListObjectVersions: versions and delete markers, newest first within a name."""
    query = call.request.query
    await call.load_bucket()
    access.allow_bucket(call, "s3:ListBucketVersions", "READ")
    encode, limit = encoder(call), _max_keys(call)
    prefix, delimiter, marker = query.get("prefix", ""), query.get("delimiter", ""), query.get("key-marker", "")
    id_marker = query.get("version-id-marker", "")
    after = _version_marker(call, marker, id_marker)
    if id_marker == NULL:
        after = await _null_version(call, marker)
    listing = Listing(prefix=prefix, delimiter=delimiter, marker=marker, limit=limit, version_marker=after)
    page = await call.store.list_versions(call.container, listing) if limit else Page([], False)
    inner = (
        f"{xml.leaf('Name', call.bucket)}<Prefix>{encode(prefix)}</Prefix><KeyMarker>{encode(marker)}</KeyMarker>"
        f"{xml.leaf('VersionIdMarker', id_marker)}<MaxKeys>{limit}</MaxKeys>"
    )
    if delimiter:
        inner += f"<Delimiter>{encode(delimiter)}</Delimiter>"
    if encode is not xml.escape:
        inner += "<EncodingType>url</EncodingType>"
    inner += xml.leaf("IsTruncated", page.truncated)
    if page.truncated and page.entries:
        last = page.entries[-1]
        inner += f"<NextKeyMarker>{encode(last.name)}</NextKeyMarker>"
        if not last.prefix:
            inner += xml.leaf("NextVersionIdMarker", last.version)
    before = marker if after is not None else ""
    for entry in page.entries:
        if entry.prefix:
            continue
        newest, before = entry.name != before, entry.name
        inner += _version(call, entry, encode, newest)
    return call.xml("ListVersionsResult", inner + _prefixes(page, encode))


def _version(call: Call, entry: ObjectEntry, encode: Encode, newest: bool) -> str:
    which = xml.leaf("VersionId", version_id(entry)) + xml.leaf("IsLatest", newest)
    if entry.kind is Kind.DELETE_MARKER:
        return (
            f"<DeleteMarker><Key>{encode(entry.name)}</Key>{which}"
            f"<LastModified>{iso_millis(entry.modified)}</LastModified>"
            f"{owner_xml(call, entry.owner or call.container.account)}</DeleteMarker>"
        )
    return _entry(call, entry, encode, True, "Version", which)
