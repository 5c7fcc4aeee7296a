"""The conversation between an agent and control, as tagged messages of JSON in one WebSocket.

The agent dials control (`/agent/v1/link` on STATE/control.sock; over mutual TLS on many machines), says `Hello`,
and gets a `Wanted` with `complete=True`: whatever it runs that is not in there must go. Later `Wanted`s are
increments. It answers with `Report`s whenever something moved, and a `Heartbeat` every few seconds. `Ask` and
`Answer` are for the few things that need bytes at once (console log, opening a console). Bytes of images go by
plain HTTP on the same socket: GET and PUT `/agent/v1/images/{id}`. Consoles: control asks `open_console` with a
session id, the agent dials `/agent/v1/consoles/{session}` as a WebSocket and pipes the device through it.

Lost messages cost latency, never correctness: after a reconnect both sides begin with everything they know.
"""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from .network import NetworkSpec
from .server import ServerReport, ServerSpec


class HostFacts(Struct, frozen=True):
    """What a host is: written by the agent at `Hello`, shown as the hypervisor's details."""

    name: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    hypervisor_type: str = "QEMU"
    hypervisor_version: int = 0
    """As Nova shows it: major * 1000000 + minor * 1000 + micro."""
    accelerator: Literal["kvm", "tcg", "sim"] = "tcg"
    cpu_model: str = ""
    cpu_arch: str = "x86_64"
    cpu_features: tuple[str, ...] = ()
    cpu_topology: dict[str, int] = {}
    address: str = "127.0.0.1"
    reserved_memory_mib: int = 0
    reserved_disk_gib: int = 0
    traits: tuple[str, ...] = ()
    agent_version: str = ""


class HostUsage(Struct, frozen=True):
    """What a host measures of itself, sent with each heartbeat."""

    memory_used_mib: int = 0
    disk_used_gib: int = 0
    disk_available_gib: int = 0
    load_average: float = 0.0
    uptime_s: float = 0.0
    running_servers: int = 0
    daemons: dict[str, str] = {}
    """Name -> `running` or why not, of the network daemons that the agent supervises."""


class Hello(Struct, frozen=True, tag="hello"):
    host: HostFacts
    reports: tuple[ServerReport, ...] = ()


class Report(Struct, frozen=True, tag="report"):
    servers: tuple[ServerReport, ...] = ()


class Heartbeat(Struct, frozen=True, tag="heartbeat"):
    usage: HostUsage


class Answer(Struct, frozen=True, tag="answer"):
    id: int
    result: dict[str, Any] = {}
    error: str = ""


class Wanted(Struct, frozen=True, tag="wanted"):
    """`complete`: these are all servers and networks of the host. Otherwise each replaces the one held by its id.

    A server of which control has no row at all is wanted `absent` by its not being in a complete list. A network goes
    with the last server on it.
    """

    complete: bool
    servers: tuple[ServerSpec, ...] = ()
    networks: tuple[NetworkSpec, ...] = ()


class Ask(Struct, frozen=True, tag="ask"):
    """`kind`: `console_log` {server_id, max_bytes} -> {text}; `open_console` {server_id, session, console:
    vnc|serial} -> {}; `diagnostics` {server_id} -> Nova's 2.48 shape; `screenshot` {server_id} -> {png base64};
    `server_password` {server_id} -> {password}: what its guest posted to the metadata service, encrypted, or empty;
    `clear_server_password` {server_id} -> {}."""

    id: int
    kind: Literal[
        "console_log", "open_console", "diagnostics", "screenshot", "server_password", "clear_server_password"
    ]  # fmt: skip
    arguments: dict[str, Any] = {}


FromAgent = Hello | Report | Heartbeat | Answer
FromControl = Wanted | Ask

encode = msgspec.json.Encoder().encode
decode_from_agent = msgspec.json.Decoder(FromAgent).decode
decode_from_control = msgspec.json.Decoder(FromControl).decode
