"""KVM or TCG, decided by proof: only a guest that really reached long mode under KVM counts.

`/dev/kvm` may open, and even run a real-mode guest, where no kernel will ever boot (nested clouds). So a boot sector
that does what a kernel does first (paging, long mode, memory, cpuid) is run under TCG, which proves the binary and the
sector and gives a time, and then under KVM within max(1 s, 8 times that). The answer is kept per boot of the host.
"""

import os
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from bivouac.core.run import CommandError, run

Accelerator = Literal["kvm", "tcg"]

_EXIT_VALUE = 0x2A
_EXIT_STATUS = _EXIT_VALUE << 1 | 1
"""isa-debug-exit ends QEMU with (value << 1) | 1."""
_LOAD_ADDRESS = 0x7C00
_TABLES_OFFSET = 0x1A0
_GDT_POINTER_OFFSET = 0x1C0
_CONTROL_DEADLINE_S = 8.0


class Verdict(Struct, frozen=True):
    """What to run guests with, and why."""

    accelerator: Accelerator
    reason: str
    boot_id: str = ""
    qemu: str = ""


def boot_sector() -> bytes:
    """512 bytes for a BIOS: go to 64-bit mode with 2 MiB pages, write memory, run cpuid, end QEMU with 85."""
    code = bytearray()

    def emit(text: str) -> None:
        code.extend(bytes.fromhex(text))

    emit("fa 31c0 8ed8 8ec0 8ed0 bc007c")  # cli; ds = es = ss = 0; sp = 0x7c00
    emit("bf0010 31c0 b90018 f3ab")  # clear 0x1000..0x3fff: three page tables
    emit("66c706001003200000")  # PML4[0] = 0x2003
    emit("66c706002003300000")  # PDPT[0] = 0x3003
    emit("66c706003083000000")  # PD[0] = 2 MiB page at 0
    emit("66b8a0000000 0f22e0")  # cr4 = PAE | PGE
    emit("66b800100000 0f22d8")  # cr3 = 0x1000
    emit("66b9800000c0 0f32 660d00010000 0f30")  # EFER.LME = 1
    emit("0f20c0 660d01000080 0f22c0")  # cr0 |= PG | PE
    emit("0f0116")  # lgdt
    code.extend(struct.pack("<H", _LOAD_ADDRESS + _GDT_POINTER_OFFSET))
    code.extend(b"\xea" + struct.pack("<HH", _LOAD_ADDRESS + len(code) + 5, 0x08))  # jump to 64-bit code
    emit("bf00000100 b900100000 31c0 f3ab")  # write 16 KiB at 0x10000
    emit("be40000000 31c0 31c9 0fa2 ffce 75f6")  # 64 times cpuid, each an exit under KVM
    code.extend(bytes((0xB0, _EXIT_VALUE, 0xE6, 0xF4, 0xF4, 0xEB, 0xFD)))  # out 0xf4; hlt; loop
    sector = code.ljust(_TABLES_OFFSET, b"\0")
    sector += struct.pack("<QQQ", 0, 0x00209A0000000000, 0x0000920000000000)  # null, 64-bit code, data
    sector = sector.ljust(_GDT_POINTER_OFFSET, b"\0")
    sector += struct.pack("<HI", 23, _LOAD_ADDRESS + _TABLES_OFFSET)
    return bytes(sector.ljust(510, b"\0") + b"\x55\xaa")


def try_accelerator(accelerator: Accelerator, deadline_s: float, qemu: str) -> tuple[bool, str]:
    """Run the boot sector: whether it came through, and what happened."""
    with tempfile.NamedTemporaryFile(prefix="bivouac-probe-") as image:
        image.write(boot_sector())
        image.flush()
        command = [qemu, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", "-m", "32"]
        command += ["-accel", accelerator, "-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
        command += ["-drive", f"if=ide,format=raw,file={image.name},snapshot=on"]
        try:
            done = run(command, timeout_s=deadline_s, check=False)
        except CommandError as error:
            return False, "not installed" if error.status == 127 else f"hung for {deadline_s:.1f} s"
    if done.returncode == _EXIT_STATUS:
        return True, "a 64-bit guest ran"
    return False, f"ended with {done.returncode}: {done.stderr.decode(errors='replace').strip()[-200:]}"


def decide(
    qemu: str, device: Path = Path("/dev/kvm"), attempt: Callable[..., tuple[bool, str]] = try_accelerator
) -> Verdict:
    """Try it out: 1 to 2 s where KVM hangs, 0.3 s where it works, nothing where there is no KVM."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return Verdict("tcg", f"{device}: {error.strerror}")
    started = time.monotonic()
    good, why = attempt("tcg", _CONTROL_DEADLINE_S, qemu)
    if not good:
        return Verdict("tcg", f"the control run under TCG failed: {why}")
    good, why = attempt("kvm", min(4.0, max(1.0, 8 * (time.monotonic() - started))), qemu)
    return Verdict("kvm" if good else "tcg", f"under KVM: {why}")


def cached_verdict(cache: Path, qemu: str) -> Verdict:
    """The verdict for this boot of the host, from `cache` if it is there."""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    try:
        kept = msgspec.json.decode(cache.read_bytes(), type=Verdict)
        if (kept.boot_id, kept.qemu) == (boot_id, qemu):
            return kept
    except (OSError, msgspec.DecodeError):
        pass
    verdict = msgspec.structs.replace(decide(qemu), boot_id=boot_id, qemu=qemu)
    cache.parent.mkdir(parents=True, exist_ok=True)
    temporary = cache.with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(verdict))
    temporary.replace(cache)
    return verdict
