"""Every route of every control service, asked by callers of every role and scope for the things of one project.

What must be answered follows from the route's policy rule and from who owns the thing that the path names; nothing is
written down per route but its body. Writes are planned (`Bivouac-Plan`), so that all callers meet the same world.
"""

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from msgspec import Struct

from api.matrix_bodies import ACTIONS, body_of, filled
from api.world import OWNED, World, path_of
from bivouac.compute.api.server_actions import ACTIONS as SERVER_ACTIONS
from bivouac.core.call import Call, Caller
from bivouac.core.http import PUBLIC, Mount, Route
from bivouac.core.settings import Database

ENGINES = os.environ.get("BIVOUAC_TEST_ENGINES", "sqlite,postgresql").split(",")
SERVER_ACTION = "/servers/{server_id}/action"
CLOUDS_OWN = ("/flavors/{flavor_id}/os-extra_specs", "/v2.0/extensions/")
"""Beginnings of paths that name what belongs to no project: the rule's target is the caller's own."""
PROXIED_IMAGES = {"GET": "get_image", "DELETE": "delete_image", "PUT": "modify_image", "POST": "modify_image"}
"""Compute's old image routes leave the verdict to the image service's rules."""
NO_ACCESS_LIST = "/flavors/{flavor_id}/os-flavor-access"
OF_A_USER = "/os-keypairs/{name}"

ANSWERS_OTHERWISE: dict[tuple[str, str], set[int]] = {
    # What is not in the world: routes of the blank id, and things that only another dance would make.
    **{(method, path): {404} for method, path in (
        ("DELETE", "/images"), ("DELETE", "/os-security-groups"), ("GET", "/v2/tasks/{task_id}"),
        ("GET", "/v2.0/agents/{id}"), ("GET", "/os-console-auth-tokens/{token}"), ("GET", NO_ACCESS_LIST),
        ("PUT", "/v3/OS-OAUTH1/authorize/{request_token_id}"),
        ("GET", "/v3/users/{user_id}/OS-OAUTH1/access_tokens/{access_token_id}"),
        ("DELETE", "/v3/users/{user_id}/OS-OAUTH1/access_tokens/{access_token_id}"),
        ("GET", "/v3/users/{user_id}/OS-OAUTH1/access_tokens/{access_token_id}/roles"),
        ("GET", "/v3/users/{user_id}/OS-OAUTH1/access_tokens/{access_token_id}/roles/{role_id}"),
    )},
    # Things that are held by others, enabled or immutable: Keystone and Glance say 403.
    **{(method, path): {403} for method, path in (
        ("DELETE", "/v3/users/{user_id}/access_rules/{access_rule_id}"), ("DELETE", "/v3/domains/{domain_id}"),
        ("DELETE", "/v3/registered_limits/{registered_limit_id}"), ("PATCH", "/v3/roles/{role_id}"),
        ("PATCH", "/v3/registered_limits/{registered_limit_id}"), ("DELETE", "/v3/regions/{region_id}"),
        ("DELETE", "/v3/roles/{role_id}"), ("DELETE", "/v2/stores/{store}/{image_id}"),
    )},
    # A host's own power is not switched through its agent; signatures would have to be right.
    **{("GET", f"/os-hosts/{{name}}/{verb}"): {400} for verb in ("reboot", "shutdown", "startup")},
    ("POST", "/v3/ec2tokens"): {400}, ("POST", "/v3/s3tokens"): {400},
    # Only a project's token has a catalog; the list of all quotas is the administrator's.
    ("GET", "/v3/auth/catalog"): {403}, ("GET", "/v2.0/quotas"): {403},
    # A service's role lets it see locations of the images that it sees, and of no others.
    ("GET", "/v2/images/{image_id}/locations"): {404}, ("POST", "/v2/images/{image_id}/locations"): {404},
}  # fmt: skip
"""What else those may be answered whom the rule lets pass."""


PUBLIC_ROUTES = {
    ("identity", "POST", "/v3/auth/tokens"), ("identity", "POST", "/v3/OS-OAUTH1/request_token"),
    ("identity", "POST", "/v3/OS-OAUTH1/access_token"), ("identity", "POST", "/v3/users/{user_id}/password"),
    ("identity", "GET", "/"), ("identity", "GET", "/v3"), ("image", "GET", "/"), ("image", "GET", "/versions"),
    ("image", "GET", "/v2"), ("network", "GET", "/"), ("network", "GET", "/v2.0"), ("compute", "GET", "/"),
    ("compute", "GET", "/v2"), ("console", "WEBSOCKET", "/vnc"), ("console", "WEBSOCKET", "/serial"),
    ("console", "GET", "/serial"), ("console", "GET", "/terminal/xterm.js"), ("console", "GET", "/terminal/xterm.css"),
    ("console", "GET", "/terminal/{name}"), ("console", "GET", "/{rest:rest}"),
}  # fmt: skip
"""What needs no token: ways to get one, versions, and consoles, which their own ticket opens. It may only shrink."""


class Cell(Struct, frozen=True):
    """One row of the matrix: a route (an action of it), its rule, and how it is asked."""

    mount: Mount
    route: Route
    rule: str
    body: Any
    version: tuple[int, int] | None
    title: str


