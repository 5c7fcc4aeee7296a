"""The store's promises, one by one, against a real store in a temporary directory."""

import asyncio

import pytest

from bivouac.objects.store import EmbeddedStore
from bivouac.objects.store import errors as e
from bivouac.objects.store.interface import (
    Archive,
    CompleteMultipart,
    Conditions,
    CopySource,
    CreateMultipart,
    DeleteObject,
    Kind,
    Listing,
    Lock,
    PutObject,
    UpdateObject,
    Versioning,
)


def on_store(body):
    """Run an async test over an open store and an empty container."""

    def run(tmp_path):
        async def main():
            store = await EmbeddedStore.open(str(tmp_path / "store"))
            try:
                container, _ = await store.create_container("project", "box")
                await body(store, container)
            finally:
                await store.close()

        asyncio.run(main())

    run.__name__ = body.__name__
    return run


async def content(store, container, name, **version):
    record = await store.get_object(container, name, **version)
    pieces = await store.read(record)
    return b"".join(piece if isinstance(piece, bytes) else piece.read() for piece in pieces)


async def large(store, size=300_000, byte=b"L"):
    upload = store.upload()
    for _ in range(3):
        await upload.write(byte * (size // 3))
    return await upload.finish()


async def names(store, container, **listing):
    return [entry.name for entry in (await store.list_objects(container, Listing(**listing))).entries]


@on_store
async def test_small_and_large_bodies_come_back(store, container):
    for name, body in (("empty", b""), ("small", b"hello"), ("edge", b"x" * (128 * 1024))):
        await store.put_object(PutObject(container, name, body))
        assert await content(store, container, name) == body
        assert await store.get_with_data(container, name) == (await store.get_object(container, name), body)
    stored = await store.put_object(PutObject(container, "large", await large(store)))
    assert stored.size == 300_000
    assert await content(store, container, "large") == b"L" * 300_000
    assert (await store.get_with_data(container, "large"))[1] is None


@on_store
async def test_ranges_are_read_from_blobs_and_files(store, container):
    await store.put_object(PutObject(container, "small", b"0123456789"))
    await store.put_object(PutObject(container, "large", await large(store)))
    [piece] = await store.read(await store.get_object(container, "small"), 2, 3)
    assert piece == b"234"
    [piece] = await store.read(await store.get_object(container, "large"), 10, 5)
    with piece:
        assert (piece.offset, piece.length, piece.read()) == (10, 5, b"LLLLL")
    with pytest.raises(e.RangeInvalid):
        await store.read(await store.get_object(container, "small"), 5, 6)


@on_store
async def test_conditions_are_decided_in_the_commit(store, container):
    none = Conditions(if_none_match=("*",))
    puts = [store.put_object(PutObject(container, "once", b"%d" % n, conditions=none)) for n in range(20)]
    results = await asyncio.gather(*puts, return_exceptions=True)
    assert sum(not isinstance(result, Exception) for result in results) == 1
    assert all(isinstance(result, e.PreconditionFailed) for result in results[1:])
    record = await store.get_object(container, "once")
    await store.put_object(PutObject(container, "once", b"new", conditions=Conditions(if_match=(record.etag,))))
    with pytest.raises(e.PreconditionFailed):
        await store.put_object(PutObject(container, "once", b"newer", conditions=Conditions(if_match=(record.etag,))))
    with pytest.raises(e.PreconditionFailed):
        await store.delete_object(DeleteObject(container, "once", conditions=Conditions(if_match=(record.etag,))))


@on_store
async def test_copy_shares_bytes_and_the_last_reference_removes_them(store, container):
    await store.put_object(PutObject(container, "one", await large(store)))
    source = await store.get_object(container, "one")
    await store.put_object(PutObject(container, "two", CopySource(source)))
    assert len(list(store.disk.names())) == 1
    await store.delete_object(DeleteObject(container, "one"))
    assert await content(store, container, "two") == b"L" * 300_000
    with pytest.raises(e.NoSuchObject):
        await store.put_object(PutObject(container, "three", CopySource(source)))
    await store.delete_object(DeleteObject(container, "two"))
    await store.idle()
    assert list(store.disk.names()) == []


@on_store
async def test_copy_onto_itself_keeps_the_bytes(store, container):
    await store.put_object(PutObject(container, "one", b"same"))
    await store.put_object(PutObject(container, "one", CopySource(await store.get_object(container, "one"))))
    assert await content(store, container, "one") == b"same"


@on_store
async def test_a_refused_put_leaves_no_file(store, container):
    staged = await large(store)
    with pytest.raises(e.PreconditionFailed):
        await store.put_object(PutObject(container, "x", staged, conditions=Conditions(if_match=("*",))))
    await store.idle()
    assert list(store.disk.names()) == []


@on_store
async def test_listings_with_every_bound(store, container):
    for name in ("a", "b/1", "b/2", "b/3/x", "c", "d/1", "é", "\U0001f600"):
        await store.put_object(PutObject(container, name, b""))
    everything = ["a", "b/1", "b/2", "b/3/x", "c", "d/1", "é", "\U0001f600"]
    assert await names(store, container) == everything
    assert await names(store, container, reverse=True) == everything[::-1]
    assert await names(store, container, delimiter="/") == ["a", "b/", "c", "d/", "é", "\U0001f600"]
    assert await names(store, container, delimiter="/", reverse=True) == ["\U0001f600", "é", "d/", "c", "b/", "a"]
    assert await names(store, container, prefix="b/", delimiter="/") == ["b/1", "b/2", "b/3/"]
    assert await names(store, container, marker="b/", delimiter="/") == ["c", "d/", "é", "\U0001f600"]
    assert await names(store, container, marker="b/2", end_marker="d/1") == ["b/3/x", "c"]
    assert await names(store, container, marker="c", end_marker="b/1", reverse=True) == ["b/3/x", "b/2"]
    page = await store.list_objects(container, Listing(limit=2))
    assert page.truncated and [entry.name for entry in page.entries] == ["a", "b/1"]
    assert not (await store.list_objects(container, Listing(limit=8))).truncated


@on_store
async def test_delimiter_listing_seeks_past_large_folders(store, container):
    names_ = [f"folder{folder}/{n:03}" for folder in range(3) for n in range(100)]
    await asyncio.gather(*(store.put_object(PutObject(container, name, b"")) for name in names_))
    assert await names(store, container, delimiter="/") == ["folder0/", "folder1/", "folder2/"]
    assert await names(store, container, delimiter="/", reverse=True) == ["folder2/", "folder1/", "folder0/"]
    page = await store.list_objects(container, Listing(delimiter="/", limit=3))
    assert not page.truncated


@on_store
async def test_versions_markers_and_promotion(store, container):
    await store.put_object(PutObject(container, "o", b"null"))
    container = await store.update_container(container, versioning=Versioning.ENABLED)
    first = await store.put_object(PutObject(container, "o", b"first"))
    second = await store.put_object(PutObject(container, "o", b"second"))
    deleted = await store.delete_object(DeleteObject(container, "o"))
    with pytest.raises(e.NoSuchObject) as gone:
        await store.get_object(container, "o")
    assert gone.value.marker.version == deleted.marker
    listed = (await store.list_versions(container, Listing())).entries
    assert [entry.kind for entry in listed] == [Kind.DELETE_MARKER, Kind.PLAIN, Kind.PLAIN, Kind.PLAIN]
    assert [entry.current for entry in listed] == [True, False, False, False]
    await store.delete_object(DeleteObject(container, "o", version=deleted.marker))
    assert await content(store, container, "o") == b"second"
    await store.delete_object(DeleteObject(container, "o", version=second.version))
    assert await content(store, container, "o") == b"first"
    assert await content(store, container, "o", null_version=True) == b"null"
    container = await store.update_container(container, versioning=Versioning.SUSPENDED)
    await store.put_object(PutObject(container, "o", b"null again"))
    listed = (await store.list_versions(container, Listing())).entries
    assert [(entry.null_version, entry.version) for entry in listed][1] == (False, first.version)
    assert len(listed) == 2
    usage = await store.container_usage(container)
    assert (usage.objects, usage.bytes, usage.older_versions, usage.older_bytes) == (1, 10, 1, 5)


@on_store
async def test_version_listing_pages(store, container):
    container = await store.update_container(container, versioning=Versioning.ENABLED)
    for n in range(3):
        for name in ("a", "b"):
            await store.put_object(PutObject(container, name, b"%d" % n))
    whole = (await store.list_versions(container, Listing())).entries
    paged, marker = [], ("", None)
    while True:
        page = await store.list_versions(container, Listing(limit=2, marker=marker[0], version_marker=marker[1]))
        paged += page.entries
        if not page.truncated:
            break
        marker = (page.entries[-1].name, page.entries[-1].version)
    assert paged == whole and len(whole) == 6


@on_store
async def test_multipart_is_assembled_without_copying(store, container):
    upload = await store.create_multipart(CreateMultipart(container, "big", metadata={"k": "v"}))
    two = await store.put_part(upload, 2, b"tail")
    one = await store.put_part(upload, 1, await large(store))
    await store.put_part(upload, 7, b"unused")
    with pytest.raises(e.InvalidPart):
        await store.complete_multipart(CompleteMultipart(upload, container, ((1, one.etag), (3, two.etag))))
    stored = await store.complete_multipart(CompleteMultipart(upload, container, ((1, one.etag), (2, two.etag))))
    assert stored.etag.endswith("-2") and stored.size == 300_004
    assert (await content(store, container, "big"))[-6:] == b"LLtail"
    record = await store.get_object(container, "big")
    assert record.metadata == {"k": "v"}
    assert await store.read(record, 300_002, 2) == [b"il"]
    with pytest.raises(e.NoSuchUpload):
        await store.list_parts(upload)


@on_store
async def test_part_copied_from_a_range(store, container):
    await store.put_object(PutObject(container, "source", b"0123456789"))
    upload = await store.create_multipart(CreateMultipart(container, "target"))
    part = await store.put_part(upload, 1, CopySource(await store.get_object(container, "source"), 2, 5))
    await store.complete_multipart(CompleteMultipart(upload, container, ((1, part.etag),)))
    await store.delete_object(DeleteObject(container, "source"))
    assert await content(store, container, "target") == b"23456"


@on_store
async def test_quotas_are_exact_under_concurrency(store, container):
    container = await store.update_container(container, quotas={"bytes": 100, "objects": 5})
    puts = [store.put_object(PutObject(container, f"o{n}", b"x" * 30)) for n in range(10)]
    results = await asyncio.gather(*puts, return_exceptions=True)
    assert sum(isinstance(result, e.QuotaExceeded) for result in results) == 7
    assert (await store.container_usage(container)).bytes == 90
    await store.put_object(PutObject(container, "o0", b"x" * 40))
    await store.update_account("project", quotas={"bytes": 100})
    with pytest.raises(e.QuotaExceeded) as refused:
        await store.put_object(PutObject((await store.create_container("project", "other"))[0], "p", b"x"))
    assert refused.value.scope == "account"


@on_store
async def test_locks_hold(store, container):
    container = await store.update_container(container, versioning=Versioning.ENABLED)
    until = store.clock.seconds() + 1000
    stored = await store.put_object(PutObject(container, "o", b"x", lock=Lock("GOVERNANCE", until)))
    erase = DeleteObject(container, "o", version=stored.version)
    with pytest.raises(e.ObjectLocked):
        await store.delete_object(erase)
    with pytest.raises(e.ObjectLocked):
        await store.update_object(UpdateObject(container, "o", lock=None))
    await store.update_object(UpdateObject(container, "o", lock=Lock("COMPLIANCE", until + 10)))
    with pytest.raises(e.ObjectLocked):
        await store.delete_object(DeleteObject(container, "o", version=stored.version, bypass=True))
    assert (await store.delete_object(DeleteObject(container, "o"))).marker  # a marker may always be added


@on_store
async def test_archives_of_overwritten_objects(store, container):
    archive, _ = await store.create_container("project", "old")
    keep = Archive(archive, history=False)
    for body in (b"1", b"2", b"3"):
        await store.put_object(PutObject(container, "o", body, archive=keep))
    assert [name[:5] for name in await names(store, archive)] == ["001o/", "001o/"]
    await store.delete_object(DeleteObject(container, "o", archive=keep))
    assert await content(store, container, "o") == b"2"
    await store.delete_object(DeleteObject(container, "o", archive=Archive(archive, history=True)))
    assert len(await names(store, archive)) == 3
    assert (await store.container_usage(container)).objects == 0


@on_store
async def test_bucket_names_are_one_space(store, container):
    assert (await store.find_bucket("box")).account == "project"
    with pytest.raises(e.ContainerExists):
        await store.create_container("other", "box", bucket=True)
    other, new = await store.create_container("other", "box")
    assert new and not other.bucket
    assert (await store.create_container("project", "box", bucket=True))[1] is False


@on_store
async def test_containers_come_and_go(store, container):
    await store.put_object(PutObject(container, "o", b"x"))
    with pytest.raises(e.ContainerNotEmpty):
        await store.delete_container(container)
    await store.delete_object(DeleteObject(container, "o"))
    await store.delete_container(container)
    for call in (store.get_container("project", "box"), store.put_object(PutObject(container, "o", b""))):
        with pytest.raises(e.NoSuchContainer):
            await call
    assert (await store.account_usage("project"))["default"].containers == 0


@on_store
async def test_updates_keep_the_version(store, container):
    stored = await store.put_object(PutObject(container, "o", b"x", metadata={"a": "1"}, documents={"acl": "p"}))
    update = UpdateObject(container, "o", metadata={"b": "2"}, documents={"acl": None, "cors": "c"}, expires_at=5)
    record = await store.update_object(update)
    assert (record.version, record.metadata, record.documents) == (stored.version, {"b": "2"}, {"cors": "c"})
    assert record.modified > record.version
    assert record == await store.get_object(container, "o")
    assert [entry.name for _, entry in await store.expired_objects(5)] == ["o"]


@on_store
async def test_deleting_an_account_takes_everything(store, container):
    await store.put_object(PutObject(container, "o", await large(store), lock=Lock(legal_hold=True)))
    assert await store.delete_account("project")
    assert not await store.delete_account("project")
    assert not (await store.get_account("project")).exists
    await store.idle()
    assert list(store.disk.names()) == []
    assert store.writer.execute("SELECT count(*) FROM objects").get == 0


def test_one_process_owns_a_store(tmp_path):
    async def main():
        store = await EmbeddedStore.open(str(tmp_path))
        with pytest.raises(RuntimeError, match="in use"):
            await EmbeddedStore.open(str(tmp_path))
        await store.close()
        await (await EmbeddedStore.open(str(tmp_path))).close()

    asyncio.run(main())
