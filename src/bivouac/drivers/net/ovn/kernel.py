"""The few things asked of Linux directly: taps, device settings by ioctl, work inside a network namespace.

Sources: tuntap.rst of the kernel's documentation, netdevice(7), setns(2).
"""

import ctypes
import fcntl
import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from bivouac.core.run import run

T = TypeVar("T")
NAMESPACES = Path("/run/netns")
_TUNSETIFF, _TUNSETPERSIST, _TUNSETGROUP = 0x400454CA, 0x400454CB, 0x400454CE
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCSIFMTU, _SIOCETHTOOL = 0x8913, 0x8914, 0x8922, 0x8946
_IFF_UP = 0x1
_ETHTOOL_STXCSUM = 0x17
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def device_exists(name: str) -> bool:
    """Whether the namespace of this thread has such a network device."""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def make_tap(name: str, group: int) -> None:
    """A persistent tap without vnet headers: QEMU then drops its offloads, and TCP is right on every path.

    The group tells whose it is, from the moment that it outlives us.
    """
    tap = os.open("/dev/net/tun", os.O_RDWR)
    try:
        fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
        fcntl.ioctl(tap, _TUNSETGROUP, group)
        fcntl.ioctl(tap, _TUNSETPERSIST, 1)
    finally:
        os.close(tap)


def taps(group: int) -> set[str]:
    """Names of the taps of a group."""
    shown = json.loads(run(["ip", "-details", "-json", "link", "show", "type", "tun"]).stdout or b"[]")
    return {one["ifname"] for one in shown if one and one["linkinfo"]["info_data"].get("group") == group}


def set_up(name: str, mtu: int = 0) -> None:
    """Set the device's MTU (0: leave it) and bring it up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        if mtu:
            fcntl.ioctl(control, _SIOCSIFMTU, struct.pack("16si20x", name.encode(), mtu))
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sH22x", name.encode(), 0))
        flags = struct.unpack("16sH22x", answer)[1] | _IFF_UP
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), flags))


def checksum_in_software(name: str) -> None:
    """Turn transmit checksum offload off: what goes into the userspace datapath must carry finished checksums."""
    setting = ctypes.create_string_buffer(struct.pack("II", _ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sQ16x", name.encode(), ctypes.addressof(setting))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCETHTOOL, request)


def namespace_exists(name: str) -> bool:
    """Whether a named network namespace is there. A name with nothing mounted on it, left by an `ip netns add` that
    was killed half-way, is taken away."""
    path = NAMESPACES / name
    try:
        mounted = path.stat().st_dev != NAMESPACES.stat().st_dev
    except FileNotFoundError:
        return False
    if not mounted:
        path.unlink()
    return mounted


def ip_batch(lines: Iterable[str], namespace: str = "") -> None:
    """Several `ip` commands in one process. Raises CommandError at the first that fails."""
    command = ["ip", *(["-n", namespace] if namespace else []), "-batch", "-"]
    run(command, input="".join(f"{line}\n" for line in lines).encode())


def in_namespace(name: str, work: Callable[[], T]) -> T:
    """Run `work` on a thread of its own inside a named network namespace. Raises OSError and what it raises."""
    outcome: dict[str, Any] = {}

    def enter() -> None:
        try:
            descriptor = os.open(NAMESPACES / name, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _libc.setns(descriptor, _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {name}")
            finally:
                os.close(descriptor)
            outcome["result"] = work()
        except BaseException as error:  # noqa: B036 - carried to the caller's thread
            outcome["error"] = error

    thread = threading.Thread(target=enter, name=f"netns-{name}")
    thread.start()
    thread.join()
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]
