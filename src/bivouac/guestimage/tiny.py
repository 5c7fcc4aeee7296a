"""The tiny Linux guest: everything a test of a cloud asks of a server, in 20 MB, up in a second or two.

It has users `root` and `cirros` (password `gocubsgo`, sudo without a password), takes keys, name, password and user
data from a config drive or from OpenStack's or Amazon's metadata service, grows its root to the size of its disk, and
answers the power button and the guest agent. `build_tiny` needs no root and no loop device.
"""

from __future__ import annotations

import platform
import re
import shutil
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from . import cpio, disk
from .elf import become_root_and_run
from .kernel import find_kernel, unpacked
from .modules import ModuleSet, collect
from .tools import ImageBuildError, locate, require, run_tool
from .tree import FileTree

LABEL = "guest-root"
COMMAND_LINE = "console=tty0 console=ttyS0 quiet no_timer_check tsc=reliable cryptomgr.notests"
"""What the kernel is told when the guest boots from its disk."""

_PROGRAMS = {
    "/bin/bash": "bash",
    "/usr/sbin/dropbear": "dropbear-bin",
    "/usr/bin/dropbearkey": "dropbear-bin",
    "/usr/bin/lsblk": "util-linux",
    "/usr/sbin/blkid": "util-linux",
    "/usr/bin/partx": "util-linux",
    "/usr/sbin/mke2fs": "e2fsprogs",
    "/usr/sbin/resize2fs": "e2fsprogs",
    "/usr/sbin/qemu-ga": "qemu-guest-agent",
}
_OPTIONAL_PROGRAMS = {"/usr/sbin/dhclient": "isc-dhcp-client", "/bin/nc.traditional": "netcat-traditional"}
"""Only with these the guest asks for DHCPv6 addresses and speaks UDP with `nc`; not every distribution has them."""

_TOOLS = {"/bin/busybox": "busybox-static", "ldd": "libc-bin", "strip": "binutils", "lz4": "lz4", "zstd": "zstd"}
_SCRIPTS = {
    "sysinit": "sbin/sysinit",
    "startup": "sbin/startup",
    "stop": "sbin/stop",
    "dhcp4": "sbin/dhcp4",
    "dhcp6": "sbin/dhcp6",
    "udhcpc.script": "etc/udhcpc.script",
    "dhcp6.script": "etc/dhcp6.script",
    "configure-instance": "sbin/configure-instance",
    "grow-root": "sbin/grow-root",
    "start-guest-agent": "sbin/start-guest-agent",
    "power-button": "etc/acpi/PWRF/00000080",
    "chpasswd": "usr/sbin/chpasswd",
    "curl": "usr/bin/curl",
    "nc": "bin/nc",
    "mkfs": "sbin/mkfs",
    "mkfs.vfat": "sbin/mkfs.vfat",
    "shutdown": "sbin/shutdown",
    "sudo.sh": "bin/sudo.sh",
    "ping.sh": "bin/ping.sh",
    "ping6.sh": "bin/ping6.sh",
}
_SETTINGS = ("inittab", "passwd", "group", "nsswitch.conf", "issue", "profile", "os-release", "hosts")
_DIRECTORIES = ("proc", "sys", "dev", "run", "mnt", "media", "lib64", "usr/bin", "usr/sbin", "var/lib", "var/log")
_REPLACED_APPLETS = re.compile(r"(^|/)(busybox|init|sh|blkid|lsblk|chpasswd|ping6?|nc|mke2fs|mkfs\.\w+|su)$")


@dataclass(frozen=True)
class TinyImage:
    """Where the parts of a built guest lie.

    `disk` is a qcow2 that boots by itself (BIOS). `kernel` with `ramdisk` boots that same disk without a boot loader,
    as an image with kernel_id and ramdisk_id does. `kernel` with `initramfs` runs without any disk. `kernel_elf` is the
    same kernel unpacked, which QEMU starts through PVH.
    """

    directory: Path
    kernel: Path
    kernel_elf: Path
    initramfs: Path
    ramdisk: Path
    disk: Path


def build_tiny(directory: Path, disk_mib: int = 96) -> TinyImage:
    """Build the guest into `directory`, which is made if needed; files of an earlier build there are replaced.

    Takes 2 to 5 s. Raises MissingPackages, naming all Debian packages that are needed and not installed,
    and ImageBuildError.
    """
    if platform.machine() != "x86_64":
        raise ImageBuildError(f"the tiny guest can be built on x86_64 only, and this machine is {platform.machine()}")
    require(_PROGRAMS | _TOOLS | disk.TOOLS)
    kernel = find_kernel()
    modules = collect(kernel)
    root = root_tree(modules)
    ramdisk = cpio.archive(ramdisk_tree(modules))

    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=directory) as folder:
        work = Path(folder)
        shutil.copyfile(kernel.image, work / "vmlinuz")
        (work / "vmlinux").write_bytes(unpacked(kernel.image.read_bytes()))
        (work / "initramfs").write_bytes(cpio.archive(root))
        (work / "ramdisk").write_bytes(ramdisk)
        _make_disk(root, work, disk_mib)
        for name in ("vmlinuz", "vmlinux", "initramfs", "ramdisk", "guest.qcow2"):
            (work / name).replace(directory / name)
    return TinyImage(
        directory=directory,
        kernel=directory / "vmlinuz",
        kernel_elf=directory / "vmlinux",
        initramfs=directory / "initramfs",
        ramdisk=directory / "ramdisk",
        disk=directory / "guest.qcow2",
    )


