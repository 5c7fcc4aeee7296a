"""Roles: granted, inherited, implied, by group; what a domain's manager may; the matrix of routes and roles."""

import re
from typing import Any

import pytest

from bivouac.core.http import PUBLIC
from bivouac.identity.api import ROUTES

from .conftest import Cloud


def names(cloud: Cloud, user: str, password: str = "secret", **scope: Any) -> list[str]:
    """Names of the roles in a fresh token, or [] when there is none."""
    wanted = {name: {"all": True} if name == "system" else {"id": value} for name, value in scope.items()}
    answer = cloud.login(user, password, wanted)
    return sorted(role["name"] for role in answer["token"]["roles"]) if answer.status == 201 else []


def test_inherited_roles_count_below_and_not_on_the_target(cloud: Cloud) -> None:
    domain = cloud.make("domain", name="d")["id"]
    top = cloud.make("project", name="top", domain_id=domain)["id"]
    middle = cloud.make("project", name="middle", parent_id=top, domain_id=domain)["id"]
    low = cloud.make("project", name="low", parent_id=middle, domain_id=domain)["id"]
    user = cloud.make("user", name="u", domain_id=domain, password="secret")["id"]
    member, reader = cloud.role("member"), cloud.role("reader")
    assert cloud.put(f"/v3/OS-INHERIT/projects/{top}/users/{user}/roles/{member}/inherited_to_projects").status == 204
    assert [names(cloud, user, project=one) for one in (top, middle, low)] == [
        [], ["member", "reader"], ["member", "reader"],
    ]  # fmt: skip
    assert cloud.put(f"/v3/OS-INHERIT/domains/{domain}/users/{user}/roles/{reader}/inherited_to_projects").status == 204
    assert names(cloud, user, project=top) == ["reader"]
    assert names(cloud, user, domain=domain) == []
    mine = {one["name"] for one in cloud.get("/v3/auth/projects", cloud.token(user, "secret"))["projects"]}
    assert mine == {"top", "middle", "low"}
    found = cloud.get(f"/v3/role_assignments?user.id={user}&effective")["role_assignments"]
    shown = {(one["scope"]["project"]["id"], one["role"]["id"]) for one in found}
    assert shown == {(top, reader), (middle, member), (middle, reader), (low, member), (low, reader)}
    assert all(one["scope"]["OS-INHERIT:inherited_to"] == "projects" for one in found)
    listed = f"/v3/OS-INHERIT/domains/{domain}/users/{user}/roles/inherited_to_projects"
    assert [one["name"] for one in cloud.get(listed)["roles"]] == ["reader"]
    one = f"/v3/OS-INHERIT/projects/{top}/users/{user}/roles/{member}/inherited_to_projects"
    assert [cloud.ask("HEAD", one).status, cloud.delete(one).status, cloud.ask("HEAD", one).status] == [204, 204, 404]


def test_groups_implied_and_domain_roles(cloud: Cloud) -> None:
    domain = cloud.make("domain", name="d")["id"]
    project = cloud.make("project", name="p", domain_id=domain)["id"]
    user = cloud.make("user", name="u", domain_id=domain, password="secret")["id"]
    group = cloud.make("group", name="g", domain_id=domain)["id"]
    boss = cloud.make("role", name="boss", domain_id=domain)["id"]
    worker = cloud.make("role", name="worker")["id"]
    assert cloud.put(f"/v3/roles/{boss}/implies/{worker}").status == 201
    assert cloud.put(f"/v3/groups/{group}/users/{user}").status == 204
    assert cloud.put(f"/v3/projects/{project}/groups/{group}/roles/{boss}").status == 204
    assert names(cloud, user, project=project) == ["worker"]
    line = cloud.get(f"/v3/role_assignments?user.id={user}&effective&include_names")["role_assignments"]
    assert len(line) == 1
    assert line[0]["role"] == {"id": worker, "name": "worker"}
    assert line[0]["scope"]["project"] == {"id": project, "name": "p", "domain": {"id": domain, "name": "d"}}
    assert line[0]["links"]["membership"].endswith(f"/v3/groups/{group}/users/{user}")
    made = cloud.get(f"/v3/role_assignments?group.id={group}&include_names")["role_assignments"]
    assert made[0]["role"] == {"id": boss, "name": "boss", "domain": {"id": domain, "name": "d"}}
    assert cloud.put(f"/v3/roles/{worker}/implies/{cloud.role('admin')}").status == 403
    assert cloud.put(f"/v3/roles/{worker}/implies/{worker}").status == 400
    third = cloud.make("role", name="third")["id"]
    assert cloud.put(f"/v3/roles/{worker}/implies/{third}").status == 201
    assert cloud.put(f"/v3/roles/{third}/implies/{worker}").status == 400, "a circle"
    assert names(cloud, user, project=project) == ["third", "worker"]
    elsewhere = cloud.make("project", name="p", domain_id="default")["id"]
    assert cloud.put(f"/v3/projects/{elsewhere}/users/{user}/roles/{boss}").status == 403
    assert cloud.put(f"/v3/system/users/{user}/roles/{boss}").status == 400
    assert cloud.delete(f"/v3/roles/{cloud.role('member')}").status == 403, "immutable"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("user.id=a&group.id=b", 400),
        ("scope.project.id=a&scope.domain.id=b", 400),
        ("scope.system=all&scope.domain.id=b", 400),
        ("effective&group.id=a", 400),
        ("effective&scope.domain.id=a&scope.OS-INHERIT:inherited_to=projects", 400),
        ("scope.OS-INHERIT:inherited_to=domains", 400),
        ("include_subtree", 400),
        ("scope.system=all", 200),
        ("role.id=none", 200),
        ("effective&include_names", 200),
    ],
)
def test_filters_of_assignments(cloud: Cloud, query: str, status: int) -> None:
    assert cloud.get(f"/v3/role_assignments?{query}").status == status


