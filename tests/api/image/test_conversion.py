"""Formats that hosts cannot take get a boot disk; compute sees what to boot from; agents read and write bytes."""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from image_cloud import CALLERS, Cloud
from msgspec import Struct

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, Conflict, Gone, NotFound, UnsupportedMediaType
from bivouac.image import for_compute
from bivouac.image.loops import GarbageLoop, TransferLoop
from bivouac.image.service import transfers

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "image"))
from disk_images import contents, hostile, make, ova  # noqa: E402
from test_inside import EFI, disk, root  # noqa: E402


def call(cloud: Cloud, token: str = "member") -> Call:
    return Call(caller=CALLERS[token], policy=cloud.policy, now=cloud.clock.now())


async def collect(cloud: Cloud, image_id: str) -> bytes:
    with await for_compute.open_image(cloud.service, image_id) as disk:
        return disk.part().read()


@pytest.mark.parametrize("kind", ["vmdk", "vmdk-stream", "vhd", "vhd-fixed", "vhdx", "vdi", "ova"])
def test_a_boot_disk_is_made_and_the_image_stays(cloud: Cloud, tmp_path: Path, kind: str) -> None:
    if kind == "ova":
        data = ova([("a.ovf", b"<x/>"), ("a.vmdk", make(tmp_path, "vmdk-stream"))])
        image_id = cloud.image(disk_format="vmdk", container_format="ova")
    else:
        data = make(tmp_path, kind)
        image_id = cloud.image(disk_format=kind.partition("-")[0])
    assert cloud.upload(image_id, data).status == 204
    assert cloud.ask("GET", f"/v2/images/{image_id}/file").body == data
    assert cloud.show(image_id)["checksum"] == hashlib.md5(data).hexdigest()
    image = cloud.store.read_now(for_compute.server_image, call(cloud), image_id)
    assert (image.ref.disk_format, image.virtual_size_bytes) == ("qcow2", len(contents()))
    boot = asyncio.run(collect(cloud, image_id))
    assert (len(boot), hashlib.sha512(boot).hexdigest()) == (image.ref.size_bytes, image.ref.sha512)
    (tmp_path / "boot").write_bytes(boot)
    raw = tmp_path / "raw"
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", tmp_path / "boot", raw], check=True)
    assert raw.read_bytes() == contents()
    assert cloud.ask("DELETE", f"/v2/images/{image_id}").status == 204
    collect_garbage(cloud)
    assert os.listdir(cloud.service.blobs["local"].folder) == []


def collect_garbage(cloud: Cloud) -> None:
    async def sweep() -> None:
        loop = GarbageLoop(cloud.service)
        for key in await loop.due():
            assert await loop.step(key) is None

    asyncio.run(sweep())


def test_hostile_images_never_become_active(cloud: Cloud, tmp_path: Path) -> None:
    for name, (claimed, data, reason) in hostile(tmp_path).items():
        image_id = cloud.image(disk_format=claimed)
        answer = cloud.upload(image_id, data)
        assert answer.status == 415, name
        assert reason in answer.body.decode(), name
        assert cloud.show(image_id)["status"] == "queued", name
    assert os.listdir(cloud.service.blobs["local"].folder) == []


