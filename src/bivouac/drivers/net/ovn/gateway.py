"""The way out on one machine: the host owns the provider network's gateway address and masquerades what leaves.

Rules live in an nftables table of our own, named after the cloud; forwarding is switched back off at the end if it
was us who switched it on.
"""

import ipaddress
from pathlib import Path

from bivouac.core.crash import side_effect
from bivouac.core.run import run
from bivouac.drivers.hypervisor import DriverError

from .kernel import device_exists

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def best_datapath() -> str:
    """`system` (the kernel's) where its module is there and no other Open vSwitch of this namespace uses it, else
    `netdev` (userspace)."""
    if device_exists("ovs-system"):
        return "netdev"
    if Path("/sys/module/openvswitch").exists():
        return "system"
    loaded = run(["modprobe", "-q", "openvswitch"], check=False, timeout_s=10)
    return "system" if loaded.returncode == 0 and Path("/sys/module/openvswitch").exists() else "netdev"


def ensure(device: str, address: str, cloud: str, directory: Path) -> None:
    """Give the device its address, forward, masquerade. Idempotent. Raises DriverError, CommandError."""
    interface = ipaddress.IPv4Interface(address)
    have = run(["ip", "-o", "-4", "addr", "show", "dev", device]).stdout.decode().split()
    if str(interface) not in have:
        side_effect(f"address {device}")
        run(["ip", "addr", "replace", str(interface), "dev", device])
    if FORWARDING.read_text().strip() != "1":
        side_effect("forward")
        (directory / "forwarding-was-off").touch()
        try:
            FORWARDING.write_text("1")
        except OSError as error:
            raise DriverError("The host's network could not be started.", f"cannot set ip_forward: {error}") from error
    side_effect("masquerade")
    table = f"bivouac_{cloud}"
    run(
        ["nft", "-f", "-"],
        input=f"""
table ip {table} {{}}
delete table ip {table}
table ip {table} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {interface.network} ip daddr != {interface.network} oifname != "{device}" masquerade
  }}
}}
""".encode(),
    )


def remove(cloud: str, directory: Path) -> None:
    """Take the rules away, and forwarding if it was ours."""
    table = f"bivouac_{cloud}"
    if run(["nft", "list", "table", "ip", table], check=False).returncode == 0:
        side_effect("unmasquerade")
        run(["nft", "delete", "table", "ip", table])
    mark = directory / "forwarding-was-off"
    if mark.exists():
        side_effect("unforward")
        FORWARDING.write_text("0")
        mark.unlink()
