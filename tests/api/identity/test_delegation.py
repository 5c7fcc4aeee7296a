"""Application credentials, trusts, OAuth, EC2 keys: what is passed on, to whom, for how long, and no further."""

import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import parse_qsl

import pytest

from bivouac.identity.ec2_signature import Ec2Request, signing_key, version_2, version_4
from bivouac.identity.oauth_signature import SignedRequest, signature

from .conftest import Cloud


class Somebody:
    """A member of a project of the default domain, with a token for it."""

    def __init__(self, cloud: Cloud, name: str = "u", roles: tuple[str, ...] = ("member",)):
        self.id = cloud.make("user", name=name, password="secret", domain_id="default")["id"]
        self.project = cloud.make("project", name=f"of {name}", domain_id="default")["id"]
        for role in roles:
            cloud.assign(self.id, role, f"projects/{self.project}")
        self.token = cloud.token(self.id, "secret", project=self.project)


def log_in(cloud: Cloud, method: str, payload: Any, scope: Any = None) -> Any:
    auth: dict[str, Any] = {"identity": {"methods": [method], method: payload}}
    if scope:
        auth["scope"] = scope
    return cloud.post("/v3/auth/tokens", {"auth": auth}, "")


# --- application credentials -------------------------------------------------------------------------------------


def make_credential(cloud: Cloud, who: Somebody, **fields: Any) -> Any:
    body = {"application_credential": {"name": "robot", **fields}}
    return cloud.post(f"/v3/users/{who.id}/application_credentials", body, who.token)


def test_an_application_credential_logs_in_with_its_roles(cloud: Cloud) -> None:
    who = Somebody(cloud, roles=("member",))
    made = make_credential(cloud, who, roles=[{"name": "reader"}], expires_at="2023-11-15T00:00:00")
    assert made.status == 201, made
    made = made["application_credential"]
    assert made["expires_at"] == "2023-11-15T00:00:00.000000"
    by_id = log_in(cloud, "application_credential", {"id": made["id"], "secret": made["secret"]})
    assert by_id.status == 201
    assert [one["name"] for one in by_id["token"]["roles"]] == ["reader"]
    assert by_id["token"]["project"]["id"] == who.project
    assert by_id["token"]["application_credential"] == {"id": made["id"], "name": "robot", "restricted": True}
    by_name = {"name": "robot", "secret": made["secret"], "user": {"name": "u", "domain": {"id": "default"}}}
    assert log_in(cloud, "application_credential", by_name).status == 201
    for payload in (
        {"id": made["id"], "secret": "wrong"},
        {"id": "none", "secret": made["secret"]},
        {"name": "robot", "secret": made["secret"], "user": {"id": cloud.made.admin_user_id}},
    ):
        assert log_in(cloud, "application_credential", payload).status == 401
    token = by_id.headers["x-subject-token"]
    assert cloud.post("/v3/roles", {"role": {"name": "x"}}, token).status == 403
    again = make_credential(cloud, Somebody(cloud, "v"), name="x")
    assert again.status == 201
    assert cloud.delete(f"/v3/users/{who.id}/application_credentials/{made['id']}", token).status == 403, "restricted"
    assert cloud.delete(f"/v3/users/{who.id}/application_credentials/{made['id']}", who.token).status == 204
    assert cloud.get("/v3/auth/projects", token).status == 401
    assert log_in(cloud, "application_credential", {"id": made["id"], "secret": made["secret"]}).status == 401


