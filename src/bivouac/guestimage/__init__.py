"""Builders of guest images from Debian packages.

`tiny` makes a Linux of 20 MB from what is installed on the building machine, in a few seconds and without root:
kernel, busybox, an SSH server, the tools that tests of clouds ask for, and a small stand-in for cloud-init. It boots as
a disk by BIOS, or straight from its kernel and ramdisk, which is twice as fast under emulation. `debian` makes a
Debian 12 with the real cloud-init.

The parts: `tree` is a root file system in memory, `cpio` and `disk` turn it into a ramdisk or a disk, `kernel` and
`modules` take what they need from the machine's own kernel, `tools` calls other programs. The guest's own scripts and
settings are the plain files in `files/`.
"""
