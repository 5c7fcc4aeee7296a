"""Requests on containers: HEAD, GET (objects), PUT, POST, DELETE."""

from __future__ import annotations

from urllib.parse import quote, unquote

from msgspec.structs import replace

from bivouac.core.http1 import Response
from bivouac.core.http1.sending import http_date
from bivouac.objects.store.errors import NoSuchContainer, NoSuchObject
from bivouac.objects.store.interface import Container, Usage, Versioning
from bivouac.objects.swift import formpost, listings, metadata, staticweb
from bivouac.objects.swift.access import (
    DEFAULT_DOMAIN,
    OWNER_DOMAIN,
    READ_ACL,
    WRITE_ACL,
    authorize_container,
    clean_acl,
    refuse,
)
from bivouac.objects.swift.call import TRUE, Call, timestamp, whole_seconds
from bivouac.objects.swift.errors import Refusal
from bivouac.objects.swift.limits import POLICIES, check_names
from bivouac.objects.swift.versions import VERSIONS_HISTORY, VERSIONS_LOCATION

METHODS = "HEAD, GET, PUT, POST, DELETE, OPTIONS"
POLICY_NAMES = {alias.lower(): name for name, other in POLICIES for alias in (name, other) if alias}


async def find(call: Call) -> Container | None:
    assert call.container is not None
    try:
        return await call.store.get_container(call.account, call.container)
    except NoSuchContainer:
        return None


async def handle(call: Call) -> Response:
    method = call.method
    if method == "POST" and formpost.is_form(call):
        return await formpost.handle(call)
    container = await find(call)
    if method in ("HEAD", "GET"):
        if staticweb.applies(call, container):
            return await staticweb.container_page(call, container)
        await authorize_container(call, container)
        if container is None:
            raise Refusal(404)
        return await show(call, container)
    await authorize_container(call, None)
    if method == "PUT":
        return await create(call, container)
    if method not in ("POST", "DELETE"):
        raise Refusal(405, headers=[("Allow", METHODS)])
    if container is None:
        raise Refusal(404)
    if method == "POST":
        change = await _changes(call, container)
        await call.store.update_container(container, **change)
    else:
        await call.store.delete_container(container)
    return Response(204, [("Content-Type", "text/html; charset=UTF-8")])


async def show(call: Call, container: Container) -> Response:
    usage = await call.store.container_usage(container)
    headers = container_headers(container, usage, call.owner)
    if call.method == "HEAD":
        output = listings.output_format(call)
        return Response(204, [*headers, ("Content-Type", f"{listings.TYPES[output]}; charset=utf-8")])
    versions = call.param("versions") is not None
    wanted = listings.parse_listing(call)
    if versions:
        told = call.param("format") is not None or "*/*" not in (call.request.header("accept") or "*/*")
        if told and listings.output_format(call) != "json":
            raise Refusal(406)
        if call.param("version_marker") == "null":
            wanted = replace(wanted, version_marker=await _null_version(call, container, wanted.marker))
        page = await call.store.list_versions(container, wanted)
    else:
        page = await call.store.list_objects(container, wanted)
    entries = page.entries
    if call.param("path") is not None:  # this older form never lists the directories themselves
        entries = [entry for entry in entries if not entry.prefix]
    if not versions and listings.output_format(call) == "plain":
        return listings.respond(call, "container", [entry.name for entry in entries], [], container.name, headers)
    items = listings.object_items(entries, versions)
    forced = "json" if versions else ""  # text could not tell versions apart
    return listings.respond(call, "container", [], items, container.name, headers, forced)


async def _null_version(call: Call, container: Container, name: str) -> int:
    """What version "null" of an object is; 0 if there is none: then all of its versions are passed."""
    try:
        return (await call.store.get_object(container, name, null_version=True)).version
    except NoSuchObject:
        return 0


def container_headers(container: Container, usage: Usage, owner: bool) -> list[tuple[str, str]]:
    created = timestamp(container.created)
    headers = [
        ("X-Container-Object-Count", str(usage.objects)),
        ("X-Container-Bytes-Used", str(usage.bytes + usage.older_bytes)),
        ("X-Timestamp", created),
        ("X-Put-Timestamp", created),
        ("Last-Modified", http_date(whole_seconds(container.modified))),
        ("Accept-Ranges", "bytes"),
        ("X-Storage-Policy", container.policy or POLICIES[0][0]),
        *metadata.headers("Container", container.metadata, owner),
    ]
    if owner:
        for header, key in (("X-Container-Read", READ_ACL), ("X-Container-Write", WRITE_ACL)):
            if container.documents.get(key):
                headers.append((header, container.documents[key]))
    if container.versioning != Versioning.OFF:
        headers.append(("X-Versions-Enabled", str(container.versioning == Versioning.ENABLED)))
    for header, key in (("X-Versions-Location", VERSIONS_LOCATION), ("X-History-Location", VERSIONS_HISTORY)):
        if container.documents.get(key):
            headers.append((header, quote(container.documents[key])))
    return headers


