"""Where answers were compared with those of a running Keystone 30, request by request, and once differed."""

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import ADMIN_PASSWORD, Cloud

PATCHED = (
    ("domain", {"name": "x"}),
    ("user", {"name": "x"}),
    ("group", {"name": "x"}),
    ("role", {"name": "x"}),
    ("region", {"id": "x"}),
    ("service", {"type": "x"}),
    ("policy", {"blob": "x", "type": "text/plain"}),
)


def plural(kind: str) -> str:
    return "policies" if kind == "policy" else f"{kind}s"


@pytest.mark.parametrize(("kind", "fields"), PATCHED, ids=[kind for kind, _ in PATCHED])
def test_a_patch_must_change_something(cloud: Cloud, kind: str, fields: dict[str, Any]) -> None:
    made = cloud.make(kind, f"/v3/{plural(kind)}", **fields)
    path = f"/v3/{plural(kind)}/{made['id']}"
    assert cloud.patch(path, {kind: {}}).status == 400
    assert cloud.patch(path, {kind: {"id": "another"}}).status == 400


def test_a_patch_of_a_project_need_not(cloud: Cloud) -> None:
    project = cloud.make("project", name="p")
    assert cloud.patch(f"/v3/projects/{project['id']}", {"project": {}})["project"] == project


@pytest.mark.parametrize("kind", ["domain", "project", "user", "group"])
def test_names_lose_the_blanks_around_them(cloud: Cloud, kind: str) -> None:
    assert cloud.make(kind, name=" a b ")["name"] == "a b"
    assert cloud.post(f"/v3/{kind}s", {kind: {"name": "a b"}}).status == 409


@pytest.mark.parametrize("kind", ["domain", "project", "role"])
def test_options_other_than_immutable_are_refused(cloud: Cloud, kind: str) -> None:
    for options in ({"color": "red"}, {"immutable": "yes"}):
        assert cloud.post(f"/v3/{kind}s", {kind: {"name": "x", "options": options}}).status == 400


def test_tags_of_an_immutable_project_stay(cloud: Cloud) -> None:
    project = cloud.make("project", name="p", tags=["red"], options={"immutable": True})
    tags = f"/v3/projects/{project['id']}/tags"
    answers = (
        cloud.put(f"{tags}/blue"), cloud.delete(f"{tags}/red"), cloud.put(tags, {"tags": []}), cloud.delete(tags),
    )  # fmt: skip
    assert [answer.status for answer in answers] == [403] * 4
    assert cloud.get(tags)["tags"] == ["red"]


def test_no_user_is_of_an_identity_provider(cloud: Cloud) -> None:
    for name in ("idp_id", "protocol_id", "unique_id"):
        assert cloud.get(f"/v3/users?{name}=x")["users"] == []


