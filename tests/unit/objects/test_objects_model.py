"""Random operations on a store and on a model of it in plain dictionaries: after each they agree, and at the end
the store checks out."""

import asyncio
import tempfile

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bivouac.objects.store import EmbeddedStore, maintenance, upload
from bivouac.objects.store import errors as e
from bivouac.objects.store.interface import (
    CompleteMultipart,
    CopySource,
    CreateMultipart,
    DeleteObject,
    Kind,
    Listing,
    PutObject,
    Versioning,
)

NAMES = st.sampled_from(["a", "a/b", "a/c", "b", "é", "z/z/z"])
SIZES = st.sampled_from([0, 1, 100, upload.SMALL, upload.SMALL + 1, 200_000])
OPERATIONS = st.one_of(
    st.tuples(st.just("put"), NAMES, SIZES),
    st.tuples(st.just("put"), NAMES, SIZES),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("delete_version"), NAMES, st.integers(0, 5)),
    st.tuples(st.just("copy"), NAMES, NAMES),
    st.tuples(st.just("multipart"), NAMES, st.lists(SIZES, min_size=1, max_size=3), NAMES),
    st.tuples(st.just("versioning"), st.sampled_from([Versioning.ENABLED, Versioning.SUSPENDED])),
    st.tuples(st.just("reopen")),
)


class Model:
    """name -> versions, oldest first; a version is (id, null, bytes or None for a delete marker)."""

    def __init__(self):
        self.names = {}
        self.versioning = Versioning.OFF

    def add(self, name, version, data):
        versions = self.names.setdefault(name, [])
        null = self.versioning != Versioning.ENABLED
        if null:
            versions[:] = [old for old in versions if not old[1]]
        versions.append((version, null, data))

    def current(self, name):
        versions = self.names.get(name)
        return versions[-1][2] if versions else None

    def delete(self, name, marker):
        if self.versioning == Versioning.OFF:
            self.names.pop(name, None)
        else:
            self.add(name, marker, None)


class Run:
    def __init__(self, directory):
        self.directory, self.model, self.count = directory, Model(), 0

    async def open(self):
        self.store = await EmbeddedStore.open(self.directory)
        self.container, _ = await self.store.create_container("p", "c")

    def bytes_of(self, size):
        self.count += 1
        return (
            (str(self.count).encode() + b".") * size if size == 1 else (b"%08d" % self.count * (size // 8 + 1))[:size]
        )

    async def staged(self, data):
        if len(data) <= upload.SMALL:
            return data
        receiving = self.store.upload(len(data))
        await receiving.write(data)
        return await receiving.finish()

    async def read(self, record):
        pieces = await self.store.read(record)
        return b"".join(piece if isinstance(piece, bytes) else piece.read() for piece in pieces)

    async def perform(self, operation):
        kind, *arguments = operation
        await getattr(self, kind)(*arguments)

    async def put(self, name, size):
        data = self.bytes_of(size)
        stored = await self.store.put_object(PutObject(self.container, name, await self.staged(data)))
        self.model.add(name, stored.version, data)

    async def delete(self, name):
        deleted = await self.store.delete_object(DeleteObject(self.container, name))
        assert deleted.found == (self.model.current(name) is not None)
        self.model.delete(name, deleted.marker)

    async def delete_version(self, name, index):
        versions = self.model.names.get(name) or [(123, False, b"")]
        version = versions[index % len(versions)][0]
        deleted = await self.store.delete_object(DeleteObject(self.container, name, version=version))
        assert deleted.found == (name in self.model.names)
        if name in self.model.names:
            self.model.names[name] = [old for old in versions if old[0] != version]
            if not self.model.names[name]:
                del self.model.names[name]

    async def copy(self, source, target):
        data = self.model.current(source)
        try:
            record = await self.store.get_object(self.container, source)
        except e.NoSuchObject:
            assert data is None
            return
        stored = await self.store.put_object(PutObject(self.container, target, CopySource(record)))
        self.model.add(target, stored.version, data)

    async def multipart(self, name, sizes, source):
        begun = await self.store.create_multipart(CreateMultipart(self.container, name))
        parts, whole = [], b""
        for number, size in enumerate(sizes, 1):
            data = self.bytes_of(size)
            part = await self.store.put_part(begun, number, await self.staged(data))
            parts.append((number, part.etag))
            whole += data
        if self.model.current(source):
            record = await self.store.get_object(self.container, source)
            part = await self.store.put_part(begun, 50, CopySource(record, 0, 1))
            parts.append((50, part.etag))
            whole += self.model.current(source)[:1]
        await self.store.put_part(begun, 99, await self.staged(self.bytes_of(150_000)))
        stored = await self.store.complete_multipart(CompleteMultipart(begun, self.container, tuple(parts)))
        self.model.add(name, stored.version, whole)

    async def set_versioning(self, wanted):
        self.container = await self.store.update_container(self.container, versioning=wanted)
        self.model.versioning = wanted

    versioning = set_versioning

    async def reopen(self):
        await self.store.close()
        await self.open()

    async def compare(self):
        listed = (await self.store.list_objects(self.container, Listing())).entries
        current = {name: self.model.current(name) for name in self.model.names}
        assert [entry.name for entry in listed] == sorted(name for name, data in current.items() if data is not None)
        for entry in listed:
            record = await self.store.get_object(self.container, entry.name)
            assert await self.read(record) == current[entry.name]
        versions = (await self.store.list_versions(self.container, Listing())).entries
        expected = [
            (name, version, null, data is None, index == 0)
            for name in sorted(self.model.names)
            for index, (version, null, data) in enumerate(reversed(self.model.names[name]))
        ]
        found = [(v.name, v.version, v.null_version, v.kind == Kind.DELETE_MARKER, v.current) for v in versions]
        assert found == expected
        usage = await self.store.container_usage(self.container)
        assert usage.objects == len(listed)
        assert usage.bytes + usage.older_bytes == sum(
            len(data or b"") for held in self.model.names.values() for _, _, data in held
        )


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(OPERATIONS, max_size=25))
def test_store_agrees_with_the_model(operations):
    async def main():
        with tempfile.TemporaryDirectory() as directory:
            run = Run(directory)
            await run.open()
            try:
                for operation in operations:
                    await run.perform(operation)
                    await run.compare()
                await run.store.idle()
                assert await maintenance.check(run.store) == []
            finally:
                await run.store.close()

    asyncio.run(main())
