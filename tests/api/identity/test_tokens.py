"""Tokens over HTTP: issuing, showing, revoking, and everything that makes one void."""

import asyncio
from typing import Any

import pytest

from bivouac.identity.identity import Identity

from .conftest import ADMIN_PASSWORD, Cloud


def test_a_password_gets_a_token_that_can_be_shown_and_revoked(cloud: Cloud) -> None:
    answer = cloud.login(cloud.made.admin_user_id, ADMIN_PASSWORD, {"project": {"id": cloud.made.admin_project_id}})
    assert answer.status == 201
    token, text = answer["token"], answer.headers["x-subject-token"]
    assert token["methods"] == ["password"]
    assert [role["name"] for role in token["roles"]] == ["admin", "manager", "member", "reader"]
    assert token["issued_at"] < token["expires_at"]
    shown = cloud.get("/v3/auth/tokens", x_subject_token=text)
    assert (shown.status, shown["token"]) == (200, token)
    assert "catalog" not in cloud.get("/v3/auth/tokens?nocatalog", x_subject_token=text)["token"]
    head = cloud.ask("HEAD", "/v3/auth/tokens", x_subject_token=text)
    assert (head.status, head.body) == (200, None)
    assert cloud.delete("/v3/auth/tokens", x_subject_token=text).status == 204
    assert cloud.get("/v3/auth/tokens", x_subject_token=text).status == 404
    assert cloud.get("/v3/users", text).status == 401
    assert cloud.get("/v3/users").status == 200, "another token of the same user stays valid"


def test_the_catalog_has_the_projects_id_in_its_urls(cloud: Cloud) -> None:
    catalog = cloud.get("/v3/auth/catalog")["catalog"]
    assert [entry["type"] for entry in catalog] == ["compute", "identity", "volumev3"]
    volume = next(entry for entry in catalog if entry["type"] == "volumev3")
    assert {one["url"] for one in volume["endpoints"]} == {
        f"http://cloud:5000/volume/v3/{cloud.made.admin_project_id}"
    }
    assert {one["interface"] for one in volume["endpoints"]} == {"public", "internal", "admin"}
    system = cloud.login(cloud.made.admin_user_id, ADMIN_PASSWORD, {"system": {"all": True}})["token"]
    assert [len(entry["endpoints"]) for entry in system["catalog"]] == [3, 3, 0]


@pytest.mark.parametrize(
    "auth",
    [
        {},
        {"identity": {}},
        {"identity": {"methods": ["password"]}},
        {"identity": {"methods": ["password"], "password": {"user": {}}}},
        {"identity": {"methods": ["password"], "password": {"user": {"name": "admin", "password": "x"}}}},
        {"identity": {"methods": ["password"], "password": {"user": {"id": "x"}}}},
        {"identity": {"methods": "password"}},
        {"identity": {"methods": ["password"], "password": {"user": {"id": 1, "password": "x"}}}},
    ],
)
def test_malformed_logins_are_400(cloud: Cloud, auth: dict[str, Any]) -> None:
    assert cloud.post("/v3/auth/tokens", {"auth": auth}, "").status == 400


@pytest.mark.parametrize(
    ("user", "scope"),
    [
        ({"name": "nobody", "domain": {"id": "default"}, "password": ADMIN_PASSWORD}, None),
        ({"name": "admin", "domain": {"name": "Elsewhere"}, "password": ADMIN_PASSWORD}, None),
        ({"name": "admin", "domain": {"id": "default"}, "password": "wrong"}, None),
        ({"name": "admin", "domain": {"id": "default"}, "password": ""}, None),
        ({"name": "admin", "domain": {"id": "default"}, "password": "x" * 5000}, None),
        ({"name": "admin", "domain": {"id": "default"}, "password": ADMIN_PASSWORD}, {"project": {"id": "none"}}),
        ({"name": "admin", "domain": {"id": "default"}, "password": ADMIN_PASSWORD}, {"domain": {"id": "default"}}),
        (
            {"name": "admin", "domain": {"id": "default"}, "password": ADMIN_PASSWORD},
            {"project": {"name": "none", "domain": {"id": "default"}}},
        ),
    ],
)
def test_refused_logins_are_401_in_the_same_words(cloud: Cloud, user: dict[str, Any], scope: Any) -> None:
    auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
    if scope:
        auth["scope"] = scope
    answer = cloud.post("/v3/auth/tokens", {"auth": auth}, "")
    assert answer.status == 401
    assert answer["error"]["message"] == "The request you have made requires authentication."


