"""Opening a tap device that somebody else made, as a queue for QEMU.

Without IFF_VNET_HDR on purpose: with it the guest sends unfinished checksums that the userspace datapath of Open
vSwitch hands on as they are, and TCP breaks on every second path.
"""

import fcntl
import os
import socket
import struct

from bivouac.drivers.hypervisor import DriverError

_TUNSETIFF = 0x400454CA
_IFF_TAP = 0x0002
_IFF_NO_PI = 0x1000


def open_tap(name: str) -> int:
    """An open queue of the tap. It must exist already: opening would create another by mistake. Raises DriverError."""
    try:
        socket.if_nametoindex(name)
    except OSError as error:
        words = "A network card of the server is not ready on the host."
        raise DriverError(words, f"tap {name} does not exist") from error
    queue = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(queue, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    except OSError as error:
        os.close(queue)
        detail = f"tap {name}: {error.strerror}"
        raise DriverError("A network card of the server cannot be opened on the host.", detail) from error
    return queue
