"""Version ids: how S3's clients name a version. `null` is the one stored without versioning; others are the version's
time."""

from __future__ import annotations

from bivouac.objects.store.interface import Container, ObjectEntry, ObjectRecord, Versioning
from bivouac.s3.errors import S3Error

NULL = "null"


def version_id(version: ObjectRecord | ObjectEntry) -> str:
    return NULL if version.null_version else str(version.version)


def parse(text: str | None) -> tuple[int | None, bool]:
    """(version, null) of a versionId from a query; (None, False) without one. Raises InvalidArgument or
    NoSuchVersion."""
    if text is None:
        return None, False
    if text == NULL:
        return None, True
    if text == "":
        raise S3Error(
            "InvalidArgument", "Version id cannot be the empty string", ArgumentName="versionId", ArgumentValue=""
        )
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise S3Error("InvalidArgument", "Invalid version id specified", ArgumentName="versionId", ArgumentValue=text)
    return int(text), False


def headers_of(container: Container, version: int, null_version: bool) -> list[tuple[str, str]]:
    """x-amz-version-id of an answer to a write; nothing where the write made no version of its own."""
    if container.versioning is Versioning.OFF or null_version:
        return []
    return [("x-amz-version-id", str(version))]
