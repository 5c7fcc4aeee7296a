"""Headers of disk images, parsed before any other program sees a byte of them.

An image comes from a stranger, and every one of these formats can name other files: a qcow2 its backing or data file,
a vmdk its extents, a vhd, vhdx or vdi its parent. A tool that opens such an image as it says reads files of the host
(CVE-2024-32498, CVE-2022-47951 and their kin). So `check` finds out what the bytes are, refuses what points outside
of itself, and holds the claim (`disk_format`, `container_format`) against it. Nothing later ever guesses a format.

- Pure functions over a `Source` (size, and bytes at an offset). They read only headers, each read bounded; any input
  ends in an `Inspection` or a `Refused`, which fuzzing holds them to.
- `raw` is what has no other format's signature; a partition table (MBR, GPT) is raw. `ami`, `aki` and `ari` are raw
  bytes whose meaning is Amazon's. A hybrid ISO, which carries a partition table as well, passes as `raw` too.

Sources: QEMU's docs/interop/qcow2.txt; VMware "Virtual Disk Format 5.0"; Microsoft "Virtual Hard Disk Image Format
Specification" 1.0 and [MS-VHDX]; VirtualBox's VDICore.h; ECMA-119; DMTF DSP0243 (OVF); POSIX pax (tar).
"""

from .claims import CONTAINER_FORMATS, DISK_FORMATS, check
from .detection import inspect
from .source import BytesSource, Inspection, Refused, Slice, Source

__all__ = [
    "CONTAINER_FORMATS",
    "DISK_FORMATS",
    "BytesSource",
    "Inspection",
    "Refused",
    "Slice",
    "Source",
    "check",
    "inspect",
]