def _make_disk(root: FileTree, work: Path, size_mib: int) -> None:
    folder = work / "root"
    folder.mkdir()
    root.write_to(folder)
    (folder / "boot").mkdir(exist_ok=True)
    shutil.copyfile(work / "vmlinuz", folder / "boot/vmlinuz")
    shutil.copyfile(work / "ramdisk", folder / "boot/ramdisk")
    commands = [*disk.ownership_commands(root)]
    for path in ("boot", "boot/vmlinuz", "boot/ramdisk"):
        commands += [f"set_inode_field /{path} uid 0", f"set_inode_field /{path} gid 0"]
    file_system = work / "root.ext4"
    disk.make_file_system(folder, file_system, LABEL, size_mib - disk.GAP_MIB, commands)
    disk.make_disk(file_system, work / "guest.qcow2", "/boot/vmlinuz", "/boot/ramdisk", COMMAND_LINE)


def packaged_file(name: str) -> bytes:
    """A file of the guest as it lies in this package."""
    return (resources.files("bivouac.guestimage") / "files" / name).read_bytes()


def root_tree(modules: ModuleSet) -> FileTree:
    """The guest's whole root file system."""
    tree = FileTree()
    for path in _DIRECTORIES:
        tree.add_directory(path)
    tree.add_directory("tmp", 0o1777)
    tree.add_directory("root", 0o700)
    tree.add_directory("home/cirros", 0o755, owner=1000)
    tree.add_link("var/run", "/run")
    tree.add_link("etc/mtab", "/proc/mounts")
    tree.add_link("init", "/sbin/init")
    _add_programs(tree)
    _add_files(tree)
    folder = "lib/modules/guest"
    for name in (*modules.boot, *modules.network, *modules.later):
        tree.add_file(f"{folder}/{name}.ko", modules.content[name])
    for name, names in (("boot", modules.boot), ("network", modules.network), ("later", modules.later)):
        tree.add_file(f"{folder}/{name}.list", _lines(names))
    return tree


def ramdisk_tree(modules: ModuleSet) -> FileTree:
    """The small ramdisk, which only finds and mounts the root disk."""
    tree = FileTree()
    for path in ("proc", "sys", "dev", "new"):
        tree.add_directory(path)
    tree.add_character_device("dev/console", 5, 1)
    tree.copy("/bin/busybox", "bin/busybox")
    tree.add_file("init", packaged_file("first-stage"), 0o755)
    for name in modules.boot:
        tree.add_file(f"modules/{name}.ko", modules.content[name])
    tree.add_file("modules/boot.list", _lines(modules.boot))
    return tree


def _lines(names: tuple[str, ...]) -> str:
    return "".join(f"{name}\n" for name in names)


def _add_programs(tree: FileTree) -> None:
    tree.copy("/bin/busybox", "bin/busybox")
    for applet in run_tool(["/bin/busybox", "--list-full"]).decode().split():
        if not _REPLACED_APPLETS.search(applet):
            tree.add_link(applet, "/bin/busybox")
    tree.add_link("sbin/init", "/bin/busybox")
    tree.add_link("bin/su", "/bin/busybox")
    # busybox's shell prefers its own applets over programs of the same name, so /bin/sh is bash.
    tree.add_link("bin/sh", "/bin/bash")
    libraries: set[str] = set()
    for program in (*_PROGRAMS, *_OPTIONAL_PROGRAMS):
        if locate(program):
            tree.copy(program)
            libraries.update(shared_libraries(run_tool(["ldd", program]).decode()))
    for library in sorted(libraries):
        tree.copy(library)
    for link, target in (
        # A command over SSH has only /bin and /usr/bin in its path; blkid is asked for there.
        *(("bin/lsblk", "/usr/bin/lsblk"), ("bin/blkid", "/usr/sbin/blkid"), ("bin/ip", "/bin/busybox")),
        *((f"sbin/{name}", f"/usr/sbin/{name}") for name in ("blkid", "resize2fs")),
        *((f"sbin/{name}", "/usr/sbin/mke2fs") for name in ("mke2fs", "mkfs.ext2", "mkfs.ext3", "mkfs.ext4")),
    ):
        tree.add_link(link, target)
    if "usr/sbin/dhclient" in tree:
        tree.add_link("sbin/dhclient", "/usr/sbin/dhclient")
    for name in ("sudo", "ping", "ping6"):
        tree.add_file(f"bin/{name}", become_root_and_run(f"/bin/{name}.sh"), 0o4755)
    tree.add_link("usr/bin/sudo", "/bin/sudo")


def shared_libraries(listing: str) -> set[str]:
    """The absolute paths of libraries in what ldd prints."""
    return set(re.findall(r"(/\S+\.so\S*)", listing))


def _add_files(tree: FileTree) -> None:
    for name, path in _SCRIPTS.items():
        tree.add_file(path, packaged_file(name), 0o755)
    for name in _SETTINGS:
        tree.add_file(f"etc/{name}", packaged_file(name))
    tree.add_file("etc/shadow", packaged_file("shadow"), 0o600)
    tree.add_file("etc/shells", "/bin/sh\n/bin/bash\n")
    tree.add_file("etc/hostname", "guest\n")
    if Path("/etc/mke2fs.conf").exists():
        tree.copy("/etc/mke2fs.conf")
