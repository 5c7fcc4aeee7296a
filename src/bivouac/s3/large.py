"""Swift's large objects and symlinks, seen through S3: what one dialect writes the other reads.

A static large object's manifest names segments of the same account; a dynamic one is all objects of a container with a
prefix; a symlink
names another object. Who may read the manifest reads what it is made of. A segment that changed since the manifest was
put ends the answer,
as in Swift: other bytes under the promised ETag would be worse.
"""

from __future__ import annotations

import base64
from urllib.parse import unquote

import msgspec

from bivouac.objects.sealed import is_sealed
from bivouac.objects.store.errors import NoSuchContainer, NoSuchObject
from bivouac.objects.store.interface import Container, Kind, Listing, ObjectRecord, Piece, Store
from bivouac.s3.errors import S3Error

MAX_DEPTH = 10


class Segment(msgspec.Struct):
    """A line of a static manifest, as Swift's door stores it."""

    name: str = ""
    hash: str = ""
    bytes: int = 0
    range: str = ""
    data: str = ""

    @property
    def first(self) -> int:
        return int(self.range.partition("-")[0]) if self.range else 0

    @property
    def length(self) -> int:
        if self.data:
            return len(base64.b64decode(self.data))
        if self.range:
            return int(self.range.partition("-")[2]) - self.first + 1
        return self.bytes


def _broken(what: str) -> S3Error:
    return S3Error("InvalidObjectState", f"The large object cannot be read: {what}.", status=409)


async def resolve(store: Store, container: Container, record: ObjectRecord) -> tuple[Container, ObjectRecord]:
    """What a symlink leads to; a dynamic large object gets its size. Raises S3Error."""
    for _ in range(MAX_DEPTH):
        if record.kind is Kind.SYMLINK:
            container, record = await _follow(store, container, record)
        elif record.kind is Kind.DYNAMIC_LARGE:
            size = sum(one.size for one in await _dynamic(store, container, record))
            return container, msgspec.structs.replace(record, size=size)
        else:
            return container, record
    raise _broken("too many symlinks in a row")


async def _follow(store: Store, container: Container, record: ObjectRecord) -> tuple[Container, ObjectRecord]:
    account = record.documents.get("target_account") or container.account
    if account != container.account:
        raise _broken("its target belongs to another project")
    name, _, key = record.documents.get("target", "").partition("/")
    try:
        found = await store.get_container(account, name)
        return found, await store.get_object(found, key)
    except (NoSuchContainer, NoSuchObject):
        raise S3Error("NoSuchKey", "The symlink's target does not exist.", Key=record.name) from None


async def _dynamic(store: Store, container: Container, record: ObjectRecord) -> list[ObjectRecord]:
    name, _, prefix = unquote(record.headers.get("x-object-manifest", "")).partition("/")
    try:
        source = await store.get_container(container.account, name)
    except NoSuchContainer:
        return []
    found: list[ObjectRecord] = []
    marker = ""
    while True:
        page = await store.list_objects(source, Listing(prefix=prefix, marker=marker, limit=1000))
        for entry in page.entries:
            found.append(await store.get_object(source, entry.name))
        if not page.truncated:
            return found
        marker = page.entries[-1].name


async def pieces(
    store: Store, container: Container, record: ObjectRecord, offset: int, length: int, depth: int = 0
) -> list[Piece]:
    """The pieces of a range. Raises S3Error when a segment is gone or changed."""
    if depth > MAX_DEPTH:
        raise _broken("manifests are nested too deeply")
    out: list[Piece] = []
    if record.kind is Kind.DYNAMIC_LARGE:
        for one in await _dynamic(store, container, record):
            taken = min(one.size - offset, length) if offset < one.size else 0
            if taken > 0:
                if is_sealed(one):
                    raise _broken(f"its segment {one.name} is encrypted")
                out += await store.read(one, offset, taken)
            offset, length = max(offset - one.size, 0), length - max(taken, 0)
        return out
    for segment in msgspec.json.decode(record.manifest or "[]", type=list[Segment]):
        size = segment.length
        taken = min(size - offset, length) if offset < size else 0
        if taken > 0:
            out += await _segment(store, container, segment, offset, taken, depth)
        offset, length = max(offset - size, 0), length - max(taken, 0)
    return out


async def _segment(
    store: Store, container: Container, segment: Segment, offset: int, length: int, depth: int
) -> list[Piece]:
    if segment.data:
        return [base64.b64decode(segment.data)[offset : offset + length]]
    name, _, key = segment.name.lstrip("/").partition("/")
    try:
        source = await store.get_container(container.account, name)
        found = await store.get_object(source, key)
    except (NoSuchContainer, NoSuchObject):
        raise _broken(f"its segment {segment.name} is gone") from None
    if is_sealed(found):
        raise _broken(f"its segment {segment.name} is encrypted")
    if found.etag != segment.hash:
        raise _broken(f"its segment {segment.name} has changed")
    if found.kind is Kind.STATIC_LARGE:
        return await pieces(store, source, found, segment.first + offset, length, depth + 1)
    return await store.read(found, segment.first + offset, length)
