"""Both disk drivers keep the contract; the local one also makes real, right files."""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from crash.side_effects import covers
from disk_contract import DiskContract, Source

from bivouac.core.crash import Crashed, arm
from bivouac.core.ids import new_uuid
from bivouac.drivers.disk.local import LocalDisks
from bivouac.drivers.disk.local.driver import KEEP_UNUSED_S
from bivouac.drivers.disk.local.fat import FatError, filesystem
from bivouac.drivers.disk.local.qcow2 import Qcow2Error, overlay, read_base
from bivouac.drivers.disk.sim import SimDisks
from bivouac.drivers.hypervisor import DriverError
from bivouac.drivers.hypervisor.guest_user import guest_user
from bivouac.hostspec.server import DiskSpec, ImageRef, ServerSpec

FILES = {
    "openstack/latest/meta_data.json": b'{"uuid": "1"}',
    "openstack/latest/user_data": b"#!/bin/sh\n" + b"x" * 70_000,
    "openstack/content/0000": b"",
    "ec2/a name that is a good deal longer than eight and three.json": b"long",
    "ünï €.txt": b"unicode",
}
NEED_QEMU = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img")


@pytest.fixture(autouse=True)
def guests_may_walk_through(tmp_path: Path) -> None:
    """Tools run as the guest's own user, who must walk through the folders that pytest made; never beyond those."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.parent == folder or folder == Path(tempfile.gettempdir()):
            break
        if folder.stat().st_mode & 0o777 == 0o700 and folder.stat().st_uid == os.geteuid():
            folder.chmod(0o711)


def local(folder: Path) -> LocalDisks:
    return LocalDisks(folder, lambda spec: FILES)


class TestLocal(DiskContract):
    make = staticmethod(local)


class TestSim(DiskContract):
    make = staticmethod(lambda folder: SimDisks(checks_images=True))


def info(path: str) -> dict[str, object]:
    command = ["qemu-img", "info", "--output=json", path]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


@NEED_QEMU
def test_an_overlay_is_a_whole_qcow2_on_its_base(tmp_path: Path) -> None:
    base = tmp_path / "guest.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(base), "3M"], check=True)
    subprocess.run(["qemu-io", "-c", "write -P 7 0 1M", str(base)], check=True, capture_output=True)
    source = Source(base.read_bytes())

    async def body() -> None:
        driver = local(tmp_path / "host")
        for size, name in ((5 << 20, "small"), (20 << 30, "root"), (3 << 40, "big"), (9 << 40, "huge")):
            server = new_uuid()
            disk = await driver.ensure_disk(server, DiskSpec(name, size, image=source.image("qcow2")), source.fetch)
            path = Path(disk.path)
            assert disk.format == "qcow2" and path.stat().st_uid == guest_user(server)
            assert path.stat().st_mode & 0o777 == 0o600
            seen = info(disk.path)
            assert (seen["virtual-size"], seen["backing-filename-format"]) == (size, "qcow2")
            subprocess.run(["qemu-img", "check", "-q", disk.path], check=True)
            subprocess.run(["qemu-io", "-c", "read -P 7 0 1M", disk.path], check=True, capture_output=True)
            write = f"write -P 9 {size - 65536} 64k"
            subprocess.run(["qemu-io", "-c", write, disk.path], check=True, capture_output=True)
            subprocess.run(["qemu-img", "check", "-q", disk.path], check=True)
            (base_link,) = path.parent.glob("base-*")
            assert base_link.stat().st_uid == os.geteuid() and base_link.stat().st_mode & 0o777 == 0o644
        shutil.rmtree(tmp_path / "host" / "images")
        subprocess.run(["qemu-io", "-c", "read -P 7 0 1M", disk.path], check=True, capture_output=True)

    asyncio.run(body())


@NEED_QEMU
def test_a_disk_grows_with_its_flavor_and_never_shrinks(tmp_path: Path) -> None:
    source = Source(b"0" * 1_000_000)
    image = source.image()

    async def body() -> None:
        driver = local(tmp_path / "host")
        for size, expected in ((2 << 20, 2 << 20), (8 << 20, 8 << 20), (4 << 20, 8 << 20)):
            root = await driver.ensure_disk("a", DiskSpec("root", size, image=image), source.fetch)
            data = await driver.ensure_disk("a", DiskSpec("ephemeral0", size, kind="ephemeral"), source.fetch)
            assert info(root.path)["virtual-size"] == expected and os.stat(data.path).st_size == expected
        subprocess.run(["qemu-img", "check", "-q", root.path], check=True)
        await driver.remove_disk("a", "root")
        assert list((tmp_path / "host" / "disks" / "a").glob("base-*")) == []
        await driver.ensure_disk("a", DiskSpec("root", 2 << 20, image=image), source.fetch)

    asyncio.run(body())


@NEED_QEMU
def test_other_formats_become_qcow2(tmp_path: Path) -> None:
    source = tmp_path / "guest.vmdk"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", str(source), "4M"], check=True)
    image = Source(source.read_bytes())

    async def body() -> None:
        path = await local(tmp_path / "host").ensure_image(image.image("vmdk"), image.fetch)
        assert path.endswith(".qcow2") and info(path)["virtual-size"] == 4 << 20
        assert [entry.name for entry in Path(path).parent.iterdir()] == [Path(path).name]

    asyncio.run(body())


@NEED_QEMU
def test_hostile_images_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 65536)
    hostile = tmp_path / "hostile.qcow2"
    create = ["qemu-img", "create", "-q", "-f", "qcow2"]
    attacks = {
        "backing file": [*create, "-b", str(secret), "-F", "raw", str(hostile)],
        "data file": [*create, "-o", f"data_file={tmp_path}/data.raw,data_file_raw=on", str(hostile), "1M"],
    }

    async def body() -> None:
        driver = local(tmp_path / "host")
        for what, command in attacks.items():
            subprocess.run(command, check=True)
            with pytest.raises(Qcow2Error, match=what):
                read_base(hostile)
            source = Source(hostile.read_bytes())
            with pytest.raises(DriverError, match=what) as caught:
                await driver.ensure_image(source.image("qcow2"), source.fetch)
            assert str(secret) not in caught.value.public
        assert list((tmp_path / "host" / "images").iterdir()) == []

    asyncio.run(body())


@pytest.mark.parametrize(
    ("server", "disk", "image"),
    [
        ("../../etc", "root", None),
        ("good", "../root", None),
        ("good", "base-1", None),
        ("good", "root", ImageRef("../x", "raw", 1, "")),
        ("good", "root", ImageRef("x", "exe", 1, "")),
    ],
)
def test_impossible_names_make_no_file(server: str, disk: str, image: ImageRef | None, tmp_path: Path) -> None:
    source = Source(b"1")

    async def body() -> None:
        with pytest.raises(DriverError):
            await local(tmp_path / "host").ensure_disk(server, DiskSpec(disk, 1 << 20, image=image), source.fetch)
        assert [path for path in (tmp_path / "host").rglob("*") if path.is_file()] == []

    asyncio.run(body())


def test_an_image_that_is_too_big_says_so(tmp_path: Path) -> None:
    source = Source(b"0" * 2_000_000)

    async def body() -> None:
        with pytest.raises(DriverError) as caught:
            root = DiskSpec("root", 1 << 20, image=source.image())
            await local(tmp_path).ensure_disk(new_uuid(), root, source.fetch)
        assert caught.value.public == "The image needs a disk of 1 GiB, and the flavor gives 0 GiB."

    asyncio.run(body())


def test_a_short_and_a_long_answer_are_not_images(tmp_path: Path) -> None:
    async def body() -> None:
        source = Source(b"0" * 1000)
        image = source.image()
        for content, word in ((b"0" * 999, "shorter"), (b"0" * 1001, "longer")):
            source.content = content
            with pytest.raises(DriverError) as caught:
                await local(tmp_path).ensure_image(image, source.fetch)
            assert word in caught.value.public
        assert [path.name for path in (tmp_path / "images").iterdir()] == []

    asyncio.run(body())


def test_images_go_when_nothing_needs_them(tmp_path: Path) -> None:
    async def body() -> None:
        source = Source(b"0" * 1000)
        driver = local(tmp_path)
        used, kept, unused, fresh = (source.image() for _ in range(4))
        for image in (used, kept, unused, fresh):
            path = await driver.ensure_image(image, source.fetch)
            if image is not fresh:
                os.utime(path, (0, os.stat(path).st_mtime - KEEP_UNUSED_S - 10))
                os.utime(path, (1, 1))
        await driver.ensure_disk("a", DiskSpec("root", 1 << 20, image=used), source.fetch)
        await driver.remove_unused_images({kept.id})
        left = {path.stem for path in (tmp_path / "images").iterdir()}
        linked = any(tmp_path.glob("disks/a/base-*"))
        assert left == {kept.id, fresh.id} | ({used.id} if linked else set())

    asyncio.run(body())


@pytest.mark.skipif(os.geteuid() != 0, reason="runs tools as another user")
def test_ephemeral_and_swap_disks(tmp_path: Path) -> None:
    async def body() -> None:
        driver = local(tmp_path)
        for spec, kind in (
            (DiskSpec("ephemeral0", 64 << 20, kind="ephemeral", filesystem="ext4"), b'TYPE="ext4"'),
            (DiskSpec("ephemeral1", 64 << 20, kind="ephemeral", filesystem="vfat"), b'TYPE="vfat"'),
            (DiskSpec("swap", 64 << 20, kind="swap"), b'TYPE="swap"'),
        ):
            disk = await driver.ensure_disk("a", spec, Source(b"").fetch)
            assert kind in subprocess.run(["blkid", "-p", disk.path], capture_output=True, check=True).stdout
            assert os.stat(disk.path).st_size == 64 << 20
        with pytest.raises(DriverError):
            bad = DiskSpec("e2", 64 << 20, kind="ephemeral", filesystem="$(reboot)")
            await driver.ensure_disk("a", bad, Source(b"").fetch)

    asyncio.run(body())


def test_the_config_drive_is_a_filesystem_that_others_can_read(tmp_path: Path) -> None:
    async def body() -> str:
        return (await local(tmp_path).ensure_config_drive(ServerSpec("a", 1, "running", 1, 128))).path

    path = asyncio.run(body())
    assert os.stat(path).st_mode & 0o777 == 0o400
    subprocess.run(["fsck.vfat", "-n", path], check=True, capture_output=True)
    assert b'LABEL="config-2"' in subprocess.run(["blkid", "-p", path], capture_output=True, check=True).stdout
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MTOOLS_SKIP_CHECK": "1"}
    for name, content in FILES.items():
        command = ["mtype", "-i", path, f"::{name}"]
        assert subprocess.run(command, check=True, capture_output=True, env=environment).stdout == content


def test_a_filesystem_has_its_limits() -> None:
    assert len(filesystem({}, "x")) > 4085 * 2048
    many = {f"folder/{number:04d} with a long name": b"" for number in range(600)}
    assert filesystem(many, "x").count("0599 ".encode("utf-16-le")) == 1
    for wrong in ({f"{n}": b"" for n in range(600)}, {"a": b"", "a/b": b""}, {"": b""}, {"x" * 300: b""}):
        with pytest.raises(FatError):
            filesystem(wrong, "x")


def test_a_crash_at_any_moment_leaves_nothing_half_made(tmp_path: Path) -> None:
    source = Source(b"0" * 1000)
    image = source.image()

    async def work(folder: Path) -> None:
        driver = local(folder)
        await driver.ensure_disk("a", DiskSpec("root", 1 << 20, image=image), source.fetch)
        await driver.ensure_config_drive(ServerSpec("a", 1, "running", 1, 128))
        for size in (1 << 20, 2 << 20):
            await driver.ensure_disk("a", DiskSpec("more", size), source.fetch)
        await driver.remove_disk("a", "more")
        await driver.remove_disks("a")

    with arm() as count:
        asyncio.run(work(tmp_path / "count"))
    assert len(count.seen) >= 6
    for n in range(1, len(count.seen) + 1):
        folder = tmp_path / str(n)
        with arm(n), pytest.raises(Crashed):
            asyncio.run(work(folder))
        asyncio.run(work(folder))
        left = [path for path in folder.rglob("*") if path.is_file()]
        assert left == [folder / "images" / f"{image.id}.raw"], count.seen[n - 1]
    covers("disks", count)


def test_a_crash_while_unused_images_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(b"0" * 1000)
    driver = local(tmp_path)
    asyncio.run(driver.ensure_image(source.image(), source.fetch))
    monkeypatch.setattr("bivouac.drivers.disk.local.driver.KEEP_UNUSED_S", -3600.0)
    with arm(1) as point, pytest.raises(Crashed):
        asyncio.run(driver.remove_unused_images(set()))
    for _ in range(2):
        asyncio.run(local(tmp_path).remove_unused_images(set()))
        assert list((tmp_path / "images").iterdir()) == []
    covers("unused images", point)


def test_too_large_an_overlay_is_refused() -> None:
    with pytest.raises(Qcow2Error):
        overlay(1 << 60, "base", "raw")


@NEED_QEMU
def test_a_disk_grows_when_more_is_wanted_and_never_shrinks(tmp_path: Path) -> None:
    disks, source, server = local(tmp_path), Source(b"bootable".ljust(65536, b".")), new_uuid()
    image = source.image()

    async def ensure(name: str, size: int, of: ImageRef | None) -> int:
        disk = DiskSpec(name, size, "root" if of else "ephemeral", image=of)
        return int(str(info((await disks.ensure_disk(server, disk, source.fetch)).path)["virtual-size"]))

    async def grow() -> None:
        for name, of in (("root", image), ("ephemeral0", None)):
            assert await ensure(name, 1 << 20, of) == 1 << 20
            assert await ensure(name, 3 << 20, of) == 3 << 20
            assert await ensure(name, 1 << 20, of) == 3 << 20

    asyncio.run(grow())
