"""A network namespace in which a test's whole thread (and every thread and process it starts) lives, and a stand-in
for a guest: a second namespace whose tap is wired, frame by frame, to a tap that the driver plugged."""

import contextlib
import ctypes
import fcntl
import os
import select
import struct
import subprocess
import threading
import uuid
from collections.abc import Iterator

libc = ctypes.CDLL(None, use_errno=True)


def enter(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    if libc.setns(descriptor, 0x40000000):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(descriptor)


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def own_namespace() -> Iterator[str]:
    name = f"bivouac-test-{uuid.uuid4().hex[:8]}"
    ip("netns", "add", name)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        enter(f"/run/netns/{name}")
        ip("link", "set", "lo", "up")
        yield name
    finally:
        libc.setns(home, 0x40000000)
        os.close(home)
        ip("netns", "del", name)


def open_tap(name: str) -> int:
    """As QEMU's starter does: no vnet headers."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1002))
    return tap


class Guest:
    """A namespace that hangs on a plugged tap, as a guest's kernel does."""

    def __init__(self, tap: str, mac_address: str):
        self.name = f"bivouac-guest-{uuid.uuid4().hex[:8]}"
        ip("netns", "add", self.name)
        self._stop_read, self._stop_write = os.pipe()
        self._host = open_tap(tap)
        ready = threading.Event()
        self._thread = threading.Thread(target=self._relay, args=(ready,))
        self._thread.start()
        ready.wait(5)
        ip("-n", self.name, "link", "set", "eth0", "address", mac_address)
        ip("-n", self.name, "link", "set", "lo", "up")
        ip("-n", self.name, "link", "set", "eth0", "mtu", "1442", "up")

    def _relay(self, ready: threading.Event) -> None:
        enter(f"/run/netns/{self.name}")
        inside = open_tap("eth0")
        ready.set()
        pairs = {self._host: inside, inside: self._host}
        while True:
            readable, _, _ = select.select([*pairs, self._stop_read], [], [])
            if self._stop_read in readable:
                break
            for one in readable:
                with contextlib.suppress(OSError):
                    os.write(pairs[one], os.read(one, 65536))
        os.close(inside)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(["ip", "netns", "exec", self.name, *command], capture_output=True, text=True, timeout=30)
        if check and done.returncode:
            raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
        return done

    def address(self, *cidrs: str, gateway: str = "") -> None:
        for cidr in cidrs:
            ip("-n", self.name, "addr", "add", cidr, "dev", "eth0", *(("nodad",) if ":" in cidr else ()))
        if gateway:
            ip("-n", self.name, "route", "add", "default", "via", gateway)

    def reaches(self, address: str) -> bool:
        return self.run("ping", "-c", "1", "-W", "2", address, check=False).returncode == 0

    def close(self) -> None:
        os.write(self._stop_write, b"x")
        self._thread.join()
        for one in (self._host, self._stop_read, self._stop_write):
            os.close(one)
        ip("netns", "del", self.name)
