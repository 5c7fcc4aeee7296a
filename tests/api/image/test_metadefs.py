"""Metadata definitions: all kinds, who sees them, and our own."""

from typing import Any

import pytest
from image_cloud import Answer, Cloud

BASE = "/v2/metadefs/namespaces"


def make(cloud: Cloud, name: str = "ns", **fields: Any) -> Answer:
    return cloud.ask("POST", BASE, "admin", body={"namespace": name, **fields})


PROPERTY = {"title": "Size", "type": "integer", "minimum": 0, "enum": [1, 2]}


def test_a_namespace_with_all_that_is_in_it(cloud: Cloud) -> None:
    made = make(
        cloud, "a b/c", visibility="public", description="d", display_name="n",
        properties={"size": PROPERTY}, objects=[{"name": "o", "properties": {"p": PROPERTY}, "required": ["p"]}],
        tags=[{"name": "t"}], resource_type_associations=[{"name": "OS::Glance::Image", "prefix": "hw_"}],
    )  # fmt: skip
    assert made.status == 201
    path = f"{BASE}/a%20b%2Fc"
    assert made.json["self"] == path
    view = cloud.ask("GET", path, "reader").json
    assert view["properties"] == {"size": PROPERTY}
    assert (view["objects"][0]["name"], view["tags"], view["protected"], view["owner"]) == (
        "o", [{"name": "t"}], False, "p-admin")  # fmt: skip
    assert view["resource_type_associations"][0]["prefix"] == "hw_"
    prefixed = cloud.ask("GET", f"{path}?resource_type=OS::Glance::Image").json
    assert list(prefixed["properties"]) == ["hw_size"]
    assert prefixed["objects"][0]["required"] == ["hw_p"]
    assert cloud.ask("GET", f"{path}/properties/hw_size?resource_type=OS::Glance::Image").json["name"] == "size"
    assert cloud.ask("GET", f"{path}/properties/size?resource_type=OS::Glance::Image").status == 404
    assert make(cloud, "a b/c").status == 409
    assert cloud.ask("DELETE", path, "admin").status == 204
    assert cloud.ask("GET", path, "admin").status == 404


def test_who_may_what(cloud: Cloud) -> None:
    make(cloud, "public", visibility="public")
    make(cloud, "private")
    make(cloud, "ours", owner="p1")
    listed = {one["namespace"] for one in cloud.ask("GET", BASE, "reader").json["namespaces"]}
    assert listed == {"public", "ours"}
    assert cloud.ask("GET", f"{BASE}/private").status == 404
    assert cloud.ask("GET", f"{BASE}/private/tags").status == 404
    assert cloud.ask("GET", f"{BASE}/ours", "other").status == 404
    assert cloud.ask("POST", BASE, body={"namespace": "x"}).status == 403
    assert cloud.ask("PUT", f"{BASE}/ours", body={"namespace": "x"}).status == 403
    assert cloud.ask("DELETE", f"{BASE}/public").status == 403
    assert cloud.ask("POST", f"{BASE}/public/tags/x").status == 403


def test_protected(cloud: Cloud) -> None:
    make(cloud, protected=True, tags=[{"name": "t"}])
    for path in ("", "/tags", "/tags/t"):
        assert cloud.ask("DELETE", f"{BASE}/ns{path}", "admin").status == 403
    assert cloud.ask("PUT", f"{BASE}/ns", "admin", body={"namespace": "other"}).json["protected"] is False
    assert cloud.ask("DELETE", f"{BASE}/other", "admin").status == 204


@pytest.mark.parametrize("body", [
    {}, {"namespace": ""}, {"namespace": "x" * 81}, {"namespace": "x", "visibility": "shared"},
    {"namespace": "x", "more": 1}, {"namespace": "x", "protected": "yes"}, {"namespace": "x", "properties": {"p": {}}},
    {"namespace": "x", "properties": {"p": {"title": "t", "type": "float"}}},
    {"namespace": "x", "properties": {"p": {"title": "t", "type": "string", "pattern": "("}}},
    {"namespace": "x", "properties": {"p" * 81: {"title": "t", "type": "string"}}}, [],
])  # fmt: skip
def test_bad_namespaces(cloud: Cloud, body: Any) -> None:
    assert cloud.ask("POST", BASE, "admin", body=body).status == 400
    assert cloud.ask("GET", f"{BASE}/x", "admin").status == 404


def test_read_only_members(cloud: Cloud) -> None:
    assert make(cloud, created_at="x").status == 403


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("objects", {"name": "a"}, {"name": "b", "description": "d", "properties": {"p": PROPERTY}}),
        ("properties", {"name": "a", **PROPERTY}, {"name": "b", "title": "T", "type": "string"}),
    ],
)
def test_objects_and_properties(cloud: Cloud, kind: str, first: dict[str, Any], second: dict[str, Any]) -> None:
    make(cloud, visibility="public")
    path = f"{BASE}/ns/{kind}"
    made = cloud.ask("POST", path, "admin", body=first)
    assert made.status == 201
    assert first.items() <= made.json.items()
    assert cloud.ask("POST", path, "admin", body=first).status == 409
    assert cloud.ask("POST", path, "admin", body={}).status == 400
    assert cloud.ask("GET", f"{path}/a").json == made.json
    assert len(cloud.ask("GET", path).json[kind]) == 1
    updated = cloud.ask("PUT", f"{path}/a", "admin", body=second)
    assert updated.status == 200
    assert second.items() <= updated.json.items()
    assert cloud.ask("GET", f"{path}/a").status == 404
    cloud.ask("POST", path, "admin", body=first)
    assert cloud.ask("PUT", f"{path}/a", "admin", body=second).status == 409
    assert cloud.ask("DELETE", f"{path}/a", "admin").status == 204
    assert cloud.ask("DELETE", f"{path}/a", "admin").status == 404
    assert cloud.ask("DELETE", path, "admin").status == 204
    assert not cloud.ask("GET", path).json[kind]