def test_forged_and_truncated_tokens_are_refused(cloud: Cloud) -> None:
    good = cloud.admin
    forged = [good[:-1], good[1:], good + "A", good[:20], "", "x", "é", "a" * 2000]
    forged += [good[:i] + ("A" if good[i] != "A" else "B") + good[i + 1 :] for i in range(0, len(good), 7)]
    for text in forged:
        answer = cloud.get("/v3/users", text or " ")
        assert answer.status == 401, text
        assert cloud.get("/v3/auth/tokens", x_subject_token=text).status == 404
    assert cloud.get("/v3/users", good).status == 200


def test_a_token_ends_at_its_time(cloud: Cloud) -> None:
    token = cloud.admin
    cloud.clock.advance(3590)
    assert cloud.get("/v3/users", token).status == 200
    cloud.clock.advance(20)
    assert cloud.get("/v3/users", token).status == 401


def test_rescoping_keeps_the_end_and_the_chain(cloud: Cloud) -> None:
    first = cloud.login(cloud.made.admin_user_id, ADMIN_PASSWORD)
    cloud.clock.advance(100)
    auth = {
        "identity": {"methods": ["token"], "token": {"id": first.headers["x-subject-token"]}},
        "scope": {"project": {"id": cloud.made.admin_project_id}},
    }
    second = cloud.post("/v3/auth/tokens", {"auth": auth}, "")
    assert second.status == 201
    assert second["token"]["expires_at"] == first["token"]["expires_at"]
    assert second["token"]["audit_ids"][1] == first["token"]["audit_ids"][0]
    assert second["token"]["methods"] == ["password", "token"]
    cloud.delete("/v3/auth/tokens", x_subject_token=first.headers["x-subject-token"])
    assert cloud.post("/v3/auth/tokens", {"auth": auth}, "").status == 404


def project_user(cloud: Cloud) -> tuple[str, str, str]:
    """(user id, project id, token) of a member with a warm token."""
    user = cloud.make("user", name="u", password="secret", domain_id="default")["id"]
    project = cloud.make("project", name="p", domain_id="default")["id"]
    cloud.store.write_now(_assign, user, project, cloud.role("member"))
    token = cloud.token(user, "secret", project=project)
    assert cloud.get("/v3/auth/projects", token).status == 200
    return user, project, token


def _assign(tx: Any, user: str, project: str, role: str) -> None:
    from bivouac.identity.records import RoleAssignment

    tx.insert(
        RoleAssignment(actor_type="user", actor_id=user, target_type="project", target_id=project, role_id=role)
    )


def test_disabling_the_user_voids_tokens_for_good(cloud: Cloud) -> None:
    user, _, token = project_user(cloud)
    cloud.clock.advance(1)
    assert cloud.patch(f"/v3/users/{user}", {"user": {"enabled": False}}).status == 200
    assert cloud.get("/v3/auth/projects", token).status == 401
    assert cloud.login(user, "secret").status == 401
    cloud.patch(f"/v3/users/{user}", {"user": {"enabled": True}})
    assert cloud.get("/v3/auth/projects", token).status == 401, "issued before the user was disabled"
    assert cloud.login(user, "secret").status == 201


def test_disabling_the_project_voids_its_tokens(cloud: Cloud) -> None:
    user, project, token = project_user(cloud)
    unscoped = cloud.token(user, "secret")
    cloud.clock.advance(1)
    assert cloud.patch(f"/v3/projects/{project}", {"project": {"enabled": False}}).status == 200
    assert cloud.get("/v3/auth/projects", token).status == 401
    assert cloud.get("/v3/auth/projects", unscoped)["projects"] == []
    cloud.patch(f"/v3/projects/{project}", {"project": {"enabled": True}})
    assert cloud.get("/v3/auth/projects", token).status == 401, "issued before the project was disabled"
    assert cloud.get("/v3/auth/projects", cloud.token(user, "secret", project=project)).status == 200


