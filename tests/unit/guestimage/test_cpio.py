"""The archive is read back by cpio itself."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

from bivouac.guestimage.cpio import archive
from bivouac.guestimage.disk import ownership_commands
from bivouac.guestimage.tree import FileTree


def small_tree() -> FileTree:
    tree = FileTree()
    tree.add_file("etc/deep/hello", "hi\n", 0o640, owner=1000)
    tree.add_link("bin/sh", "/bin/bash")
    tree.add_directory("tmp", 0o1777)
    return tree


def test_cpio_reads_back_what_was_put_in(tmp_path: Path) -> None:
    packed = archive(small_tree())
    subprocess.run(["busybox", "cpio", "-id"], input=packed, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "etc/deep/hello").read_text() == "hi\n"
    assert stat.S_IMODE((tmp_path / "etc/deep/hello").stat().st_mode) == 0o640
    assert (tmp_path / "bin/sh").readlink() == Path("/bin/bash")


def test_parents_are_made_and_come_first() -> None:
    paths = [path for path, _ in small_tree()]
    assert paths.index("etc") < paths.index("etc/deep") < paths.index("etc/deep/hello")


def test_the_same_tree_gives_the_same_bytes() -> None:
    assert archive(small_tree()) == archive(small_tree())


def test_ownership_commands_name_mode_and_owner_but_leave_a_links_mode_alone() -> None:
    commands = list(ownership_commands(small_tree()))
    assert "set_inode_field /etc/deep/hello mode 0100640" in commands
    assert "set_inode_field /etc/deep/hello uid 1000" in commands
    assert "set_inode_field /tmp mode 041777" in commands
    assert not any(command.startswith("set_inode_field /bin/sh mode") for command in commands)


def test_writing_to_a_folder_keeps_content_and_links(tmp_path: Path) -> None:
    small_tree().write_to(tmp_path)
    assert (tmp_path / "etc/deep/hello").read_text() == "hi\n"
    assert (tmp_path / "bin/sh").is_symlink()
