"""What compute asks of the network, inside one transaction of its own."""

from typing import Any

import pytest

from bivouac.core.errors import BadRequest, Conflict, Forbidden, NotFound
from bivouac.network import for_compute
from bivouac.network.for_compute import NetworkRequest

from .client import Cloud

WHERE = {"project_id": "one", "host": "host-1", "availability_zone": "nova", "hostname": "My Server"}


def run(cloud: Cloud, rule: Any, *args: Any, token: str = "one", **keywords: Any) -> Any:
    call = cloud.call(token)
    return cloud.store.write_now(lambda tx: rule(tx, call, *args, **keywords), actor=call)


def look(cloud: Cloud, rule: Any, *args: Any) -> Any:
    return cloud.store.read_now(lambda tx: rule(tx, *args))


def attach(cloud: Cloud, server: str, **request: str) -> for_compute.ServerPort:
    return run(cloud, for_compute.attach_port, NetworkRequest(**request), server_id=server, **WHERE)


def test_a_port_is_made_bound_seen_and_released(cloud: Cloud) -> None:
    network, subnet = cloud.tenant_network("one")
    port = attach(cloud, "s1", network_id=network["id"], fixed_ip="10.0.0.77", tag="front")
    assert port.addresses == (for_compute.Address("10.0.0.77", 4, subnet["id"]),)
    assert (port.network_name, port.security_groups, port.tag, port.status) == (
        "private",
        ("default",),
        "front",
        "DOWN",
    )
    shown = cloud.ask("admin", "GET", f"/ports/{port.id}")[1]["port"]
    assert (shown["device_id"], shown["device_owner"], shown["binding:host_id"], shown["dns_name"]) == (
        "s1", "compute:nova", "host-1", "my-server")  # fmt: skip
    second = attach(cloud, "s1", network_id=network["id"])
    assert [one.id for one in look(cloud, for_compute.ports_of, ["s1", "s2"])["s1"]] == [port.id, second.id]
    assert look(cloud, for_compute.servers_with_address, 4, r"10\.0\.0\.7") == ["s1"]
    assert look(cloud, for_compute.servers_with_address, 6, "10") == []
    specs = look(cloud, for_compute.network_specs, "host-1")
    assert specs[0].servers == {"10.0.0.77": "s1", second.addresses[0].address: "s1"}
    assert specs[0].metadata_port is not None
    assert specs[0].metadata_port.addresses == ("10.0.0.2/24",)
    assert look(cloud, for_compute.network_specs, "host-2") == ()
    cloud.store.write_now(lambda tx: for_compute.bind_ports(tx, "s1", "host-2"))
    assert len(look(cloud, for_compute.network_specs, "host-2")) == 1
    cloud.store.write_now(lambda tx: for_compute.release_ports(tx, "s1"))
    cloud.store.write_now(lambda tx: for_compute.release_ports(tx, "s1"))
    assert look(cloud, for_compute.ports_of, ["s1"]) == {"s1": []}


def test_a_given_port_is_only_unbound(cloud: Cloud) -> None:
    network, _ = cloud.tenant_network("one")
    given = cloud.make("one", "ports", network_id=network["id"])
    attach(cloud, "s1", port_id=given["id"])
    with pytest.raises(Conflict):
        attach(cloud, "s2", port_id=given["id"])
    with pytest.raises(NotFound):
        cloud.store.write_now(lambda tx: for_compute.detach_port(tx, "s2", given["id"]))
    cloud.store.write_now(lambda tx: for_compute.detach_port(tx, "s1", given["id"]))
    shown = cloud.ask("admin", "GET", f"/ports/{given['id']}")[1]["port"]
    assert (shown["device_id"], shown["device_owner"], shown["binding:host_id"]) == ("", "", "")


def test_requests_are_resolved(cloud: Cloud) -> None:
    resolve = lambda *args: run(cloud, for_compute.resolve_requests, *args)  # noqa: E731
    assert resolve(None) == resolve("none") == ()
    first, _ = cloud.tenant_network("one")
    assert resolve(None) == resolve("auto") == (NetworkRequest(network_id=first["id"]),)
    second, _ = cloud.tenant_network("one")
    with pytest.raises(Conflict):
        resolve(None)
    wanted = (NetworkRequest(network_id=second["id"]), NetworkRequest(network_id=first["id"]))
    assert resolve(wanted, 3) == wanted
    used = attach(cloud, "s1", network_id=first["id"], fixed_ip="10.0.0.50")
    public, _ = cloud.public_network()
    theirs, _ = cloud.tenant_network("two")
    for request, error in (
        (NetworkRequest(network_id="nowhere"), BadRequest),
        (NetworkRequest(network_id=theirs["id"]), BadRequest),
        (NetworkRequest(port_id="nothing"), BadRequest),
        (NetworkRequest(port_id=used.id), Conflict),
        (NetworkRequest(network_id=first["id"], fixed_ip="10.0.0.50"), Conflict),
        (NetworkRequest(network_id=first["id"], fixed_ip="192.0.2.1"), BadRequest),
        (NetworkRequest(network_id=first["id"], fixed_ip="x"), BadRequest),
        (NetworkRequest(network_id=public["id"]), Forbidden),
    ):
        with pytest.raises(error):
            resolve((request,))
    free = cloud.make("one", "ports", network_id=first["id"])
    with pytest.raises(BadRequest):
        resolve((NetworkRequest(port_id=free["id"]),), 2)
    with pytest.raises(BadRequest):
        resolve((NetworkRequest(port_id=free["id"]), NetworkRequest(port_id=free["id"])))


