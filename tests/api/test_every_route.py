"""No route without a guard: every route of every service, generated from the tables, as nobody and as a stranger.

Nobody (no token) must get 401 from whatever is not public; a stranger (a valid token without any role) must get
nothing but a refusal; a reader must change nothing. What is public is listed here, and may only shrink.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from in_process import exchange

from bivouac.app.cloud import Cloud, build
from bivouac.core.call import Caller
from bivouac.core.http import PUBLIC, Mount, Request, Route
from bivouac.core.settings import Database, Settings

ENGINES = os.environ.get("BIVOUAC_TEST_ENGINES", "sqlite,postgresql").split(",")
TOKENS = {
    "stranger": Caller(user_id="0" * 32, user_name="stranger", project_id="1" * 32, roles=()),
    "reader": Caller(user_id="2" * 32, user_name="reader", project_id="3" * 32, roles=("reader",)),
}
REFUSALS = {400, 401, 403, 404, 405, 409, 410, 411, 412, 413, 415}
"""What may be answered to somebody who may not: 400 only before anything was looked at."""
OWN_LISTS = {"identity:list_credentials", "os_compute_api:os-keypairs:index"}
"""Rules of lists that hold only what is the caller's own, so that a caller without any role gets an empty one."""


@pytest.fixture(scope="module", params=ENGINES)
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    state: Path = tmp_path_factory.mktemp("s")
    database = Database()
    if request.param == "postgresql":
        import psycopg

        url = request.getfixturevalue("postgresql_server")
        with psycopg.connect(url("postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE every_route")
        database = Database(url=url("every_route"))
    cloud = build(Settings(state=str(state), database=database))
    real = cloud.application.authenticate

    async def authenticate(token: str, request: Request) -> Caller | None:
        return TOKENS.get(token) or await real(token, request)

    cloud.application.authenticate = authenticate
    yield cloud
    cloud.store.close()


def routes(cloud: Cloud) -> list[tuple[Mount, Route]]:
    return [(m, route) for m in cloud.services for route in m.routes if route.method != "WEBSOCKET"]


def ask(cloud: Cloud, mount: Mount, route: Route, token: str) -> tuple[int, bytes]:
    path = mount.prefix + re.sub(r"{\w+(:rest)?}", "3" * 32, route.path)
    fields = {"host": "cloud", "content-type": route.media_types[0]}
    if token:
        fields["x-auth-token"] = token
    if mount.microversions and (version := route.until or mount.microversions.maximum):
        fields["openstack-api-version"] = f"{mount.microversions.service} {version[0]}.{version[1]}"
    status, _, payload = exchange(cloud.application, route.method, path, fields, b"{}")
    return status, payload


def test_nobody_gets_past_a_route_that_is_not_public(cloud: Cloud) -> None:
    open_doors = [
        f"{mount.service_type} {route.method} {route.path} answered {status}"
        for mount, route in routes(cloud)
        if route.rule != PUBLIC and (status := ask(cloud, mount, route, "")[0]) != 401
    ]
    assert open_doors == []


def test_a_stranger_is_refused_everywhere(cloud: Cloud) -> None:
    """Rules that any token meets are named in EVERYBODY."""
    let_in = []
    for mount, route in routes(cloud):
        if route.rule == PUBLIC or cloud.policy.texts[route.rule] in ("@", "", "rule:authenticated"):
            continue
        status, body = ask(cloud, mount, route, "stranger")
        if route.rule in OWN_LISTS and status == 200:
            assert [value for key, value in json.loads(body).items() if key != "links"] == [[]]
            continue
        if status not in REFUSALS:
            let_in.append(
                f"{mount.service_type} {route.method} {route.path} ({route.rule}) answered {status} {body[:200]!r}"
            )
    assert let_in == []


def test_a_reader_changes_nothing(cloud: Cloud) -> None:
    before = cloud.store.read_now(lambda tx: tx.value("SELECT max(sequence) FROM changes"))
    for mount, route in routes(cloud):
        if route.rule != PUBLIC and route.method not in ("GET", "HEAD"):
            ask(cloud, mount, route, "reader")
    lines = cloud.store.read_now(
        lambda tx: tx.query("SELECT resource, resource_key FROM changes WHERE sequence > ?", before)
    )
    assert lines == []


def test_every_rule_of_a_route_exists(cloud: Cloud) -> None:
    unknown = [
        route.rule for _, route in routes(cloud) if route.rule != PUBLIC and route.rule not in cloud.policy.texts
    ]
    assert unknown == []
