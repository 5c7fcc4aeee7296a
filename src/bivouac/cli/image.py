"""`bivouac image build`: build images of guests."""

from __future__ import annotations

import argparse
from pathlib import Path

from bivouac.guestimage.tools import ImageBuildError

from .errors import CommandFailed
from .progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`build tiny|debian-12 [--out DIR]`."""
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)
    build = actions.add_parser("build", help="build an image from Debian packages")
    build.add_argument("name", choices=["tiny", "debian-12"])
    build.add_argument("--out", metavar="DIR", help="where to put it (default: STATE/image/NAME)")


def run(options: argparse.Namespace) -> int:
    """Build, and say where the parts lie."""
    directory = Path(options.out) if options.out else Path(options.state) / "image" / options.name
    try:
        with Progress() as progress, progress.step(f"build {options.name}"):
            paths = _build(options.name, directory)
    except (ImageBuildError, OSError) as error:
        raise CommandFailed(str(error)) from error
    for what, path in paths.items():
        print(f"{what:<12} {path}  ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


def _build(name: str, directory: Path) -> dict[str, Path]:
    if name == "debian-12":
        from bivouac.guestimage.debian import build_debian

        return {"disk": build_debian(directory)}
    from bivouac.guestimage.tiny import build_tiny

    image = build_tiny(directory)
    return {
        "disk": image.disk,
        "kernel": image.kernel,
        "kernel ELF": image.kernel_elf,
        "ramdisk": image.ramdisk,
        "initramfs": image.initramfs,
    }
