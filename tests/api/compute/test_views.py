"""What is remembered of encoded servers is what would be encoded now, whatever was changed, by whichever process."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from in_process import exchange_in_loop

from bivouac.compute.api import mounts
from bivouac.compute.compute import Compute
from bivouac.compute.views import CAPACITY, Views
from bivouac.core.http import Application
from bivouac.core.settings import Settings
from bivouac.network import api as network_api

from .cloud import Cloud, authenticate

MEMBER, ADMIN = "ann@p1:member,reader", "root@padmin:admin,manager,member,reader"
LOOKS = [(MEMBER, "2.1"), (MEMBER, "2.96"), (ADMIN, "2.96")]


class Changing:
    """A cloud seen by two control processes that remember and one that never does, and random changes of it."""

    def __init__(self, cloud: Cloud, seed: int):
        self.cloud = cloud
        self.random = random.Random(seed)
        self.forgetful = Compute(cloud.store, cloud.clock, Settings())
        self.near = self._application(cloud.compute)
        self.far = self._application(Compute(cloud.store, cloud.clock, Settings()))
        self.fresh = self._application(self.forgetful)
        self.names = 0
        self._routed_network()
        self.servers = [cloud.active(), cloud.active()]

    def _application(self, compute: Compute) -> Application:
        return Application(
            store=self.cloud.store, policy=self.cloud.policy, clock=self.cloud.clock,
            mounts=[*mounts(compute), network_api.mount()], authenticate=authenticate,
        )  # fmt: skip

    def ask(
        self, method: str, path: str, body: Any = None, who: str = ADMIN, version: str = "2.96",
        application: Application | None = None,
    ) -> tuple[int, Any]:  # fmt: skip
        fields = {"host": "cloud:5000", "x-auth-token": who, "openstack-api-version": f"compute {version}"}
        content = b"" if body is None else json.dumps(body).encode()
        chosen = application or self.random.choice([self.near, self.far])
        status, _, payload = self.cloud.run(exchange_in_loop(chosen, method, path, fields, content))
        return status, json.loads(payload) if payload else None

    def network(self, method: str, kind: str, id: str = "", **fields: Any) -> Any:
        path = f"/network/v2.0/{kind.replace('_', '-')}s{'/' + id if id else ''}"
        status, answer = self.ask(method, path, {kind: fields} if fields else None)
        assert status < 300, (status, answer)
        return answer and answer.get(kind, answer.get(f"{kind}s"))

    def fresh_name(self) -> str:
        self.names += 1
        return self.random.choice(["", ";", "3:", "|", "\u00e9 ", "a;1:b "]) + f"name{self.names}"

    def _routed_network(self) -> None:
        """The network `private` behind a router to an outer one, for floating IPs."""
        self.private = self.network("GET", "network")[0]["id"]
        subnet = self.network("GET", "subnet")[0]["id"]
        outer = self.network(
            "POST", "network", name="public", **{"router:external": True, "provider:network_type": "flat",
            "provider:physical_network": "public"}
        )["id"]  # fmt: skip
        self.network("POST", "subnet", network_id=outer, cidr="172.24.4.0/24", ip_version=4, enable_dhcp=False)
        router = self.network("POST", "router", name="r", external_gateway_info={"network_id": outer})["id"]
        added = self.ask("PUT", f"/network/v2.0/routers/{router}/add_router_interface", {"subnet_id": subnet})
        assert added[0] == 200, added
        self.outer = outer

    # --- changes -------------------------------------------------------------------------------------------------

    def any_server(self) -> str:
        return self.random.choice(self.servers)

    def port(self) -> dict[str, Any] | None:
        ports = [one for one in self.network("GET", "port") if one["device_id"] in self.servers]
        return self.random.choice(ports) if ports else None

    def act(self, action: str, arguments: Any = None) -> None:
        self.ask("POST", f"/compute/v2.1/servers/{self.any_server()}/action", {action: arguments})

    def rename(self) -> None:
        body = {"server": {"name": f"s{self.names}", "description": f"d{self.names}", "accessIPv4": "192.0.2.1"}}
        self.names += 1
        assert self.ask("PUT", f"/compute/v2.1/servers/{self.any_server()}", body)[0] == 200

    def describe(self) -> None:
        self.names += 1
        path = f"/compute/v2.1/servers/{self.any_server()}"
        self.ask("POST", f"{path}/metadata", {"metadata": {"key": f"value{self.names}"}})
        self.ask("PUT", f"{path}/tags", {"tags": [f"t{self.names}"]})

    def toggle_lock(self) -> None:
        self.act(self.random.choice(["lock", "unlock"]))

    def toggle_power(self) -> None:
        self.act(self.random.choice(["os-stop", "os-start", "pause", "unpause"]))

    def converge(self) -> None:
        self.cloud.converge()

    def attach(self) -> None:
        body = {"interfaceAttachment": {"net_id": self.private}}
        self.ask("POST", f"/compute/v2.1/servers/{self.any_server()}/os-interface", body)

    def detach(self) -> None:
        if port := self.port():
            self.ask("DELETE", f"/compute/v2.1/servers/{port['device_id']}/os-interface/{port['id']}")

    def rename_network(self) -> None:
        self.network("PUT", "network", self.private, name=self.fresh_name())

    def group(self) -> None:
        if port := self.port():
            group = self.network("POST", "security_group", name=self.fresh_name(), project_id=port["project_id"])["id"]
            self.network("PUT", "port", port["id"], security_groups=[group, *port["security_groups"]][:3])

    def rename_group(self) -> None:
        held = {one for port in self.network("GET", "port") for one in port["security_groups"]}
        groups = [one for one in self.network("GET", "security_group") if one["name"] != "default"]
        if ids := [one["id"] for one in groups if one["id"] in held]:
            self.network("PUT", "security_group", self.random.choice(ids), name=self.fresh_name())

    def change_addresses(self) -> None:
        if port := self.port():
            host = self.random.randrange(2, 250)
            self.ask("PUT", f"/network/v2.0/ports/{port['id']}",
                     {"port": {"fixed_ips": [{"ip_address": f"10.0.7.{host}"}, *port["fixed_ips"]][:2]}})  # fmt: skip

    def float(self) -> None:
        if port := self.port():
            self.ask("POST", "/network/v2.0/floatingips",
                     {"floatingip": {"floating_network_id": self.outer, "port_id": port["id"]}})  # fmt: skip

    def sink(self) -> None:
        if held := self.network("GET", "floatingip"):
            one = self.random.choice(held)["id"]
            if self.random.random() < 0.5:
                self.ask("PUT", f"/network/v2.0/floatingips/{one}", {"floatingip": {"port_id": None}})
            else:
                self.ask("DELETE", f"/network/v2.0/floatingips/{one}")

    def add_server(self) -> None:
        if len(self.servers) < 4:
            self.servers.append(self.cloud.boot())

    def delete_server(self) -> None:
        if len(self.servers) > 1:
            server = self.servers.pop(self.random.randrange(len(self.servers)))
            assert self.ask("DELETE", f"/compute/v2.1/servers/{server}")[0] == 204

    def pass_time(self) -> None:
        self.cloud.clock.advance(self.random.choice([1, 30, 300]))

    def step(self) -> str:
        changes: list[Callable[[], None]] = [
            self.rename, self.describe, self.toggle_lock, self.toggle_power, self.converge, self.attach, self.detach,
            self.rename_network, self.group, self.rename_group, self.change_addresses, self.float,
            self.sink, self.add_server, self.delete_server, self.pass_time,
        ]  # fmt: skip
        change = self.random.choice(changes)
        change()
        return change.__name__

    # --- looks ---------------------------------------------------------------------------------------------------

    def compare(self, after: str) -> None:
        for who, version in LOOKS:
            for path in ("/servers/detail", f"/servers/{self.any_server()}"):
                self.forgetful.views = Views()
                wanted = self.ask("GET", f"/compute/v2.1{path}", None, who, version, self.fresh)
                assert wanted[0] == 200
                for process in (self.near, self.far):
                    assert self.ask("GET", f"/compute/v2.1{path}", None, who, version, process) == wanted, after


@pytest.mark.parametrize("seed", range(2))
def test_what_is_remembered_is_what_is(cloud: Cloud, seed: int) -> None:
    changing = Changing(cloud, seed)
    changing.compare("setting up")
    for change in (changing.group, changing.rename_group, changing.float, changing.rename_network):
        change()
        changing.compare(change.__name__)
    for _ in range(25):
        changing.compare(changing.step())


def test_what_is_remembered_is_bounded_and_the_latest_look_stays(cloud: Cloud) -> None:
    views = Views()
    for look in range(3):
        for page in range(4):
            ids = [f"{look}-{page}-{number}" for number in range(1000)]
            views.keep(look, FakeSeen(ids), dict.fromkeys(ids))  # type: ignore[arg-type]
    assert len(views.known(2)) == 4000
    assert sum(len(views.known(look)) for look in range(3)) <= CAPACITY


class FakeSeen:
    def __init__(self, ids: list[str]):
        self.states = [(id, (1, "", "")) for id in ids]
