"""Writing a small FAT16 filesystem: the config drive, without a tool or a mount.

Why FAT: every guest reads it (Windows and every Linux, while ISO 9660 needs a CD driver's module in some), the label
`config-2` is found the same way, and it is a hundred lines. Long names are kept (VFAT).
Microsoft FAT specification, version 1.03.
"""

import struct

SECTOR = 512
CLUSTER = 2048
MIN_CLUSTERS = 4200
"""A FAT16 has at least 4085 clusters by definition; with fewer every driver would read it as FAT12."""
MAX_CLUSTERS = 65000
ROOT_ENTRIES = 512
_DIRECTORY, _ARCHIVE, _VOLUME, _LONG_NAME = 0x10, 0x20, 0x08, 0x0F
_END_OF_CHAIN = 0xFFFF
_DATE = (2025 - 1980) << 9 | 1 << 5 | 1
"""Always the same day, so that the same content gives the same bytes."""

Tree = dict[str, "bytes | Tree"]


class FatError(ValueError):
    """It does not fit."""


def filesystem(files: dict[str, bytes], label: str) -> bytes:
    """The image of a filesystem with these files (`a/b/c` -> content). Raises FatError."""
    tree: Tree = {}
    for path, content in files.items():
        *folders, name = path.split("/")
        place = tree
        for folder in folders:
            inner = place.setdefault(folder, {})
            if not isinstance(inner, dict):
                raise FatError(f"{folder} is a file and a folder")
            place = inner
        place[name] = content
    return _Writer().write(tree, label)


class _Writer:
    """Clusters in the order in which they are handed out; cluster numbers begin at 2."""

    def __init__(self) -> None:
        self.clusters: list[bytes] = []
        self.chains: list[int] = []

    def store(self, content: bytes) -> int:
        """Put bytes into a chain of clusters; the number of its first, 0 for no bytes."""
        if not content:
            return 0
        first = len(self.clusters) + 2
        for start in range(0, len(content), CLUSTER):
            self.clusters.append(content[start : start + CLUSTER].ljust(CLUSTER, b"\0"))
            self.chains.append(len(self.clusters) + 2)
        self.chains[-1] = _END_OF_CHAIN
        return first

    def folder(self, tree: Tree, parent: int) -> int:
        """Store a folder; its first cluster. Its entries need that number, so room is made before they are."""
        size = 64 + 32 * sum(1 + _long_entries(name) for name in tree)
        own = self.store(bytes(size))
        dots = _entry(b".          ", _DIRECTORY, own, 0) + _entry(b"..         ", _DIRECTORY, parent, 0)
        table = dots + self.entries(tree, own)
        for at, start in enumerate(range(0, len(table), CLUSTER)):
            self.clusters[own - 2 + at] = table[start : start + CLUSTER].ljust(CLUSTER, b"\0")
        return own

    def entries(self, tree: Tree, own: int) -> bytes:
        """The entries of what is in a folder, which is stored on the way."""
        table = bytearray()
        for number, (name, value) in enumerate(sorted(tree.items())):
            short = f"F{number:07d}".encode().ljust(11)
            if isinstance(value, dict):
                entry = _entry(short, _DIRECTORY, self.folder(value, own), 0)
            else:
                entry = _entry(short, _ARCHIVE, self.store(value), len(value))
            table += _long_name(name, short) + entry
        return bytes(table)

    def write(self, tree: Tree, label: str) -> bytes:
        name = label.encode("ascii")[:11].ljust(11)
        root = _entry(name, _VOLUME, 0, 0) + self.entries(tree, 0)
        if len(root) > ROOT_ENTRIES * 32:
            raise FatError("too many files in the root")
        count = max(MIN_CLUSTERS, len(self.clusters))
        if count > MAX_CLUSTERS:
            raise FatError("more than 127 MiB")
        fat_sectors = -(-(count + 2) * 2 // SECTOR)
        sectors = 1 + 2 * fat_sectors + ROOT_ENTRIES * 32 // SECTOR + count * CLUSTER // SECTOR
        small, large = (sectors, 0) if sectors < 65536 else (0, sectors)
        boot = struct.pack(
            "<3s8sHBHBHHBHHHIIBBBI11s8s",
            *(b"\xeb\x3c\x90", b"bivouac ", SECTOR, CLUSTER // SECTOR, 1, 2, ROOT_ENTRIES, small, 0xF8, fat_sectors),
            *(32, 2, 0, large, 0x80, 0, 0x29, 0x42495655, name, b"FAT16   "),
        )
        fat = struct.pack(f"<HH{len(self.chains)}H", 0xFFF8, _END_OF_CHAIN, *self.chains)
        fat = fat.ljust(fat_sectors * SECTOR, b"\0")
        data = b"".join(self.clusters).ljust(count * CLUSTER, b"\0")
        return boot.ljust(510, b"\0") + b"\x55\xaa" + fat + fat + root.ljust(ROOT_ENTRIES * 32, b"\0") + data


def _long_entries(name: str) -> int:
    """How many entries of 13 characters a name takes."""
    return -(-len(name.encode("utf-16-le")) // 26)


def _entry(short: bytes, attributes: int, cluster: int, size: int) -> bytes:
    return struct.pack("<11sBBBHHHHHHHI", short, attributes, 0, 0, 0, _DATE, _DATE, 0, 0, _DATE, cluster, size)


def _long_name(name: str, short: bytes) -> bytes:
    """The entries that carry a name of up to 255 characters, last part first."""
    encoded = name.encode("utf-16-le")
    if not 0 < len(encoded) <= 510:
        raise FatError(f"name of {len(encoded) // 2} characters")
    checksum = 0
    for byte in short:
        checksum = ((checksum & 1) << 7 | checksum >> 1) + byte & 0xFF
    count = _long_entries(name)
    padded = encoded if len(encoded) % 26 == 0 else (encoded + b"\0\0").ljust(count * 26, b"\xff")
    entries = []
    for number in range(count):
        part = padded[number * 26 : (number + 1) * 26]
        order = number + 1 | (0x40 if number == count - 1 else 0)
        entries.append(
            struct.pack("<B10sBBB12sH4s", order, part[:10], _LONG_NAME, 0, checksum, part[10:22], 0, part[22:])
        )
    return b"".join(reversed(entries))
