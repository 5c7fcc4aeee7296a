"""Routers and floating IPs through the API."""

from typing import Any

from .client import Cloud


def connect(cloud: Cloud, token: str, router: str, verb: str = "add", **what: str) -> tuple[int, Any]:
    return cloud.ask(token, "PUT", f"/routers/{router}/{verb}_router_interface", what)


def kind(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["NeutronError"]["type"]


def test_interfaces_come_and_go(cloud: Cloud) -> None:
    network, subnet = cloud.tenant_network("one")
    router = cloud.make("one", "routers", name="r")
    assert (router["external_gateway_info"], router["routes"], router["status"]) == (None, [], "ACTIVE")
    status, interface = connect(cloud, "one", router["id"], subnet_id=subnet["id"])
    assert (status, interface["subnet_id"], interface["id"]) == (200, subnet["id"], router["id"])
    port = cloud.ask("one", "GET", f"/ports/{interface['port_id']}")[1]["port"]
    assert (port["device_id"], port["device_owner"], port["status"]) == (
        router["id"], "network:router_interface", "ACTIVE")  # fmt: skip
    assert port["fixed_ips"][0]["ip_address"] == "10.0.0.1"
    assert connect(cloud, "one", router["id"], subnet_id=subnet["id"])[0] == 400
    _, overlapping = cloud.tenant_network("one")
    answer = connect(cloud, "one", router["id"], subnet_id=overlapping["id"])
    assert answer[0] == 400
    assert "overlaps with cidr" in answer[1]["NeutronError"]["message"]
    assert kind(cloud.ask("one", "DELETE", f"/routers/{router['id']}")) == (409, "RouterInUse")
    assert kind(cloud.ask("one", "DELETE", f"/ports/{port['id']}")) == (409, "ServicePortInUse")
    assert connect(cloud, "one", router["id"], "remove", subnet_id=subnet["id"])[0] == 200
    assert connect(cloud, "one", router["id"], "remove", subnet_id=subnet["id"])[0] == 404
    given = cloud.make("one", "ports", network_id=network["id"])
    assert connect(cloud, "one", router["id"], port_id=given["id"])[1]["port_id"] == given["id"]
    assert connect(cloud, "one", router["id"], port_id=given["id"])[0] == 409
    assert connect(cloud, "one", router["id"], "remove", port_id=given["id"])[0] == 200
    assert cloud.ask("one", "GET", f"/ports/{given['id']}")[0] == 404
    assert cloud.ask("one", "DELETE", f"/routers/{router['id']}")[0] == 204


def test_a_stranger_cannot_connect_to_my_subnet(cloud: Cloud) -> None:
    _, subnet = cloud.tenant_network("one")
    router = cloud.make("two", "routers")
    assert connect(cloud, "two", router["id"], subnet_id=subnet["id"])[0] == 404
    assert connect(cloud, "two", router["id"])[0] == 400


def test_the_gateway(cloud: Cloud) -> None:
    public, outside = cloud.public_network()
    private, _ = cloud.tenant_network("one")
    path = lambda router: f"/routers/{router['id']}"  # noqa: E731
    router = cloud.make("one", "routers", external_gateway_info={"network_id": public["id"]})
    gateway = router["external_gateway_info"]
    assert (gateway["network_id"], gateway["enable_snat"]) == (public["id"], True)
    assert gateway["external_fixed_ips"] == [{"subnet_id": outside["id"], "ip_address": "172.24.4.10"}]
    put = lambda token, **info: cloud.ask(token, "PUT", path(router), {"router": {"external_gateway_info": info}})  # noqa: E731
    assert put("one", network_id=public["id"], enable_snat=False)[0] == 403
    assert put("admin", network_id=public["id"], enable_snat=False)[1]["router"]["external_gateway_info"][
        "enable_snat"] is False  # fmt: skip
    assert put("one", network_id=private["id"])[0] == 400
    assert put("one", network_id="none")[0] == 404
    taken = [{"subnet_id": outside["id"], "ip_address": "172.24.4.10"}]
    other = cloud.make("admin", "routers")
    body = {"router": {"external_gateway_info": {"network_id": public["id"], "external_fixed_ips": taken}}}
    assert cloud.ask("admin", "PUT", path(other), body)[0] == 409
    assert put("one")[1]["router"]["external_gateway_info"] is None
    assert cloud.ask("admin", "GET", f"/ports?network_id={public['id']}")[1]["ports"] == []


def test_routes(cloud: Cloud) -> None:
    _, subnet = cloud.tenant_network("one")
    router = cloud.make("one", "routers")
    connect(cloud, "one", router["id"], subnet_id=subnet["id"])
    path = f"/routers/{router['id']}"
    put = lambda *routes: cloud.ask("one", "PUT", path, {"router": {"routes": list(routes)}})  # noqa: E731
    good = {"destination": "10.9.0.0/24", "nexthop": "10.0.0.9"}
    assert put(good)[1]["router"]["routes"] == [good]
    for bad in ({**good, "nexthop": "192.0.2.1"}, {**good, "nexthop": "10.0.0.1"}, {**good, "destination": "x"}):
        assert put(bad)[0] == 400, bad
    more = {"destination": "10.8.0.0/24", "nexthop": "10.0.0.8"}
    body = {"router": {"routes": [good, more]}}
    assert len(cloud.ask("one", "PUT", f"{path}/add_extraroutes", body)[1]["router"]["routes"]) == 2
    assert kind(connect(cloud, "one", router["id"], "remove", subnet_id=subnet["id"])) == (
        409, "RouterInterfaceInUseByRoute")  # fmt: skip
    body = {"router": {"routes": [good]}}
    assert cloud.ask("one", "PUT", f"{path}/remove_extraroutes", body)[1]["router"]["routes"] == [more]
    assert cloud.ask("one", "PUT", path, {"router": {"routes": None}})[1]["router"]["routes"] == []


def test_a_floating_ip_leads_where_it_is_told(cloud: Cloud) -> None:
    public, _ = cloud.public_network()
    network, subnet = cloud.tenant_network("one")
    port = cloud.make("one", "ports", network_id=network["id"])
    wanted = {"floatingip": {"floating_network_id": public["id"], "port_id": port["id"]}}
    assert kind(cloud.ask("one", "POST", "/floatingips", wanted)) == (404, "ExternalGatewayForFloatingIPNotFound")
    router = cloud.make("one", "routers", external_gateway_info={"network_id": public["id"]})
    connect(cloud, "one", router["id"], subnet_id=subnet["id"])
    floating = cloud.ask("one", "POST", "/floatingips", wanted)[1]["floatingip"]
    assert (floating["status"], floating["fixed_ip_address"], floating["router_id"]) == (
        "ACTIVE", port["fixed_ips"][0]["ip_address"], router["id"])  # fmt: skip
    assert floating["port_details"]["mac_address"] == port["mac_address"]
    assert kind(cloud.ask("one", "POST", "/floatingips", wanted)) == (409, "FloatingIPPortAlreadyAssociated")
    assert kind(connect(cloud, "one", router["id"], "remove", subnet_id=subnet["id"])) == (
        409, "RouterInterfaceInUseByFloatingIP")  # fmt: skip
    clear = {"router": {"external_gateway_info": {}}}
    assert kind(cloud.ask("one", "PUT", f"/routers/{router['id']}", clear)) == (
        409, "RouterExternalGatewayInUseByFloatingIp")  # fmt: skip
    path = f"/floatingips/{floating['id']}"
    away = cloud.ask("one", "PUT", path, {"floatingip": {"port_id": None}})[1]["floatingip"]
    assert (away["status"], away["port_id"], away["router_id"]) == ("DOWN", None, None)
    back = cloud.ask("one", "PUT", path, {"floatingip": {"port_id": port["id"]}})[1]["floatingip"]
    assert back["status"] == "ACTIVE"
    cloud.ask("one", "DELETE", f"/ports/{port['id']}")
    assert cloud.ask("one", "GET", path)[1]["floatingip"]["status"] == "DOWN"
    assert cloud.ask("two", "GET", path)[0] == 404
    assert cloud.ask("one", "DELETE", path)[0] == 204


def test_floating_ips_want_an_external_network_and_a_fitting_port(cloud: Cloud) -> None:
    public, _ = cloud.public_network()
    private, _ = cloud.tenant_network("one")
    post = lambda **fields: cloud.ask("one", "POST", "/floatingips", {"floatingip": fields})  # noqa: E731
    assert post(floating_network_id=private["id"])[0] == 400
    assert post(floating_network_id="none")[0] == 404
    assert post(floating_network_id=public["id"], floating_ip_address="172.24.4.50")[0] == 403
    assert post(floating_network_id=public["id"], port_id="none")[0] == 404
    assert post(floating_network_id=public["id"], fixed_ip_address="10.0.0.1")[0] == 400
    assert cloud.ask("one", "GET", "/floatingips")[1]["floatingips"] == []


def test_an_external_network_goes_with_its_idle_floating_ips(cloud: Cloud) -> None:
    public, outside = cloud.public_network()
    cloud.make("one", "floatingips", floating_network_id=public["id"])
    assert cloud.ask("one", "GET", f"/subnets/{outside['id']}")[0] == 200
    assert cloud.ask("admin", "DELETE", f"/networks/{public['id']}")[0] == 204
    assert cloud.ask("one", "GET", "/floatingips")[1]["floatingips"] == []


def test_ipv6_subnets_of_a_network_share_an_interface(cloud: Cloud) -> None:
    network = cloud.make("one", "networks")
    one, two = (
        cloud.make("one", "subnets", network_id=network["id"], cidr=cidr, ip_version=6)
        for cidr in ("fd00:1::/64", "fd00:2::/64")
    )
    router = cloud.make("one", "routers")
    first = connect(cloud, "one", router["id"], subnet_id=one["id"])[1]
    second = connect(cloud, "one", router["id"], subnet_id=two["id"])[1]
    assert first["port_id"] == second["port_id"]
    connect(cloud, "one", router["id"], "remove", subnet_id=one["id"])
    port = cloud.ask("one", "GET", f"/ports/{first['port_id']}")[1]["port"]
    assert [ip["subnet_id"] for ip in port["fixed_ips"]] == [two["id"]]
    connect(cloud, "one", router["id"], "remove", subnet_id=two["id"])
    assert cloud.ask("one", "GET", f"/ports/{first['port_id']}")[0] == 404