def test_a_broken_disk_behind_a_good_header_is_refused(cloud: Cloud, tmp_path: Path) -> None:
    image_id = cloud.image(disk_format="vmdk")
    data = make(tmp_path, "vmdk-stream", os.urandom(3 << 20))
    broken = data[: len(data) // 2] + bytes(len(data) // 4) + data[len(data) // 2 + len(data) // 4 :]
    answer = cloud.upload(image_id, broken)
    assert answer.status == 415
    assert b"/proc" not in answer.body
    assert os.listdir(cloud.service.blobs["local"].folder) == []


@pytest.mark.parametrize(
    ("fields", "data", "disk_format"),
    [
        ({"disk_format": "raw"}, b"raw", "raw"),
        ({"disk_format": "aki"}, b"kernel", "raw"),
        ({"disk_format": "iso"}, None, "raw"),
    ],
)
def test_what_hosts_take_as_it_is(cloud: Cloud, fields: dict[str, str], data: bytes | None, disk_format: str) -> None:
    from disk_images import iso

    data = data or iso()
    image_id = cloud.image(min_disk=2, **fields)
    cloud.upload(image_id, data)
    image = cloud.store.read_now(for_compute.server_image, call(cloud), image_id)
    assert image.ref.disk_format == disk_format
    assert image.disk_format == fields["disk_format"]
    assert image.ref.min_disk_bytes == 2 << 30
    assert asyncio.run(collect(cloud, image_id)) == data
    assert cloud.store.read_now(for_compute.image_ref, image_id) == image.ref


@pytest.mark.parametrize("kind", ["raw", "qcow2", "vmdk-stream"])
def test_what_the_guest_can_drive_is_found_and_said(cloud: Cloud, tmp_path: Path, kind: str) -> None:
    guest = disk(tmp_path, "gpt", root(tmp_path, ["ahci"], ["e1000"]), boot_code=False, first=EFI)
    data = make(tmp_path, kind, guest)
    image_id = cloud.image(disk_format=kind.partition("-")[0], hw_vif_model="virtio")
    assert cloud.upload(image_id, data).status == 204
    image = cloud.show(image_id)
    assert (image["hw_disk_bus"], image["hw_firmware_type"], image["hw_vif_model"]) == ("sata", "uefi", "virtio")
    assert "hw_disk_bus=sata: ahci is in the initramfs" in image["bivouac_inspection"]


def test_what_cannot_be_booted(cloud: Cloud) -> None:
    queued = cloud.image()
    archive = cloud.image(container_format="compressed")
    assert cloud.upload(archive, b"\x1f\x8b").status == 204
    for image_id in (queued, archive):
        with pytest.raises(BadRequest):
            cloud.store.read_now(for_compute.server_image, call(cloud), image_id)
    with pytest.raises(NotFound):
        cloud.store.read_now(for_compute.server_image, call(cloud, "other"), queued)
    assert cloud.store.read_now(for_compute.image_ref, queued) is None


class Snapshot(Struct):
    name: str = "snap"
    project_id: str = "p1"
    user_id: str = "ann"
    disk_format: str = "qcow2"
    min_disk_gib: int = 1
    min_ram_mib: int = 64
    properties: dict[str, str] = msgspec.field(default_factory=lambda: {"instance_uuid": "i"})
    container_format: str = "bare"


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def test_snapshots(cloud: Cloud, tmp_path: Path) -> None:
    data = make(tmp_path, "qcow2")
    image_id = cloud.store.write_now(for_compute.create_snapshot, call(cloud), Snapshot())
    assert cloud.show(image_id)["status"] == "queued"
    asyncio.run(for_compute.receive_image(cloud.service, image_id, stream(data[:100], data[100:])))
    image = cloud.show(image_id)
    assert (image["status"], image["instance_uuid"], image["user_id"]) == ("active", "i", "ann")
    assert asyncio.run(collect(cloud, image_id)) == data
    with pytest.raises(Conflict):
        asyncio.run(for_compute.receive_image(cloud.service, image_id, stream(data)))

    refused = cloud.store.write_now(for_compute.create_snapshot, call(cloud), Snapshot())
    with pytest.raises(UnsupportedMediaType):
        asyncio.run(for_compute.receive_image(cloud.service, refused, stream(b"rubbish")))
    cloud.store.write_now(for_compute.fail_snapshot, refused)
    cloud.store.write_now(for_compute.fail_snapshot, refused)
    assert cloud.show(refused)["status"] == "killed"
    assert cloud.ask("DELETE", f"/v2/images/{refused}").status == 204


def test_an_upload_whose_process_died_is_given_up(cloud: Cloud) -> None:
    image_id = cloud.image()
    cloud.store.write_now(transfers.begin_upload, call(cloud), image_id)
    loop = TransferLoop(cloud.service)
    assert asyncio.run(loop.due()) == []
    asyncio.run(loop.step(image_id))
    assert cloud.show(image_id)["status"] == "saving"
    cloud.clock.advance(transfers.LEASE_S + 1)
    assert asyncio.run(loop.due()) == [image_id]
    for _ in range(2):
        asyncio.run(loop.step(image_id))
    assert cloud.show(image_id)["status"] == "queued"
    assert cloud.upload(image_id).status == 204


def test_deleted_while_it_was_uploaded(cloud: Cloud) -> None:
    image_id = cloud.image()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"
        assert (await cloud.ask_async("DELETE", f"/v2/images/{image_id}")).status == 204
        yield b"y"

    with pytest.raises(Gone):
        asyncio.run(cloud.service.upload(call(cloud), image_id, chunks(), None))
    collect_garbage(cloud)
    assert os.listdir(cloud.service.blobs["local"].folder) == []


def test_orphans_of_a_crash_are_removed_when_they_are_old(cloud: Cloud) -> None:
    image_id = cloud.image()
    cloud.upload(image_id)
    folder = cloud.service.blobs["local"].folder
    kept = os.listdir(folder)
    (folder / f"{image_id}.deadbeef").write_bytes(b"x")
    (folder / "11111111-1111-4111-8111-111111111111.deadbeef.boot").write_bytes(b"x")
    cloud.clock.time = 0.0
    collect_garbage(cloud)
    assert len(os.listdir(folder)) == 3
    for name in os.listdir(folder):
        os.utime(folder / name, (1.0, 1.0))
    cloud.clock.time = 10_000.0
    collect_garbage(cloud)
    assert os.listdir(folder) == kept
    assert cloud.ask("GET", f"/v2/images/{image_id}/file").status == 200
