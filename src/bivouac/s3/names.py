"""What a bucket and a key may be called, and how a request's host and path name them.

Source: Amazon S3 User Guide, "Bucket naming rules", "Virtual hosting of buckets", "Naming Amazon S3 objects".
"""

import re
from urllib.parse import unquote_to_bytes

from bivouac.s3.errors import S3Error

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_BAD_IN_BUCKET = re.compile(r"\.\.|\.-|-\.|^\d+\.\d+\.\d+\.\d+$|^xn--|^sthree-|-s3alias$|--ol-s3$|--x-s3$|\.mrap$")
MAX_KEY_BYTES = 1024


def is_bucket_name(name: str) -> bool:
    """Whether a new bucket may have this name."""
    return bool(_BUCKET.fullmatch(name)) and not _BAD_IN_BUCKET.search(name)


def check_bucket_name(name: str) -> None:
    """Raises InvalidBucketName."""
    if not is_bucket_name(name):
        raise S3Error("InvalidBucketName", BucketName=name)


def check_key(key: str) -> None:
    """Raises KeyTooLongError (more than 1,024 bytes of UTF-8) or InvalidArgument (a NUL, which no peer takes)."""
    if len(key) > MAX_KEY_BYTES // 4 and len(key.encode()) > MAX_KEY_BYTES:
        raise S3Error("KeyTooLongError", Size=str(len(key.encode())), MaxSizeAllowed=str(MAX_KEY_BYTES))
    if "\0" in key:
        raise S3Error("InvalidArgument", "A key cannot hold the character NUL.")


def split(host: str, raw_path: bytes, domains: tuple[str, ...]) -> tuple[str, str]:
    """(bucket, key) of a request, either of them "". Raises InvalidURI.

    Under `BUCKET.DOMAIN` the whole path is the key; else its first segment is the bucket.
    """
    try:
        path = (unquote_to_bytes(raw_path) if b"%" in raw_path else raw_path).decode()
    except UnicodeDecodeError:
        raise S3Error("InvalidURI") from None
    path = path[1:] if path.startswith("/") else path
    if domains:
        name = host if host.startswith("[") else host.partition(":")[0]
        for domain in domains:
            if name.endswith(domain) and len(name) > len(domain) and name[-len(domain) - 1] == ".":
                return name[: -len(domain) - 1].lower(), path
    bucket, _, key = path.partition("/")
    return bucket, key
