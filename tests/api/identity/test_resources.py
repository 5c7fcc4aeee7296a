"""Projects, domains, users, groups, catalog, limits, policies and configuration: bodies, lists, refusals."""

import json
import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bivouac.core.http import PUBLIC
from bivouac.identity.api import ROUTES

from .conftest import Cloud

# --- lists -------------------------------------------------------------------------------------------------------


def test_filters_of_lists(cloud: Cloud) -> None:
    for name in ("alpha", "Alphabet", "beta%", "be_a"):
        cloud.make("user", name=name, domain_id="default", enabled=name != "beta%")

    def found(query: str) -> list[str]:
        return sorted(one["name"] for one in cloud.get(f"/v3/users?{query}")["users"] if one["name"] != "admin")

    assert found("name=alpha") == ["alpha"]
    assert found("name__contains=lpha") == ["Alphabet", "alpha"]
    assert found("name__startswith=a") == ["alpha"]
    assert found("name__istartswith=a") == ["Alphabet", "alpha"]
    assert found("name__endswith=%25") == ["beta%"]
    assert found("name__icontains=E_A") == ["be_a"]
    assert found("enabled=false") == found("enabled=0") == ["beta%"]
    assert found("domain_id=none") == []
    assert found("unknown=1&enabled=true") == ["Alphabet", "alpha", "be_a"]
    assert cloud.get("/v3/users?name__like=a").status == 400


def test_pages_of_lists(cloud: Cloud) -> None:
    for number in range(7):
        cloud.make("group", name=f"g{number}", domain_id="default")
    names, path = [], "/v3/groups?limit=3&name__startswith=g"
    while path:
        answer = cloud.get(path)
        names.append([one["name"] for one in answer["groups"]])
        following = answer["links"]["next"]
        path = following.removeprefix("http://cloud:5000/identity") if following else ""
    assert names == [["g0", "g1", "g2"], ["g3", "g4", "g5"], ["g6"]]
    for bad, status in (("limit=-1", 400), ("limit=x", 400), ("marker=none", 404)):
        assert cloud.get(f"/v3/groups?{bad}").status == status
    assert cloud.get("/v3/groups?limit=3")["truncated"] is True
    assert "truncated" not in cloud.get("/v3/groups?limit=30").body


def test_every_list_and_thing_has_links(cloud: Cloud) -> None:
    answer = cloud.get("/v3/domains?name=Default")
    assert answer["links"] == {
        "self": "http://cloud:5000/identity/v3/domains?name=Default", "previous": None, "next": None,
    }  # fmt: skip
    assert answer["domains"][0]["links"] == {"self": "http://cloud:5000/identity/v3/domains/default"}


# --- projects and domains ----------------------------------------------------------------------------------------


