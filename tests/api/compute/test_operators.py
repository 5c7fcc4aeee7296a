"""What operators see and set: hypervisors, services, aggregates, zones, quotas, usage."""

from .cloud import Cloud


def test_hypervisors_by_number_and_by_uuid(cloud: Cloud) -> None:
    cloud.active()
    old = cloud.admin("GET", "/os-hypervisors/detail")["hypervisors"][0]
    assert (old["id"], old["vcpus_used"], old["memory_mb_used"], old["running_vms"]) == (1, 1, 512, 1)
    assert isinstance(old["cpu_info"], str)
    new = cloud.admin("GET", "/os-hypervisors/detail?with_servers=true", version="2.53")["hypervisors"][0]
    assert new["servers"][0]["name"] == "vm"
    assert cloud.admin("GET", f"/os-hypervisors/{new['id']}", version="2.88")["hypervisor"]["uptime"]
    assert cloud.admin("GET", "/os-hypervisors/1/uptime")["hypervisor"]["hypervisor_hostname"] == "host-1"
    assert cloud.admin("GET", "/os-hypervisors/statistics")["hypervisor_statistics"]["count"] == 1
    assert cloud.admin("GET", "/os-hypervisors/99").status == 404
    assert cloud.admin("GET", "/os-hypervisors/1", version="2.53").status == 400
    assert cloud.ask("GET", "/os-hypervisors").status == 403


def test_a_disabled_host_gets_no_server_and_says_so(cloud: Cloud) -> None:
    body = {"host": "host-1", "binary": "nova-compute", "disabled_reason": "new fans"}
    assert cloud.admin("PUT", "/os-services/disable-log-reason", body)["service"]["disabled_reason"] == "new fans"
    assert "host-1: is disabled" in cloud.show(cloud.boot())["fault"]["message"]
    service = cloud.admin("GET", "/os-services", version="2.53")["services"][0]
    enabled = cloud.admin("PUT", f"/os-services/{service['id']}", {"status": "enabled"}, version="2.53")
    assert enabled["service"]["status"] == "enabled"
    cloud.active()


def test_a_silent_host_is_down_and_gets_no_server(cloud: Cloud) -> None:
    cloud.clock.advance(61)
    assert "host-1: is down" in cloud.show(cloud.boot())["fault"]["message"]
    assert cloud.admin("GET", "/os-services")["services"][0]["state"] == "down"
    cloud.beat()
    assert cloud.admin("GET", "/os-services")["services"][0]["state"] == "up"


def test_a_server_of_a_silent_host_can_be_deleted_and_its_host_learns_of_it(cloud: Cloud) -> None:
    id = cloud.active()
    cloud.disconnect("host-1")
    cloud.clock.advance(61)
    assert cloud.ask("DELETE", f"/servers/{id}").status == 204
    assert cloud.ask("GET", f"/servers/{id}").status == 404
    assert id in cloud.agents["host-1"].specs
    cloud.connect("host-1")
    assert id not in cloud.agents["host-1"].specs


def test_an_aggregate_makes_a_zone(cloud: Cloud) -> None:
    cloud.add_host("host-2")
    made = cloud.admin("POST", "/os-aggregates", {"aggregate": {"name": "east", "availability_zone": "east"}})
    number = made["aggregate"]["id"]
    assert cloud.admin("POST", "/os-aggregates", {"aggregate": {"name": "east"}}).status == 409
    added = cloud.admin("POST", f"/os-aggregates/{number}/action", {"add_host": {"host": "host-2"}})
    assert added["aggregate"]["hosts"] == ["host-2"]
    zones = cloud.ask("GET", "/os-availability-zone")["availabilityZoneInfo"]
    assert [zone["zoneName"] for zone in zones] == ["east", "nova"]
    id = cloud.boot(availability_zone="east")
    cloud.converge()
    assert cloud.show(id)["OS-EXT-SRV-ATTR:host"] == "host-2"
    assert cloud.admin("DELETE", f"/os-aggregates/{number}").status == 400
    cloud.ask("DELETE", f"/servers/{id}")
    cloud.converge()
    removed = cloud.admin("POST", f"/os-aggregates/{number}/action", {"remove_host": {"host": "host-2"}})
    assert removed["aggregate"]["hosts"] == []
    assert cloud.admin("DELETE", f"/os-aggregates/{number}").status == 200


