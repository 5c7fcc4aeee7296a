"""The demo server: booted, given a floating IP, and logged into, which proves the whole cloud."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

from bivouac.core.run import CommandError
from bivouac.core.run import run as run_program

from ..client import ApiError, Cloud
from ..errors import CommandFailed
from ..layout import Layout
from ..progress import Progress
from . import find
from .images import NAME as IMAGE
from .images import image_endpoint
from .networks import PUBLIC, network_endpoint

FLAVOR = "m1.micro"
BUILD_LIMIT_S = 300.0
SSH_LIMIT_S = 300.0
"""Generous: an emulated guest on a busy machine takes a while."""

SSH_OPTIONS = (
    *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"),
    *("-o", "BatchMode=yes", "-o", "ConnectTimeout=5"),
)


def ensure_key(cloud: Cloud, public_key: str, name: str) -> None:
    """Import the public key. A key of this name that is another is replaced: its private half is not here."""
    base = cloud.endpoint("compute")
    try:
        present = cloud.get(base, f"/os-keypairs/{name}")["keypair"]["public_key"]
    except ApiError as error:
        if error.status != 404:
            raise
    else:
        if present.split()[:2] == public_key.split()[:2]:
            return
        cloud.call("DELETE", base, f"/os-keypairs/{name}")
    cloud.post(base, "/os-keypairs", {"keypair": {"name": name, "public_key": public_key}})


def ensure_server(cloud: Cloud, layout: Layout, progress: Progress, name: str, log_in: bool) -> str:
    """The server's floating address, once SSH answers there (if it is meant to run and `log_in` is asked for)."""
    with progress.step("demo server") as step:
        server = _boot(cloud, name)
        address = _ensure_floating_ip(cloud, server["id"])
        server = _wait_until_built(cloud, server["id"])
        step.note = f"{name} is {server['status']} at {address}"
    if log_in and server["status"] == "ACTIVE":
        with progress.step("log in over SSH") as step:
            step.note = _wait_for_ssh(address, layout.state / "access/demo_key")
    return address


def _boot(cloud: Cloud, name: str) -> dict[str, Any]:
    base = cloud.endpoint("compute")
    server = find(cloud, base, "/servers", "servers", name)
    if server is not None:
        return server
    flavor = find(cloud, base, "/flavors?limit=1000", "flavors", FLAVOR)
    image = find(cloud, image_endpoint(cloud), "/images", "images", IMAGE)
    network = find(cloud, network_endpoint(cloud), f"/networks?project_id={cloud.project_id}", "networks", name)
    assert flavor and image and network
    wanted = {
        "name": name,
        "flavorRef": flavor["id"],
        "imageRef": image["id"],
        "key_name": name,
        "networks": [{"uuid": network["id"]}],
        "security_groups": [{"name": name}],
    }
    return cloud.post(base, "/servers", {"server": wanted})["server"]


def _wait_until_built(cloud: Cloud, server_id: str) -> dict[str, Any]:
    base = cloud.endpoint("compute")
    deadline = time.monotonic() + BUILD_LIMIT_S
    while True:
        server = cloud.get(base, f"/servers/{server_id}")["server"]
        if server["status"] == "ERROR":
            reason = server.get("fault", {}).get("message", "no reason was given")
            raise CommandFailed(f"the demo server could not be built: {reason}")
        if server["status"] != "BUILD":
            return server
        if time.monotonic() > deadline:
            raise CommandFailed(f"the demo server is not built after {BUILD_LIMIT_S:.0f} s; see `bivouac status`")
        time.sleep(0.1)


def _ensure_floating_ip(cloud: Cloud, server_id: str) -> str:
    base = network_endpoint(cloud)
    port = _port_of(cloud, base, server_id)
    mine = cloud.get(base, f"/floatingips?port_id={port['id']}")["floatingips"]
    if not mine:
        public = find(cloud, base, "/networks?router:external=true", "networks", PUBLIC)
        assert public is not None
        wanted = {"floating_network_id": public["id"], "port_id": port["id"]}
        mine = [cloud.post(base, "/floatingips", {"floatingip": wanted})["floatingip"]]
    return mine[0]["floating_ip_address"]


def _port_of(cloud: Cloud, base: str, server_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + BUILD_LIMIT_S
    while not (ports := cloud.get(base, f"/ports?device_id={server_id}")["ports"]):
        if time.monotonic() > deadline:
            raise CommandFailed("the demo server got no port; see `bivouac status`")
        time.sleep(0.1)
    return ports[0]


def _wait_for_ssh(address: str, key: Path) -> str:
    deadline = time.monotonic() + SSH_LIMIT_S
    last = "nothing was tried"
    command = ["ssh", "-i", str(key), *SSH_OPTIONS, f"cirros@{address}", "uptime"]
    while time.monotonic() < deadline:
        try:
            # The port is asked first: an SSH client that waits for a guest still booting waits far too long.
            with socket.create_connection((address, 22), timeout=1):
                pass
            return run_program(command, timeout_s=30).stdout.decode().strip()
        except (OSError, CommandError) as error:
            last = str(error)
        time.sleep(0.1)
    raise CommandFailed(
        f"the demo server at {address} does not answer over SSH: {last}\n"
        f"  -> look at its console: openstack --os-cloud bivouac console log show demo"
    )