def test_an_application_credential_ends_with_its_roles_and_its_time(cloud: Cloud) -> None:
    who = Somebody(cloud)
    end = "2023-11-14T23:13:20.000000"  # an hour after the clock's start
    made = make_credential(cloud, who, expires_at=end)["application_credential"]
    answer = log_in(cloud, "application_credential", {"id": made["id"], "secret": made["secret"]})
    token = answer.headers["x-subject-token"]
    assert answer["token"]["expires_at"] == end + "Z"
    member = f"/v3/projects/{who.project}/users/{who.id}/roles/{cloud.role('member')}"
    cloud.delete(member)
    assert cloud.get("/v3/auth/projects", token).status == 401
    cloud.put(member)
    assert cloud.get("/v3/auth/projects", token).status == 200
    cloud.clock.advance(3601)
    assert log_in(cloud, "application_credential", {"id": made["id"], "secret": made["secret"]}).status == 401


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"roles": [{"name": "admin"}]}, 400),
        ({"roles": [{"name": "none"}]}, 404),
        ({"roles": [{}]}, 400),
        ({"expires_at": "yesterday"}, 400),
        ({"expires_at": "2001-01-01T00:00:00"}, 400),
        ({"name": ""}, 400),
        ({"name": "x" * 256}, 400),
        ({"access_rules": [{"service": "compute"}]}, 400),
        ({"access_rules": [{"service": "compute", "method": "EAT", "path": "/x"}]}, 400),
        ({"access_rules": [{"service": "compute", "method": "GET", "path": "x"}]}, 400),
        ({"access_rules": [{"id": "none"}]}, 404),
        ({"access_rules": [{"service": "compute", "method": "GET", "path": f"/{n}"} for n in range(65)]}, 400),
        ({"unrestricted": "yes"}, 400),
    ],
)
def test_bad_application_credentials(cloud: Cloud, fields: Any, status: int) -> None:
    assert make_credential(cloud, Somebody(cloud), **fields).status == status


def test_names_of_application_credentials_are_the_users_own(cloud: Cloud) -> None:
    who = Somebody(cloud)
    assert make_credential(cloud, who).status == 201
    assert make_credential(cloud, who).status == 409
    assert make_credential(cloud, Somebody(cloud, "v")).status == 201
    path = f"/v3/users/{who.id}/application_credentials"
    assert cloud.post(path, {"application_credential": {"name": "x"}}).status == 403, "not even the administrator"
    assert len(cloud.get(path)["application_credentials"]) == 1


def test_access_rules_bound_every_request(cloud: Cloud) -> None:
    who = Somebody(cloud)
    rules = [{"service": "identity", "method": "GET", "path": "/v3/auth/projects"}]
    made = make_credential(cloud, who, access_rules=rules)["application_credential"]
    answer = log_in(cloud, "application_credential", {"id": made["id"], "secret": made["secret"]})
    token = answer.headers["x-subject-token"]
    assert answer["token"]["application_credential"]["access_rules"] == made["access_rules"]
    assert cloud.get("/v3/auth/projects", token).status == 200
    assert cloud.get("/v3/auth/domains", token).status == 403
    assert cloud.get("/v3/auth/tokens", x_subject_token=token).status == 404, "this service knows no access rules"
    aware = cloud.get("/v3/auth/tokens", x_subject_token=token, openstack_identity_access_rules="1.0")
    assert aware.status == 200
    rule = f"/v3/users/{who.id}/access_rules/{made['access_rules'][0]['id']}"
    assert cloud.delete(rule, who.token).status == 403
    cloud.delete(f"/v3/users/{who.id}/application_credentials/{made['id']}", who.token)
    assert [cloud.delete(rule, who.token).status, cloud.get(rule, who.token).status] == [204, 404]
    none = make_credential(cloud, who, access_rules=[])["application_credential"]
    token = log_in(cloud, "application_credential", {"id": none["id"], "secret": none["secret"]}).headers[
        "x-subject-token"
    ]
    assert cloud.get("/v3/auth/projects", token).status == 403, "an empty list of rules allows nothing"


def test_only_unrestricted_ones_make_others_and_nobody_gains_roles(cloud: Cloud) -> None:
    who = Somebody(cloud)
    for unrestricted, status in ((False, 403), (True, 201)):
        name = f"robot {unrestricted}"
        made = make_credential(cloud, who, name=name, unrestricted=unrestricted, roles=[{"name": "reader"}])
        made = made["application_credential"]
        who_else = Somebody.__new__(Somebody)
        who_else.id = who.id
        who_else.token = log_in(cloud, "application_credential", {"id": made["id"], "secret": made["secret"]}).headers[
            "x-subject-token"
        ]
        assert make_credential(cloud, who_else, name=f"{name} child").status == status
        assert make_credential(cloud, who_else, name="more", roles=[{"name": "member"}]).status in (400, 403)
        again = log_in(cloud, "token", {"id": who_else.token}, {"project": {"id": who.project}})
        assert again.status == 403, "no rescoping out of an application credential"


