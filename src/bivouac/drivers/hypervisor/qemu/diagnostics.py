"""Counters of a guest, in the shape of the compute API's standardised diagnostics (microversion 2.48)."""

import os
import time
from pathlib import Path
from typing import Any

from .guest import Guest
from .machine import device_id

_TICKS = os.sysconf("SC_CLK_TCK")


async def diagnostics(guest: Guest) -> dict[str, Any]:
    """What QEMU and the kernel count of a running guest. Raises MonitorError."""
    machine = guest.state.machine
    blocks = await guest.monitor.execute("query-blockstats")
    processors = await guest.monitor.execute("query-cpus-fast")
    by_node = {entry.get("node-name") or entry.get("device"): entry["stats"] for entry in blocks}
    disks = []
    for placed in machine.disks if machine else ():
        stats = by_node.get(device_id("disk", placed.disk.name), {})
        disks.append(
            {
                "read_bytes": stats.get("rd_bytes"),
                "read_requests": stats.get("rd_operations"),
                "write_bytes": stats.get("wr_bytes"),
                "write_requests": stats.get("wr_operations"),
                "errors_count": stats.get("failed_rd_operations", 0) + stats.get("failed_wr_operations", 0),
            }
        )
    nics = [_card(placed.port.mac_address) for placed in machine.ports] if machine else []
    cpus = [
        {"id": cpu["cpu-index"], "time": _thread_time_ns(guest.state.pid, cpu["thread-id"]), "utilisation": None}
        for cpu in processors
    ]
    memory = machine.memory_mib if machine else 0
    return {
        "state": "running" if guest.power() == "running" else "paused",
        "hypervisor": machine.accelerator if machine else "",
        "hypervisor_os": "linux",
        "uptime": _uptime_s(guest.state.start_time),
        "config_drive": any(placed.disk.name == "config" for placed in machine.disks) if machine else False,
        "num_cpus": len(cpus),
        "num_disks": len(disks),
        "num_nics": len(nics),
        "cpu_details": cpus,
        "disk_details": disks,
        "nic_details": nics,
        "memory_details": {"maximum": memory, "used": _resident_mib(guest.state.pid)},
    }


def _card(mac_address: str) -> dict[str, Any]:
    counters = ("rx_octets", "rx_errors", "rx_drop", "rx_packets", "rx_rate")
    counters += ("tx_octets", "tx_errors", "tx_drop", "tx_packets", "tx_rate")
    return {"mac_address": mac_address, **dict.fromkeys(counters)}


def _thread_time_ns(pid: int, thread: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/task/{thread}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) * 1_000_000_000 // _TICKS


def _uptime_s(started: int) -> int:
    return max(0, int(time.clock_gettime(time.CLOCK_BOOTTIME) - started / _TICKS))


def _resident_mib(pid: int) -> int | None:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20
