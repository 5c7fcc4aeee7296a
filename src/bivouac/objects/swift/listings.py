"""Listings on the wire: which entries are asked for, and the three formats they come in."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

import msgspec

from bivouac.core.http1 import Response
from bivouac.objects.store.interface import ContainerEntry, Kind, Listing, ObjectEntry
from bivouac.objects.swift.call import TRUE, Call, from_timestamp, iso_time, timestamp
from bivouac.objects.swift.errors import Refusal
from bivouac.objects.swift.limits import LISTING

TYPES = {"json": "application/json", "xml": "application/xml", "plain": "text/plain"}
DELETED = "application/x-deleted;swift_versions_deleted=1"
EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"


def output_format(call: Call) -> str:
    """From `format=` or Accept. Raises Refusal when nothing fits."""
    asked = call.param("format")
    if asked is not None:
        return asked.lower() if asked.lower() in ("json", "xml") else "plain"
    accept = call.request.header("accept")
    if not accept or "*/*" in accept:
        return "plain"
    for part in accept.split(","):
        kind = part.partition(";")[0].strip().lower()
        if kind in ("application/json", "text/json"):
            return "json"
        if kind in ("application/xml", "text/xml"):
            return "xml"
        if kind in ("text/plain", "text/*"):
            return "plain"
    raise Refusal(406)


def parse_listing(call: Call) -> Listing:
    """Raises Refusal for a limit that is none, or above what `/info` says."""
    params = call.params
    limit = LISTING
    if params.get("limit"):
        text = params["limit"]
        if not text.isdigit():
            # Swift takes what is no number for the default.
            text = str(LISTING)
        limit = int(text)
        if limit > LISTING:
            raise Refusal(412, f"Maximum limit is {LISTING}")
    prefix, delimiter = params.get("prefix", ""), params.get("delimiter", "")
    path = params.get("path")
    if path is not None:
        prefix = path.rstrip("/") + "/" if path else ""
        delimiter = "/"
    return Listing(
        prefix=prefix,
        delimiter=delimiter,
        marker=params.get("marker", ""),
        end_marker=params.get("end_marker", ""),
        reverse=params.get("reverse", "").lower() in TRUE,
        limit=limit,
        version_marker=_version_marker(params),
    )


def _version_marker(params: dict[str, str]) -> int | None:
    text = params.get("version_marker")
    if not text:
        return None
    if "marker" not in params:
        raise Refusal(400, "version_marker requires marker")
    return 0 if text == "null" else from_timestamp(text)


def respond(
    call: Call,
    kind: str,
    lines: list[str],
    items: list[dict],
    name: str,
    headers: list[tuple[str, str]],
    forced: str = "",
) -> Response:
    """`kind` is account or container; `lines` are for text, `items` for JSON and XML; `forced` is a format whatever
    was asked for.

    Empty text is 204, as ever.
    """
    output = forced or output_format(call)
    headers = [*headers, ("Content-Type", f"{TYPES[output]}; charset=utf-8"), ("Vary", "Accept")]
    if output == "json":
        return Response(200, headers, msgspec.json.encode(items))
    if output == "xml":
        return Response(200, headers, _xml(kind, items, name))
    if not lines:
        return Response(204, headers)
    return Response(200, headers, ("\n".join(lines) + "\n").encode())


def _xml(kind: str, items: list[dict], name: str) -> bytes:
    element = "container" if kind == "account" else "object"
    parts = [f'<?xml version="1.0" encoding="UTF-8"?>\n<{kind} name={quoteattr(name)}>']
    for item in items:
        if "subdir" in item:
            parts.append(f"<subdir name={quoteattr(item['subdir'])}><name>{escape(item['subdir'])}</name></subdir>")
            continue
        fields = "".join(f"<{key}>{escape(_text(value))}</{key}>" for key, value in item.items())
        parts.append(f"<{element}>{fields}</{element}>")
    parts.append(f"</{kind}>")
    return "".join(parts).encode("utf-8", "xmlcharrefreplace")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def container_item(entry: ContainerEntry) -> dict:
    if entry.objects < 0:
        return {"subdir": entry.name}
    return {
        "name": entry.name,
        "count": entry.objects,
        "bytes": entry.bytes,
        "last_modified": iso_time(entry.modified),
        "storage_policy": entry.policy,
    }


def object_items(entries: list[ObjectEntry], versions: bool) -> list[dict]:
    """As `object_item` of each; what most of them are is made without a call."""
    return [
        {
            "bytes": entry.size,
            "hash": entry.etag,
            "name": entry.name,
            "content_type": entry.content_type,
            "last_modified": iso_time(entry.modified),
        }
        if entry.kind is Kind.PLAIN and not entry.prefix and not versions
        else object_item(entry, versions)
        for entry in entries
    ]


def object_item(entry: ObjectEntry, versions: bool = False) -> dict:
    if entry.prefix:
        return {"subdir": entry.name}
    marker = entry.kind == Kind.DELETE_MARKER
    item: dict = {
        "bytes": entry.size,
        "hash": EMPTY_MD5 if marker else entry.documents.get("listing_hash", entry.etag),
        "name": entry.name,
        "content_type": DELETED if marker else entry.content_type,
        "last_modified": iso_time(entry.modified),
    }
    if entry.kind == Kind.STATIC_LARGE:
        item["slo_etag"] = f'"{entry.etag}"'
    if entry.kind == Kind.SYMLINK:
        item["symlink_path"] = entry.documents.get("symlink_path", "")
        for key in ("symlink_etag", "symlink_bytes"):
            if key in entry.documents:
                item[key] = int(entry.documents[key]) if key == "symlink_bytes" else entry.documents[key]
    if versions:
        item["version_id"] = version_id(entry.version, entry.null_version)
        item["is_latest"] = entry.current
    return item


def version_id(version: int, null_version: bool) -> str:
    return "null" if null_version else timestamp(version)
