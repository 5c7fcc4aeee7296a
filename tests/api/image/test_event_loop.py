"""Nothing that an image asks for holds the event loop: each step of it takes less than a machine's own measure.

What is counted is the processor time of the loop's own thread, so that a busy machine does not count; the measure is
what this machine needs to hash 16 MiB, which is 15 ms where the 20 ms of the design were measured.
"""

import asyncio
import gc
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from image_cloud import Cloud

from bivouac.core.store import Tx
from bivouac.image.loops import TaskLoop
from bivouac.image.records import ImageRow
from bivouac.image.service import images

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "image"))
from disk_images import GOOD_DESCRIPTOR, contents, make, vmdk_with_descriptor  # noqa: E402

MEASURE = b"x" * (16 << 20)
BLOCKS = [os.urandom(1 << 20)] * 24


OCTETS = "application/octet-stream"


def in_blocks(data: bytes) -> list[bytes | None]:
    """As a socket would bring it."""
    return [data[at : at + (1 << 20)] for at in range(0, len(data), 1 << 20)]


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, float]]:
    """The longest step so far, in seconds of processor time."""
    steps = {"seconds": 0.0}
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        started = time.thread_time()
        run(handle)
        used = time.thread_time() - started
        steps["seconds"] = max(steps["seconds"], used)

    monkeypatch.setattr(asyncio.Handle, "_run", timed)
    gc.collect()
    gc.freeze()
    yield steps
    gc.unfreeze()


def measure() -> float:
    """The median of three."""
    taken = []
    for _ in range(3):
        started = time.thread_time()
        hashlib.sha512(MEASURE)
        taken.append(time.thread_time() - started)
    return sorted(taken)[1]


def many(tx: Tx) -> None:
    for number in range(1000):
        image = ImageRow(
            id=f"{number:08d}-0000-0000-0000-000000000000", name=f"image {number}", owner="p1", visibility="public",
            properties={f"hw_{name}": "virtio" for name in range(12)}, tags=["a", "b"], status="active", size=1,
            disk_format="raw", container_format="bare", stores={"local": "x"}, created_at=number, updated_at=number,
        )  # fmt: skip
        tx.insert(image)
        images.save_labels(tx, None, image)


def upload(cloud: Cloud, tmp_path: Path) -> None:
    image_id = cloud.image()
    assert cloud.upload(image_id, list(BLOCKS)).status == 204
    assert len(cloud.ask("GET", f"/v2/images/{image_id}/file").body) == 24 << 20
    assert cloud.ask("DELETE", f"/v2/images/{image_id}").status == 204


def conversion(cloud: Cloud, tmp_path: Path) -> None:
    for kind in ("vmdk", "vhdx"):
        disk = make(tmp_path, kind, contents(8 << 20))
        assert cloud.upload(cloud.image(disk_format=kind), in_blocks(disk)).status == 204


def staged_import(cloud: Cloud, tmp_path: Path) -> None:
    image_id = cloud.image()
    stage = cloud.ask("PUT", f"/v2/images/{image_id}/stage", body=list(BLOCKS), media_type=OCTETS)
    assert stage.status == 204
    method = {"method": {"name": "glance-direct"}}
    assert cloud.ask("POST", f"/v2/images/{image_id}/import", body=method).status == 202

    async def work() -> None:
        loop = TaskLoop(cloud.service)
        for key in await loop.due():
            await loop.step(key)

    asyncio.run(work())
    assert cloud.show(image_id)["status"] == "active"


def hostile_images(cloud: Cloud, tmp_path: Path) -> None:
    for text in ("\n" * 60_000, "createType=" + " " * 60_000, GOOD_DESCRIPTOR + "RW 1 SPARSE " * 4000):
        answer = cloud.upload(cloud.image(disk_format="vmdk"), in_blocks(vmdk_with_descriptor(text, sectors=120)))
        assert answer.status == 415


def long_lists(cloud: Cloud, tmp_path: Path) -> None:
    cloud.store.write_now(many)
    for query in ("", "&tag=a&hw_1=virtio", "&sort=name:asc,size:desc"):
        answer = cloud.ask("GET", f"/v2/images?limit=1000{query}")
        assert len(answer.json["images"]) == 1000
    for listed in (" " * 60_000 + '"', "\\" * 60_000 + '"', '"a",' * 499 + '"a"'):
        assert cloud.ask("GET", f"/v2/images?name={quote('in:' + listed)}").status in (200, 400)


@pytest.mark.parametrize("story", [upload, conversion, staged_import, hostile_images, long_lists])
def test_no_step_is_long(
    make_cloud: Callable[..., Cloud], tmp_path: Path, longest: dict[str, float], story: Callable[..., Any]
) -> None:
    cloud = make_cloud()
    story(cloud, tmp_path)
    assert longest["seconds"] < measure()


def test_the_measure_measures(longest: dict[str, float]) -> None:
    async def hold() -> None:
        for _ in range(2):
            hashlib.sha512(MEASURE)

    asyncio.run(hold())
    assert longest["seconds"] > measure()
