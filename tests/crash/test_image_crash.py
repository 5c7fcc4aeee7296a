"""Control crashes at every side effect of the image service's loops: what is begun ends, nothing is left over."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crash.side_effects import covers

sys.path.insert(0, str(Path(__file__).parents[1] / "api" / "image"))

from image_cloud import Cloud

from bivouac.core.crash import Crashed, arm
from bivouac.core.settings import Image as ImageSettings
from bivouac.core.store import Store
from bivouac.image.loops import loops
from bivouac.image.service import tasks

DATA = os.urandom(50_000)
KEPT_S = 30 * 24 * 3600.0
"""Longer than anything that is over is kept."""


def work(cloud: Cloud) -> None:
    """One round of all loops."""

    async def rounds() -> None:
        for loop in loops(cloud.service):
            for key in await loop.due():
                await loop.step(key)

    asyncio.run(rounds())


def staged(cloud: Cloud) -> str:
    """An image that waits for its import into all stores."""
    image_id = cloud.image()
    content = "application/octet-stream"
    assert cloud.ask("PUT", f"/v2/images/{image_id}/stage", body=DATA, media_type=content).status == 204
    body = {"method": {"name": "glance-direct"}, "all_stores": True, "all_stores_must_succeed": False}
    assert cloud.ask("POST", f"/v2/images/{image_id}/import", body=body).status == 202
    return image_id


def life(cloud: Cloud, broken_store: Path | None) -> None:
    """All that the loops do: imports that succeed and fail, a cached copy, images that go, leases that run out."""
    image_id = staged(cloud)
    if broken_store is not None:
        shutil.rmtree(broken_store)
        broken_store.touch()
    work(cloud)
    assert cloud.ask("PUT", f"/v2/cache/{image_id}", "admin").status == 202
    work(cloud)
    withheld = cloud.image()
    cloud.upload(withheld)
    assert cloud.ask("PUT", f"/v2/cache/{withheld}", "admin").status == 202
    assert cloud.ask("POST", f"/v2/images/{withheld}/actions/deactivate", "admin").status == 204
    stray = cloud.service.blobs[cloud.service.store_names[0]].path("stray")
    stray.write_bytes(b"of a crash long ago")
    os.utime(stray, (1.0, 1.0))
    work(cloud)
    late = staged(cloud)
    cloud.clock.advance(KEPT_S)  # its deadline is over before anybody works on it
    work(cloud)
    uploaded = cloud.image()
    cloud.upload(uploaded, [b"half", None])
    for one in (image_id, late, uploaded, withheld):
        cloud.ask("DELETE", f"/v2/images/{one}")
    work(cloud)


def settled(cloud: Cloud) -> None:
    """Whatever happened: when everything is deleted, and old enough, no bytes are left."""
    cloud.clock.advance(KEPT_S + tasks.LEASE_S)
    for blobs in cloud.service.blobs.values():
        blobs.clean()
    for _ in range(2):
        work(cloud)
    images = cloud.ask("GET", "/v2/images", "admin").json["images"]
    assert {one["status"] for one in images} <= {"active", "queued", "killed", "deactivated"}, images
    for one in images:
        assert cloud.ask("DELETE", f"/v2/images/{one['id']}", "admin").status == 204
    for blobs in cloud.service.blobs.values():
        for key, _ in list(blobs.keys()):
            os.utime(blobs.path(key), (1.0, 1.0))
    for _ in range(2):
        work(cloud)
    left = {name: [key for key, _ in blobs.keys()] for name, blobs in cloud.service.blobs.items()}  # noqa: SIM118
    assert not any(left.values()), left


@pytest.fixture
def make_cloud(make_store: Callable[..., Store], tmp_path: Path) -> Any:
    made = []

    def make() -> Cloud:
        folder = tmp_path / str(len(made))
        settings = ImageSettings(extra_stores=[f"archive={folder / 'archive'}"], cache_max_bytes=1000)
        made.append(Cloud(make_store("bivouac.identity", "bivouac.image"), folder / "images", settings))
        return made[-1]

    return make


@pytest.mark.parametrize("store_breaks", [False, True])
def test_a_crash_at_every_side_effect(make_cloud: Callable[[], Cloud], tmp_path: Path, store_breaks: bool) -> None:
    n = 0
    while True:
        n += 1
        cloud = make_cloud()
        folder = cloud.service.blobs["archive"].folder
        with arm(n) as point:
            try:
                life(cloud, folder if store_breaks else None)
            except Crashed:
                pass
        if store_breaks:
            if folder.is_file():
                folder.unlink()
            folder.mkdir(exist_ok=True)
        settled(cloud)
        if len(point.seen) < n:
            break
    covers(f"image loops, store {'broken' if store_breaks else 'sound'}", point)