def test_members_of_a_group_are_filtered_as_users_are(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(password_expires_days=1)
    group = cloud.make("group", name="g")["id"]
    for name, fields in (("a", {"password": "secret"}), ("b", {})):
        cloud.put(f"/v3/groups/{group}/users/{cloud.make('user', name=name, **fields)['id']}")
    expiring = cloud.get(f"/v3/groups/{group}/users?password_expires_at=lt:2100-01-01T00:00:00Z")["users"]
    assert [one["name"] for one in expiring] == ["a"]
    of_user = cloud.get(f"/v3/users/{expiring[0]['id']}/groups")["groups"]
    assert of_user[0]["membership_expires_at"] is None


def test_an_inference_is_made_once(cloud: Cloud) -> None:
    one, other = (cloud.make("role", name=name)["id"] for name in ("one", "other"))
    path = f"/v3/roles/{one}/implies/{other}"
    assert [cloud.put(path).status for _ in range(2)] == [201, 409]


def test_every_source_of_an_effective_role_is_a_line(cloud: Cloud) -> None:
    user, group = cloud.make("user", name="u")["id"], cloud.make("group", name="g")["id"]
    cloud.put(f"/v3/groups/{group}/users/{user}")
    target = f"/v3/projects/{cloud.made.admin_project_id}"
    reader = cloud.role("reader")
    cloud.put(f"{target}/users/{user}/roles/{reader}")
    cloud.put(f"{target}/groups/{group}/roles/{reader}")
    lines = cloud.get(f"/v3/role_assignments?effective&user.id={user}")["role_assignments"]
    assert sorted("membership" in line["links"] for line in lines) == [False, True]


def test_a_token_of_the_system_leads_to_no_project(cloud: Cloud) -> None:
    system = cloud.token(cloud.made.admin_user_id, ADMIN_PASSWORD, system=True)

    def rescoped(**scope: Any) -> int:
        identity = {"methods": ["token"], "token": {"id": system}}
        return cloud.post("/v3/auth/tokens", {"auth": {"identity": identity, "scope": scope}}, "").status

    cloud.assign(cloud.made.admin_user_id, "admin", "domains/default")
    assert rescoped(project={"id": cloud.made.admin_project_id}) == 403
    assert rescoped(domain={"id": "default"}) == 403
    assert rescoped(system={"all": True}) == 201


def test_methods_must_be_named(cloud: Cloud) -> None:
    assert cloud.post("/v3/auth/tokens", {"auth": {"identity": {"methods": []}}}, "").status == 401


def test_endpoints_and_groups_of_them_are_checked(cloud: Cloud) -> None:
    service = cloud.get("/v3/services?type=compute")["services"][0]["id"]
    endpoint = {"service_id": service, "interface": "admin", "url": "http://x/%zz"}
    assert cloud.post("/v3/endpoints", {"endpoint": endpoint}).status == 400
    assert cloud.get("/v3/endpoints?interface=private").status == 400
    groups = "/v3/OS-EP-FILTER/endpoint_groups"
    for filters, status in (({}, 400), ({"interface": "private"}, 400), ({"interface": "admin"}, 201)):
        assert cloud.post(groups, {"endpoint_group": {"name": "g", "filters": filters}}).status == status
    extra = {"name": "g", "filters": {"interface": "admin"}, "color": "red"}
    assert cloud.post(groups, {"endpoint_group": extra}).status == 400
    group = cloud.get(groups)["endpoint_groups"][0]["id"]
    in_project = f"{groups}/{group}/projects/{cloud.made.admin_project_id}"
    cloud.put(in_project)
    association = {"endpoint_group_id": group, "project_id": cloud.made.admin_project_id}
    assert cloud.get(in_project).body == {"project_endpoint_group": association}
    changed = cloud.patch(f"{groups}/{group}", {"endpoint_group": {"filters": {"region_id": "r"}}})
    assert changed["endpoint_group"]["filters"] == {"region_id": "r"}


def test_what_a_domain_cannot_configure_is_refused(cloud: Cloud) -> None:
    path = "/v3/domains/default/config"
    assert cloud.put(path, {"config": {}}).status == 403
    assert [cloud.get(f"{path}/{part}").status for part in ("color", "ldap/color", "ldap/url")] == [403, 403, 404]
    assert cloud.delete(path).status == 204, "there is nothing, and nothing is what was wanted"


def test_a_trust_that_counts_its_uses_is_not_passed_on(cloud: Cloud) -> None:
    user = cloud.make("user", name="u", password="secret")["id"]
    project = cloud.made.admin_project_id
    cloud.assign(user, "member", f"projects/{project}")
    token = cloud.token(user, "secret", project=project)
    trust = {
        "trustor_user_id": user, "trustee_user_id": cloud.made.admin_user_id, "impersonation": False,
        "project_id": project, "roles": [{"name": "member"}], "remaining_uses": 1,
    }  # fmt: skip
    path = "/v3/OS-TRUST/trusts"
    assert cloud.post(path, {"trust": {**trust, "allow_redelegation": True}}, token).status == 400
    made = cloud.post(path, {"trust": trust}, token)["trust"]
    assert made["redelegated_trust_id"] is None
    scope = {"OS-TRUST:trust": {"id": made["id"]}}
    assert cloud.login(cloud.made.admin_user_id, ADMIN_PASSWORD, scope).status == 201
    assert cloud.get(f"{path}/{made['id']}", token).status == 404, "used up"
    assert cloud.get(f"{path}?trustor_user_id={user}", token)["trusts"] == []
