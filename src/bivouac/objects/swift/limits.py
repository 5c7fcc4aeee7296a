"""What `/info` publishes, and the checks that keep it. The numbers are Swift's defaults, so that clients find what
they know."""

from __future__ import annotations

from typing import Any

from bivouac.objects.swift.errors import Refusal

MAX_FILE_SIZE = 5 * 1024**3 + 2
ACCOUNT_NAME, CONTAINER_NAME, OBJECT_NAME = 256, 256, 1024
LISTING = 10_000
MAX_HEADER_SIZE = 8192
META_NAME, META_VALUE, META_COUNT, META_OVERALL = 128, 256, 90, 4096
MANIFEST_SEGMENTS, MANIFEST_SIZE, MANIFEST_DEPTH = 1000, 8 * 1024 * 1024, 10
BULK_DELETES, BULK_CONTAINERS, BULK_FAILURES = 10_000, 10_000, 1000
SYMLINK_LOOPS = 2
TEMPURL_DIGESTS = ("sha1", "sha256", "sha512")
POLICIES = (("default", "Policy-0"), ("silver", ""))  # name, alias; the first is the default


def info(version: str) -> dict[str, Any]:
    """The body of GET /info. What is not there is not supported."""
    return {
        "swift": {
            "version": version,
            "max_file_size": MAX_FILE_SIZE,
            "max_meta_name_length": META_NAME,
            "max_meta_value_length": META_VALUE,
            "max_meta_count": META_COUNT,
            "max_meta_overall_size": META_OVERALL,
            "max_header_size": MAX_HEADER_SIZE,
            "max_object_name_length": OBJECT_NAME,
            "max_container_name_length": CONTAINER_NAME,
            "max_account_name_length": ACCOUNT_NAME,
            "container_listing_limit": LISTING,
            "account_listing_limit": LISTING,
            "extra_header_count": 0,
            "strict_cors_mode": True,
            "allow_account_management": True,
            "allow_open_expired": True,
            "account_autocreate": True,
            "valid_api_versions": ["v1", "v1.0"],
            "policies": [
                {"name": name, "aliases": ", ".join(filter(None, (name, alias)))}
                | ({"default": True} if not index else {})
                for index, (name, alias) in enumerate(POLICIES)
            ],
        },
        "account_quotas": {},
        "container_quotas": {},
        "bulk_delete": {"max_deletes_per_request": BULK_DELETES, "max_failed_deletes": BULK_FAILURES},
        "bulk_upload": {"max_containers_per_extraction": BULK_CONTAINERS, "max_failed_extractions": BULK_FAILURES},
        "crossdomain": {},
        "dlo": {"max_segments": LISTING},
        "formpost": {"allowed_digests": list(TEMPURL_DIGESTS), "deprecated_digests": ["sha1"]},
        "healthcheck": {},
        "keystoneauth": {},
        "object_versioning": {},
        "slo": {
            "max_manifest_segments": MANIFEST_SEGMENTS,
            "max_manifest_size": MANIFEST_SIZE,
            "min_segment_size": 1,
            "allow_async_delete": False,
        },
        "staticweb": {},
        "symlink": {"symloop_max": SYMLINK_LOOPS, "static_links": True},
        "tempurl": {
            "methods": ["GET", "HEAD", "PUT", "POST", "DELETE"],
            "incoming_remove_headers": ["x-timestamp"],
            "incoming_allow_headers": [],
            "outgoing_remove_headers": ["x-object-meta-*"],
            "outgoing_allow_headers": ["x-object-meta-public-*"],
            "allowed_digests": list(TEMPURL_DIGESTS),
            "deprecated_digests": ["sha1"],
        },
        "versioned_writes": {"allowed_flags": ["x-versions-location", "x-history-location"]},
    }


def check_names(account: str, container: str | None, name: str | None) -> None:
    """Raises Refusal for a name that may not be created."""
    if len(account.encode()) > ACCOUNT_NAME:
        raise Refusal(400, f"Account name length of {len(account.encode())} longer than {ACCOUNT_NAME}")
    if container is not None and len(container.encode()) > CONTAINER_NAME:
        raise Refusal(400, f"Container name length of {len(container.encode())} longer than {CONTAINER_NAME}")
    if name is not None and len(name.encode()) > OBJECT_NAME:
        raise Refusal(400, f"Object name length of {len(name.encode())} longer than {OBJECT_NAME}")


def check_metadata(metadata: dict[str, str | None], kind: str) -> None:
    """`kind` is Account, Container or Object; keys are what follows X-Kind-Meta-. Raises Refusal."""
    overall = 0
    for name, value in metadata.items():
        if not name:
            raise Refusal(400, "Metadata name cannot be empty")
        value = value or ""
        size, length = len(value.encode("utf-8", "surrogateescape")), len(name.encode("utf-8", "surrogateescape"))
        if length > META_NAME:
            raise Refusal(400, f"Metadata name too long: X-{kind}-Meta-{name.title()}")
        if size > META_VALUE:
            raise Refusal(400, f"Metadata value longer than {META_VALUE}: X-{kind}-Meta-{name.title()}")
        overall += size + length
        try:
            (name + value).encode()
        except UnicodeEncodeError:
            raise Refusal(400, "Metadata must be valid UTF-8") from None
    if len(metadata) > META_COUNT:
        raise Refusal(400, f"Too many metadata items; max {META_COUNT}")
    if overall > META_OVERALL:
        raise Refusal(400, f"Total metadata too large; max {META_OVERALL}")