def test_disabling_the_domain_voids_tokens_of_its_users(cloud: Cloud) -> None:
    domain = cloud.make("domain", name="d")["id"]
    user = cloud.make("user", name="u", password="secret", domain_id=domain)["id"]
    token = cloud.token(user, "secret")
    assert cloud.get("/v3/auth/projects", token).status == 200
    cloud.patch(f"/v3/domains/{domain}", {"domain": {"enabled": False}})
    assert cloud.get("/v3/auth/projects", token).status == 401
    assert cloud.login(user, "secret").status == 401


@pytest.mark.parametrize("scope", ["project", "domain"])
def test_disabling_the_domain_voids_tokens_of_others_for_it(cloud: Cloud, scope: str) -> None:
    domain = cloud.make("domain", name="d")["id"]
    target = domain if scope == "domain" else cloud.make("project", name="p", domain_id=domain)["id"]
    user = cloud.make("user", name="u", password="secret", domain_id="default")["id"]
    cloud.assign(user, "member", f"{scope}s/{target}")
    token = cloud.token(user, "secret", **{scope: target})
    assert cloud.get("/v3/auth/projects", token).status == 200
    cloud.clock.advance(1)
    cloud.patch(f"/v3/domains/{domain}", {"domain": {"enabled": False}})
    assert cloud.get("/v3/auth/projects", token).status == 401
    assert cloud.get("/v3/auth/tokens", x_subject_token=token).status == 404
    assert cloud.login(user, "secret", {scope: {"id": target}}).status == 401
    cloud.patch(f"/v3/domains/{domain}", {"domain": {"enabled": True}})
    assert cloud.get("/v3/auth/projects", token).status == 401, "issued before the domain was disabled"
    assert cloud.token(user, "secret", **{scope: target})


def test_no_process_takes_a_revoked_token(cloud: Cloud) -> None:
    """Neither the one that proved it before, nor one that never saw it, nor for a token made from it."""
    user, project, token = project_user(cloud)
    other = Identity(cloud.store, cloud.clock, cloud.settings)
    assert asyncio.run(other.authenticator.prove(token)) is not None
    assert cloud.delete("/v3/auth/tokens", token, x_subject_token=token).status == 204
    for _ in range(2):
        assert cloud.get("/v3/auth/projects", token).status == 401
        assert cloud.delete("/v3/auth/tokens", x_subject_token=token).status == 404
    fresh = Identity(cloud.store, cloud.clock, cloud.settings)
    for identity in (other, fresh):
        assert asyncio.run(identity.authenticator.prove(token)) is None
    rescope = {"identity": {"methods": ["token"], "token": {"id": token}}, "scope": {"project": {"id": project}}}
    assert cloud.post("/v3/auth/tokens", {"auth": rescope}, "").status in (401, 404)
    assert cloud.login(user, "secret").status == 201


def test_a_new_password_voids_tokens_and_the_old_password(cloud: Cloud) -> None:
    user, project, token = project_user(cloud)
    cloud.clock.advance(0.001)
    body = {"user": {"original_password": "secret", "password": "better"}}
    assert cloud.post(f"/v3/users/{user}/password", body, "").status == 204
    assert cloud.get("/v3/auth/projects", token).status == 401
    assert cloud.login(user, "secret").status == 401
    assert cloud.get("/v3/auth/projects", cloud.token(user, "better", project=project)).status == 200
    assert cloud.post(f"/v3/users/{user}/password", body, "").status == 401


def test_a_token_without_roles_left_is_void(cloud: Cloud) -> None:
    user, project, token = project_user(cloud)
    from bivouac.identity import revocation
    from bivouac.identity.records import RoleAssignment

    def revoke(tx: Any) -> None:
        tx.delete_where(RoleAssignment, "actor_id = ?", user)
        revocation.forget(tx, user)

    cloud.store.write_now(revoke)
    assert cloud.get("/v3/auth/projects", token).status == 401


def test_a_void_token_is_404_and_anothers_403_to_its_former_bearer(cloud: Cloud) -> None:
    user, _, token = project_user(cloud)
    own = cloud.token(user, "secret")
    assert cloud.get("/v3/auth/tokens", token, x_subject_token=own).status == 200
    assert cloud.delete("/v3/auth/tokens", token, x_subject_token=own).status == 204
    assert cloud.get("/v3/auth/tokens", token, x_subject_token=own).status == 404
    assert cloud.get("/v3/auth/tokens", token, x_subject_token=cloud.admin).status == 403


