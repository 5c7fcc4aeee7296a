"""The Network API in process: an application over a store, and callers of three kinds."""

import json
from typing import Any

from in_process import exchange

from bivouac.core.call import Call, Caller
from bivouac.core.clock import ManualClock
from bivouac.core.http import Application, Request
from bivouac.core.policy import Policy
from bivouac.core.store import Store
from bivouac.network.api import mount
from bivouac.network.policy import POLICY

ROLES = {"admin": ("admin", "manager", "member", "reader"), "reader": ("reader",)}


class Cloud:
    """Tokens are `PROJECT` or `PROJECT/ROLE`; the token `admin` is the administrator's."""

    def __init__(self, store: Store):
        self.store = store
        self.policy = Policy(POLICY)
        self.clock = ManualClock()
        self.mount = mount()
        self.application = Application(
            store=store, policy=self.policy, clock=self.clock, mounts=[self.mount], authenticate=self._authenticate
        )

    def caller(self, token: str) -> Caller:
        project, _, role = token.partition("/")
        roles = ROLES.get(role or project, ("member", "reader"))
        return Caller(user_id=project, user_name=project, project_id=project, roles=roles)

    def call(self, token: str) -> Call:
        """A call for rules that are run directly."""
        return Call(caller=self.caller(token), policy=self.policy, now=self.clock.now())

    async def _authenticate(self, token: str, request: Request) -> Caller | None:
        return self.caller(token)

    def ask(self, token: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """(status, decoded body)"""
        path = path if path.startswith("/network/") else f"/network/v2.0{path}"
        fields = {"host": "cloud", "x-auth-token": token, **{k.replace("_", "-"): v for k, v in headers.items()}}
        payload = b"" if body is None else json.dumps(body).encode()
        status, _, text = exchange(self.application, method, path, fields, payload)
        self.clock.advance(1)
        return status, json.loads(text) if text else None

    def make(self, token: str, path: str, **fields: Any) -> dict[str, Any]:
        """POST to a collection; the thing made."""
        singular = {"security-groups": "security_group", "security-group-rules": "security_group_rule"}.get(
            path, path[:-1])  # fmt: skip
        status, body = self.ask(token, "POST", f"/{path}", {singular: fields})
        assert status == 201, body
        return body[singular]

    def public_network(self) -> tuple[dict[str, Any], dict[str, Any]]:
        network = self.make("admin", "networks", name="public", **{
            "router:external": True, "provider:network_type": "flat", "provider:physical_network": "public",
        })  # fmt: skip
        subnet = self.make(
            "admin", "subnets", network_id=network["id"], cidr="172.24.4.0/24", gateway_ip="172.24.4.1",
            enable_dhcp=False, allocation_pools=[{"start": "172.24.4.10", "end": "172.24.4.200"}], ip_version=4,
        )  # fmt: skip
        return network, subnet

    def tenant_network(self, token: str, cidr: str = "10.0.0.0/24") -> tuple[dict[str, Any], dict[str, Any]]:
        network = self.make(token, "networks", name="private")
        return network, self.make(token, "subnets", network_id=network["id"], cidr=cidr, ip_version=4)
