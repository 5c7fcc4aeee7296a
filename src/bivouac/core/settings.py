"""Settings: one optional TOML file and the environment; every default is good.

`BIVOUAC_HTTP_PORT=5001` sets `http.port`. A setting exists only if somebody has a reason to change it.
"""

import ipaddress
import os
import socket
import tomllib
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, field

from .errors import Error

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class SettingsError(Error):
    """The file or an environment variable does not fit; the message names it."""


class Http(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the APIs listen: on loopback in plain HTTP, on any other address over TLS. `public_url` is what the
    catalog says when a proxy stands in front."""

    host: str = "127.0.0.1"
    port: int = 5000
    public_url: str = ""


class Hosts(Struct, frozen=True, forbid_unknown_fields=True):
    """Where further hosts come in, over mutual TLS, once the APIs listen beyond loopback: their agents, and their
    network daemons to OVN's southbound database."""

    agents_port: int = 5001
    southbound_port: int = 6642


class ObjectStore(Struct, frozen=True, forbid_unknown_fields=True):
    """The object store's front doors.

    `s3_domains`: host names under which a bucket is BUCKET.NAME, and its website BUCKET.s3-website.NAME (without a
    leading `s3.`). Rates are Swift's, in requests a second, 0 for no limit: `account_writes` makes, changes and deletes
    containers of one account, `container_writes` writes and deletes objects in one container.
    """

    swift_port: int = 8080
    s3_port: int = 9000
    s3_domains: list[str] = field(default_factory=lambda: ["s3.localhost"])
    account_writes: float = 0
    container_writes: float = 0


class Database(Struct, frozen=True, forbid_unknown_fields=True):
    """`postgresql://...` for PostgreSQL; empty means SQLite in the state directory."""

    url: str = ""


class Region(Struct, frozen=True, forbid_unknown_fields=True):
    """Names that clients see."""

    name: str = "RegionOne"
    availability_zone: str = "nova"


class Security(Struct, frozen=True, forbid_unknown_fields=True):
    """Security compliance of passwords (Keystone's `[security_compliance]`); 0 or empty means off."""

    lockout_failure_attempts: int = 0
    lockout_duration_s: int = 1800
    unique_last_password_count: int = 0
    minimum_password_age_days: int = 0
    password_expires_days: int = 0
    password_regex: str = ""
    password_regex_description: str = ""
    change_password_upon_first_use: bool = False
    disable_user_account_days_inactive: int = 0
    token_lifetime_s: int = 3600


class Identity(Struct, frozen=True, forbid_unknown_fields=True):
    """`limit_model` is Keystone's `[unified_limit] enforcement_model`: with `strict_two_level` a project's limit may
    not pass that of its domain, and projects are at most two deep."""

    limit_model: Literal["flat", "strict_two_level"] = "flat"


class Network(Struct, frozen=True, forbid_unknown_fields=True):
    """The public network of the one-machine cloud, and what leads out of it."""

    public_cidr: str = "172.24.4.0/24"
    public_gateway: str = "172.24.4.1"
    physical_network: str = "public"
    mtu: int = 1442
    name_servers: list[str] = field(default_factory=list)


class Compute(Struct, frozen=True, forbid_unknown_fields=True):
    """Overcommit of hosts, as Nova's allocation ratios."""

    cpu_allocation_ratio: float = 16.0
    memory_allocation_ratio: float = 1.0
    disk_allocation_ratio: float = 10.0
    build_deadline_s: float = 600.0


class Image(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of images and imports. `require_format_match` off lets bytes without any signature pass under every
    claimed format, as older Glance does; no server boots from them.

    `web_download_allow`: hosts, `host:port`s and networks that images may be fetched from, private ones too; `*` stands
    for every public address, and empty means just that. `extra_stores`: `name=/directory` of further stores.
    """

    max_size_bytes: int = 1 << 40
    cache_max_bytes: int = 10 << 30
    """Beyond it the image cache drops what was read longest ago."""
    require_format_match: bool = True
    web_download_allow: list[str] = field(default_factory=list)
    extra_stores: list[str] = field(default_factory=list)


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings. `state` is the state directory; `drivers` = `sim` plays hosts and networks without touching any."""

    state: str = "/var/lib/bivouac"
    drivers: Literal["real", "sim"] = "real"
    log_level: str = "info"
    policy_file: str = ""
    http: Http = Http()
    hosts: Hosts = Hosts()
    object_store: ObjectStore = ObjectStore()
    database: Database = Database()
    region: Region = Region()
    security: Security = Security()
    identity: Identity = Identity()
    network: Network = Network()
    compute: Compute = Compute()
    image: Image = Image()

    @property
    def state_path(self) -> Path:
        return Path(self.state)

    @property
    def control_path(self) -> Path:
        """What control owns: database, image bytes, OVN's central databases, the agents' socket."""
        return self.state_path / "control"

    @property
    def agent_path(self) -> Path:
        """What this host's agent owns: guests, disks, network daemons."""
        return self.state_path / "agent"

    @property
    def objects_path(self) -> Path:
        """What the object store owns."""
        return self.state_path / "objects"

    @property
    def control_socket(self) -> Path:
        """Where agents reach control on one machine."""
        return self.control_path / "control.sock"

    @property
    def forgotten_path(self) -> Path:
        """Where control numbers revocations, for the object store to see."""
        return self.control_path / "forgotten"

    @property
    def authority_path(self) -> Path:
        """The certificate authority: `certificate.pem` for everybody, `key.pem` for root."""
        return self.state_path / "authority"

    @property
    def certificate(self) -> Path:
        """Certificate and key of the servers of control and the object store."""
        return self.control_path / "server.pem"

    @property
    def secure(self) -> bool:
        """Whether the APIs listen beyond loopback, and so over TLS."""
        try:
            return not ipaddress.ip_address(self.http.host).is_loopback
        except ValueError:
            return self.http.host != "localhost"

    @property
    def address(self) -> str:
        """The name or address that others reach this machine by. Raises SettingsError."""
        return _own_address() if self.http.host in ("0.0.0.0", "::") else self.http.host

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that the servers' certificate vouches for."""
        public = urlsplit(self.http.public_url).hostname
        return tuple(dict.fromkeys(filter(None, (self.address, public, socket.gethostname(), *LOOPBACK))))

    def url(self, port: int) -> str:
        """Base of the URLs of one of our servers, without a slash at the end. Raises SettingsError."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{'https' if self.secure else 'http'}://{host}:{port}"

    @property
    def public_url(self) -> str:
        """Base of the APIs' URLs in the catalog, without a slash at the end. Raises SettingsError."""
        return self.http.public_url.rstrip("/") or self.url(self.http.port)


def _own_address() -> str:
    """The address that packets to elsewhere leave with. Raises SettingsError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documentation (RFC 5737); nothing is sent
        except OSError as error:
            raise SettingsError(
                "http.host stands for every address, and without a default route it is not clear by which one others "
                "reach this machine: set http.host to that address"
            ) from error
        return probe.getsockname()[0]


def load(state: str = "", environment: dict[str, str] | None = None) -> Settings:
    """Settings from STATE/bivouac.toml (or `BIVOUAC_CONFIG`) and `BIVOUAC_*`. Raises SettingsError."""
    environment = dict(os.environ) if environment is None else environment
    state = state or environment.get("BIVOUAC_STATE", "") or "/var/lib/bivouac"
    path = Path(environment.get("BIVOUAC_CONFIG", "") or Path(state) / "bivouac.toml")
    tree: dict[str, Any] = {}
    if path.exists():
        try:
            tree = tomllib.loads(path.read_text())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path}: {error}") from error
    tree["state"] = state
    _overlay(tree, environment)
    try:
        return msgspec.convert(tree, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"settings in {path} or BIVOUAC_*: {error}") from error


def _overlay(tree: dict[str, Any], environment: dict[str, str]) -> None:
    """Put the environment's values over the file's."""
    for item in msgspec.structs.fields(Settings):
        if isinstance(item.type, type) and issubclass(item.type, Struct):
            section = tree.setdefault(item.name, {})
            for inner in msgspec.structs.fields(item.type):
                if (text := environment.get(f"BIVOUAC_{item.name}_{inner.name}".upper())) is not None:
                    section[inner.name] = text.split(",") if inner.type == list[str] else text
        elif item.name != "state" and (text := environment.get(f"BIVOUAC_{item.name}".upper())) is not None:
            tree[item.name] = text
