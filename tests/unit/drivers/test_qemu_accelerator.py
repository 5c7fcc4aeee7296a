"""Which accelerator the probe decides for; real runs are in tests/real."""

from pathlib import Path

import pytest

from bivouac.drivers.hypervisor.qemu.accelerator import Verdict, boot_sector, cached_verdict, decide

GOOD, HUNG = (True, "a 64-bit guest ran"), (False, "hung for 1.0 s")


@pytest.mark.parametrize(
    ("tcg", "kvm", "accelerator", "why"),
    [(GOOD, GOOD, "kvm", "64-bit"), (GOOD, HUNG, "tcg", "hung"), (HUNG, GOOD, "tcg", "control")],
)
def test_only_a_guest_that_ran_counts(tcg: object, kvm: object, accelerator: str, why: str, tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    device.touch()
    verdict = decide("qemu", device, lambda kind, deadline, binary: tcg if kind == "tcg" else kvm)
    assert verdict.accelerator == accelerator and why in verdict.reason


def test_without_the_device_nothing_is_run(tmp_path: Path) -> None:
    verdict = decide("qemu", tmp_path / "kvm", lambda *_: pytest.fail("ran"))
    assert verdict == Verdict("tcg", f"{tmp_path}/kvm: No such file or directory")


def test_the_verdict_is_kept_for_this_boot_only(tmp_path: Path) -> None:
    cache = tmp_path / "sub" / "accelerator.json"
    first = cached_verdict(cache, "/missing/qemu")
    assert first.accelerator == "tcg" and first.boot_id and cached_verdict(cache, "/missing/qemu") == first
    cache.write_text(cache.read_text().replace(first.boot_id, "another").replace('"tcg"', '"kvm"'))
    assert cached_verdict(cache, "/missing/qemu").accelerator == "tcg"
    cache.write_text("torn")
    assert cached_verdict(cache, "/missing/qemu") == first


def test_the_boot_sector_is_one() -> None:
    assert len(boot_sector()) == 512 and boot_sector()[-2:] == b"\x55\xaa"
