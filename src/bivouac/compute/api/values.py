"""Values that several bodies hold: addresses, base64, injected files, block device mappings."""

import base64
import binascii
import ipaddress
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from bivouac.core.errors import BadRequest
from bivouac.core.http import Request

from ..records import DiskWish
from .fields import Body, Tag

DiskConfig = Literal["AUTO", "MANUAL"]
Base64 = Annotated[str, Meta(max_length=65535)]


def address(text: str, version: int = 0) -> str:
    """An IP address in its shortest form, or empty. Raises BadRequest."""
    if not text:
        return ""
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError as error:
        raise BadRequest(f"Invalid input: '{text}' is not an IP address.") from error
    if version and parsed.version != version:
        raise BadRequest(f"Invalid input: '{text}' is not an IPv{version} address.")
    return str(parsed)


def checked_base64(name: str, text: str) -> str:
    """Raise BadRequest unless the text is base64."""
    try:
        base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"Invalid input for field/attribute {name}. It is not base64.") from error
    return text


class Personality(Body):
    """A file to put into the guest, until 2.56."""

    path: Annotated[str, Meta(min_length=1)]
    contents: str


def files_of(entries: list[Personality]) -> tuple[tuple[str, str], ...]:
    """(path, base64 contents) pairs. Raises BadRequest."""
    return tuple((one.path, checked_base64("personality", one.contents)) for one in entries)


class DiskMapping(Body):
    """An entry of `block_device_mapping` or `block_device_mapping_v2`."""

    source_type: Literal["volume", "image", "snapshot", "blank"] | UnsetType = UNSET
    destination_type: Literal["local", "volume"] | UnsetType = UNSET
    uuid: str | None = None
    image_id: str | None = None
    volume_id: str | None = None
    snapshot_id: str | None = None
    boot_index: int | str | None = None
    volume_size: int | str | None = None
    device_name: str | None = None
    delete_on_termination: bool = False
    guest_format: str | None = None
    device_type: str | None = None
    disk_bus: str | None = None
    no_device: Any = None
    virtual_name: str | None = None
    connection_info: str | None = None
    volume_type: str | None = None
    tag: Tag | None = None


NO_VOLUMES = "Block Device Mapping is Invalid: this cloud boots from images and local disks; it has no volumes."


def disks_of(
    request: Request, legacy: list[DiskMapping], mappings: list[DiskMapping]
) -> tuple[tuple[DiskWish, ...], str, str]:
    """(disks beside the root disk, tag of the root disk, image of the root disk). Raises BadRequest."""
    if legacy and mappings:
        raise BadRequest("Using different block_device_mapping syntaxes is not allowed in the same request.")
    if legacy:
        raise BadRequest(NO_VOLUMES)
    disks, root_tag, root_image = [], "", ""
    for one in mappings:
        if one.tag is not None and request.version != (2, 32) and request.version < (2, 42):
            raise BadRequest("Additional properties are not allowed ('tag' was unexpected)")
        if one.destination_type == "volume" or one.source_type in ("volume", "snapshot"):
            raise BadRequest(NO_VOLUMES)
        size = _size(one.volume_size)
        if one.source_type == "image":
            if str(one.boot_index) != "0":
                raise BadRequest("Block Device Mapping is Invalid: a local image disk is the root disk: boot_index 0.")
            root_tag, root_image = one.tag or "", one.uuid or one.image_id or ""
        elif one.source_type == "blank" and one.guest_format == "swap":
            disks.append(DiskWish(kind="swap", size_mib=size))
        elif one.source_type == "blank":
            disks.append(DiskWish(kind="ephemeral", size_gib=size, filesystem=one.guest_format or "",
                                  bus=one.disk_bus or "", tag=one.tag or ""))  # fmt: skip
        else:
            raise BadRequest("Block Device Mapping is Invalid: an entry wants a source_type.")
    return tuple(disks), root_tag, root_image


def _size(value: int | str | None) -> int:
    if value is None or value == "":
        return 0
    try:
        size = int(value)
    except ValueError as error:
        raise BadRequest(f"Invalid input for field/attribute volume_size. Value: {value}.") from error
    if not 0 <= size <= 1 << 20:
        raise BadRequest(f"Invalid input for field/attribute volume_size. Value: {value}.")
    return size
