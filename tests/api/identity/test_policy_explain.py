"""`/policy/explain`: the same words as the 403, and what would mend it."""

from .conftest import Cloud


def test_a_refusal_is_explained_in_its_own_words(cloud: Cloud) -> None:
    user = cloud.make("user", name="u", password="secret", domain_id="default")["id"]
    project = cloud.make("project", name="p", domain_id="default")["id"]
    cloud.assign(user, "member", f"projects/{project}")
    token = cloud.token(user, "secret", project=project)
    refused = cloud.post("/v3/roles", {"role": {"name": "x"}}, token)
    assert refused.status == 403
    asked = {"explain": {"method": "POST", "path": "/identity/v3/roles"}}
    explained = cloud.post("/v3/policy/explain", asked, token)["explanation"]
    assert explained["message"] == refused["error"]["message"]
    assert explained["rule"] == "identity:create_role"
    assert (explained["allowed"], explained["not_met"], explained["sufficient_roles"]) == (
        False, ["role:admin"], ["admin"],
    )  # fmt: skip


def test_an_administrator_asks_for_others(cloud: Cloud) -> None:
    user = cloud.make("user", name="u", password="secret", domain_id="default")["id"]
    domain = cloud.make("domain", name="d")["id"]
    asked = {
        "rule": "identity:create_project",
        "user": {"id": user},
        "scope": {"domain": {"id": domain}},
        "target": {"target.project.domain_id": domain},
    }
    explained = cloud.post("/v3/policy/explain", {"explain": asked})["explanation"]
    assert not explained["allowed"] and "no role in the scope" in explained["message"]
    assert explained["sufficient_roles"] == ["manager", "admin"]
    cloud.assign(user, "manager", f"domains/{domain}")
    assert cloud.post("/v3/policy/explain", {"explain": asked})["explanation"]["allowed"]
    stranger = cloud.token(user, "secret", domain=domain)
    assert cloud.post("/v3/policy/explain", {"explain": asked}, stranger).status == 403


def test_what_does_not_exist_is_said(cloud: Cloud) -> None:
    for asked, status in (
        ({"rule": "no:such"}, 404),
        ({"method": "GET", "path": "/nowhere"}, 404),
        ({"method": "PUT", "path": "/identity/v3/users"}, 404),
        ({"method": "POST", "path": "/identity/v3/auth/tokens"}, 400),
        ({"rule": "identity:get_user", "user": {"id": "none"}}, 404),
        ({"rule": "identity:get_user", "scope": {"project": {"name": "x"}}}, 400),
        ({}, 404),
    ):
        assert cloud.post("/v3/policy/explain", {"explain": asked}).status == status, asked
