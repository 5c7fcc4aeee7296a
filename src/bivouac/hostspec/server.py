"""What control wants of one server on a host, and what the agent says of it.

Control writes a `ServerSpec` with a `generation` that only grows; the agent makes the host like it and answers
with a `ServerReport` that carries the generation it has reached. An agent drops a spec older than the one it holds.
"""

from typing import Any, Literal

from msgspec import Struct

WantedPower = Literal["running", "stopped", "paused", "suspended", "absent"]
"""`absent` is the wish of a delete: the report that follows says `gone`."""

ObservedPower = Literal["running", "stopped", "paused", "suspended", "crashed", "building", "gone"]


class ImageRef(Struct, frozen=True):
    """Bytes of an image which the agent fetches once, checks and keeps as a base that disks are cloned from."""

    id: str
    disk_format: str
    size_bytes: int
    sha512: str
    min_disk_bytes: int = 0


class DiskSpec(Struct, frozen=True):
    """One disk of a server. `name` is unique in the server: `root`, `ephemeral0`, `swap`, `config` or a volume's id."""

    name: str
    size_bytes: int
    kind: Literal["root", "ephemeral", "swap", "volume", "cdrom"] = "root"
    image: ImageRef | None = None
    bus: Literal["virtio", "scsi", "ide", "sata", "usb"] = "virtio"
    serial: str = ""
    boot_index: int | None = None
    filesystem: str = ""
    """For ephemeral disks: the filesystem to make (`ext4`, `vfat`), empty for none."""
    tag: str = ""


class PortSpec(Struct, frozen=True):
    """One network card. `id` is the port's id and so OVN's logical switch port name (`iface-id`)."""

    id: str
    network_id: str
    mac_address: str
    mtu: int
    model: Literal["virtio", "e1000", "e1000e", "rtl8139"] = "virtio"
    tag: str = ""


class GuestMetadata(Struct, frozen=True):
    """What the guest may read about itself, on the metadata address and the config drive.

    The agent renders it as OpenStack's documents (`openstack/<version>/meta_data.json`, `network_data.json`,
    `user_data`, `vendor_data.json`) and as Amazon's (`<version>/meta-data/...`).
    """

    hostname: str
    name: str
    project_id: str
    availability_zone: str
    launch_index: int = 0
    reservation_id: str = ""
    instance_type: str = ""
    image_id: str = ""
    public_keys: dict[str, str] = {}
    key_types: dict[str, str] = {}
    meta: dict[str, str] = {}
    admin_password: str = ""
    user_data: str = ""
    """Base64, as the API took it."""
    network_data: dict[str, Any] = {}
    """The finished `network_data.json` (links, networks, services)."""
    devices: tuple[dict[str, Any], ...] = ()
    """Tagged devices, as `meta_data.json` lists them."""
    fixed_ips: tuple[str, ...] = ()
    floating_ip: str = ""
    security_groups: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    """Personality: (path, base64 contents), put on the config drive."""


class OperationSpec(Struct, frozen=True):
    """A one-shot action, executed once. `id` is the instance action's request; the agent remembers finished ids."""

    id: str
    kind: Literal["reboot_soft", "reboot_hard", "snapshot", "rebuild", "set_password", "nmi"]
    arguments: dict[str, Any] = {}
    """reboot_*: none; snapshot: `image_id`, `disk_format`; rebuild: none (the root disk is made anew from the spec);
    set_password: `user`, `password`."""
    deadline: float = 0.0
    """Seconds since the epoch."""


class ServerSpec(Struct, frozen=True):
    """All that a host needs to run one server."""

    id: str
    generation: int
    power: WantedPower
    vcpus: int
    memory_mib: int
    disks: tuple[DiskSpec, ...] = ()
    ports: tuple[PortSpec, ...] = ()
    metadata: GuestMetadata | None = None
    kernel: ImageRef | None = None
    ramdisk: ImageRef | None = None
    kernel_command_line: str = ""
    firmware: Literal["bios", "uefi"] = "bios"
    config_drive: bool = False
    guest_agent: bool = False
    stop_timeout_s: float = 60.0
    """How long a clean shutdown may take before the power is cut."""
    operations: tuple[OperationSpec, ...] = ()


class OperationReport(Struct, frozen=True):
    """How a one-shot action ended."""

    id: str
    state: Literal["running", "done", "failed"]
    message: str = ""


class ServerReport(Struct, frozen=True):
    """What is, as the host sees it. `fault` is for the owner's eyes: no host path, no secret."""

    id: str
    observed_generation: int
    power: ObservedPower
    fault: str = ""
    detail: str = ""
    """For the operator's log."""
    ports: tuple[str, ...] = ()
    """Ids of the ports that are plugged."""
    disks: tuple[str, ...] = ()
    """Names of the disks that are attached."""
    operations: tuple[OperationReport, ...] = ()
