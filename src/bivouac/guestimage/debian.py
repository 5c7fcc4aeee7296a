"""Debian 12 with the real cloud-init: slower to build and to boot than the tiny guest, and what people really run.

mmdebstrap fills a folder from Debian's own archive; the rest is as for the tiny guest. Root is needed, for the folder's
owners and set-user-id bits are Debian's.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from . import disk
from .tools import ImageBuildError, require, run_tool

SUITE = "bookworm"
LABEL = "debian-root"
COMMAND_LINE = f"root=LABEL={LABEL} ro console=tty0 console=ttyS0 quiet"

_PACKAGES = (
    *("linux-image-cloud-amd64", "initramfs-tools", "kmod", "udev", "systemd-sysv", "systemd-resolved", "dbus"),
    *("cloud-init", "cloud-guest-utils", "fdisk", "e2fsprogs", "netplan.io", "iproute2", "iputils-ping"),
    *("openssh-server", "sudo", "qemu-guest-agent", "ca-certificates", "curl", "less"),
)
_TOOLS = {"mmdebstrap": "mmdebstrap", "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring"}
_NOT_WANTED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists")
_CLOUD_INIT = "datasource_list: [ConfigDrive, OpenStack, Ec2, None]\n"
_BOOTSTRAP_LIMIT_S = 1800


def build_debian(directory: Path, disk_mib: int = 1400) -> Path:
    """Build `debian-12.qcow2` into `directory` and return its path. It takes one to three minutes and needs root.

    Raises MissingPackages and ImageBuildError.
    """
    require(_TOOLS | disk.TOOLS)
    if os.geteuid() != 0:
        raise ImageBuildError("building Debian needs root: its files belong to several users. Run it with sudo")
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=directory) as folder:
        work = Path(folder)
        root = work / "root"
        _bootstrap(root)
        _configure(root)
        file_system = work / "root.ext4"
        disk.make_file_system(root, file_system, LABEL, disk_mib - disk.GAP_MIB)
        # /vmlinuz and /initrd.img are links that Debian moves to a newer kernel when one is installed.
        disk.make_disk(file_system, work / "debian-12.qcow2", "/vmlinuz", "/initrd.img", COMMAND_LINE)
        return (work / "debian-12.qcow2").replace(directory / "debian-12.qcow2")


def _bootstrap(root: Path) -> None:
    options = ["--variant=minbase", "--mode=root", "--format=directory", "--components=main", "--quiet"]
    without_more = '--aptopt=Apt::Install-Recommends "false"'
    packages = f"--include={','.join(_PACKAGES)}"
    run_tool(["mmdebstrap", *options, without_more, packages, SUITE, root], timeout_s=_BOOTSTRAP_LIMIT_S)


def _configure(root: Path) -> None:
    for name in _NOT_WANTED:
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir(parents=True)
    (root / "etc/cloud/cloud.cfg.d/90_bivouac.cfg").write_text(_CLOUD_INIT)
    (root / "etc/fstab").write_text(f"LABEL={LABEL} / ext4 rw,noatime 0 1\n")
    # Each server must make its own identity and keys at its first boot.
    (root / "etc/machine-id").write_text("")
    (root / "etc/hostname").write_text("debian\n")
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for link in ("vmlinuz", "initrd.img"):
        if not (root / link).exists():
            newest = max((root / "boot").glob(f"{link}-*"))
            (root / link).symlink_to(f"boot/{newest.name}")
