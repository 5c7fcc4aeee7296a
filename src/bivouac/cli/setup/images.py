"""The tiny guest as an image: its disk, which starts from a kernel and a ramdisk image, twice as fast as by BIOS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bivouac.guestimage.tiny import COMMAND_LINE, TinyImage, build_tiny
from bivouac.guestimage.tools import ImageBuildError

from ..client import Cloud
from ..errors import CommandFailed
from ..layout import Layout
from . import find

NAME = "tiny"


def image_endpoint(cloud: Cloud) -> str:
    """The image service's endpoint with its version."""
    return cloud.endpoint("image").removesuffix("/v2") + "/v2"


def ensure_images(cloud: Cloud, layout: Layout) -> str:
    """Register the tiny guest unless it is there; builds it when needed. Returns what to tell."""
    base = image_endpoint(cloud)
    present = find(cloud, base, "/images", "images", NAME)
    if present and present["status"] == "active":
        return f"{NAME} is there"
    try:
        built = build_or_reuse(layout)
    except ImageBuildError as error:
        raise CommandFailed(str(error)) from error
    kernel = _register(cloud, base, f"{NAME}-kernel", built.kernel_elf, disk_format="aki", container_format="aki")
    ramdisk = _register(cloud, base, f"{NAME}-ramdisk", built.ramdisk, disk_format="ari", container_format="ari")
    _register(
        cloud,
        base,
        NAME,
        built.disk,
        disk_format="qcow2",
        container_format="bare",
        min_disk=0,
        kernel_id=kernel,
        ramdisk_id=ramdisk,
        hw_qemu_guest_agent="yes",
        os_admin_user="cirros",
        os_type="linux",
        os_command_line=COMMAND_LINE,
    )
    return f"{NAME} built and registered"


def build_or_reuse(layout: Layout) -> TinyImage:
    """The guest in the state directory, built if it is not there whole."""
    folder = layout.image / NAME
    names = ("vmlinuz", "vmlinux", "initramfs", "ramdisk", "guest.qcow2")
    parts = [folder / name for name in names]
    if all(part.exists() for part in parts):
        return TinyImage(folder, *parts)
    return build_tiny(folder)


def _register(cloud: Cloud, base: str, name: str, path: Path, **properties: Any) -> str:
    present = find(cloud, base, "/images", "images", name)
    if present and present["status"] == "active":
        return present["id"]
    if present:
        # An upload that was cut off.
        cloud.call("DELETE", base, f"/images/{present['id']}")
    image = cloud.post(base, "/images", {"name": name, "visibility": "public", **properties})
    with path.open("rb") as content:
        cloud.upload(base, f"/images/{image['id']}/file", content, path.stat().st_size)
    return image["id"]
