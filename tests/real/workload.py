"""Projects that make, change and delete servers, ports, addresses, groups and routers at random, by a seed.

Nothing they are answered surprises them but an error of the server's side: a cloud that is being killed may refuse or
hang up, and whether a request was carried out is then unknown.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable
from typing import Any

LIMIT_S = 60.0
PRICE_S = (0.3, 1.5)
"""Between two requests of a project."""


class Refused(Exception):
    """A 4xx: what was asked cannot be done in the state that things are in."""

    def __init__(self, status: int, text: str):
        super().__init__(f"{status}: {text[:300]}")
        self.status = status


class Unanswered(Exception):
    """Control went away before it answered."""


class Broken(Exception):
    """A 5xx that nobody's death explains."""


class Client:
    """One project of a cloud, by plain requests."""

    def __init__(self, user: str, password: str, project: str):
        self.user, self.password, self.project = user, password, project
        self._token = ""

    def login(self) -> None:
        domain = {"id": "default"}
        user = {"name": self.user, "domain": domain, "password": self.password}
        scope = {"project": {"name": self.project, "domain": domain}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        status, headers, text = self._send("POST", "/identity/v3/auth/tokens", body)
        if status != 201:
            raise Refused(status, text)
        self._token = headers["X-Subject-Token"]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer. Raises Refused, Unanswered, Broken."""
        if not self._token:
            self.login()
        status, _, text = self._send(method, path, body)
        if status in (502, 503, 504):
            raise Unanswered(f"{method} {path}: {status} {text[:200]}")
        if status >= 500:
            raise Broken(f"{method} {path}: {status} {text[:500]}")
        if status >= 400:
            raise Refused(status, text)
        return json.loads(text) if text else {}

    def _send(self, method: str, path: str, body: Any) -> tuple[int, Any, str]:
        connection = http.client.HTTPConnection("127.0.0.1", 5000, timeout=30)
        headers = {"Content-Type": "application/json", "X-Auth-Token": self._token}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise Unanswered(f"{method} {path}: {error}") from error
        finally:
            connection.close()

    def patiently(self, method: str, path: str, body: Any = None) -> Any:
        """`call`, asked again while control is away."""
        end = time.monotonic() + LIMIT_S
        while True:
            try:
                return self.call(method, path, body)
            except Unanswered:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    # --- shorter words

    def servers(self) -> list[dict[str, Any]]:
        return self.patiently("GET", "/compute/v2.1/servers/detail")["servers"]

    def all(self, kind: str) -> list[dict[str, Any]]:
        """The project's own of a resource of the network service."""
        path = f"/network/v2.0/{kind.replace('_', '-')}"
        return [one for one in self.patiently("GET", path)[kind] if not one.get("shared")]


class Project(threading.Thread):
    """One project's life in a thread. `problems` says what should not have been."""

    def __init__(self, client: Client, seed: int, stopping: threading.Event, image: str, flavor: str, most: int = 2):
        super().__init__(name=f"project {client.project}", daemon=True)
        self.client = client
        self.done: list[str] = []
        self.problems: list[str] = []
        self._random = random.Random(seed)
        self._stopping = stopping
        self._image, self._flavor, self._most = image, flavor, most
        self._number = 0

    def run(self) -> None:
        while not self._stopping.wait(self._random.uniform(*PRICE_S)):
            act = self._random.choice(_ACTIONS)
            try:
                act(self)
                self.done.append(act.__name__)
            except (Refused, Unanswered, IndexError):
                continue
            except Exception as error:
                self.problems.append(f"{self.client.project}: {act.__name__}: {type(error).__name__}: {error}")

    # --- what it may do. IndexError: there is nothing to do it with

    def _any(self, found: list[dict[str, Any]]) -> dict[str, Any]:
        return self._random.choice(found)

    def _named(self, kind: str) -> list[dict[str, Any]]:
        """Those of a kind that were made here, and not by setup."""
        return [one for one in self.client.all(kind) if one["name"].startswith("s-")]

    def _servers(self) -> list[dict[str, Any]]:
        return [one for one in self.client.servers() if one["name"].startswith("s-")]

    def _ports(self) -> list[dict[str, Any]]:
        """Ports of these servers."""
        ids = {one["id"] for one in self._servers()}
        return [one for one in self.client.all("ports") if one["device_id"] in ids]

    def _new_name(self) -> str:
        self._number += 1
        return f"s-{self.client.project}-{self._number}"

    def create_server(self) -> None:
        if len(self._servers()) >= self._most:
            self.delete_server()
            return
        network = self._any(self.client.all("networks"))
        wish: dict[str, Any] = {"uuid": network["id"]}
        if self._random.random() < 0.4:
            port = {"port": {"network_id": network["id"], "name": self._new_name()}}
            wish = {"port": self.client.call("POST", "/network/v2.0/ports", port)["port"]["id"]}
        server = {
            "name": self._new_name(), "imageRef": self._image, "flavorRef": self._flavor, "networks": [wish],
            "config_drive": self._random.random() < 0.5,
        }  # fmt: skip
        self.client.call("POST", "/compute/v2.1/servers", {"server": server})

    def delete_server(self) -> None:
        server = self._any(self._servers())
        self.client.call("DELETE", f"/compute/v2.1/servers/{server['id']}")

    def act_on_server(self) -> None:
        actions: list[dict[str, Any]] = [
            {"reboot": {"type": "HARD"}}, {"reboot": {"type": "SOFT"}}, {"os-stop": None}, {"os-start": None},
            {"pause": None}, {"unpause": None}, {"suspend": None}, {"resume": None},
        ]  # fmt: skip
        server = self._any(self._servers())
        allowed = {
            "ACTIVE": (0, 1, 2, 4, 6), "SHUTOFF": (3,), "PAUSED": (5,), "SUSPENDED": (7,), "ERROR": (0,),
        }.get(server["status"], range(8))  # fmt: skip
        action = actions[self._random.choice(tuple(allowed))]
        self.client.call("POST", f"/compute/v2.1/servers/{server['id']}/action", action)

    def attach_or_detach(self) -> None:
        server = self._any(self._servers())
        path = f"/compute/v2.1/servers/{server['id']}/os-interface"
        held = self.client.call("GET", path)["interfaceAttachments"]
        if len(held) > 1:
            self.client.call("DELETE", f"{path}/{self._any(held)['port_id']}")
        else:
            network = self._any(self.client.all("networks"))
            self.client.call("POST", path, {"interfaceAttachment": {"net_id": network["id"]}})

    def float_or_sink(self) -> None:
        held = [one for one in self.client.all("floatingips") if one["description"] == "s"]
        if len(held) > 2:
            self.client.call("DELETE", f"/network/v2.0/floatingips/{self._any(held)['id']}")
            return
        public = self.client.call("GET", "/network/v2.0/networks?router:external=true")["networks"][0]
        port = self._any(self._ports())
        body = {"floating_network_id": public["id"], "port_id": port["id"], "description": "s"}
        self.client.call("POST", "/network/v2.0/floatingips", {"floatingip": body})

    def change_group(self) -> None:
        found = self._named("security_groups")
        if not found:
            self.client.call("POST", "/network/v2.0/security-groups", {"security_group": {"name": self._new_name()}})
            return
        group = self._any(found)
        ports = self._ports()
        if len(group["security_group_rules"]) < 6:
            low = self._random.randrange(1, 60000)
            rule = {"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp",
                    "port_range_min": low, "port_range_max": low + 10}  # fmt: skip
            self.client.call("POST", "/network/v2.0/security-group-rules", {"security_group_rule": rule})
        elif ports and self._random.random() < 0.5:
            port = self._any(ports)
            groups = sorted({*port["security_groups"], group["id"]})
            body = {"port": {"security_groups": groups}}
            self.client.call("PUT", f"/network/v2.0/ports/{port['id']}", body)
        else:
            rule = self._any(group["security_group_rules"])
            self.client.call("DELETE", f"/network/v2.0/security-group-rules/{rule['id']}")

    def make_network(self) -> None:
        if len(self._named("networks")) >= 2:
            self.drop_network()
            return
        network = self.client.call("POST", "/network/v2.0/networks", {"network": {"name": self._new_name()}})["network"]
        subnet = {"network_id": network["id"], "ip_version": 4, "cidr": "10.77.0.0/24", "name": self._new_name()}
        self.client.call("POST", "/network/v2.0/subnets", {"subnet": subnet})

    def drop_network(self) -> None:
        network = self._any(self._named("networks"))
        self.client.call("DELETE", f"/network/v2.0/networks/{network['id']}")

    def route(self) -> None:
        routers = self._named("routers")
        if not routers:
            public = self.client.call("GET", "/network/v2.0/networks?router:external=true")["networks"][0]
            router = {"name": self._new_name(), "external_gateway_info": {"network_id": public["id"]}}
            self.client.call("POST", "/network/v2.0/routers", {"router": router})
            return
        router = self._any(routers)
        subnets = self._named("subnets")
        way = self._random.choice(("add_router_interface", "remove_router_interface", "delete"))
        if way == "delete":
            self.client.call("DELETE", f"/network/v2.0/routers/{router['id']}")
            return
        self.client.call("PUT", f"/network/v2.0/routers/{router['id']}/{way}", {"subnet_id": self._any(subnets)["id"]})

    def drop_port(self) -> None:
        port = self._any([one for one in self._named("ports") if not one["device_id"]])
        self.client.call("DELETE", f"/network/v2.0/ports/{port['id']}")

    def make_reachable(self, like: str) -> str:
        """A new server on the network, with the groups and the key of another one; its floating IP."""
        known = next(one for one in self.client.servers() if one["name"] == like)
        ports = self.client.patiently("GET", f"/network/v2.0/ports?device_id={known['id']}")["ports"]
        port = {"network_id": ports[0]["network_id"], "security_groups": ports[0]["security_groups"],
                "name": self._new_name()}  # fmt: skip
        port = self.client.patiently("POST", "/network/v2.0/ports", {"port": port})["port"]
        public = self.client.call("GET", "/network/v2.0/networks?router:external=true")["networks"][0]
        body = {"floating_network_id": public["id"], "port_id": port["id"], "description": "s"}
        floating = self.client.patiently("POST", "/network/v2.0/floatingips", {"floatingip": body})["floatingip"]
        server = {
            "name": self._new_name(), "imageRef": self._image, "flavorRef": self._flavor,
            "networks": [{"port": port["id"]}], "key_name": known["key_name"],
        }  # fmt: skip
        self.client.patiently("POST", "/compute/v2.1/servers", {"server": server})
        return floating["floating_ip_address"]

    # --- in the end

    def clean(self) -> None:
        """Delete all that was made here."""
        for server in self._servers():
            _gone(lambda server=server: self.client.patiently("DELETE", f"/compute/v2.1/servers/{server['id']}"))
        _until(lambda: not self._servers(), "servers are gone")
        for one in self.client.all("floatingips"):
            if one["description"] == "s":
                self.client.patiently("DELETE", f"/network/v2.0/floatingips/{one['id']}")
        for router in self._named("routers"):
            for port in self.client.patiently("GET", f"/network/v2.0/ports?device_id={router['id']}")["ports"]:
                if port["device_owner"] == "network:router_interface":
                    path = f"/network/v2.0/routers/{router['id']}/remove_router_interface"
                    self.client.patiently("PUT", path, {"port_id": port["id"]})
            self.client.patiently("DELETE", f"/network/v2.0/routers/{router['id']}")
        for kind in ("ports", "networks", "security_groups"):
            for one in self._named(kind):
                self.client.patiently("DELETE", f"/network/v2.0/{kind.replace('_', '-')}/{one['id']}")


_ACTIONS: tuple[Callable[[Project], None], ...] = (
    *[Project.create_server] * 4, *[Project.delete_server] * 2, *[Project.act_on_server] * 5,
    *[Project.attach_or_detach] * 2, *[Project.float_or_sink] * 2, *[Project.change_group] * 2,
    *[Project.make_network] * 2, *[Project.route] * 2, Project.drop_network, Project.drop_port,
)  # fmt: skip


def _gone(ask: Callable[[], Any]) -> None:
    try:
        ask()
    except Refused as error:
        if error.status != 404:
            raise


def _until(done: Callable[[], bool], what: str, limit_s: float = LIMIT_S) -> None:
    end = time.monotonic() + limit_s
    while not done():
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit_s:.0f} s: {what}")
        time.sleep(0.2)
