"""`/flavors` and `/os-keypairs`."""

import pytest

from .cloud import Cloud

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJmJ9mA8q3tVbZ3cQ1mKkz0cY1m0x2m6JmV8nJ3y3Qm1 ann"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 200),
        ({"ram": "64"}, 200),
        ({"id": 42}, 200),
        ({"id": None}, 200),
        ({"ram": 0}, 400),
        ({"vcpus": 0}, 400),
        ({"disk": -1}, 400),
        ({"name": ""}, 400),
        ({"name": "tiny"}, 409),
        ({"id": "tiny"}, 409),
        ({"id": "a/b"}, 400),
        ({"rxtx_factor": 0}, 400),
        ({"description": "too new"}, 400),
    ],
)
def test_creating_flavors(cloud: Cloud, change: dict, status: int) -> None:
    body = {"flavor": {"name": "f", "ram": 64, "vcpus": 1, "disk": 0, **change}}
    assert cloud.admin("POST", "/flavors", body).status == status
    assert cloud.ask("POST", "/flavors", body).status in (400, 403)


def test_a_private_flavor_is_for_whom_it_was_given_to(cloud: Cloud) -> None:
    cloud.flavor("secret", **{"os-flavor-access:is_public": False})
    assert cloud.ask("GET", "/flavors/secret").status == 404
    added = cloud.admin("POST", "/flavors/secret/action", {"addTenantAccess": {"tenant": "p1"}})
    assert added["flavor_access"] == [{"flavor_id": "secret", "tenant_id": "p1"}]
    assert cloud.admin("POST", "/flavors/secret/action", {"addTenantAccess": {"tenant": "p1"}}).status == 409
    assert cloud.ask("GET", "/flavors/secret").status == 200
    assert "secret" in [one["id"] for one in cloud.ask("GET", "/flavors")["flavors"]]
    cloud.admin("POST", "/flavors/secret/action", {"removeTenantAccess": {"tenant": "p1"}})
    assert cloud.ask("GET", "/flavors/secret").status == 404
    assert cloud.ask("POST", "/flavors/secret/action", {"addTenantAccess": {"tenant": "p1"}}).status == 403


def test_pages_of_flavors(cloud: Cloud) -> None:
    for name in "abc":
        cloud.flavor(name)
    seen, path = [], "/flavors?limit=1"
    while True:
        page = cloud.ask("GET", path).body
        seen += [one["id"] for one in page["flavors"]]
        if "flavors_links" not in page:
            break
        path = page["flavors_links"][0]["href"].partition("/compute/v2.1")[2]
    assert seen == ["a", "b", "c", "tiny"]
    assert cloud.ask("GET", "/flavors?limit=-1").status == 400
    assert cloud.ask("GET", "/flavors?marker=absent").status == 400
    assert cloud.ask("GET", "/flavors?minRam=x").status == 400


def test_extra_specs(cloud: Cloud) -> None:
    path = "/flavors/tiny/os-extra_specs"
    assert cloud.admin("POST", path, {"extra_specs": {"hw:cpu_policy": "shared", "n": 1}})["extra_specs"]["n"] == "1"
    assert cloud.ask("GET", f"{path}/hw:cpu_policy").body == {"hw:cpu_policy": "shared"}
    assert cloud.admin("PUT", f"{path}/n", {"n": "2"}).status == 200
    assert cloud.admin("PUT", f"{path}/n", {"m": "2"}).status == 400
    assert cloud.admin("DELETE", f"{path}/n").status == 200
    assert cloud.ask("GET", f"{path}/n").status == 404
    bad = {"extra_specs": {"hw:cpu_policy": "nonsense"}}
    assert cloud.admin("POST", path, bad, version="2.86").status == 400
    assert cloud.ask("POST", path, {"extra_specs": {"a": "b"}}).status == 403


def test_given_and_made_keys(cloud: Cloud) -> None:
    given = cloud.ask("POST", "/os-keypairs", {"keypair": {"name": "given", "public_key": PUBLIC_KEY}})
    assert given.status == 200 and given["keypair"]["fingerprint"].count(":") == 15
    assert "private_key" not in given["keypair"]
    made = cloud.ask("POST", "/os-keypairs", {"keypair": {"name": "made", "type": "ssh"}}, version="2.2")
    assert made.status == 201
    assert made["keypair"]["private_key"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    certificate = cloud.ask("POST", "/os-keypairs", {"keypair": {"name": "x", "type": "x509"}}, version="2.2")
    assert certificate["keypair"]["public_key"].startswith("-----BEGIN CERTIFICATE-----")
    names = [one["keypair"]["name"] for one in cloud.ask("GET", "/os-keypairs")["keypairs"]]
    assert names == ["given", "made", "x"]
    assert "private" not in str(cloud.ask("GET", "/os-keypairs/made").body)
    assert cloud.ask("GET", "/os-keypairs/made", who="bob@p1:member").status == 404
    assert cloud.ask("GET", "/os-keypairs?user_id=ann", who="bob@p1:member", version="2.10").status == 403
    assert cloud.ask("DELETE", "/os-keypairs/made").status == 202
    assert cloud.ask("DELETE", "/os-keypairs/made").status == 404


@pytest.mark.parametrize(
    ("body", "version", "status"),
    [
        ({"name": "k", "public_key": "nonsense"}, "2.1", 400),
        ({"name": "k", "public_key": "ssh-rsa AAAA"}, "2.1", 400),
        ({"name": ""}, "2.1", 400),
        ({"name": "a/b"}, "2.1", 400),
        ({"name": "k" * 256}, "2.1", 400),
        ({"name": "k", "type": "ssh"}, "2.1", 400),
        ({"name": "k", "type": "dsa"}, "2.2", 400),
        ({"name": "k"}, "2.92", 400),
        ({"name": "k", "public_key": PUBLIC_KEY, "user_id": "bob"}, "2.10", 403),
        ({}, "2.1", 400),
    ],
)
def test_what_key_pairs_refuse(cloud: Cloud, body: dict, version: str, status: int) -> None:
    assert cloud.ask("POST", "/os-keypairs", {"keypair": body}, version=version).status == status
