"""Disks as files of this host.

    IMAGES/<image id>.raw|qcow2        bases, fetched once, checked, never written again
    DISKS/<server id>/<name>.raw|qcow2 disks, owned by the guest's user
                      base-<image id>.raw|qcow2   a hard link to the base that a disk is cloned from

The link counts: a base that nobody links to is unused, with no record that could be wrong. It also makes each directory
complete: an overlay names its base by a name beside it. A raw base on a filesystem that shares blocks (xfs,
btrfs) is cloned by FICLONE; everywhere else the disk is a qcow2 that lies on its base. Both take milliseconds.
"""

from .driver import LocalDisks

__all__ = ["LocalDisks"]