def test_groups_keep_servers_together_or_apart(cloud: Cloud) -> None:
    cloud.add_host("host-2")
    hosts = {}
    for policy in ("affinity", "anti-affinity"):
        group = cloud.ask("POST", "/os-server-groups", {"server_group": {"name": policy, "policies": [policy]}})
        body = {"server": {"name": policy, "imageRef": "70a599e0-31e7-49b7-b260-868f441e862b", "flavorRef": "tiny",
                           "min_count": 2}, "os:scheduler_hints": {"group": group["server_group"]["id"]}}  # fmt: skip
        assert cloud.ask("POST", "/servers", body).status == 202
        cloud.converge()
        found = cloud.admin("GET", f"/servers/detail?all_tenants=1&name={policy}-[12]")["servers"]
        hosts[policy] = {one["OS-EXT-SRV-ATTR:host"] for one in found if one["name"].startswith(policy)}
        shown = cloud.ask("GET", f"/os-server-groups/{group['server_group']['id']}")["server_group"]
        assert len(shown["members"]) == 2
    assert len(hosts["affinity"]) == 1
    assert len(hosts["anti-affinity"]) == 2
    third = cloud.ask("POST", "/servers", body)
    fault = cloud.show(third["server"]["id"]) if "server" in third.body else {}
    names = cloud.admin("GET", "/servers/detail?all_tenants=1&status=ERROR")["servers"]
    assert any("anti-affinity" in one["fault"]["message"] for one in names), (fault, names)


def test_quotas(cloud: Cloud) -> None:
    assert cloud.ask("GET", "/limits")["limits"]["absolute"]["maxTotalInstances"] == 10
    assert cloud.admin("PUT", "/os-quota-sets/p1", {"quota_set": {"instances": 1}})["quota_set"]["instances"] == 1
    cloud.active()
    body = {"server": {"name": "x", "imageRef": "70a599e0-31e7-49b7-b260-868f441e862b", "flavorRef": "tiny"}}
    assert cloud.ask("POST", "/servers", body).status == 403
    detail = cloud.ask("GET", "/os-quota-sets/p1/detail")["quota_set"]
    assert detail["instances"] == {"limit": 1, "in_use": 1, "reserved": 0}
    assert cloud.admin("PUT", "/os-quota-sets/p1", {"quota_set": {"instances": 0}}).status == 400
    assert cloud.ask("PUT", "/os-quota-sets/p1", {"quota_set": {"instances": 9}}).status == 403
    assert cloud.ask("GET", "/os-quota-sets/p2").status == 403
    assert cloud.admin("DELETE", "/os-quota-sets/p1").status == 202
    assert cloud.ask("GET", "/os-quota-sets/p1")["quota_set"]["instances"] == 10


def test_usage_counts_the_hours(cloud: Cloud) -> None:
    cloud.active()
    cloud.advance(7200)
    end = "2023-11-15T06:13:20"
    usage = cloud.admin("GET", f"/os-simple-tenant-usage/p1?start=2023-11-01T00:00:00&end={end}")["tenant_usage"]
    assert usage["total_hours"] > 1.9
    assert usage["server_usages"][0]["vcpus"] == 1


def test_versions_answer_without_a_token(cloud: Cloud) -> None:
    listed = cloud.ask("GET", "/", who="", prefix="/compute")["versions"]
    assert [one["id"] for one in listed] == ["v2.0", "v2.1"]
    shown = cloud.ask("GET", "/", who="")["version"]
    assert shown["version"] == "2.96" and shown["media-types"]
    assert cloud.ask("GET", "/v2/", who="", prefix="/compute")["version"]["id"] == "v2.0"


def test_migrations_extensions_events(cloud: Cloud) -> None:
    cloud.flavor("big", ram=1024)
    id = cloud.active()
    cloud.act(id, "resize", {"flavorRef": "big"})
    cloud.converge()
    assert cloud.admin("GET", "/os-migrations", version="2.59")["migrations"][0]["status"] == "finished"
    assert cloud.ask("GET", "/extensions/os-keypairs")["extension"]["alias"] == "os-keypairs"
    event = {"server_uuid": id, "name": "network-changed"}
    assert cloud.admin("POST", "/os-server-external-events", {"events": [event]}).status == 200
    cloud.converge()
    assert cloud.show(id)["status"] == "VERIFY_RESIZE"