# --- trusts ------------------------------------------------------------------------------------------------------


def make_trust(cloud: Cloud, trustor: Somebody, trustee: Somebody, token: str = "", **fields: Any) -> Any:
    body = {
        "trustor_user_id": trustor.id, "trustee_user_id": trustee.id, "project_id": trustor.project,
        "impersonation": False, "roles": [{"name": "reader"}], **fields,
    }  # fmt: skip
    return cloud.post("/v3/OS-TRUST/trusts", {"trust": body}, token or trustor.token)


def use_trust(cloud: Cloud, trustee: Somebody, trust: str) -> Any:
    return cloud.login(trustee.id, "secret", {"OS-TRUST:trust": {"id": trust}})


@pytest.mark.parametrize("impersonation", [True, False])
def test_a_trust_lets_its_trustee_act(cloud: Cloud, impersonation: bool) -> None:
    trustor, trustee, third = Somebody(cloud, "a"), Somebody(cloud, "b"), Somebody(cloud, "c")
    trust = make_trust(cloud, trustor, trustee, impersonation=impersonation)["trust"]
    answer = use_trust(cloud, trustee, trust["id"])
    token = answer["token"]
    assert token["user"]["id"] == (trustor.id if impersonation else trustee.id)
    assert token["project"]["id"] == trustor.project
    assert [one["name"] for one in token["roles"]] == ["reader"]
    assert token["OS-TRUST:trust"] == {
        "id": trust["id"], "impersonation": impersonation, "trustor_user": {"id": trustor.id},
        "trustee_user": {"id": trustee.id},
    }  # fmt: skip
    text = answer.headers["x-subject-token"]
    assert use_trust(cloud, third, trust["id"]).status == 403
    assert use_trust(cloud, trustee, "none").status == 401
    assert log_in(cloud, "token", {"id": text}, {"project": {"id": trustor.project}}).status == 403
    assert cloud.delete(f"/v3/OS-TRUST/trusts/{trust['id']}", trustee.token).status == 403
    assert cloud.delete(f"/v3/OS-TRUST/trusts/{trust['id']}", text).status == 403
    assert cloud.get("/v3/auth/projects", text).status == 200
    assert cloud.delete(f"/v3/OS-TRUST/trusts/{trust['id']}", trustor.token).status == 204
    assert cloud.get("/v3/auth/projects", text).status == 401
    assert use_trust(cloud, trustee, trust["id"]).status == 401


def test_a_trust_ends_with_its_time_its_uses_and_its_trustors_roles(cloud: Cloud) -> None:
    trustor, trustee = Somebody(cloud, "a"), Somebody(cloud, "b")
    counted = make_trust(cloud, trustor, trustee, remaining_uses=2)["trust"]["id"]
    assert [use_trust(cloud, trustee, counted).status for _ in range(3)] == [201, 201, 401]
    assert cloud.get(f"/v3/OS-TRUST/trusts/{counted}", trustor.token).status == 404
    short = make_trust(cloud, trustor, trustee, expires_at="2023-11-14T22:23:20Z")["trust"]
    answer = use_trust(cloud, trustee, short["id"])
    assert answer["token"]["expires_at"] == "2023-11-14T22:23:20.000000Z"
    lasting = make_trust(cloud, trustor, trustee)["trust"]["id"]
    text = use_trust(cloud, trustee, lasting).headers["x-subject-token"]
    cloud.clock.advance(601)
    assert cloud.get("/v3/auth/projects", answer.headers["x-subject-token"]).status == 401
    assert use_trust(cloud, trustee, short["id"]).status == 401
    assert cloud.get("/v3/auth/projects", text).status == 200
    cloud.delete(f"/v3/projects/{trustor.project}/users/{trustor.id}/roles/{cloud.role('member')}")
    assert cloud.get("/v3/auth/projects", text).status == 401
    assert use_trust(cloud, trustee, lasting).status == 403


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"roles": [{"name": "admin"}]}, 404),
        ({"roles": []}, 403),
        ({"trustee_user_id": "none"}, 404),
        ({"project_id": "none"}, 404),
        ({"remaining_uses": 0}, 400),
        ({"remaining_uses": "many"}, 400),
        ({"expires_at": "soon"}, 400),
        ({"expires_at": "2001-01-01T00:00:00Z"}, 400),
        ({"impersonation": None}, 400),
        ({"allow_redelegation": True, "redelegation_count": 9}, 403),
    ],
)
def test_bad_trusts(cloud: Cloud, fields: Any, status: int) -> None:
    assert make_trust(cloud, Somebody(cloud, "a"), Somebody(cloud, "b"), **fields).status == status


