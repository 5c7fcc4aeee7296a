"""`bivouac host add NAME` on the cloud's machine, `bivouac host join FILE` on another: more hosts for one cloud.

The file that `add` writes is the new host's identity: whoever has it can be that host, so it is for root alone and is
carried by hand. `join` tries it before anything is changed, and starts an agent that dials the cloud over mutual TLS.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import re
import socket
import ssl
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from bivouac.agent import membership
from bivouac.agent.membership import Membership
from bivouac.core import certificates, tls
from bivouac.core.settings import SettingsError

from .errors import CommandFailed
from .layout import Layout
from .processes import read_pid_file
from .progress import Progress
from .start import ON_FURTHER_HOSTS, load_settings, prepare, start

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.IGNORECASE)
REACH_LIMIT_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Both actions."""
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)
    # Behind the action too; not said there, what was said before it counts.
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--state", metavar="DIR", default=argparse.SUPPRESS, help="state directory")
    add = actions.add_parser("add", parents=[common], help="here is the cloud: write the file that a host joins with")
    add.add_argument("name", help="name of the new host")
    add.add_argument("--output", metavar="FILE", default="", help="where to (default: NAME.host here)")
    join = actions.add_parser("join", parents=[common], help="here is a new host: join the cloud that wrote the file")
    join.add_argument("file", type=Path, help="what `bivouac host add` wrote")
    join.add_argument("--address", default="", help="this machine's address for tunnels (default: towards the cloud)")


def run(options: argparse.Namespace) -> int:
    """Carry out one action."""
    if os.geteuid() != 0:
        raise CommandFailed("keys and networks are root's: run this with sudo")
    layout = Layout(Path(options.state).absolute())
    try:
        return add(layout, options) if options.action == "add" else join(layout, options)
    except (OSError, SettingsError) as error:
        raise CommandFailed(str(error)) from error


def add(layout: Layout, options: argparse.Namespace) -> int:
    """Write a membership file."""
    settings = load_settings(layout)
    if not NAME.fullmatch(options.name) or len(options.name) > 64:
        raise CommandFailed(f"{options.name!r} is not a host name")
    authority = settings.authority_path / "certificate.pem"
    if not settings.secure or not authority.exists():
        raise CommandFailed(
            f"the cloud in {layout.state} listens on {settings.http.host} only, where no other machine reaches it\n"
            f"  -> set http.host in {layout.state}/bivouac.toml to an address of this machine, then: bivouac down, up"
        )
    address = urlsplit(settings.url(settings.hosts.agents_port)).netloc.rpartition(":")[0]
    made = Membership(
        name=options.name,
        control=settings.url(settings.hosts.agents_port),
        southbound=f"ssl:{address}:{settings.hosts.southbound_port}",
        authority=authority.read_text(),
        certificate=certificates.issue_host(settings.authority_path, options.name).decode(),
    )
    path = Path(options.output or f"{options.name}.host").absolute()
    certificates.replace_file(path, membership.encode(made), 0o600)
    print(f"Written: {path}. Carry it to {options.name}, where root alone may read it, and run there:")
    print(f"  bivouac host join {path.name}")
    return 0


def join(layout: Layout, options: argparse.Namespace) -> int:
    """Take a membership file, and start the agent."""
    if (layout.state / "control/bivouac.db").exists():
        raise CommandFailed(f"{layout.state} holds a cloud of its own; say another place with --state DIR")
    try:
        asked = membership.read(options.file)
    except membership.NoMembership as error:
        raise CommandFailed(error.message) from error
    settings = load_settings(layout)
    with Progress() as progress:
        with progress.step(f"reach the cloud at {asked.control}"):
            mine = options.address or reach(asked)
        prepare(layout, settings, spared=ON_FURTHER_HOSTS)
        folder = settings.agent_path
        membership.store(folder, msgspec.structs.replace(asked, address=mine))
        if read_pid_file(layout.pid_file("supervisor")) is None:
            start(layout, settings, progress)
    print(f"This machine is host {asked.name}. On the cloud's machine `bivouac status` shows it.")
    return 0


def reach(asked: Membership) -> str:
    """Shake hands with control as the agent will; gives this machine's address on that way. Raises CommandFailed."""
    parts = urlsplit(asked.control)
    host, port = parts.hostname or "", parts.port or 0
    with tempfile.TemporaryDirectory(prefix="bivouac-") as name:
        membership.store(Path(name), asked)
        context = tls.client_context(membership.authority_file(Path(name)), membership.certificate_file(Path(name)))
    try:
        with socket.create_connection((host, port), REACH_LIMIT_S) as plain:
            mine = plain.getsockname()[0]
            with context.wrap_socket(plain, server_hostname=host) as link:
                link.sendall(b"GET /agent/v1 HTTP/1.1\r\nHost: control\r\nConnection: close\r\n\r\n")
                # In TLS 1.3 a certificate that is refused shows only after the handshake.
                if not link.recv(1):
                    raise ssl.SSLError("the cloud hung up on this host's certificate")
    except ssl.SSLError as error:
        raise CommandFailed(
            f"{asked.control} and this machine do not trust each other: {error}\n"
            f"  -> write a new file on the cloud's machine: bivouac host add {asked.name}"
        ) from error
    except OSError as error:
        raise CommandFailed(
            f"{asked.control} cannot be reached: {error.strerror or error}\n"
            "  -> is the cloud up, and does a firewall let this port and the southbound database's through?"
        ) from error
    return str(ipaddress.ip_address(mine))
