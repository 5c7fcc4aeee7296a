"""`bivouac setup`: make what the first user of a fresh cloud needs, over the cloud's own APIs.

Image, flavors and the public network belong to the operator; the demo project with its network, key and server shows
that it all works. Every step first looks whether its result is there, so that it can be run again after a failure, and
costs a second when there is nothing left to do.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..client import ApiError, Cloud
from ..clouds_yaml import CloudsFileError
from ..errors import CommandFailed
from ..layout import Layout
from ..progress import Progress
from ..start import load_settings

DEMO = "demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Parts can be left out."""
    parser.add_argument("--no-server", action="store_true", help="make everything but the demo server")
    parser.add_argument("--no-clouds-yaml", action="store_true", help="leave ~/.config/openstack/clouds.yaml alone")


def run(options: argparse.Namespace) -> int:
    """Carry out all steps and say where to go next."""
    layout = Layout(Path(options.state).absolute())
    if os.geteuid() != 0:
        raise CommandFailed("the administrator's password is root's to read: run this with sudo")
    try:
        with Progress() as progress:
            set_up(layout, progress, server=not options.no_server, clouds_yaml=not options.no_clouds_yaml)
    except (ApiError, CloudsFileError, OSError) as error:
        raise CommandFailed(f"{error}\n  -> after mending, run it again: what is done already is kept") from error
    return 0


def set_up(layout: Layout, progress: Progress, server: bool, clouds_yaml: bool) -> None:
    """All steps. Raises ApiError, CloudsFileError, CommandFailed and OSError."""
    from . import access, flavors, images, networks, servers

    settings = load_settings(layout)
    with progress.step("log in as admin"):
        admin = access.admin_cloud(layout, settings)
        admin.log_in()
    with progress.step("image") as step:
        step.note = images.ensure_images(admin, layout)
    with progress.step("flavors") as step:
        step.note = flavors.ensure_flavors(admin)
    with progress.step("public network") as step:
        step.note = networks.ensure_public_network(admin, settings)
    with progress.step("demo project and user") as step:
        demo = access.ensure_demo(admin, layout, settings, DEMO)
        step.note = "demo"
    with progress.step("demo network, router, security group and key") as step:
        step.note = networks.ensure_demo_network(demo, settings, DEMO)
        servers.ensure_key(demo, access.ensure_key_pair(layout), DEMO)
    with progress.step("client settings") as step:
        step.note = access.write_client_settings(layout, settings, admin, demo, clouds_yaml)
    real = settings.drivers == "real"
    address = servers.ensure_server(demo, layout, progress, DEMO, log_in=real) if server else ""
    access.print_what_next(layout, settings, address, progress.elapsed_s, access.link_command(layout))


def find(cloud: Cloud, base: str, path: str, collection: str, name: str) -> dict | None:
    """The one resource of this name in a list filtered by name; None when there is none. Raises ApiError."""
    separator = "&" if "?" in path else "?"
    found = [item for item in cloud.get(base, f"{path}{separator}name={name}")[collection] if item["name"] == name]
    return found[0] if found else None
