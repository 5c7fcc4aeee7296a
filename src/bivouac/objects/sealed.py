"""Objects whose bytes lie encrypted in the store, and the seam to whoever can open them.

S3's door encrypts (SSE-S3, SSE-C) and keeps what it needs for that at the object, under `DOCUMENT`. Another door must
never pass on the bytes of such an object as they lie there: it opens them with an `Unseal`, or refuses.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from bivouac.objects.store.interface import ObjectRecord

DOCUMENT = "s3:encryption-key"
ReadPlain = Callable[[int, int], AsyncIterator[bytes]]
"""(offset, length) -> the plain bytes."""
Unseal = Callable[[ObjectRecord], ReadPlain]
"""Raises Sealed."""


class Sealed(Exception):
    """The object cannot be opened here: its key is with its owner."""


def is_sealed(record: ObjectRecord) -> bool:
    return DOCUMENT in record.documents


def nobody_can(record: ObjectRecord) -> ReadPlain:
    """The `Unseal` of a door that was given none."""
    raise Sealed("The object is encrypted.")
