"""The additional checksums of objects: CRC32, CRC32C, CRC64NVME, SHA-1, SHA-256.

A checksum comes as a header, or as a trailer behind the body. That of a multipart object is either COMPOSITE (the
checksum of the parts'
checksums, written with "-N") or, for the CRCs, FULL_OBJECT: that of the whole, which needs no second look at the bytes
since CRCs combine.

Source: "Checking object integrity", Amazon S3 User Guide.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from typing import Protocol

import anycrc
from msgspec import Struct

from bivouac.s3.errors import S3Error

ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
LENGTHS = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}
PREFIX = "x-amz-checksum-"
HEADERS = {PREFIX + name.lower(): name for name in ALGORITHMS}
COMPOSITE, FULL_OBJECT = "COMPOSITE", "FULL_OBJECT"
_CRC32, _CRC32C, _CRC64 = anycrc.Model("CRC32"), anycrc.Model("CRC32C"), anycrc.Model("CRC64-NVME")
_MODELS = {"CRC32": _CRC32, "CRC32C": _CRC32C, "CRC64NVME": _CRC64}


class Hash(Protocol):
    """What hashlib gives, and ours of CRCs."""

    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc32:
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def update(self, data: bytes, /) -> None:
        self.value = zlib.crc32(data, self.value)

    def digest(self) -> bytes:
        return self.value.to_bytes(4, "big")


class _Crc:
    __slots__ = ("_model", "_size", "value")

    def __init__(self, algorithm: str) -> None:
        self._model, self._size, self.value = _MODELS[algorithm], LENGTHS[algorithm], None

    def update(self, data: bytes, /) -> None:
        self.value = self._model.calc(data) if self.value is None else self._model.calc(data, self.value)

    def digest(self) -> bytes:
        return (self._model.calc(b"") if self.value is None else self.value).to_bytes(self._size, "big")


def new(algorithm: str) -> Hash:
    """A fresh hash of one of ALGORITHMS."""
    if algorithm == "CRC32":
        return _Crc32()
    if algorithm == "SHA1":
        return hashlib.sha1(usedforsecurity=False)
    if algorithm == "SHA256":
        return hashlib.sha256()
    return _Crc(algorithm)


def encode(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def parse_algorithm(text: str) -> str:
    """The name in upper case. Raises InvalidRequest for an unknown one."""
    name = text.strip().upper()
    if name not in LENGTHS:
        raise S3Error(
            "InvalidRequest",
            "Checksum algorithm provided is unsupported. "
            f"Please try again with any of the valid types: {', '.join(ALGORITHMS)}",
        )
    return name


def parse_type(text: str | None, algorithm: str) -> str:
    """COMPOSITE or FULL_OBJECT, by default what the algorithm can. Raises InvalidRequest."""
    if not text:
        return FULL_OBJECT if algorithm == "CRC64NVME" else COMPOSITE
    name = text.strip().upper()
    if name not in (COMPOSITE, FULL_OBJECT):
        raise S3Error("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")
    if (name == FULL_OBJECT and algorithm.startswith("SHA")) or (name == COMPOSITE and algorithm == "CRC64NVME"):
        raise S3Error(
            "InvalidRequest", f"The {name} checksum type cannot be used with the {algorithm.lower()} algorithm."
        )
    return name


class Expected(Struct, frozen=True):
    """The checksum a request announces: its value, or None if a trailer will bring it."""

    algorithm: str
    value: str | None


def expected(headers: dict[str, str]) -> Expected | None:
    """What the header fields say of the body's checksum. Raises InvalidRequest, BadDigest."""
    found: Expected | None = None
    for header, algorithm in HEADERS.items():
        value = headers.get(header)
        if value is not None:
            if found:
                raise S3Error(
                    "InvalidRequest",
                    "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
                )
            check_value(algorithm, value, header)
            found = Expected(algorithm, value)
    trailer = headers.get("x-amz-trailer")
    if trailer:
        for name in trailer.lower().split(","):
            if name.strip() in HEADERS:
                if found:
                    raise S3Error("InvalidRequest", "Expecting a single x-amz-checksum- header or trailer.")
                found = Expected(HEADERS[name.strip()], None)
            elif name.strip().startswith(PREFIX):
                raise S3Error("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
    return found


def check_value(algorithm: str, value: str, header: str) -> None:
    """Raises BadDigest unless it is base64 of the right length: it cannot be the checksum of anything."""
    try:
        good = len(base64.b64decode(value, validate=True)) == LENGTHS[algorithm]
    except (binascii.Error, ValueError):
        good = False
    if not good:
        raise S3Error("BadDigest", f"Value for {header} header is invalid.")


def mismatch(algorithm: str) -> S3Error:
    return S3Error("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")


def combine(algorithm: str, parts: list[tuple[str, int]]) -> str | None:
    """FULL_OBJECT of (base64 checksum, size) parts; None if a part has no usable checksum."""
    model, size = _MODELS[algorithm], LENGTHS[algorithm]
    total: int | None = None
    for text, length in parts:
        if not text:
            return None
        value = int.from_bytes(base64.b64decode(text), "big")
        total = value if total is None else model.combine(total, value, length)
    return None if total is None else encode(total.to_bytes(size, "big"))


def composite(algorithm: str, parts: list[str]) -> str | None:
    """COMPOSITE of the parts' base64 checksums, with its "-N"; None if a part has none."""
    if not all(parts):
        return None
    digest = new(algorithm)
    for text in parts:
        digest.update(base64.b64decode(text))
    return f"{encode(digest.digest())}-{len(parts)}"