class Domain:
    """A domain with a manager, a reader, a user, a group and a project; and the same elsewhere."""

    def __init__(self, cloud: Cloud, name: str):
        self.id = cloud.make("domain", name=name)["id"]
        self.project = cloud.make("project", name="p", domain_id=self.id)["id"]
        self.group = cloud.make("group", name="g", domain_id=self.id)["id"]
        self.user, self.manager, self.reader = (
            cloud.make("user", name=one, domain_id=self.id, password="secret")["id"] for one in ("u", "m", "r")
        )
        cloud.assign(self.manager, "manager", f"domains/{self.id}")
        cloud.assign(self.reader, "reader", f"domains/{self.id}")


def test_a_domain_manager_manages_its_domain_and_nothing_else(cloud: Cloud) -> None:
    """SCS-0302."""
    own, other = Domain(cloud, "own"), Domain(cloud, "other")
    manager = cloud.token(own.manager, "secret", domain=own.id)
    member, admin = cloud.role("member"), cloud.role("admin")

    def both(method: str, path: str, body: Any = None) -> tuple[int, int]:
        """Status in the own domain, and in the other."""
        answers = []
        for domain in (own, other):
            filled = path.format(d=domain)
            text = {key: {**value, "domain_id": domain.id} for key, value in (body or {}).items()} or None
            answers.append(cloud.ask(method, filled, text, manager).status)
        return answers[0], answers[1]

    assert both("POST", "/v3/users", {"user": {"name": "new"}}) == (201, 403)
    assert both("POST", "/v3/groups", {"group": {"name": "new"}}) == (201, 403)
    assert both("POST", "/v3/projects", {"project": {"name": "new"}}) == (201, 403)
    assert both("GET", "/v3/users/{d.user}") == (200, 403)
    assert both("PATCH", "/v3/users/{d.user}", {"user": {"enabled": True}}) == (200, 403)
    assert both("PATCH", "/v3/groups/{d.group}", {"group": {"description": "x"}}) == (200, 403)
    assert both("PATCH", "/v3/projects/{d.project}", {"project": {"description": "x"}}) == (200, 403)
    assert both("PUT", "/v3/groups/{d.group}/users/{d.user}") == (204, 403)
    assert both("PUT", f"/v3/projects/{{d.project}}/users/{{d.user}}/roles/{member}") == (204, 403)
    assert both("PUT", f"/v3/projects/{{d.project}}/users/{{d.user}}/roles/{admin}") == (403, 403)
    assert both("PUT", f"/v3/domains/{{d.id}}/users/{{d.user}}/roles/{admin}") == (403, 403)
    assert both("PUT", f"/v3/system/users/{{d.user}}/roles/{member}") == (403, 403)
    assert both("PUT", f"/v3/domains/{{d.id}}/groups/{{d.group}}/roles/{cloud.role('manager')}") == (204, 403)
    assert both("GET", f"/v3/projects/{{d.project}}/users/{{d.user}}/roles/{member}") == (204, 403)
    assert both("DELETE", f"/v3/projects/{{d.project}}/users/{{d.user}}/roles/{member}") == (204, 403)
    assert both("GET", "/v3/domains/{d.id}") == (200, 403)
    assert both("DELETE", "/v3/domains/{d.id}") == (403, 403)
    assert both("DELETE", "/v3/groups/{d.group}") == (204, 403)
    assert both("DELETE", "/v3/users/{d.user}") == (204, 403)
    assert both("DELETE", "/v3/projects/{d.project}") == (204, 403)
    assert {one["domain_id"] for one in cloud.get("/v3/users", manager)["users"]} == {own.id}
    assert {one["domain_id"] for one in cloud.get("/v3/projects", manager)["projects"]} == {own.id}
    assert [one["id"] for one in cloud.get("/v3/domains", manager)["domains"]] == [own.id]
    assert "manager" in {one["name"] for one in cloud.get("/v3/roles", manager)["roles"]}
    lines = cloud.get("/v3/role_assignments", manager)["role_assignments"]
    assert lines and all(line["scope"].get("domain", {}).get("id") == own.id for line in lines)
    cross = f"/v3/projects/{other.project}/users/{own.manager}/roles/{member}"
    assert cloud.put(cross, token=manager).status == 403