def test_nobody_makes_a_trust_for_another(cloud: Cloud) -> None:
    trustor, trustee = Somebody(cloud, "a"), Somebody(cloud, "b")
    assert make_trust(cloud, trustor, trustee, trustee.token).status == 403
    assert make_trust(cloud, trustor, trustee, cloud.admin).status == 403
    assert cloud.get("/v3/OS-TRUST/trusts", trustee.token).status == 403
    make_trust(cloud, trustor, trustee)
    assert len(cloud.get(f"/v3/OS-TRUST/trusts?trustee_user_id={trustee.id}", trustee.token)["trusts"]) == 1
    assert cloud.get(f"/v3/OS-TRUST/trusts?trustor_user_id={trustor.id}", trustee.token).status == 403


def test_redelegation_only_narrows(cloud: Cloud) -> None:
    first, second, third = Somebody(cloud, "a"), Somebody(cloud, "b"), Somebody(cloud, "c")
    trust = make_trust(cloud, first, second, impersonation=True, allow_redelegation=True, redelegation_count=1,
                       expires_at="2023-11-15T00:00:00Z")["trust"]  # fmt: skip
    token = use_trust(cloud, second, trust["id"]).headers["x-subject-token"]
    good = {"impersonation": True, "expires_at": "2023-11-14T23:00:00Z"}
    for bad in (
        {"expires_at": None}, {"expires_at": "2023-11-16T00:00:00Z"}, {"remaining_uses": 3},
        {"roles": [{"name": "member"}]}, {"allow_redelegation": True, "redelegation_count": 1},
    ):  # fmt: skip
        assert make_trust(cloud, first, third, token, **{**good, **bad}).status == 403, bad
    passed = make_trust(cloud, first, third, token, **good)
    assert passed.status == 201
    assert passed["trust"]["redelegated_trust_id"] == trust["id"]
    assert passed["trust"]["redelegation_count"] == 0
    text = use_trust(cloud, third, passed["trust"]["id"]).headers["x-subject-token"]
    assert make_trust(cloud, first, second, text, **good).status == 403, "no further"
    cloud.delete(f"/v3/OS-TRUST/trusts/{trust['id']}", first.token)
    assert cloud.get("/v3/auth/projects", text).status == 401, "what was passed on ends with what it came from"


# --- EC2 keys ----------------------------------------------------------------------------------------------------