def test_the_tree_of_projects(cloud: Cloud) -> None:
    top = cloud.make("project", name="top", domain_id="default")["id"]
    low = cloud.make("project", name="low", parent_id=top)
    assert low["domain_id"] == "default"
    one = f"/v3/projects/{low['id']}"
    assert cloud.get(f"{one}?parents_as_ids")["project"]["parents"] == {top: {"default": None}}
    assert cloud.get(f"/v3/projects/{top}?subtree_as_ids")["project"]["subtree"] == {low["id"]: None}
    assert cloud.get(f"{one}?subtree_as_ids")["project"]["subtree"] is None
    assert cloud.get(f"{one}?parents_as_list")["project"]["parents"] == [], "no role there"
    cloud.assign(cloud.made.admin_user_id, "reader", f"projects/{top}")
    parents = cloud.get(f"{one}?parents_as_list")["project"]["parents"]
    assert [parent["project"]["id"] for parent in parents] == [top]
    assert cloud.get(f"{one}?parents_as_list&parents_as_ids").status == 400
    assert cloud.delete(f"/v3/projects/{top}").status == 403, "has a child"
    assert cloud.patch(f"/v3/projects/{top}", {"project": {"enabled": False}}).status == 403
    assert cloud.patch(one, {"project": {"parent_id": "default"}}).status == 403
    assert cloud.patch(one, {"project": {"domain_id": "other"}}).status == 400
    assert cloud.patch(one, {"project": {"is_domain": True}}).status == 400
    cloud.patch(one, {"project": {"enabled": False}})
    assert cloud.patch(f"/v3/projects/{top}", {"project": {"enabled": False}}).status == 200
    assert cloud.patch(one, {"project": {"enabled": True}}).status == 403
    below = {"project": {"name": "x", "parent_id": low["id"]}}
    assert cloud.post("/v3/projects", below).status == 400, "in a disabled branch"
    for path in (one, f"/v3/projects/{top}"):
        assert cloud.delete(path).status == 204
    parent = "default"
    for level in range(5):
        parent = cloud.make("project", name=f"l{level}", parent_id=parent)["id"]
    assert cloud.post("/v3/projects", {"project": {"name": "deep", "parent_id": parent}}).status == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": ""}, 400),
        ({"name": "   "}, 400),
        ({"name": "x" * 65}, 400),
        ({"name": 5}, 400),
        ({}, 400),
        ({"name": "admin"}, 409),
        ({"name": "x", "domain_id": "none"}, 400),
        ({"name": "x", "parent_id": "none"}, 400),
        ({"name": "x", "enabled": "yes"}, 400),
        ({"name": "x", "tags": ["a,b"]}, 400),
        ({"name": "x", "tags": ["a", "a"]}, 400),
        ({"name": "x", "is_domain": True, "domain_id": "default"}, 400),
        ({"name": "x", "description": None}, 201),
        ({"name": "x" * 64, "color": {"any": [1]}}, 201),
        ({"name": "𝄞 \u200b/"}, 201),
    ],
)
def test_bodies_of_projects(cloud: Cloud, body: Any, status: int) -> None:
    answer = cloud.post("/v3/projects", {"project": body})
    assert answer.status == status, answer
    if "color" in body:
        assert answer["project"]["color"] == {"any": [1]}


def test_tags(cloud: Cloud) -> None:
    for name, tags in (("a", ["red", "big"]), ("b", ["red"]), ("c", []), ("d", ["bigger"])):
        cloud.make("project", name=name, domain_id="default", tags=tags)

    def found(query: str) -> str:
        names = (one["name"] for one in cloud.get(f"/v3/projects?{query}")["projects"])
        return "".join(sorted(one for one in names if len(one) == 1))

    assert [found(query) for query in ("tags=red", "tags=red,big", "tags-any=big,bigger")] == ["ab", "a", "ad"]
    assert [found(query) for query in ("not-tags=red,big", "not-tags-any=red,big")] == ["bcd", "cd"]
    project = cloud.get("/v3/projects?name=a")["projects"][0]["id"]
    tags = f"/v3/projects/{project}/tags"
    assert cloud.put(tags, {"tags": ["x", "y"]})["tags"] == ["x", "y"]
    assert [cloud.put(f"{tags}/z").status for _ in range(2)] == [201, 201]
    assert cloud.get(f"{tags}/z").status == 204
    assert cloud.ask("HEAD", f"{tags}/w").status == 404
    assert [cloud.delete(f"{tags}/z").status, cloud.delete(f"{tags}/z").status] == [204, 404]
    assert cloud.put(f"{tags}/a%2Cb").status == 400
    assert cloud.put(f"{tags}/a%2Fb").status == 400
    assert cloud.delete(tags).status == 204
    assert cloud.get(tags)["tags"] == []


def test_a_domain_takes_everything_with_it(cloud: Cloud) -> None:
    domain = cloud.make("domain", name="d")["id"]
    top = cloud.make("project", name="p", domain_id=domain)["id"]
    low = cloud.make("project", name="q", parent_id=top, domain_id=domain)["id"]
    user = cloud.make("user", name="u", domain_id=domain)["id"]
    group = cloud.make("group", name="g", domain_id=domain)["id"]
    role = cloud.make("role", name="r", domain_id=domain)["id"]
    cloud.put(f"/v3/groups/{group}/users/{user}")
    cloud.put(f"/v3/projects/{low}/groups/{group}/roles/{role}")
    assert cloud.delete(f"/v3/domains/{domain}").status == 403
    cloud.patch(f"/v3/domains/{domain}", {"domain": {"enabled": False}})
    assert cloud.delete(f"/v3/domains/{domain}").status == 204
    for path in (f"domains/{domain}", f"projects/{low}", f"users/{user}", f"groups/{group}", f"roles/{role}"):
        assert cloud.get(f"/v3/{path}").status == 404
    assert cloud.store.read_now(lambda tx: tx.value("SELECT count(*) FROM role_assignments")) == 2
    assert cloud.make("domain", name="d", explicit_domain_id="a" * 32)["id"] == "a" * 32
    for body, status in (({"name": "d"}, 409), ({"name": "e", "explicit_domain_id": "a" * 32}, 409),
                         ({"name": "e", "explicit_domain_id": "x"}, 400)):  # fmt: skip
        assert cloud.post("/v3/domains", {"domain": body}).status == status


