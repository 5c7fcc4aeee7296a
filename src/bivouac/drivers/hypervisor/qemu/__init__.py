"""Guests as QEMU processes, driven over QMP with nothing in between.

One directory and one process per guest (`state`), one QMP link to it (`protocol`: bytes, `monitor`: sockets), the
hardware as a value (`machine`), the life of a guest (`guest`), what plugs (`hotplug`) and what copies (`snapshot`).
KVM is used where it is proven to work (`accelerator`). A guest outlives the agent: it has a session of its own, runs
as a user of its own in QEMU's sandbox, and a new agent finds it by its directory.
"""

from .driver import QemuHypervisor

__all__ = ["QemuHypervisor"]