def test_what_was_looked_up_for_a_login_is_never_stale(cloud: Cloud) -> None:
    """Users, projects and roles made, renamed and taken between two equal logins."""
    def attempt(name: str, password: str = "secret", project: str = "p") -> int:
        user = {"name": name, "domain": {"name": "d"}, "password": password}
        scope = {"project": {"name": project, "domain": {"name": "d"}}}
        identity = {"methods": ["password"], "password": {"user": user}}
        return cloud.post("/v3/auth/tokens", {"auth": {"identity": identity, "scope": scope}}, "").status

    assert attempt("u") == 401
    domain = cloud.make("domain", name="d")["id"]
    user = cloud.make("user", name="u", domain_id=domain, password="secret")["id"]
    assert attempt("u") == 401
    project = cloud.make("project", name="p", domain_id=domain)["id"]
    assert attempt("u") == 401
    cloud.assign(user, "member", f"projects/{project}")
    assert attempt("u") == attempt("u") == 201
    cloud.patch(f"/v3/users/{user}", {"user": {"name": "v"}})
    assert (attempt("u"), attempt("v")) == (401, 201)
    cloud.patch(f"/v3/projects/{project}", {"project": {"name": "q"}})
    assert (attempt("v"), attempt("v", project="q")) == (401, 201)
    cloud.patch(f"/v3/domains/{domain}", {"domain": {"name": "e"}})
    assert attempt("v", project="q") == 401
    cloud.patch(f"/v3/domains/{domain}", {"domain": {"name": "d"}})
    assert attempt("v", project="q") == 201
    cloud.delete(f"/v3/projects/{project}/users/{user}/roles/{cloud.role('member')}")
    assert attempt("v", project="q") == 401
    group = cloud.make("group", name="g", domain_id=domain)["id"]
    cloud.put(f"/v3/projects/{project}/groups/{group}/roles/{cloud.role('reader')}")
    assert attempt("v", project="q") == 401
    cloud.put(f"/v3/groups/{group}/users/{user}")
    assert attempt("v", project="q") == 201
    cloud.delete(f"/v3/groups/{group}/users/{user}")
    assert attempt("v", project="q") == 401


def test_deleting_the_user_voids_tokens(cloud: Cloud) -> None:
    user, _, token = project_user(cloud)
    assert cloud.delete(f"/v3/users/{user}").status == 204
    assert cloud.get("/v3/auth/projects", token).status == 401


def test_version_documents(cloud: Cloud) -> None:
    answer = cloud.get("/", "")
    assert answer.status == 300
    assert answer["versions"]["values"][0]["links"][0]["href"] == "http://cloud:5000/identity/v3/"
    for path in ("/v3", "/v3/"):
        assert cloud.get(path, "")["version"]["media-types"][0]["base"] == "application/json"


def test_an_update_that_is_run_again_still_updates(cloud: Cloud) -> None:
    """PostgreSQL retries rules: the second run must not find its arguments used up by the first."""
    user = cloud.make("user", name="u", domain_id="default")["id"]
    assert cloud.patch(f"/v3/users/{user}", {"user": {"name": "v", "email": "e"}})["user"]["name"] == "v"
    shown = cloud.get(f"/v3/users/{user}")["user"]
    assert (shown["name"], shown["email"]) == ("v", "e")


def test_no_key_of_the_memory_passes_for_a_token(cloud: Cloud) -> None:
    """What is remembered of logins and access keys lies beside the tokens: no header may name it."""
    project, admin = cloud.made.admin_project_id, cloud.made.admin_user_id
    key = cloud.post(f"/v3/users/{admin}/credentials/OS-EC2", {"tenant_id": project})["credential"]
    body = {"credentials": {"access": key["access"], "token": "eA==", "signature": "x"}}
    assert cloud.post("/v3/s3tokens", body).status == 401
    memory = cloud.identity.authenticator.memory
    kinds = {kind for kind, _ in memory.remembered()}
    assert kinds == {"token", "login", "user", "access key"}
    for kind, text in memory.remembered():
        if kind != "token":
            for forged in (text, f"{kind} {text}", f"{kind}{text}", str((kind, text))):
                assert cloud.get("/v3/users", forged).status == 401
                assert cloud.get("/v3/auth/tokens", x_subject_token=forged).status == 404
                assert cloud.post(
                    "/v3/auth/tokens", {"auth": {"identity": {"methods": ["token"], "token": {"id": forged}}}}, ""
                ).status == 404
