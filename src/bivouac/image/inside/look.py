"""The whole look: disk, partitions, file systems, kernels; its result is properties for the image."""

import re
from collections.abc import Iterable

from ..formats import Source
from .disk import Budget, Disk, Part, Qcow2Disk, RawDisk, Unreadable
from .ext4 import Ext4
from .initramfs import names
from .partitions import Layout, read_layout
from .verdict import Findings, decide

BUDGET_BYTES = 1 << 30
"""Enough for any initramfs; a second or two of one thread."""
REASONS = "bivouac_inspection"
"""The property that says why."""
_INITRAMFS = re.compile(r"^(initrd\.img|initramfs|initrd)[-.](?P<version>[^/]+?)(\.img)?$")
_MODULE = re.compile(r"(?:^|/)([A-Za-z0-9_-]+)\.ko(?:\.(?:xz|gz|zst))?$")
_ROOTS = ("ext4", "xfs", "btrfs", "lvm", "luks")


def look(source: Source, disk_format: str) -> dict[str, str]:
    """What to set on the image, with the reasons under `bivouac_inspection`; empty when nothing is known."""
    try:
        budget = Budget(BUDGET_BYTES)
        disk: Disk = Qcow2Disk(source, budget) if disk_format == "qcow2" else RawDisk(source, budget)
        layout = read_layout(disk)
    except Unreadable:
        return {}
    decided = decide(_findings(disk, layout))
    if not decided:
        return {}
    reasons = "; ".join(f"{name}={value}: {why}" for name, (value, why) in decided.items())
    return {name: value for name, (value, _) in decided.items()} | {REASONS: reasons}


def _findings(disk: Disk, layout: Layout) -> Findings:
    contents = [partition.content for partition in layout.partitions]
    linux = any(content in _ROOTS for content in contents)
    early: frozenset[str] | None = None
    modules: frozenset[str] | None = None
    kernel = unread = ""
    for partition in layout.partitions:
        if partition.content != "ext4":
            continue
        try:
            found = _kernel(Ext4(Part(disk, partition.offset, partition.size)))
        except Unreadable as error:
            unread = unread or str(error)
            continue
        kernel = kernel or found[0]
        early = found[1] if early is None else early
        modules = found[2] if modules is None else modules
        unread = unread or found[3]
    if early is not None and modules is not None:
        early |= frozenset(name for name in modules if name.startswith("="))
    return Findings(
        scheme=layout.scheme,
        has_boot_code=layout.has_boot_code,
        has_efi=any(partition.is_efi for partition in layout.partitions),
        has_bios_boot=any(partition.is_bios_boot for partition in layout.partitions),
        is_windows="ntfs" in contents and not linux,
        kernel=kernel,
        early_modules=_plain(early),
        modules=_plain(modules),
        unread=unread,
    )


def _plain(names_of: frozenset[str] | None) -> frozenset[str] | None:
    """Built-in ones carry a mark until here."""
    return None if names_of is None else frozenset(name.lstrip("=") for name in names_of)


def _kernel(files: Ext4) -> tuple[str, frozenset[str] | None, frozenset[str] | None, str]:
    """(version, modules of the initramfs, all modules with built-in ones marked `=`, why not) of the newest kernel."""
    early: frozenset[str] | None = None
    unread = version = ""
    for folder in ("/boot", "/"):
        found = [match for name in files.listing(folder) if (match := _INITRAMFS.match(name))]
        versions = [match for match in found if match["version"][0].isdigit() and "rescue" not in match.string]
        if versions:
            newest = max(versions, key=lambda match: _ordered(match["version"]))
            version = newest["version"]
            try:
                early = _modules(names(files.open(f"{folder}/{newest.string}")))
            except Unreadable as error:
                unread = str(error)
            break
    folders = files.listing("/lib/modules")
    if not folders:
        return version, early, None, unread
    chosen = version if version in folders else max(folders, key=_ordered)
    return version or chosen, early, _installed(files, f"/lib/modules/{chosen}"), unread


def _installed(files: Ext4, folder: str) -> frozenset[str]:
    """All modules of a kernel, by its `modules.dep` and `modules.builtin`."""
    found = _modules(line.partition(":")[0] for line in files.lines(f"{folder}/modules.dep"))
    try:
        return found | frozenset(f"={name}" for name in _modules(files.lines(f"{folder}/modules.builtin")))
    except Unreadable:
        return found


def _modules(paths: Iterable[str]) -> frozenset[str]:
    """Names of modules, as the kernel writes them."""
    return frozenset(match[1].replace("-", "_") for path in paths if (match := _MODULE.search(path)))


def _ordered(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d{1,9}", version)]