def test_tags(cloud: Cloud) -> None:
    make(cloud)
    path = f"{BASE}/ns/tags"
    three = {"tags": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}
    made = cloud.ask("POST", path, "admin", body=three)
    assert (made.status, made.json) == (201, three)
    names: list[str] = []
    marker = ""
    while page := cloud.ask("GET", f"{path}?limit=2&sort_key=name&sort_dir=asc{marker}", "admin").json["tags"]:
        names += [one["name"] for one in page]
        marker = f"&marker={names[-1]}"
    assert names == ["a", "b", "c"]
    cloud.ask("POST", path, "admin", body={"tags": [{"name": "d"}]}, x_openstack_append="True")
    assert len(cloud.ask("GET", path, "admin").json["tags"]) == 4
    assert cloud.ask("POST", path, "admin", body={"tags": [{"name": "x"}, {"name": "x"}]}).status == 409
    assert len(cloud.ask("GET", path, "admin").json["tags"]) == 4
    assert cloud.ask("POST", f"{path}/e", "admin").status == 201
    assert cloud.ask("PUT", f"{path}/e", "admin", body={"name": "f"}).json["name"] == "f"
    assert cloud.ask("PUT", f"{path}/f", "admin", body={"name": "a"}).status == 409
    assert cloud.ask("DELETE", f"{path}/f", "admin").status == 204
    assert cloud.ask("DELETE", path, "admin").status == 204
    assert cloud.ask("GET", path, "admin").json["tags"] == []


def test_resource_types(cloud: Cloud) -> None:
    cloud.service.start()
    kinds = [one["name"] for one in cloud.ask("GET", "/v2/metadefs/resource_types").json["resource_types"]]
    assert "OS::Nova::Server" in kinds
    make(cloud)
    path = f"{BASE}/ns/resource_types"
    made = cloud.ask("POST", path, "admin", body={"name": "My::Thing", "prefix": "x:"})
    assert (made.status, made.json["prefix"]) == (201, "x:")
    assert cloud.ask("POST", path, "admin", body={"name": "My::Thing"}).status == 409
    assert [one["name"] for one in cloud.ask("GET", path, "admin").json["resource_type_associations"]] == ["My::Thing"]
    found = cloud.ask("GET", f"{BASE}?resource_types=My::Thing,X", "admin").json["namespaces"]
    assert [one["namespace"] for one in found] == ["ns"]
    assert cloud.ask("DELETE", f"{path}/My::Thing", "admin").status == 204
    assert cloud.ask("DELETE", f"{path}/My::Thing", "admin").status == 404


def test_our_own_definitions(cloud: Cloud) -> None:
    cloud.service.start()
    before = cloud.store.read_now(lambda tx: tx.value("SELECT max(sequence) FROM changes"))
    cloud.service.start()
    assert cloud.store.read_now(lambda tx: tx.value("SELECT max(sequence) FROM changes")) == before
    view = cloud.ask("GET", f"{BASE}/OS::Bivouac::Hardware", "reader").json
    assert "virtio" in view["properties"]["hw_disk_bus"]["enum"]
    assert cloud.ask("DELETE", f"{BASE}/OS::Bivouac::Hardware", "admin").status == 403


def test_paging_of_namespaces(cloud: Cloud) -> None:
    for name in "abc":
        make(cloud, name)
    first = cloud.ask("GET", f"{BASE}?limit=2&sort_key=namespace&sort_dir=asc", "admin").json
    assert [one["namespace"] for one in first["namespaces"]] == ["a", "b"]
    assert [one["namespace"] for one in cloud.ask("GET", first["next"], "admin").json["namespaces"]] == ["c"]
    assert cloud.ask("GET", f"{BASE}?marker=none", "admin").status == 404
    assert cloud.ask("GET", f"{BASE}?limit=x", "admin").status == 400
    assert cloud.ask("GET", f"{BASE}?sort_key=name", "admin").status == 400
    assert cloud.ask("GET", f"{BASE}?visibility=shared", "admin").status == 400


@pytest.mark.parametrize(
    "name",
    ["namespace", "namespaces", "object", "objects", "property", "properties", "tag", "tags", "resource_type",
     "resource_types"],
)  # fmt: skip
def test_schemas(cloud: Cloud, name: str) -> None:
    expected = {"resource_type": "resource_type_association", "resource_types": "resource_type_associations"}
    assert cloud.ask("GET", f"/v2/schemas/metadefs/{name}").json["name"] == expected.get(name, name)
    assert cloud.ask("GET", "/v2/schemas/metadefs/none").status == 404
