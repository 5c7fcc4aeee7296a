"""The programs the builders call, which Debian package brings each, and how they are called.

A builder looks for all it needs before it begins, so that whoever runs it installs once and not after each failure.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from bivouac.core.run import CommandError, run

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ImageBuildError(Exception):
    """An image could not be built; the text says why and what would help."""


class MissingPackages(ImageBuildError):
    """Programs or files that a builder needs are not installed; `packages` are the Debian packages that bring them."""

    def __init__(self, missing: Mapping[str, str]) -> None:
        self.packages = sorted(set(missing.values()))
        files = ", ".join(sorted(missing))
        super().__init__(f"missing on this machine: {files}. Install: apt-get install {' '.join(self.packages)}")


def require(needed: Mapping[str, str]) -> None:
    """Raise MissingPackages unless each key (a program's name, or an absolute path) is there; values are packages."""
    missing = {name: package for name, package in needed.items() if locate(name) is None}
    if missing:
        raise MissingPackages(missing)


def locate(name: str) -> Path | None:
    """Where a program is, by name or absolute path; system folders count though an ordinary user's PATH lacks them."""
    if name.startswith("/"):
        return Path(name) if Path(name).exists() else None
    found = shutil.which(name, path=SEARCH_PATH)
    return Path(found) if found else None


def run_tool(
    arguments: Iterable[str | Path], input: bytes = b"", timeout_s: float = 120, directory: Path | None = None
) -> bytes:
    """Run one program to its end and return what it printed. Raises ImageBuildError with its last words."""
    words = [str(argument) for argument in arguments]
    program = locate(words[0])
    if program is None:
        raise ImageBuildError(f"{words[0]} is not installed")
    try:
        return run([str(program), *words[1:]], input=input, timeout_s=timeout_s, cwd=directory).stdout
    except CommandError as error:
        raise ImageBuildError(str(error)) from error
