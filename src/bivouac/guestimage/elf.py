"""A set-user-id program of two hundred bytes, made by hand because a script cannot be set-user-id.

The guest needs `sudo` without a password and a `ping` that works for everybody. Debian's sudo brings PAM and a dozen
libraries; all that is wanted is "become root, then run this script with the same arguments".
"""

from __future__ import annotations

import struct

_LOAD_ADDRESS = 0x400000
_ELF_HEADER_SIZE = 64
_PROGRAM_HEADER_SIZE = 56

_BECOME_ROOT = bytes.fromhex(
    "31ff31f631d2b8770000000f05"  # setresgid(0, 0, 0)
    "31ff31f631d2b8750000000f05"  # setresuid(0, 0, 0)
    "488b0c24"  # rcx = argc
    "488d742408"  # rsi = argv
    "488d54ce08"  # rdx = envp
)
_EXECUTE = bytes.fromhex("b83b0000000f05")  # execve(rdi, rsi, rdx)
_EXIT = bytes.fromhex("bf7f000000b83c0000000f05")  # exit(127), reached only when execve failed


def become_root_and_run(path: str) -> bytes:
    """An x86-64 Linux executable that becomes root and runs `path` with its own arguments and environment.

    It is of use only when it is stored as root's with the set-user-id bit.
    """
    tail = _EXECUTE + _EXIT
    load_path = b"\x48\x8d\x3d" + struct.pack("<i", len(tail))  # lea rdi, [rip + distance]: the path follows the code
    body = _BECOME_ROOT + load_path + tail + path.encode() + b"\0"
    offset = _ELF_HEADER_SIZE + _PROGRAM_HEADER_SIZE
    size = offset + len(body)
    identification = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = identification + struct.pack(
        "<HHIQQQIHHHHHH",
        *(2, 62, 1, _LOAD_ADDRESS + offset, _ELF_HEADER_SIZE, 0, 0),
        *(_ELF_HEADER_SIZE, _PROGRAM_HEADER_SIZE, 1, 0, 0, 0),
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _LOAD_ADDRESS, _LOAD_ADDRESS, size, size, 0x1000)
    return header + segment + body
