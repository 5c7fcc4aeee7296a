"""Rows of compute."""

from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from bivouac.core.store import Row
from bivouac.hostspec.server import ImageRef


class FlavorShape(Struct, frozen=True, kw_only=True):
    """What a flavor gives a server. A server keeps the one it was made with: flavors may go."""

    id: str
    name: str
    memory_mib: int
    vcpus: int
    root_gib: int
    ephemeral_gib: int = 0
    swap_mib: int = 0
    rxtx_factor: float = 1.0
    extra_specs: dict[str, str] = {}

    @property
    def disk_gib(self) -> int:
        """All that it takes of a host's disk."""
        return self.root_gib + self.ephemeral_gib + -(-self.swap_mib // 1024)


class Flavor(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "flavors"
    id: str
    name: str
    memory_mib: int
    vcpus: int
    root_gib: int
    ephemeral_gib: int = 0
    swap_mib: int = 0
    rxtx_factor: float = 1.0
    is_public: bool = True
    disabled: bool = False
    description: str | None = None
    extra_specs: dict[str, str] = {}
    created_at: float

    @property
    def shape(self) -> FlavorShape:
        return FlavorShape(
            id=self.id, name=self.name, memory_mib=self.memory_mib, vcpus=self.vcpus, root_gib=self.root_gib,
            ephemeral_gib=self.ephemeral_gib, swap_mib=self.swap_mib, rxtx_factor=self.rxtx_factor,
            extra_specs=self.extra_specs,
        )  # fmt: skip


class FlavorAccess(Row, frozen=True, kw_only=True):
    """A project that may use a flavor which is not public."""

    TABLE: ClassVar[str] = "flavor_access"
    KEY: ClassVar[tuple[str, ...]] = ("flavor_id", "project_id")
    flavor_id: str
    project_id: str


class Keypair(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "keypairs"
    KEY: ClassVar[tuple[str, ...]] = ("user_id", "name")
    user_id: str
    name: str
    number: int
    type: str
    public_key: str
    fingerprint: str
    created_at: float


class Fault(Struct, frozen=True):
    """Why a server is in ERROR (or the last thing that failed)."""

    message: str
    created: float
    code: int = 500
    details: str = ""


class DiskWish(Struct, frozen=True, kw_only=True):
    """A disk beside the root disk that was asked for at create, in `block_device_mapping_v2`."""

    kind: str
    size_gib: int = 0
    size_mib: int = 0
    filesystem: str = ""
    bus: str = ""
    tag: str = ""


class Boot(Struct, frozen=True):
    """The bytes that a server starts from: kept with it, since images may go."""

    image: ImageRef | None = None
    kernel: ImageRef | None = None
    ramdisk: ImageRef | None = None
    rescue: ImageRef | None = None
    root_bytes: int = 0
    """Size of the root disk when the flavor sets none."""


class Server(Row, frozen=True, kw_only=True):
    """A server: what is wanted of it (written by the API, with `generation`) and what is (written from reports).

    `task` counts only while `observed_generation` is behind; see `states`.
    """

    TABLE: ClassVar[str] = "servers"
    COUNTED: ClassVar[str] = "revision"
    SECRET: ClassVar[frozenset[str]] = frozenset({"admin_password", "user_data", "files"})
    id: str
    project_id: str
    user_id: str
    name: str
    hostname: str
    description: str | None = None
    created_at: float
    updated_at: float
    launched_at: float | None = None
    terminated_at: float | None = None
    deleted_at: float | None = None
    reservation_id: str
    launch_index: int = 0
    flavor: FlavorShape
    flavor_id: str
    vcpus: int
    memory_mib: int
    image_id: str = ""
    image_properties: dict[str, str] = {}
    boot: Boot = Boot()
    key_name: str | None = None
    key_data: str = ""
    key_type: str = "ssh"
    metadata: dict[str, str] = {}
    tags: str = ""
    """`,one,two,`: tags hold no comma, so a tag is found by `,tag,`."""
    user_data: str | None = None
    files: tuple[tuple[str, str], ...] = ()
    config_drive: bool = False
    config_drive_wish: str = ""
    admin_password: str = ""
    access_ipv4: str = ""
    access_ipv6: str = ""
    disk_config: str = "MANUAL"
    locked_by: str = ""
    """Empty, `owner` or `admin`."""
    locked_reason: str | None = None
    pinned_zone: str | None = None
    availability_zone: str = ""
    group_id: str | None = None
    scheduler_hints: dict[str, Any] = {}
    disks: tuple[DiskWish, ...] = ()
    root_device_name: str = "/dev/vda"
    root_tag: str = ""
    certificates: tuple[str, ...] = ()
    generation: int = 1
    task: str = ""
    action_id: str = ""
    """Request id of the instance action that the task belongs to."""
    power_wanted: str = "running"
    deadline: float | None = None
    restart: bool = False
    """The task needs the guest stopped first: until its host has said so, that is what it is told."""
    old_flavor: FlavorShape | None = None
    """While a resize awaits confirmation: what to go back to."""
    rescue_image_id: str = ""
    shelved_image_id: str = ""
    host: str = ""
    """Name of the host that the server is on, or empty."""
    phase: str = "building"
    observed_generation: int = 0
    power_observed: str = ""
    fault: Fault | None = None
    revision: int = 1

    @property
    def current_task(self) -> str:
        return self.task if self.observed_generation < self.generation else ""

    @property
    def tag_list(self) -> list[str]:
        return [tag for tag in self.tags.split(",") if tag]


class ShownServer(Row, frozen=True, kw_only=True):
    """The columns of a server that the API shows, as SQL has them: nothing is decoded that is not asked for."""

    TABLE: ClassVar[str] = "servers"
    id: str
    project_id: str
    user_id: str
    name: str
    hostname: str
    description: str | None
    created_at: float
    updated_at: float
    launched_at: float | None
    terminated_at: float | None
    deleted_at: float | None
    reservation_id: str
    launch_index: int
    flavor: str
    image_id: str
    image_properties: str
    key_name: str | None
    metadata: str
    tags: str
    user_data: str | None
    config_drive: int
    config_drive_wish: str
    access_ipv4: str
    access_ipv6: str
    disk_config: str
    locked_by: str
    locked_reason: str | None
    pinned_zone: str | None
    availability_zone: str
    group_id: str | None
    root_device_name: str
    certificates: str
    generation: int
    task: str
    host: str
    phase: str
    observed_generation: int
    power_observed: str
    fault: str | None


class ServerAction(Row, frozen=True, kw_only=True):
    """One thing that was done to a server: Nova's instance action, and the operation its host executes once.

    `state`: `pending` until its task ends, then `done` or `failed`. `arguments` go to the host.
    """

    TABLE: ClassVar[str] = "server_actions"
    KEY: ClassVar[tuple[str, ...]] = ("server_id", "request_id")
    SECRET: ClassVar[frozenset[str]] = frozenset({"arguments"})
    server_id: str
    request_id: str
    action: str
    task: str
    user_id: str
    project_id: str
    start_time: float
    updated_at: float
    finish_time: float | None = None
    state: str = "pending"
    message: str = ""
    host: str = ""
    arguments: dict[str, Any] = {}
    generation: int = 0


class ServerGroup(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "server_groups"
    id: str
    name: str
    project_id: str
    user_id: str
    policy: str
    rules: dict[str, int] = {}
    created_at: float


class Quota(Row, frozen=True, kw_only=True):
    """A limit that differs from the default. `owner` is `project:ID`, `user:PROJECT:USER` or `class:NAME`."""

    TABLE: ClassVar[str] = "compute_quotas"
    KEY: ClassVar[tuple[str, ...]] = ("owner", "resource")
    owner: str
    resource: str
    amount: int


class Migration(Row, frozen=True, kw_only=True):
    """A resize or move of a server, as `os-migrations` lists it."""

    TABLE: ClassVar[str] = "migrations"
    id: int
    uuid: str
    server_id: str
    project_id: str
    user_id: str
    kind: str
    status: str
    source_host: str
    destination_host: str
    old_flavor_id: str
    new_flavor_id: str
    created_at: float
    updated_at: float


class ConsoleSession(Row, frozen=True, kw_only=True):
    """A ticket for a console. Only a hash of its token is kept."""

    TABLE: ClassVar[str] = "console_sessions"
    KEY: ClassVar[tuple[str, ...]] = ("token_hash",)
    LOGGED: ClassVar[bool] = False
    token_hash: str
    server_id: str
    host: str
    kind: str
    expires_at: float


def join_tags(tags: list[str]) -> str:
    """The stored form of a list of tags."""
    return f",{','.join(tags)}," if tags else ""


def replaced(row: Server, **fields: Any) -> Server:
    """A copy with fields set: what a pure rule says the row becomes."""
    return msgspec.structs.replace(row, **fields)