def test_ec2_keys_sign_and_stop_signing(cloud: Cloud) -> None:
    who = Somebody(cloud)
    path = f"/v3/users/{who.id}/credentials/OS-EC2"
    key = cloud.post(path, {"tenant_id": who.project}, who.token)["credential"]
    params = {"Action": "DescribeInstances", "SignatureVersion": "2", "SignatureMethod": "HmacSHA256", "x": "ä b"}
    unsigned = Ec2Request(access=key["access"], signature="", host="cloud", path="/", params=params)
    given = {
        "access": key["access"], "host": "cloud", "verb": "GET", "path": "/", "params": params,
        "signature": version_2(unsigned, key["secret"]),
    }  # fmt: skip
    answer = cloud.post("/v3/ec2tokens", {"credentials": given})
    assert answer.status == 200
    assert (answer["token"]["user"]["id"], answer["token"]["project"]["id"]) == (who.id, who.project)
    assert answer["token"]["methods"] == ["ec2credential"]
    assert cloud.get("/v3/auth/projects", answer.headers["x-subject-token"]).status == 200
    assert cloud.post("/v3/ec2tokens", {"credentials": {**given, "signature": "AAAA"}}).status == 401
    assert cloud.post("/v3/ec2tokens", {"credentials": {**given, "access": "none"}}).status == 401
    assert cloud.post("/v3/ec2tokens", {"credentials": given}, "").status == 401
    assert cloud.post("/v3/ec2tokens", {"credentials": given}, who.token).status == 403
    assert cloud.post("/v3/ec2tokens", {}).status == 400
    cloud.patch(f"/v3/projects/{who.project}", {"project": {"enabled": False}})
    assert cloud.post("/v3/ec2tokens", {"credentials": given}).status == 401
    cloud.patch(f"/v3/projects/{who.project}", {"project": {"enabled": True}})
    assert cloud.post("/v3/ec2tokens", {"credentials": given}).status == 200
    who.token = cloud.token(who.id, "secret", project=who.project)
    assert cloud.delete(f"{path}/{key['access']}", who.token).status == 204
    assert cloud.post("/v3/ec2tokens", {"credentials": given}).status == 401


def test_version_4_of_ec2_and_both_of_s3(cloud: Cloud) -> None:
    who = Somebody(cloud)
    key = cloud.post(f"/v3/users/{who.id}/credentials/OS-EC2", {"tenant_id": who.project}, who.token)["credential"]
    headers = {
        "Host": "cloud", "X-Amz-Date": "20231114T221320Z",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={key['access']}/20231114/r/ec2/aws4_request, "
        "SignedHeaders=host;x-amz-date, Signature=x",
    }  # fmt: skip
    request = Ec2Request(access=key["access"], signature="", headers=headers, body_hash=hashlib.sha256(b"").hexdigest())
    given = {"access": key["access"], "verb": "GET", "path": "/", "headers": headers, "body_hash": request.body_hash,
             "signature": version_4(request, key["secret"])}  # fmt: skip
    assert cloud.post("/v3/ec2tokens", {"credentials": given}).status == 200
    text = b"AWS4-HMAC-SHA256\n20231114T221320Z\n20231114/r/s3/aws4_request\n" + b"0" * 64
    signed = hmac.digest(signing_key(key["secret"], "20231114", "r", "s3"), text, "sha256").hex()
    old = b"GET\n\n\nTue\n/bucket/x"
    for string, mark in (
        (text, signed),
        (old, base64.b64encode(hmac.digest(key["secret"].encode(), old, "sha1")).decode()),
    ):
        body = {"credentials": {"access": key["access"], "token": base64.urlsafe_b64encode(string).decode()}}
        body["credentials"]["signature"] = mark
        assert cloud.post("/v3/s3tokens", body).status == 200
        body["credentials"]["signature"] = mark[::-1]
        assert cloud.post("/v3/s3tokens", body).status == 401


def test_credentials_are_their_owners(cloud: Cloud) -> None:
    who, other = Somebody(cloud), Somebody(cloud, "v")
    blob = '{"access": "a", "secret": "s"}'
    body = {"type": "ec2", "blob": blob, "project_id": who.project}
    made = cloud.post("/v3/credentials", {"credential": body}, who.token)
    assert made.status == 201
    made = made["credential"]
    assert made["id"] == hashlib.sha256(b"a").hexdigest()
    assert cloud.post("/v3/credentials", {"credential": body}, who.token).status == 409
    path = f"/v3/credentials/{made['id']}"
    assert [cloud.get(path, one).status for one in (who.token, other.token, cloud.admin)] == [200, 403, 200]
    assert cloud.get("/v3/credentials", other.token)["credentials"] == []
    assert cloud.get(f"/v3/credentials?user_id={who.id}", other.token).status == 403
    assert len(cloud.get("/v3/credentials?type=ec2")["credentials"]) == 1
    assert cloud.patch(path, {"credential": {"user_id": other.id}}, who.token).status == 403
    assert cloud.patch(path, {"credential": {"blob": "not json"}}, who.token).status == 400
    for bad in ({"type": "ec2", "blob": blob}, {"type": "ec2", "blob": "{}", "project_id": who.project}, {"type": "x"}):
        assert cloud.post("/v3/credentials", {"credential": bad}, who.token).status == 400
    assert [cloud.delete(path, other.token).status, cloud.delete(path, who.token).status] == [403, 204]