def test_a_project_that_is_a_domain(cloud: Cloud) -> None:
    made = cloud.make("project", name="pd", is_domain=True)
    assert made["domain_id"] is None and made["is_domain"]
    assert cloud.get(f"/v3/domains/{made['id']}")["domain"]["name"] == "pd"
    assert made["id"] not in {one["id"] for one in cloud.get("/v3/projects")["projects"]}
    assert made["id"] in {one["id"] for one in cloud.get("/v3/projects?is_domain=true")["projects"]}
    assert cloud.delete(f"/v3/projects/{made['id']}").status == 403
    cloud.patch(f"/v3/projects/{made['id']}", {"project": {"enabled": False}})
    assert cloud.delete(f"/v3/projects/{made['id']}").status == 204


# --- catalog -----------------------------------------------------------------------------------------------------


def test_a_new_endpoint_is_in_the_catalog_at_once(cloud: Cloud) -> None:
    service = cloud.make("service", type="dns", name="designate")["id"]
    body = {"service_id": service, "interface": "public", "url": "http://dns/$(project_id)s", "region": "New"}
    endpoint = cloud.make("endpoint", **body)
    assert endpoint["region_id"] == "New"

    def urls() -> list[str]:
        entries = [one for one in cloud.get("/v3/auth/catalog")["catalog"] if one["type"] == "dns"]
        return [endpoint["url"] for entry in entries for endpoint in entry["endpoints"]]

    path = f"/v3/endpoints/{endpoint['id']}"
    assert urls() == [f"http://dns/{cloud.made.admin_project_id}"]
    cloud.patch(path, {"endpoint": {"url": "http://other"}})
    assert urls() == ["http://other"]
    cloud.patch(path, {"endpoint": {"enabled": False}})
    assert urls() == []
    for change in ({"interface": "secret"}, {"url": "no url"}, {"url": "http://$(secret)s"}, {"service_id": "none"},
                   {"region_id": "none"}):  # fmt: skip
        assert cloud.patch(path, {"endpoint": change}).status == 400, change
    assert cloud.delete("/v3/regions/New").status == 403
    cloud.delete(f"/v3/services/{service}")
    assert cloud.get(path).status == 404
    assert cloud.delete("/v3/regions/New").status == 204


def test_regions(cloud: Cloud) -> None:
    assert cloud.put("/v3/regions/a.b", {"region": {"description": "x"}}).status == 201
    assert cloud.post("/v3/regions", {"region": {"id": "a.b"}}).status == 409
    assert cloud.put("/v3/regions/c", {"region": {"id": "d"}}).status == 400
    assert cloud.post("/v3/regions", {"region": {"id": "low", "parent_region_id": "a.b"}}).status == 201
    assert cloud.patch("/v3/regions/a.b", {"region": {"parent_region_id": "low"}}).status == 400
    assert cloud.post("/v3/regions", {"region": {"parent_region_id": "none"}}).status == 404
    assert [one["id"] for one in cloud.get("/v3/regions?parent_region_id=a.b")["regions"]] == ["low"]
    service = cloud.get("/v3/services?type=compute")["services"][0]["id"]
    endpoint = {"service_id": service, "interface": "admin", "url": "http://x", "region_id": "low"}
    made = cloud.post("/v3/endpoints", {"endpoint": endpoint})["endpoint"]["id"]
    assert cloud.delete("/v3/regions/a.b").status == 403, "an endpoint is in the region below"
    assert cloud.get("/v3/regions/low").status == 200
    cloud.delete(f"/v3/endpoints/{made}")
    assert cloud.delete("/v3/regions/a.b").status == 204
    assert cloud.get("/v3/regions/low").status == 404


