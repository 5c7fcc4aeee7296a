"""Which unprivileged user a guest runs as: one of its own, so that a broken-out guest cannot touch its neighbours.

The numbers need no passwd entry. They come from the server's id, so that disks and processes agree without a table;
a collision (one in sixteen million) only means that two guests share a user. Where the kernel's map of users
does not reach so far (a container with 65,536 users) all guests are `nobody`, and where we are not root, ourselves.
"""

import os
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

FIRST_USER = 1_900_000_000
"""Above what systemd, podman and subuid(5) hand out (systemd's UIDS-GIDS document leaves 1879048192 and up alone)."""
USERS = 1 << 24
NOBODY = 65534


@lru_cache(maxsize=1)
def _range_is_mapped() -> bool:
    try:
        lines = Path("/proc/self/uid_map").read_text().split("\n")
    except OSError:
        return False
    for line in filter(None, lines):
        inside, _, count = (int(word) for word in line.split())
        if inside <= FIRST_USER and inside + count >= FIRST_USER + USERS:
            return True
    return False


def guest_user(server_id: str) -> int:
    """The uid (and gid) of a server's files and process."""
    if os.geteuid() != 0:
        return os.geteuid()
    if not _range_is_mapped():
        return NOBODY
    return FIRST_USER + int.from_bytes(blake2b(server_id.encode(), digest_size=3).digest(), "big")


def give(path: str | os.PathLike[str], user: int) -> None:
    """Make the user own the file, where we may."""
    if os.geteuid() == 0:
        os.chown(path, user, user, follow_symlinks=False)