def make_world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, name: str
) -> Iterator[World]:
    """A world on the engine that the fixture's parameter names."""
    database = Database()
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_server")
        with psycopg.connect(url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        database = Database(url=url(name))
    made = World(tmp_path_factory.mktemp("s"), database)
    yield made
    made.close()


@pytest.fixture(scope="module", params=ENGINES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from make_world(request, tmp_path_factory, "matrix")


def cells(world: World) -> Iterator[Cell]:
    for mount in world.cloud.services:
        newest = mount.microversions.maximum if mount.microversions else None
        for route in mount.routes:
            title = f"{mount.service_type} {route.method} {route.path}"
            if route.method == "WEBSOCKET" or route.rule == PUBLIC:
                continue
            if route.path == SERVER_ACTION:
                for name, action in SERVER_ACTIONS.items():
                    body = {name: filled(ACTIONS.get(name), world.ids)}
                    yield Cell(mount, route, action.rule, body, min(action.until, newest or (0, 0)), f"{title} {name}")
                continue
            rule = route.rule
            if mount.service_type == "compute" and route.path.startswith("/images"):
                rule = PROXIED_IMAGES[route.method]
            yield Cell(mount, route, rule, body_of(mount, route, world.ids), route.until or newest, title)


def target(world: World) -> dict[str, Any]:
    """The things of the world as policy rules see them: all of them are one project's, one user's and one domain's."""
    ids = world.ids
    return {
        "project_id": ids["project"], "tenant_id": ids["project"], "network_project_id": ids["project"],
        "owner": ids["project"], "member_id": ids["project:two"], "visibility": "private", "user_id": ids["user"],
        "target.user.id": ids["user"], "target.user.domain_id": ids["domain"], "target.project.id": ids["project"],
        "target.project.domain_id": ids["domain"], "target.domain.id": ids["domain"],
        "target.domain_id": ids["domain"], "target.group.domain_id": ids["domain"], "target.role.domain_id": None,
        "target.role.name": "member", "target.credential.user_id": ids["user"], "target.token.user_id": ids["user"],
        "target.trust.trustor_user_id": ids["user"], "target.trust.trustee_user_id": ids["user:root"],
        "target.limit.project_id": ids["project"], "target.limit.project.domain_id": ids["domain"],
        "target.limit.domain.id": None,
    }  # fmt: skip


def own_target(caller: Caller, call: Call) -> dict[str, Any]:
    """What the caller would make for itself."""
    project = caller.project_id or None
    return {**call.own_target(), "owner": project, "network_project_id": project, "visibility": "private"}


def ask(world: World, cell: Cell, name: str) -> tuple[int, bytes]:
    headers = {"bivouac-plan": "true", "x-subject-token": world.ids["token"]}
    if cell.version and cell.mount.microversions:
        said = f"{cell.mount.microversions.service} {cell.version[0]}.{cell.version[1]}"
        headers["openstack-api-version"] = said
    media_type = cell.route.media_types[0]
    if cell.mount.service_type == "image" and cell.route.method == "PATCH":
        media_type = "application/openstack-images-v2.1-json-patch"
    elif cell.route.path.endswith(("/file", "/stage")):
        media_type = "application/octet-stream"
    path = path_of(world, cell.mount, cell.route)
    if cell.route.path == OF_A_USER:
        path += f"?user_id={world.ids['user']}"
    return world.ask(name, cell.route.method, path, cell.body, media_type, headers)[:2]


def verdict(world: World, cell: Cell, name: str, status: int, content: bytes) -> str:
    """What is wrong with an answer, or nothing."""
    caller = world.callers[name]
    call = Call(caller=caller, policy=world.cloud.policy)
    thing = "{" in cell.route.path and not cell.route.path.startswith(CLOUDS_OWN)
    passes = call.allows(cell.rule, target(world))
    for_itself = call.allows(cell.rule, own_target(caller, call))
    refused = status in (401, 403, 404)
    told = status < 300 and (OWNED.encode() in content or any(id.encode() in content for id in world.secrets))
    if status >= 500 and status != 503:
        return "broke"
    if not passes and told:
        return "told of what is another's"
    if thing:
        if passes and (refused or status == 400):
            return "" if status in ANSWERS_OTHERWISE.get((cell.route.method, cell.route.path), ()) else "was refused"
        return "" if passes or refused else "was let in"
    if passes or for_itself:
        if status in ANSWERS_OTHERWISE.get((cell.route.method, cell.route.path), ()):
            return ""
        # One without a project cannot make what a project owns, and nobody uses another's things in what it makes.
        making = cell.route.method == "POST" and (not caller.project_id or not passes)
        return "was refused" if (refused or status == 400) and not making else ""
    return "" if refused or cell.route.method in ("GET", "HEAD") and not told else "was let in"


def test_every_route_for_every_role_and_scope(world: World) -> None:
    wrong = []
    asked = 0
    for cell in cells(world):
        for name in world.callers:
            status, content = ask(world, cell, name)
            asked += 1
            if words := verdict(world, cell, name, status, content):
                wrong.append(f"{cell.title}: {name} {words} ({cell.rule}): {status} {content[:120]!r}")
        if cell.route.rule != "@":
            assert ask(world, cell, "")[0] == 401, cell.title
    assert wrong == []
    assert asked > 10_000


def test_only_these_routes_are_public(world: World) -> None:
    found = {
        (mount.service_type, route.method, route.path)
        for mount in world.cloud.services
        for route in mount.routes
        if route.rule == PUBLIC
    }
    assert found == PUBLIC_ROUTES


def test_every_rule_of_a_route_exists(world: World) -> None:
    rules = {route.rule for mount in world.cloud.services for route in mount.routes if route.rule != PUBLIC}
    assert rules <= set(world.cloud.policy.texts)