def test_a_project_with_associations_sees_only_those(cloud: Cloud) -> None:
    project, base = cloud.made.admin_project_id, "/v3/OS-EP-FILTER"

    def types() -> list[str]:
        return [one["type"] for one in cloud.get("/v3/auth/catalog")["catalog"]]

    compute = cloud.get("/v3/services?type=compute")["services"][0]["id"]
    endpoint = cloud.get(f"/v3/endpoints?service_id={compute}&interface=public")["endpoints"][0]["id"]
    one = f"{base}/projects/{project}/endpoints/{endpoint}"
    assert [cloud.get(one).status, cloud.put(one).status, cloud.get(one).status] == [404, 204, 204]
    assert types() == ["compute"]
    group = cloud.make("endpoint_group", f"{base}/endpoint_groups", name="g", filters={"interface": "internal"})["id"]
    assert len(cloud.get(f"{base}/endpoint_groups/{group}/endpoints")["endpoints"]) == 3
    assert cloud.put(f"{base}/endpoint_groups/{group}/projects/{project}").status == 204
    assert types() == ["compute", "identity", "volumev3"]
    assert len(cloud.get(f"{base}/projects/{project}/endpoints")["endpoints"]) == 4
    cloud.patch(f"{base}/endpoint_groups/{group}", {"endpoint_group": {"filters": {"service_id": compute}}})
    assert types() == ["compute"]
    assert [cloud.delete(one).status, cloud.delete(one).status] == [204, 404]
    assert cloud.delete(f"{base}/endpoint_groups/{group}").status == 204
    assert types() == ["compute", "identity", "volumev3"]
    bad = {"endpoint_group": {"name": "g", "filters": {"color": "red"}}}
    assert cloud.post(f"{base}/endpoint_groups", bad).status == 400


def test_policies_are_found_by_endpoint_service_and_region(cloud: Cloud) -> None:
    ids = [cloud.make("policy", "/v3/policies", type="application/json", blob=f"{n}")["id"] for n in range(3)]
    service = cloud.get("/v3/services?type=compute")["services"][0]["id"]
    endpoint = cloud.get(f"/v3/endpoints?service_id={service}&interface=public")["endpoints"][0]["id"]
    places = [f"services/{service}", f"services/{service}/regions/RegionOne", f"endpoints/{endpoint}"]
    of_endpoint = f"/v3/endpoints/{endpoint}/OS-ENDPOINT-POLICY/policy"
    assert cloud.get(of_endpoint).status == 404
    for policy, place in zip(ids, places, strict=True):
        path = f"/v3/policies/{policy}/OS-ENDPOINT-POLICY/{place}"
        assert [cloud.get(path).status, cloud.put(path).status, cloud.get(path).status] == [404, 204, 204]
        assert cloud.get(of_endpoint)["policy"]["id"] == policy
    assert len(cloud.get(f"/v3/policies/{ids[1]}/OS-ENDPOINT-POLICY/endpoints")["endpoints"]) == 2
    assert cloud.delete(f"/v3/policies/{ids[2]}").status == 204
    assert cloud.get(of_endpoint)["policy"]["id"] == ids[1]
    assert cloud.delete(f"/v3/policies/{ids[1]}/OS-ENDPOINT-POLICY/{places[1]}").status == 204
    assert cloud.get(of_endpoint)["policy"]["id"] == ids[0]


# --- limits and configuration ------------------------------------------------------------------------------------


