"""From findings to properties, each with its reason. A pure function over a small record."""

from msgspec import Struct

DISK_DRIVERS = (("virtio_blk", "virtio"), ("virtio_scsi", "scsi"), ("ahci", "sata"), ("ata_piix", "ide"))
"""Module -> hw_disk_bus, best first. On our machine type `ide` disks hang on an AHCI controller as well."""
NETWORK_DRIVERS = (("virtio_net", "virtio"), ("e1000e", "e1000e"), ("e1000", "e1000"), ("8139cp", "rtl8139"))


class Findings(Struct, frozen=True, kw_only=True):
    """What a look inside found. None: not known."""

    scheme: str = ""
    has_boot_code: bool = False
    has_efi: bool = False
    has_bios_boot: bool = False
    is_windows: bool = False
    kernel: str = ""
    early_modules: frozenset[str] | None = None
    """In the initramfs or built in: what there is before the root file system."""
    modules: frozenset[str] | None = None
    """All that the kernel has."""
    unread: str = ""
    """Why the modules are not known."""


def decide(found: Findings) -> dict[str, tuple[str, str]]:
    """Property -> (value, why)."""
    decided: dict[str, tuple[str, str]] = {}
    if found.has_efi and not found.has_boot_code:
        decided["hw_firmware_type"] = ("uefi", "it has an EFI system partition and no boot code in its first sector")
    elif found.has_boot_code:
        other = ", beside an EFI system partition" if found.has_efi else ""
        decided["hw_firmware_type"] = ("bios", f"it has boot code in its first sector{other}")
    if found.is_windows:
        why = "Windows brings a driver for it, and none for virtio"
        decided["hw_disk_bus"] = ("sata", why)
        decided["hw_vif_model"] = ("e1000e", why)
        return decided
    if found.early_modules is not None:
        decided["hw_disk_bus"] = _choose(DISK_DRIVERS, found.early_modules, f"the initramfs of {found.kernel}", "sata")
    elif found.modules is not None:
        where = f"the modules of {found.kernel} ({found.unread})"
        decided["hw_disk_bus"] = _choose(DISK_DRIVERS, found.modules, where, "sata")
    if found.modules is not None:
        where = f"the modules of {found.kernel}"
        decided["hw_vif_model"] = _choose(NETWORK_DRIVERS, found.modules, where, "e1000e")
    return decided


def _choose(
    drivers: tuple[tuple[str, str], ...], modules: frozenset[str], where: str, otherwise: str
) -> tuple[str, str]:
    for module, value in drivers:
        if module in modules:
            lacking = [name for name, _ in drivers[: [name for name, _ in drivers].index(module)]]
            return value, f"{module} is in {where}" + (f", {' and '.join(lacking)} not" if lacking else "")
    return otherwise, f"none of {', '.join(name for name, _ in drivers)} is in {where}; this is the most usual"
