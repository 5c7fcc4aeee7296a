"""What this host is, as its operator and Nova's hypervisor details want to know."""

import os
import platform
import re
import socket
from functools import lru_cache
from pathlib import Path

from bivouac.core.run import CommandError, run
from bivouac.hostspec.link import HostFacts

from .accelerator import Accelerator

RESERVED_MEMORY_MIB = 512
"""For the host itself and its daemons, as Nova keeps back."""


@lru_cache(maxsize=4)
def qemu_version(binary: str) -> int:
    """major * 1000000 + minor * 1000 + micro; 0 if there is no such program."""
    try:
        text = run([binary, "--version"], timeout_s=10).stdout.decode(errors="replace")
    except CommandError:
        return 0
    found = re.search(r"version (\d+)\.(\d+)\.(\d+)", text)
    return int(found[1]) * 1_000_000 + int(found[2]) * 1000 + int(found[3]) if found else 0


def host_facts(state: Path, binary: str, accelerator: Accelerator) -> HostFacts:
    """Processors, memory and disk of this machine."""
    disk = os.statvfs(state)
    info = _processor()
    cores = os.cpu_count() or 1
    return HostFacts(
        name=socket.gethostname(),
        vcpus=cores,
        memory_mib=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20,
        disk_gib=disk.f_blocks * disk.f_frsize >> 30,
        hypervisor_version=qemu_version(binary),
        accelerator=accelerator,
        cpu_model=info.get("model name", ""),
        cpu_arch=platform.machine(),
        cpu_features=tuple(info.get("flags", "").split()),
        cpu_topology={"sockets": 1, "cores": cores, "threads": 1},
        reserved_memory_mib=RESERVED_MEMORY_MIB,
    )


def _processor() -> dict[str, str]:
    """The first block of /proc/cpuinfo."""
    try:
        block = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in block.split("\n"))
    return {name.strip(): value.strip() for name, _, value in pairs}