def test_limits_stand_on_registered_ones(cloud: Cloud) -> None:
    service = cloud.get("/v3/services?type=compute")["services"][0]["id"]
    registered = {"service_id": service, "resource_name": "cores", "default_limit": 10}
    own = {"service_id": service, "resource_name": "cores", "resource_limit": 5}
    own["project_id"] = cloud.made.admin_project_id
    assert cloud.post("/v3/limits", {"limits": [own]}).status == 403
    made = cloud.post("/v3/registered_limits", {"registered_limits": [registered]})
    assert made.status == 201
    first = made["registered_limits"][0]["id"]
    assert cloud.post("/v3/registered_limits", {"registered_limits": [registered]}).status == 409
    of_nobody = {name: value for name, value in own.items() if name != "project_id"}
    assert cloud.post("/v3/limits", {"limits": [of_nobody]}).status == 400
    made = cloud.post("/v3/limits", {"limits": [{**own, "project_id": "default"}, own]})
    assert made.status == 201
    assert [one["project_id"] for one in made["limits"]] == [None, cloud.made.admin_project_id]
    assert cloud.post("/v3/limits", {"limits": [own]}).status == 409
    both = {**own, "domain_id": "default", "project_id": cloud.made.admin_project_id}
    assert cloud.post("/v3/limits", {"limits": [both]}).status == 400
    assert len(cloud.get("/v3/limits?resource_name=cores")["limits"]) == 2
    assert cloud.delete(f"/v3/registered_limits/{first}").status == 403
    assert cloud.patch(f"/v3/registered_limits/{first}", {"registered_limit": {"resource_name": "x"}}).status == 403
    update = {"registered_limit": {"default_limit": 20}}
    assert cloud.patch(f"/v3/registered_limits/{first}", update).status == 403
    user = cloud.make("user", name="u", domain_id="default", password="secret")["id"]
    project = cloud.make("project", name="p", domain_id="default")["id"]
    cloud.assign(user, "member", f"projects/{project}")
    token = cloud.token(user, "secret", project=project)
    assert cloud.get("/v3/limits", token)["limits"] == []
    assert cloud.get(f"/v3/limits/{made['limits'][1]['id']}", token).status == 403
    assert cloud.get("/v3/limits/model", token)["model"]["name"] == "flat"
    for one in made["limits"]:
        assert cloud.delete(f"/v3/limits/{one['id']}").status == 204
    assert cloud.patch(f"/v3/registered_limits/{first}", update)["registered_limit"]["default_limit"] == 20
    assert cloud.delete(f"/v3/registered_limits/{first}").status == 204