def test_a_domain_reader_only_looks(cloud: Cloud) -> None:
    own, other = Domain(cloud, "own"), Domain(cloud, "other")
    reader = cloud.token(own.reader, "secret", domain=own.id)
    assert cloud.get(f"/v3/users/{own.user}", reader).status == 200
    assert cloud.get(f"/v3/users/{other.user}", reader).status == 403
    assert {one["domain_id"] for one in cloud.get("/v3/groups", reader)["groups"]} == {own.id}
    assert cloud.patch(f"/v3/users/{own.user}", {"user": {"enabled": False}}, reader).status == 403
    assert cloud.post("/v3/projects", {"project": {"name": "x", "domain_id": own.id}}, reader).status == 403


# --- every route with every kind of caller -----------------------------------------------------------------------

READERS = {"GET", "HEAD"}
OPEN = {
    "identity:get_auth_catalog", "identity:get_auth_projects", "identity:get_auth_domains", "identity:get_auth_system",
    "identity:get_region", "identity:list_regions", "identity:get_registered_limit", "identity:list_registered_limits",
    "identity:list_limits", "identity:get_limit_model", "identity:explain_policy", "identity:list_credentials",
}  # fmt: skip
"""Rules that let every token in, or give an empty list of one's own."""
SERVICES_ONLY = {"identity:list_revoke_events", "identity:ec2tokens_validate", "identity:s3tokens_validate",
                 "identity:revocation_list"}  # fmt: skip
OWNERS_ONLY = {"identity:create_application_credential", "identity:create_trust"}
"""Not even an administrator does this for somebody else."""


@pytest.fixture(scope="module")
def everybody(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A cloud and a token of each kind: project member and reader, system reader, service, admin."""
    from bivouac.core.settings import Security
    from bivouac.core.store import open_store

    store = open_store("", tmp_path_factory.mktemp("matrix") / "db")
    store.migrate(["bivouac.core", "bivouac.identity"])
    cloud = Cloud(store, Security(), tmp_path_factory.mktemp("state"))
    project = cloud.make("project", name="p", domain_id="default")["id"]
    tokens = {"admin": cloud.admin}
    for kind, role, target in (
        ("member", "member", f"projects/{project}"), ("manager", "manager", f"projects/{project}"),
        ("reader", "reader", f"projects/{project}"), ("system reader", "reader", "system"),
        ("service", "service", f"projects/{cloud.made.service_project_id}"),
    ):  # fmt: skip
        user = cloud.make("user", name=kind, domain_id="default", password="secret")["id"]
        cloud.assign(user, role, target)
        where = {"system": True} if target == "system" else {"project": target.partition("/")[2]}
        tokens[kind] = cloud.token(user, "secret", **where)
    yield cloud, tokens
    store.close()


@pytest.mark.parametrize("route", [one for one in ROUTES if one.rule != PUBLIC], ids=lambda r: f"{r.method} {r.path}")
def test_route_and_role(everybody: tuple[Cloud, dict[str, str]], route: Any) -> None:
    """On things that are not theirs and do not exist: who may gets 404 or 400, who may not 403, nobody 401."""
    cloud, tokens = everybody
    path = re.sub(r"{\w+}", "3" * 32, route.path.replace("{group}", "ldap").replace("{option}", "url"))
    body: Any = None
    if route.body is not None:
        minimal: dict[str, Any] = {
            "name": "x" * 300, "type": "x" * 300, "blob": "b", "roles": [{"id": "x"}], "description": 5,
            "user_id": "3" * 32, "trustor_user_id": "3" * 32, "trustee_user_id": "3" * 32,
            "impersonation": False, "filters": {},
        }  # fmt: skip
        listed = getattr(route.body, "__origin__", None) is list
        body = {route.envelope: [] if listed else minimal} if route.envelope else {"tenant_id": "3" * 32}
    head = {"x_subject_token": cloud.admin} if "tokens" in route.path else {}
    if route.method == "DELETE" and route.path == "/v3/auth/tokens":
        head = {"x_subject_token": cloud.token(cloud.made.admin_user_id, "correct horse")}

    def status(kind: str) -> int:
        return cloud.ask(route.method, path, body, tokens.get(kind, ""), **head).status

    assert status("nobody") == 401
    may = {400, 404} | ({route.status} if route.method in READERS or "tokens" in route.path else {204, 201, 200, 410})
    if route.rule in OPEN:
        assert all(status(kind) != 401 for kind in tokens)
        return
    for kind in ("member", "manager", "reader"):
        assert status(kind) in ({403, 404} if "TRUST" in route.path else {403, 400} if body else {403}), kind
    looks = route.method in READERS and route.rule not in SERVICES_ONLY and "access_token" not in route.rule
    assert status("system reader") in (may if looks else {403, 400, 404})
    if route.rule in SERVICES_ONLY:
        assert status("service") in may | {401, 410}
    admin = status("admin")
    assert admin in may | {401, 410} if route.rule not in OWNERS_ONLY else admin in {400, 403}