# --- OAuth -------------------------------------------------------------------------------------------------------


def oauth(cloud: Cloud, path: str, consumer: Any, secret: str = "", nonce: str = "n", **more: str) -> Any:
    """A signed POST; the answer's form is decoded."""
    parameters = {
        "oauth_consumer_key": consumer["id"], "oauth_nonce": nonce, "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": str(int(cloud.clock.now())), "oauth_version": "1.0",
        **{key: value for key, value in more.items() if key.startswith("oauth_")},
    }  # fmt: skip
    request = SignedRequest("POST", f"http://cloud:5000/identity{path}", parameters)
    parameters["oauth_signature"] = signature(request, consumer["secret"], secret)
    from urllib.parse import quote

    header = "OAuth " + ", ".join(f'{key}="{quote(value, safe="")}"' for key, value in parameters.items())
    headers = {"authorization": header}
    if "project" in more:
        headers["requested_project_id"] = more["project"]
    return cloud.ask("POST", path, more.get("body"), "", **headers)


def form(answer: Any) -> dict[str, str]:
    assert answer.status == 201, answer
    return dict(parse_qsl(answer.body.decode() if isinstance(answer.body, bytes) else answer.body))


def test_oauth_from_consumer_to_token(cloud: Cloud) -> None:
    consumer = cloud.make("consumer", "/v3/OS-OAUTH1/consumers", description="app")
    project, admin_role = cloud.made.admin_project_id, cloud.role("admin")
    asked = form(oauth(cloud, "/v3/OS-OAUTH1/request_token", consumer, project=project))
    assert oauth(cloud, "/v3/OS-OAUTH1/request_token", consumer, project=project).status == 401, "the nonce is used"
    wrong = {**consumer, "secret": "wrong"}
    assert oauth(cloud, "/v3/OS-OAUTH1/request_token", wrong, nonce="m", project=project).status == 401
    authorize = f"/v3/OS-OAUTH1/authorize/{asked['oauth_token']}"
    assert cloud.put(authorize, {"roles": [{"id": "none"}]}).status == 401
    verifier = cloud.put(authorize, {"roles": [{"id": admin_role}]})["token"]["oauth_verifier"]
    key = {"oauth_token": asked["oauth_token"]}
    path = "/v3/OS-OAUTH1/access_token"
    secret = asked["oauth_token_secret"]
    assert oauth(cloud, path, consumer, secret, nonce="a", oauth_verifier="bad", **key).status == 401
    access = form(oauth(cloud, path, consumer, secret, nonce="b", oauth_verifier=verifier, **key))
    assert oauth(cloud, path, consumer, secret, nonce="c", oauth_verifier=verifier, **key).status == 401
    body = {"auth": {"identity": {"methods": ["oauth1"], "oauth1": {}}}}
    key = {"oauth_token": access["oauth_token"]}
    answer = oauth(cloud, "/v3/auth/tokens", consumer, access["oauth_token_secret"], nonce="d", body=body, **key)  # type: ignore[arg-type]
    assert answer.status == 201
    assert answer["token"]["OS-OAUTH1"]["consumer_id"] == consumer["id"]
    assert answer["token"]["project"]["id"] == project
    token = answer.headers["x-subject-token"]
    assert cloud.get("/v3/users", token).status == 200
    listed = f"/v3/users/{cloud.made.admin_user_id}/OS-OAUTH1/access_tokens"
    assert [one["id"] for one in cloud.get(listed)["access_tokens"]] == [access["oauth_token"]]
    assert [one["id"] for one in cloud.get(f"{listed}/{access['oauth_token']}/roles")["roles"]] == [admin_role]
    assert cloud.delete(f"{listed}/{access['oauth_token']}").status == 204
    assert cloud.get("/v3/users", token).status == 401
    assert cloud.delete(f"/v3/OS-OAUTH1/consumers/{consumer['id']}").status == 204