async def create(call: Call, container: Container | None) -> Response:
    assert call.container is not None
    check_names(call.account, call.container, None)
    policy = _policy(call, container)
    change = await _changes(call, container)
    done = Response(202, [("Content-Type", "text/html; charset=UTF-8")])
    if container is None:
        container, new = await call.store.create_container(call.account, call.container, policy=policy)
        done.status = 201 if new else 202
    if any(change.values()):
        await call.store.update_container(container, **change)
    return done


def _policy(call: Call, container: Container | None) -> str:
    asked = call.text("x-storage-policy")
    if not asked:
        return POLICIES[0][0]
    policy = POLICY_NAMES.get(asked.lower())
    if policy is None:
        raise Refusal(400, f"Invalid X-Storage-Policy '{asked}'")
    if container is not None and container.policy != policy:
        raise Refusal(409)
    return policy


async def _changes(call: Call, container: Container | None) -> dict:
    """What the headers change, as keywords of `Store.update_container`. Raises Refusal."""
    request = call.request
    for header in ("x-container-sync-to", "x-container-sync-key"):
        if header.encode() in request.headers:
            raise Refusal(400, "Container synchronisation is not supported.")
    change = metadata.changes(request, "container")
    metadata.check_overall(container.metadata if container else {}, change, "Container")
    documents: dict[str, str | None] = {}
    for header, key in (("x-container-read", READ_ACL), ("x-container-write", WRITE_ACL)):
        acl = call.text(header)
        if acl is not None:
            documents[key] = clean_acl(header, acl) or None
        elif f"x-remove-{header[2:]}".encode() in request.headers:
            documents[key] = None
    if documents and not call.owner:
        raise refuse(call)
    if documents and call.caller is not None and call.caller.project_id == call.account:
        domain = call.caller.project_domain_id
        documents[OWNER_DOMAIN] = domain if domain != DEFAULT_DOMAIN else None
    versioning = _versioning(call, container, documents)
    return {"metadata": change, "documents": documents, "versioning": versioning, "quotas": _quotas(change)}


def _quotas(change: dict[str, str | None]) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for name, key, unit in (("quota-bytes", "bytes", "bytes"), ("quota-count", "objects", "count")):
        if name in change:
            value = change[name]
            if value and not (value.isdigit() and len(value) < 19):
                raise Refusal(400, f"Invalid {unit} quota.")
            found[key] = int(value) if value else None
    return found


def _location(call: Call, header: str) -> str | None:
    value = call.text(header)
    return unquote(value) if value is not None else None


def _versioning(call: Call, container: Container | None, documents: dict[str, str | None]) -> Versioning | None:
    """X-Versions-Enabled, and the older X-Versions-Location and X-History-Location. Raises Refusal."""
    stack, history = _location(call, "x-versions-location"), _location(call, "x-history-location")
    if stack and history:
        raise Refusal(400, "Only one of X-History-Location or X-Versions-Location may be specified")
    held = container.documents if container else {}
    for key, value, header in (
        (VERSIONS_LOCATION, stack, b"x-remove-versions-location"),
        (VERSIONS_HISTORY, history, b"x-remove-history-location"),
    ):
        if value:
            if "/" in value:
                raise Refusal(412, "A versions location must be the name of a container")
            documents |= {VERSIONS_LOCATION: None, VERSIONS_HISTORY: None, key: value}
        elif value == "" or header in call.request.headers:
            documents.setdefault(key, None)
    enabled = call.text("x-versions-enabled")
    if enabled is None:
        if (stack or history) and container is not None and container.versioning == Versioning.ENABLED:
            raise Refusal(400, "Cannot enable both versioning modes on one container")
        return None
    wanted = enabled.strip().lower() in TRUE
    location = any(
        documents[key] if key in documents else held.get(key) for key in (VERSIONS_LOCATION, VERSIONS_HISTORY)
    )
    if wanted and location:
        raise Refusal(400, "Cannot enable both versioning modes on one container")
    if wanted:
        return Versioning.ENABLED
    return Versioning.SUSPENDED if container is not None and container.versioning != Versioning.OFF else None
