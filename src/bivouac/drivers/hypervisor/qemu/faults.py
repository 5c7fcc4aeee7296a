"""What QEMU says, in the words of a server's owner. No host path, no file name gets through here."""

_WORDS = (
    (("cannot allocate memory", "could not allocate", "cannot set up guest memory"), "The host is out of memory."),
    (("no space left on device", "disk quota exceeded"), "The host's disk is full."),
    (('failed to get "write" lock', 'failed to get shared "write" lock'), "A disk of the server is in use elsewhere."),
    (("not in qcow2 format", "image is corrupt", "could not open backing"), "A disk of the server is damaged."),
    (("kernel is too old", "invalid kernel header", "error loading uncompressed kernel", "could not load kernel"),
     "The image's kernel cannot be loaded."),
    (("initrd is too large", "initial ramdisk"), "The image's ramdisk does not fit into the server's memory."),
    (("could not access kvm", "failed to initialize kvm"), "Hardware virtualisation went away on the host."),
    (("pci: no slot", "no free", "bus has no"), "The server has no free slot for another device."),
    (("permission denied", "operation not permitted"), "The host does not let the server use one of its files."),
    (("no such file or directory",), "A file of the server is missing on the host."),
)  # fmt: skip


def in_users_words(text: str, otherwise: str) -> str:
    """The first known cause in QEMU's text, or `otherwise`."""
    text = text.lower()
    for signs, words in _WORDS:
        if any(sign in text for sign in signs):
            return words
    return otherwise
