"""What is missing is named with its package; what fails says so in its own words."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from bivouac.guestimage.elf import become_root_and_run
from bivouac.guestimage.tiny import shared_libraries
from bivouac.guestimage.tools import ImageBuildError, MissingPackages, require, run_tool


def test_all_missing_packages_are_named_at_once() -> None:
    with pytest.raises(MissingPackages) as refusal:
        require({"no-such-program": "alpha", "/no/such/file": "beta", "/no/other": "beta", "sh": "dash"})
    assert refusal.value.packages == ["alpha", "beta"]
    assert "apt-get install alpha beta" in str(refusal.value)


def test_nothing_missing_is_no_error() -> None:
    require({"sh": "dash", "/bin/sh": "dash"})


def test_a_failing_program_is_reported_with_its_words() -> None:
    with pytest.raises(ImageBuildError, match="no luck"):
        run_tool(["sh", "-c", "echo no luck >&2; exit 3"])


def test_a_program_that_does_not_end_is_stopped() -> None:
    with pytest.raises(ImageBuildError, match="too long"):
        run_tool(["sleep", "30"], timeout_s=0.05)


def test_the_hand_made_program_passes_its_arguments_on(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('#!/bin/sh\necho "$# $1 $2 $VARIABLE"\n')
    program = tmp_path / "program"
    program.write_bytes(become_root_and_run(str(script)))
    for file in (script, program):
        file.chmod(stat.S_IRWXU)
    if os.getuid() != 0:
        assert subprocess.run([program, "a"]).returncode != 0
        pytest.skip("becoming root needs root")
    done = subprocess.run([program, "one", "two words"], env={"VARIABLE": "kept"}, capture_output=True, text=True)
    assert done.stdout == "2 one two words kept\n"


def test_libraries_are_taken_from_what_ldd_prints() -> None:
    listing = "\tlinux-vdso.so.1 (0x7f)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f)\n"
    listing += "\t/lib64/ld-linux.so.2 (0x7)\n"
    assert shared_libraries(listing) == {"/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux.so.2"}