def test_with_the_strict_model_no_project_passes_what_it_lies_in(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(limit_model="strict_two_level")
    assert cloud.get("/v3/limits/model")["model"]["name"] == "strict_two_level"
    service = cloud.get("/v3/services?type=compute")["services"][0]["id"]
    domain = cloud.make("domain", name="acme")["id"]
    web = cloud.make("project", name="web", domain_id=domain)["id"]
    sub = cloud.make("project", name="sub", domain_id=domain, parent_id=web)["id"]
    deeper = {"project": {"name": "deeper", "domain_id": domain, "parent_id": sub}}
    assert cloud.post("/v3/projects", deeper).status == 403
    cores = {"service_id": service, "resource_name": "cores"}
    cloud.post("/v3/registered_limits", {"registered_limits": [{**cores, "default_limit": 10}]})

    def limit(value: int, **owner: str) -> Any:
        return cloud.post("/v3/limits", {"limits": [{**cores, **owner, "resource_limit": value}]})

    def change(limit_id: str, value: int) -> int:
        return cloud.patch(f"/v3/limits/{limit_id}", {"limit": {"resource_limit": value}}).status

    refused = limit(11, project_id=web)
    assert refused.status == 403
    assert "10 is the limit of what the project lies in" in refused["error"]["message"]
    of_web = limit(9, project_id=web)["limits"][0]["id"]
    assert limit(8, domain_id=domain).status == 403, "its project has 9 already"
    of_domain = limit(20, domain_id=domain)["limits"][0]["id"]
    assert [change(of_web, value) for value in (21, -1, 20)] == [403, 403, 200]
    assert [change(of_domain, value) for value in (19, -1)] == [403, 200]
    assert change(of_web, -1) == 200
    assert limit(100, project_id=sub).status == 201
    cloud.delete(f"/v3/limits/{of_web}")
    cloud.delete(f"/v3/limits/{of_domain}")
    of_both = {"project_id": (web, 200), "domain_id": (domain, 300)}
    together = [{**cores, name: owner, "resource_limit": value} for name, (owner, value) in of_both.items()]
    assert cloud.post("/v3/limits", {"limits": together}).status == 201


def test_configuration_of_a_domain(cloud: Cloud) -> None:
    path = "/v3/domains/default/config"
    config = {"ldap": {"url": "ldap://x", "password": "hush"}}
    assert [cloud.put(path, {"config": config}).status, cloud.put(path, {"config": config}).status] == [201, 200]
    assert cloud.get(path)["config"] == {"ldap": {"url": "ldap://x"}}, "the password is never shown"
    assert "hush" not in str(cloud.store.read_now(lambda tx: tx.query("SELECT * FROM changes")))
    assert cloud.get(f"{path}/ldap/url")["config"] == {"url": "ldap://x"}
    assert cloud.patch(f"{path}/ldap/url", {"config": {"url": "ldap://y"}})["config"]["ldap"]["url"] == "ldap://y"
    assert cloud.patch(f"{path}/ldap", {"config": {"identity": {"driver": "x"}}}).status == 403
    for bad in ({"color": {}}, {"ldap": {"color": 1}}, {"ldap": 5}):
        assert cloud.patch(path, {"config": bad}).status == 403
    assert [cloud.delete(f"{path}/ldap/url").status, cloud.get(f"{path}/ldap/url").status] == [204, 404]
    assert [cloud.delete(path).status, cloud.get(path).status] == [204, 404]
    assert cloud.get("/v3/domains/config/ldap/url/default")["config"] == {"url": "ldap://localhost"}


def test_revocations_are_listed(cloud: Cloud) -> None:
    user = cloud.make("user", name="u", domain_id="default")["id"]
    cloud.clock.advance(10)
    cloud.patch(f"/v3/users/{user}", {"user": {"enabled": False}})
    events = cloud.get("/v3/OS-REVOKE/events?since=2023-11-14T22:13:25Z")["events"]
    assert events == [
        {"user_id": user, "issued_before": "2023-11-14T22:13:30.000000Z", "revoked_at": "2023-11-14T22:13:30.000000Z"}
    ]
    assert cloud.get("/v3/OS-REVOKE/events?since=soon").status == 400


# --- whatever is sent --------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["id", "name", "domain_id", "enabled", "tags", "options", "roles", "password", "blob", "type", "filters"]
        )
        | st.text(string.ascii_lowercase, max_size=4),
        inner,
        max_size=4,
    ),
    max_leaves=8,
)
WITH_BODY = [one for one in ROUTES if one.body is not None]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from bivouac.core.settings import Security
    from bivouac.core.store import open_store

    store = open_store("", tmp_path_factory.mktemp("fuzz") / "db")
    store.migrate(["bivouac.core", "bivouac.identity"])
    yield Cloud(store, Security(lockout_failure_attempts=3), tmp_path_factory.mktemp("state"))
    store.close()


@given(st.sampled_from(WITH_BODY), JSON, st.booleans())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_breaks_a_route(fuzzed: Cloud, route: Any, body: Any, wrapped: bool) -> None:
    path = route.path
    for name in ("user", "project", "domain"):
        known = {"user": fuzzed.made.service_project_id, "project": fuzzed.made.service_project_id, "domain": "default"}
        path = path.replace(f"{{{name}_id}}", known[name])
    path = "/".join("x" if one.startswith("{") else one for one in path.split("/"))
    sent = json.dumps({route.envelope: body} if wrapped and route.envelope else body)
    answer = fuzzed.ask(route.method, path, sent.encode(), "" if route.rule == PUBLIC else None)
    assert answer.status < 500, (route.method, path, sent, answer)


@given(st.sampled_from([one for one in ROUTES if one.method == "GET"]), st.text(max_size=6), st.text(max_size=12))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_path_or_query_breaks_a_route(fuzzed: Cloud, route: Any, text: str, query: str) -> None:
    from urllib.parse import quote

    path = "/".join(quote(text, safe="") if one.startswith("{") else one for one in route.path.split("/"))
    filters = f"name={quote(query)}&enabled={quote(query)}&limit=2&tags={quote(query)}&{quote(query, safe='=&')}"
    assert fuzzed.get(f"{path}?{filters}").status < 500