def test_auto_makes_a_network_with_a_way_out(cloud: Cloud) -> None:
    with pytest.raises(BadRequest):
        run(cloud, for_compute.resolve_requests, "auto")
    public, _ = cloud.public_network()
    (request,) = run(cloud, for_compute.resolve_requests, "auto")
    assert run(cloud, for_compute.resolve_requests, "auto") == (request,)
    (router,) = cloud.ask("one", "GET", "/routers")[1]["routers"]
    assert router["external_gateway_info"]["network_id"] == public["id"]


def test_security_groups_by_name_and_id(cloud: Cloud) -> None:
    network, _ = cloud.tenant_network("one")
    web = cloud.make("one", "security-groups", name="web")
    request = NetworkRequest(network_id=network["id"])
    port = run(cloud, for_compute.attach_port, request, server_id="s1", **WHERE, security_groups=["web"])
    assert port.security_groups == ("web",)
    with pytest.raises(BadRequest):
        run(cloud, for_compute.attach_port, request, server_id="s2", **WHERE, security_groups=["none"])
    cloud.make("one", "security-groups", name="web")
    with pytest.raises(BadRequest):
        run(cloud, for_compute.attach_port, request, server_id="s2", **WHERE, security_groups=["web"])
    run(cloud, for_compute.set_server_security_group, "s1", "default", True)
    run(cloud, for_compute.set_server_security_group, "s1", web["id"], False)
    assert look(cloud, for_compute.ports_of, ["s1"])["s1"][0].security_groups == ("default",)
    with pytest.raises(NotFound):
        run(cloud, for_compute.set_server_security_group, "s1", web["id"], False)


def test_network_data_tells_a_guest_how_to_get_its_addresses(cloud: Cloud) -> None:
    network = cloud.make("one", "networks")
    fixed = cloud.make("one", "subnets", network_id=network["id"], cidr="10.5.0.0/24", enable_dhcp=False,
                       dns_nameservers=["9.9.9.9"], ip_version=4)  # fmt: skip
    cloud.make("one", "subnets", network_id=network["id"], cidr="fd00:5::/64", ip_version=6,
               ipv6_ra_mode="slaac", ipv6_address_mode="slaac")  # fmt: skip
    port = attach(cloud, "s1", network_id=network["id"])
    data = look(cloud, for_compute.network_data, "s1")
    assert data["links"][0]["ethernet_mac_address"] == port.mac_address
    by_type = {one["type"]: one for one in data["networks"]}
    assert by_type["ipv4"]["ip_address"] == port.addresses[0].address
    assert by_type["ipv4"]["routes"][-1] == {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": fixed["gateway_ip"]}
    assert "ipv6_slaac" in by_type
    assert data["services"] == [{"type": "dns", "address": "9.9.9.9"}]
    assert port.addresses[1].address.startswith("fd00:5::f816:3eff:fe")


def test_a_floating_ip_is_seen_beside_its_fixed_address_and_rings(cloud: Cloud) -> None:
    public, _ = cloud.public_network()
    network, subnet = cloud.tenant_network("one")
    router = cloud.make("one", "routers", external_gateway_info={"network_id": public["id"]})
    cloud.ask("one", "PUT", f"/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
    port = attach(cloud, "s1", network_id=network["id"])
    rung: list[tuple[str, str]] = []
    cloud.store.on_bell(lambda loop, key: rung.append((loop, key)))
    floating = cloud.make("one", "floatingips", floating_network_id=public["id"], port_id=port.id)
    assert ("server-specs", "s1") in rung
    (seen,) = look(cloud, for_compute.ports_of, ["s1"])["s1"]
    assert [(one.address, one.kind) for one in seen.addresses] == [
        (port.addresses[0].address, "fixed"), (floating["floating_ip_address"], "floating")]  # fmt: skip
    assert floating["status"] == "ACTIVE"
    cloud.store.write_now(lambda tx: for_compute.release_ports(tx, "s1"))
    shown = cloud.ask("one", "GET", f"/floatingips/{floating['id']}")[1]["floatingip"]
    assert (shown["port_id"], shown["status"]) == (None, "DOWN")
