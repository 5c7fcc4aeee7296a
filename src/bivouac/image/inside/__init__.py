"""A look inside of a disk image: what its guest can drive, so that it finds its disk and its network at once.

Converting formats is easy; what keeps a guest from another cloud from starting are drivers and firmware. `look` reads,
without mounting or executing anything:

- `disk`: the bytes that the guest would see, of raw and qcow2 (other formats have a qcow2 boot disk by then);
- `partitions`: MBR and GPT, boot code, EFI system partition, what lies in each partition;
- `ext4`: names and files of ext2/3/4, where Linux keeps kernels and modules;
- `initramfs`: names of the modules in an initramfs (cpio, plain or packed with gzip, xz, bzip2 or zstd);
- `verdict`: from the findings to `hw_disk_bus`, `hw_vif_model`, `hw_firmware_type`, each with its reason.

The image is a stranger's: every read is bounded by a budget, and whatever does not parse is simply not known. What is
not known is not set.
"""

from .look import look

__all__ = ["look"]
