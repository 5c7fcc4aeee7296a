"""Versioning. The newer mode is the store's own; the older two move what is overwritten into another container."""

from __future__ import annotations

from bivouac.objects.store.errors import NoSuchContainer
from bivouac.objects.store.interface import Archive, Container, Versioning
from bivouac.objects.swift.access import refuse
from bivouac.objects.swift.call import Call, from_timestamp
from bivouac.objects.swift.errors import Refusal

VERSIONS_LOCATION, VERSIONS_HISTORY = "swift:versions-location", "swift:history-location"


async def archive_of(call: Call, container: Container) -> Archive | None:
    """Where overwritten objects of `container` go. Raises Refusal when that container is not there."""
    if not container.documents or container.versioning == Versioning.ENABLED:
        return None
    history = VERSIONS_HISTORY in container.documents
    name = container.documents.get(VERSIONS_HISTORY) or container.documents.get(VERSIONS_LOCATION)
    if not name:
        return None
    try:
        return Archive(await call.store.get_container(container.account, name), history)
    except NoSuchContainer:
        if call.method == "DELETE" and not history:
            return None  # there is nothing to bring back
        raise Refusal(412, "The container for older versions does not exist.") from None


def asked_version(call: Call) -> tuple[int | None, bool]:
    """From `version-id=`: the version, or whether it is the null version. Raises Refusal."""
    asked = call.param("version-id")
    if asked is None or (call.override and call.method in ("GET", "HEAD")):
        return None, False  # a signature is over the path alone, so it is for the current version
    if call.method in ("GET", "HEAD") and not call.owner:
        raise refuse(call)
    if asked == "null":
        return None, True
    version = from_timestamp(asked)
    if version is None:
        raise Refusal(400, "Invalid version parameter")
    return version, False
