"""Where a host answers 169.254.169.254: one namespace a network, on a veth plugged as the network's localport."""

import json
import os
import secrets
import socket
from pathlib import Path

from bivouac.core.crash import side_effect
from bivouac.core.run import run
from bivouac.hostspec.network import NetworkSpec

from . import kernel

ADDRESS = "169.254.169.254"
INSIDE = "metadata"
"""Name of the device within the namespace."""


def cloud_name(directory: Path) -> str:
    """Eight hexadecimal digits that tell this state directory's namespaces from those of another cloud."""
    path = directory / "cloud"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(secrets.token_hex(4))
        fresh.rename(path)
    return path.read_text().strip()


def namespace_name(cloud: str, network_id: str) -> str:
    return f"bivouac-{cloud}-{network_id}"


def device_name(network_id: str) -> str:
    """Host's end of the veth."""
    return "md" + network_id[:11]


def observe(cloud: str) -> tuple[str, ...]:
    """Networks with a namespace of this cloud."""
    prefix = namespace_name(cloud, "")
    try:
        names = sorted(os.listdir(kernel.NAMESPACES))
    except FileNotFoundError:
        return ()
    return tuple(name.removeprefix(prefix) for name in names if name.startswith(prefix))


def is_linked(namespace: str, device: str) -> bool:
    """Whether the namespace is there with the veth's peer in it. A veth alone may lead to a namespace whose name is
    lost: it is dying, or some process holds it."""
    return (
        kernel.namespace_exists(namespace)
        and kernel.device_exists(device)
        and kernel.in_namespace(namespace, lambda: kernel.device_exists(INSIDE))
    )


def link(namespace: str, device: str) -> None:
    """The namespace and a new veth with its peer inside."""
    if kernel.device_exists(device):
        side_effect(f"remove {device}")
        run(["ip", "link", "del", device], check=False)  # it may go by itself at this moment
    if not kernel.namespace_exists(namespace):
        side_effect(f"create namespace {namespace}")
        run(["ip", "netns", "add", namespace])
    side_effect(f"create {device}")
    kernel.ip_batch([f"link add {device} type veth peer name {INSIDE} netns {namespace}"])


def configure(namespace: str, device: str, network: NetworkSpec) -> None:
    """Exactly the addresses of the metadata port, and both ends up."""
    port = network.metadata_port
    assert port is not None
    kernel.set_up(device, network.mtu)
    shown = json.loads(run(["ip", "-n", namespace, "-j", "addr", "show", "dev", INSIDE]).stdout)[0]
    have = {f"{one['local']}/{one['prefixlen']}" for one in shown["addr_info"] if one["scope"] != "link"}
    wanted = {f"{ADDRESS}/32", *port.addresses}
    lines = [f"addr del {one} dev {INSIDE}" for one in sorted(have - wanted)]
    lines += [f"addr add {one} dev {INSIDE} nodad" if ":" in one else f"addr add {one} dev {INSIDE}"
              for one in sorted(wanted - have)]  # fmt: skip
    if shown["address"] != port.mac_address.lower():
        lines.insert(0, f"link set {INSIDE} address {port.mac_address}")
    if shown["mtu"] != network.mtu:
        lines.insert(0, f"link set {INSIDE} mtu {network.mtu}")
    if "UP" not in shown["flags"]:
        kernel.in_namespace(namespace, lambda: kernel.checksum_in_software(INSIDE))
        lines += ["link set lo up", f"link set {INSIDE} up"]
    if lines:
        side_effect(f"configure namespace {namespace}")
        kernel.ip_batch(lines, namespace)


def forget_neighbours(namespace: str) -> None:
    """Ask anew who has which address. An address that a new server got is otherwise answered at the old one's MAC for
    eight seconds: ARP requests of guests never get here to correct it, for OVN answers them."""
    run(["ip", "-n", namespace, "neigh", "flush", "dev", INSIDE])


def remove_namespace(namespace: str, device: str) -> None:
    """The veth first: it would outlive a namespace that some process still holds."""
    if kernel.device_exists(device):
        side_effect(f"remove {device}")
        run(["ip", "link", "del", device])
    if (kernel.NAMESPACES / namespace).exists():
        side_effect(f"remove namespace {namespace}")
        run(["ip", "netns", "del", namespace])


def listen() -> socket.socket:
    """A listening socket on the metadata address of the namespace that the thread is in."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((ADDRESS, 80))
    listening.listen(128)
    return listening
