"""Names, paths and queries that break naive services, sent to every route of every control service: whatever is sent is
taken whole or refused with a 4xx, never a 5xx, on both engines.

Header fields without end are the HTTP server's matter (tests/unit/core/test_http1.py); whole bodies are schemathesis'
(tests/api/test_fuzz.py).
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from api.matrix_bodies import BODIES, filled
from api.test_matrix import ENGINES, make_world
from api.world import World, path_of
from bivouac.core.http import Mount, Route

SLASH, FOUR_BYTES = "a/b/../c", "\U0001f3d5 camp"
WHOLE = [SLASH, FOUR_BYTES, "e\u0301", "%2e%2e", "' OR 1=1 --", "<b>"]
"""Names that are strange and yet names."""
BROKEN = [b'"a\\u0000b"', b'"\\ud800"', b'"\xff"', b'"a\x00b"', b"1e999", b"NaN", b"[" * 2000]
"""JSON values that no name may be."""
SEGMENTS = ["%00", "a%00b", "%ff", "%F0%9F%8F%95", "a%2Fb", "..%2F..%2Fetc", "%", "%zz", "a" * 9000, "9" * 400, "-1",
            "''"]  # fmt: skip
QUERIES = ["limit=-1", "limit=0", "limit=99999999999999999999999", "limit=x", "limit=" + "9" * 5000,
           "marker=%00", "marker=none", "marker=",
           "name=%00", "name=%ff", "name=%F0%9F%8F%95", "sort_key=%00", "sort_key=none", "sort_dir=up", "fields=%F0%9F",
           "changes-since=x", "created_at=gt:x", "page_reverse=x", "&&&=", "=", "a=1&" * 2000, "ip=[", "name=[",
           "id=%25", "all_tenants=x", "is_public=x", "min_ram=x", "tags=,",
           "member_status=x", "visibility=x"]  # fmt: skip


@pytest.fixture(scope="module", params=ENGINES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from make_world(request, tmp_path_factory, "odd_input")


def routes(world: World, *methods: str) -> Iterator[tuple[Mount, Route]]:
    for mount in world.cloud.services:
        for route in mount.routes:
            if route.method in methods:
                yield mount, route


def headers(mount: Mount, route: Route) -> dict[str, str]:
    fields = {"bivouac-plan": "true"}
    if mount.microversions:
        version = route.until or mount.microversions.maximum
        fields["openstack-api-version"] = f"{mount.microversions.service} {version[0]}.{version[1]}"
    return fields


def named(world: World) -> Iterator[tuple[str, str, Any, str, dict[str, str]]]:
    """(title, path, body, where in it the name stands, headers) of every route that makes something with a name."""
    for mount, route in routes(world, "POST"):
        body = BODIES.get((route.method, route.path))
        if not isinstance(body, dict):
            continue
        body = filled(body, world.ids)
        for key, inner in (("", body), *body.items()):
            if isinstance(inner, dict) and isinstance(inner.get("name"), str):
                path = path_of(world, mount, route)
                yield f"{mount.service_type} {route.path}", path, body, key, headers(mount, route)


def test_strange_names_are_taken_whole_or_refused(world: World) -> None:
    wrong = []
    for title, path, body, key, fields in named(world):
        for name in WHOLE:
            sent = {**body, key: {**body[key], "name": name}} if key else {**body, "name": name}
            who = "owner" if "compute" in title else "root"
            status, content, _ = world.ask(who, "POST", path, sent, headers=fields)
            made = json.loads(content) if status < 300 and content else {}
            shown = made.get(key, made).get("name", name)
            if shown != name or not (status < 300 or 400 <= status < 500):
                wrong.append(f"{title} {name!r}: {status} {content[:200]!r}")
    assert wrong == []


def test_what_is_no_name_is_refused(world: World) -> None:
    wrong = []
    for title, path, body, key, fields in named(world):
        mark = "dasIstDerName"
        sent = {**body, key: {**body[key], "name": mark}} if key else {**body, "name": mark}
        whole = json.dumps(sent).encode()
        for value in BROKEN:
            broken = whole.replace(f'"{mark}"'.encode(), value)
            status, content, _ = world.ask("root", "POST", path, broken, headers=fields)
            if not 400 <= status < 500:
                wrong.append(f"{title} {value[:20]!r}: {status} {content[:200]!r}")
    assert wrong == []


def test_odd_segments_of_paths(world: World) -> None:
    wrong = []
    for mount, route in routes(world, "GET", "DELETE", "PUT", "PATCH", "POST"):
        if "{" not in route.path:
            continue
        for odd in SEGMENTS:
            path = mount.prefix + "/".join(
                odd if one.startswith("{") else one for one in route.path.split("/")
            )
            status, content, _ = world.ask("root", route.method, path, {}, headers=headers(mount, route))
            if status >= 500 or (status < 300 and "%00" in odd):
                wrong.append(f"{route.method} {path[:200]}: {status} {content[:200]!r}")
    assert wrong == []


def test_odd_queries(world: World) -> None:
    wrong = []
    for mount, route in routes(world, "GET"):
        for query in QUERIES:
            path = f"{path_of(world, mount, route)}?{query}"
            status, content, _ = world.ask("root", "GET", path, headers=headers(mount, route))
            if status >= 500 and status != 503:
                wrong.append(f"GET {path[:200]}: {status} {content[:200]!r}")
    assert wrong == []
