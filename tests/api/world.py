"""A whole cloud in process, with one of everything in it that one project owns, and callers of every role and scope.

What is somebody's own carries `OWNED` in its name, so that a test sees at once when an answer tells of it.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

from in_process import exchange_in_loop

from api.compute.cloud import Agent, facts
from bivouac.app.cloud import Cloud, build
from bivouac.core.call import Caller
from bivouac.core.http import Mount, Request, Route
from bivouac.core.ids import new_hex
from bivouac.core.settings import Database, Settings

OWNED = "owned-by-one"
IMPLIED = {
    "reader": ("reader",), "member": ("member", "reader"), "manager": ("manager", "member", "reader"),
    "admin": ("admin", "manager", "member", "reader"), "service": ("service",), "none": (),
}  # fmt: skip
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEVvYWxsb3dlZGtleWZvcnRlc3RpbmdvbmVwcm9qZWN0 x"


class World:
    """The cloud, `ids` of what is in it by name of the thing, and `callers` by name."""

    def __init__(self, state: Path, database: Database):
        self.cloud: Cloud = build(Settings(state=str(state), database=database))
        self.loop = asyncio.new_event_loop()
        self.callers: dict[str, Caller] = {}
        self.ids: dict[str, str] = {}
        real = self.cloud.application.authenticate

        async def authenticate(token: str, request: Request) -> Caller | None:
            return self.callers.get(token) or await real(token, request)

        self.cloud.application.authenticate = authenticate
        root = self.cloud.store.read_now(lambda tx: tx.value("SELECT id FROM users WHERE name = 'admin'"))
        home = self.cloud.store.read_now(lambda tx: tx.value("SELECT id FROM projects WHERE name = 'admin'"))
        self.callers["root"] = Caller(user_id=root, user_name="admin", project_id=home, roles=IMPLIED["admin"])
        self.ids["user:root"] = root
        self._identity()
        self._callers()
        self._image()
        self._network()
        self._compute()
        self.secrets = [self.ids[name] for name in SECRETS]
        """Ids that may be told to nobody whom a rule does not let see them."""

    def close(self) -> None:
        self.loop.close()
        self.cloud.store.close()

    # --- requests ------------------------------------------------------------------------------------------------

    def ask(
        self, token: str, method: str, path: str, body: Any = b"", media_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes, dict[str, str]]:  # fmt: skip
        """(status, body, headers) of one request."""
        fields = {"host": "cloud", "content-type": media_type, **(headers or {})}
        if token:
            fields["x-auth-token"] = token
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        asked = exchange_in_loop(self.cloud.application, method, path, fields, content)
        status, found, payload = self.loop.run_until_complete(asked)
        return status, payload, found

    def make(self, path: str, body: Any = b"", token: str = "root", method: str = "POST", **headers: str) -> Any:
        """The answer of a request that must succeed."""
        known = {"openstack-api-version": "compute 2.96", **{k.replace("_", "-"): v for k, v in headers.items()}}
        status, content, found = self.ask(token, method, path, body, headers=known)
        assert status < 300, (method, path, status, content)
        return {**(json.loads(content) if content else {}), "token": found.get("x-subject-token", "")}

    # --- one of everything ---------------------------------------------------------------------------------------

    def _identity(self) -> None:
        ids = self.ids
        v3 = "/identity/v3"
        ids["domain"] = "default"
        ids["other domain"] = self.make(f"{v3}/domains", {"domain": {"name": "elsewhere"}})["domain"]["id"]
        for name in ("one", "two"):
            body = {"project": {"name": f"{OWNED}-project" if name == "one" else name, "tags": ["red"]}}
            ids[f"project:{name}"] = self.make(f"{v3}/projects", body)["project"]["id"]
        ids["project"] = ids["project:one"]
        body = {"user": {"name": f"{OWNED}-user", "password": "a long word"}}
        ids["user"] = self.make(f"{v3}/users", body)["user"]["id"]
        ids["group"] = self.make(f"{v3}/groups", {"group": {"name": f"{OWNED}-group"}})["group"]["id"]
        self.make(f"{v3}/groups/{ids['group']}/users/{ids['user']}", method="PUT")
        for name in ("member", "reader", "manager"):
            ids[f"role:{name}"] = self.make(f"{v3}/roles?name={name}", method="GET")["roles"][0]["id"]
        ids["role"] = ids["role:member"]
        for kind in ("users", "groups"):
            who = ids[kind[:-1]]
            for target in (f"projects/{ids['project']}", "domains/default"):
                self.make(f"{v3}/{target}/{kind}/{who}/roles/{ids['role']}", method="PUT")
                inherited = f"{v3}/OS-INHERIT/{target}/{kind}/{who}/roles/{ids['role']}/inherited_to_projects"
                self.make(inherited, method="PUT")
            self.make(f"{v3}/system/{kind}/{who}/roles/{ids['role']}", method="PUT")
        for kind, fields in (
            ("region", {}), ("service", {"type": "x", "name": "x"}),
            ("policy", {"blob": "x", "type": "text/plain"}), ("consumer", {}),
        ):  # fmt: skip
            plural = {"policy": "policies", "consumer": "OS-OAUTH1/consumers"}.get(kind, kind + "s")
            ids[kind] = self.make(f"{v3}/{plural}", {kind: fields})[kind]["id"]
        endpoint = {"service_id": ids["service"], "interface": "public", "url": "http://x", "region_id": ids["region"]}
        ids["endpoint"] = self.make(f"{v3}/endpoints", {"endpoint": endpoint})["endpoint"]["id"]
        group = {"name": "x", "filters": {"interface": "public"}}
        made = self.make(f"{v3}/OS-EP-FILTER/endpoint_groups", {"endpoint_group": group})
        ids["endpoint group"] = made["endpoint_group"]["id"]
        self.make(f"{v3}/OS-EP-FILTER/endpoint_groups/{ids['endpoint group']}/projects/{ids['project']}", method="PUT")
        self.make(f"{v3}/OS-EP-FILTER/projects/{ids['project']}/endpoints/{ids['endpoint']}", method="PUT")
        for target in (
            f"endpoints/{ids['endpoint']}", f"services/{ids['service']}",
            f"services/{ids['service']}/regions/{ids['region']}",
        ):  # fmt: skip
            self.make(f"{v3}/policies/{ids['policy']}/OS-ENDPOINT-POLICY/{target}", method="PUT")
        registered = {"service_id": ids["service"], "resource_name": "things", "default_limit": 5}
        made = self.make(f"{v3}/registered_limits", {"registered_limits": [registered]})
        ids["registered limit"] = made["registered_limits"][0]["id"]
        limit = {"service_id": ids["service"], "resource_name": "things", "resource_limit": 3,
                 "project_id": ids["project"]}  # fmt: skip
        ids["limit"] = self.make(f"{v3}/limits", {"limits": [limit]})["limits"][0]["id"]
        config = {"config": {"ldap": {"url": "ldap://x", "user_tree_dn": OWNED}}}
        self.make(f"{v3}/domains/default/config", config, method="PUT")
        user = {"id": ids["user"], "password": "a long word"}
        known = {"methods": ["password"], "password": {"user": user}}
        auth = {"identity": known, "scope": {"project": {"id": ids["project"]}}}
        token = self.make(f"{v3}/auth/tokens", {"auth": auth}, token="")["token"]
        ids["token"] = token
        blob = {"type": "cert", "blob": OWNED, "user_id": ids["user"]}
        ids["credential"] = self.make(f"{v3}/credentials", {"credential": blob})["credential"]["id"]
        made = self.make(f"{v3}/users/{ids['user']}/credentials/OS-EC2", {"tenant_id": ids["project"]}, token=token)
        ids["ec2 credential"] = made["credential"]["access"]
        rules = [{"service": "compute", "method": "GET", "path": "/v2.1/servers"}]
        body = {"application_credential": {"name": f"{OWNED}-credential", "access_rules": rules}}
        made = self.make(f"{v3}/users/{ids['user']}/application_credentials", body, token=token)
        ids["application credential"] = made["application_credential"]["id"]
        ids["access rule"] = made["application_credential"]["access_rules"][0]["id"]
        trust = {"trustor_user_id": ids["user"], "trustee_user_id": ids["user:root"], "project_id": ids["project"],
                 "impersonation": False, "roles": [{"name": "member"}]}  # fmt: skip
        ids["trust"] = self.make(f"{v3}/OS-TRUST/trusts", {"trust": trust}, token=token)["trust"]["id"]

    def _callers(self) -> None:
        one, two = self.ids["project:one"], self.ids["project:two"]

        def add(name: str, role: str, user: str = "", **scope: Any) -> None:
            id = user or new_hex()
            in_project = {"project_domain_id": "default"} if "project_id" in scope else {}
            self.callers[name] = Caller(user_id=id, user_name=name, roles=IMPLIED[role], **scope, **in_project)

        role_ids = (self.ids["role:member"], self.ids["role:reader"])
        add("owner", "member", self.ids["user"], project_id=one, role_ids=role_ids)
        for role in ("none", "reader", "member", "manager", "admin"):
            add(f"one {role}", role, project_id=one)
        for role in ("none", "reader", "member", "manager"):
            add(f"two {role}", role, project_id=two)
        add("two service", "service", project_id=two)
        for role in ("reader", "member", "manager", "admin"):
            add(f"domain {role}", role, domain_id="default")
        for role in ("reader", "manager"):
            add(f"elsewhere {role}", role, domain_id=self.ids["other domain"])
        for role in ("reader", "member", "admin"):
            add(f"system {role}", role, system=True)
        add("unscoped", "none")

    def _image(self) -> None:
        ids = self.ids
        body = {"name": f"{OWNED}-image", "disk_format": "raw", "container_format": "bare", "visibility": "shared",
                "tags": ["red"], "red": "yes"}  # fmt: skip
        ids["image"] = self.make("/image/v2/images", body, token="owner")["id"]
        uploaded = self.ask("owner", "PUT", f"/image/v2/images/{ids['image']}/file", b"x" * 512,
                            "application/octet-stream")  # fmt: skip
        assert uploaded[0] == 204, uploaded
        self.make(f"/image/v2/images/{ids['image']}/members", {"member": ids["project:two"]}, token="owner")
        namespace = "/image/v2/metadefs/namespaces"
        self.make(namespace, {"namespace": OWNED, "visibility": "private", "owner": ids["project"]})
        ids["namespace"] = OWNED
        self.make(f"{namespace}/{OWNED}/objects", {"name": "thing"})
        self.make(f"{namespace}/{OWNED}/properties", {"name": "thing", "title": "x", "type": "string"})
        self.make(f"{namespace}/{OWNED}/tags/thing")
        self.make(f"{namespace}/{OWNED}/resource_types", {"name": "thing"})

    def _network(self) -> None:
        ids = self.ids
        v2 = "/network/v2.0"
        body = {"network": {"name": "public", "router:external": True}}
        ids["public network"] = self.make(f"{v2}/networks", body)["network"]["id"]
        self.make(f"{v2}/subnets", {"subnet": {"network_id": ids["public network"], "ip_version": 4,
                                               "cidr": "172.24.4.0/24", "enable_dhcp": False}})  # fmt: skip

        def add(kind: str, plural: str = "", **fields: Any) -> str:
            made = self.make(f"{v2}/{plural or kind + 's'}", {kind.replace("-", "_"): fields}, token="owner")
            ids[kind] = made[kind.replace("-", "_")]["id"]
            self.make(f"{v2}/{plural or kind + 's'}/{ids[kind]}/tags/red", token="owner", method="PUT")
            return ids[kind]

        self.make(f"{v2}/auto-allocated-topology/{ids['project']}", token="owner", method="GET")
        network = add("network", name=f"{OWNED}-network")
        subnet = add("subnet", network_id=network, ip_version=4, cidr="10.0.0.0/24", name=f"{OWNED}-subnet")
        add("subnetpool", prefixes=["10.9.0.0/16"], default_prefixlen=24, name=f"{OWNED}-pool")
        group = add("security-group", name=f"{OWNED}-group")
        add("security-group-rule", security_group_id=group, direction="ingress", description=OWNED)
        gateway = {"network_id": ids["public network"]}
        router = add("router", name=f"{OWNED}-router", external_gateway_info=gateway)
        self.make(f"{v2}/routers/{router}/add_router_interface", {"subnet_id": subnet}, token="owner", method="PUT")
        body = {"network_id": network, "ip_version": 4, "cidr": "10.1.0.0/24"}
        ids["free subnet"] = self.make(f"{v2}/subnets", {"subnet": body}, token="owner")["subnet"]["id"]
        add("port", network_id=network, name=f"{OWNED}-port", fixed_ips=[{"subnet_id": subnet}])
        made = self.make(f"{v2}/floatingips", {"floatingip": {"floating_network_id": ids["public network"],
                         "port_id": ids["port"], "description": OWNED}}, token="owner")["floatingip"]  # fmt: skip
        ids["floatingip"], ids["floating address"] = made["id"], made["floating_ip_address"]
        self.make(f"{v2}/floatingips/{made['id']}/tags/red", token="owner", method="PUT")

    def _compute(self) -> None:
        ids = self.ids
        v2 = "/compute/v2.1"
        agent = Agent(facts("host-1"))

        async def come_and_go() -> None:
            agent.hello()
            serving = asyncio.create_task(self.cloud.compute.hosts.serve(agent))
            while not agent.told:
                await asyncio.sleep(0)
            agent.inbox.put_nowait(None)
            await serving

        self.loop.run_until_complete(come_and_go())
        ids["host"] = "host-1"
        ids["hypervisor"] = self.make(f"{v2}/os-hypervisors", method="GET")["hypervisors"][0]["id"]
        ids["service:compute"] = self.make(f"{v2}/os-services", method="GET")["services"][0]["id"]
        flavor = {"name": "small", "ram": 64, "vcpus": 1, "disk": 1, "id": "small"}
        self.make(f"{v2}/flavors", {"flavor": flavor})
        self.make(f"{v2}/flavors/small/os-extra_specs", {"extra_specs": {"red": "yes"}})
        private = {"name": "mine", "ram": 64, "vcpus": 1, "disk": 1, "id": "mine", "os-flavor-access:is_public": False}
        self.make(f"{v2}/flavors", {"flavor": private})
        ids["flavor"] = "small"
        body = {"aggregate": {"name": "east", "availability_zone": "east"}}
        ids["aggregate"] = str(self.make(f"{v2}/os-aggregates", body)["aggregate"]["id"])
        key = {"keypair": {"name": f"{OWNED}-key", "public_key": KEY, "type": "ssh"}}
        ids["keypair"] = self.make(f"{v2}/os-keypairs", key, token="owner")["keypair"]["name"]
        group = {"server_group": {"name": f"{OWNED}-group", "policy": "affinity"}}
        ids["server group"] = self.make(f"{v2}/os-server-groups", group, token="owner")["server_group"]["id"]
        server = {"name": f"{OWNED}-server", "imageRef": ids["image"], "flavorRef": "small", "tags": ["red"],
                  "metadata": {"red": "yes"}, "networks": [{"uuid": ids["network"]}]}  # fmt: skip
        ids["server"] = self.make(f"{v2}/servers", {"server": server}, token="owner")["server"]["id"]
        interfaces = self.make(f"{v2}/servers/{ids['server']}/os-interface", method="GET")["interfaceAttachments"]
        ids["server port"] = interfaces[0]["port_id"]
        ids["fixed address"] = interfaces[0]["fixed_ips"][0]["ip_address"]
        actions = self.make(f"{v2}/servers/{ids['server']}/os-instance-actions", method="GET")["instanceActions"]
        ids["instance action"] = actions[0]["request_id"]


def path_of(world: World, mount: Mount, route: Route) -> str:
    """The route's path with the world's own things in it. Raises KeyError for a parameter that nothing fills."""
    before = ""
    parts = []
    for segment in route.path.strip("/").split("/"):
        if segment.startswith("{"):
            name = segment[1:-1].partition(":")[0]
            keys = ((mount.service_type, before, name), (mount.service_type, name))
            key = keys[0] if keys[0] in PARAMETERS else keys[1]
            filled = PARAMETERS[key]
            parts.append(world.ids[filled] if filled in world.ids else filled.removeprefix("="))
        else:
            parts.append(segment)
            before = segment
    return mount.prefix + "/" + "/".join(parts) if parts != [""] else mount.prefix + route.path


PARAMETERS: dict[tuple[str, ...], str] = {
    ("compute", "alias"): "=os-keypairs", ("compute", "flavor_id"): "flavor", ("compute", "images", "id"): "image",
    ("compute", "network"): f"={OWNED}-network", ("compute", "key"): "=red", ("compute", "aggregate_id"): "aggregate",
    ("compute", "token"): "=none", ("compute", "os-floating-ips", "id"): "floatingip", ("compute", "name"): "host",
    ("compute", "os-hypervisors", "id"): "hypervisor", ("compute", "pattern"): "host",
    ("compute", "request_id"): "instance action", ("compute", "before"): "=2026-01-01%2000:00:00",
    ("compute", "port_id"): "server port", ("compute", "os-keypairs", "name"): "keypair",
    ("compute", "os-networks", "id"): "network", ("compute", "os-tenant-networks", "id"): "network",
    ("compute", "os-quota-class-sets", "name"): "=default", ("compute", "project_id"): "project",
    ("compute", "os-security-groups", "id"): "security-group",
    ("compute", "os-security-group-rules", "id"): "security-group-rule", ("compute", "group_id"): "server group",
    ("compute", "service_id"): "service:compute", ("compute", "server_id"): "server", ("compute", "tag"): "=red",
    ("identity", "option"): "=url", ("identity", "config", "group"): "=ldap",
    ("identity", "credential_id"): "credential",
    ("identity", "OS-EC2", "credential_id"): "ec2 credential", ("identity", "access_rule_id"): "access rule",
    ("identity", "access_token_id"): "=none", ("identity", "application_credential_id"): "application credential",
    ("identity", "request_token_id"): "=none", ("identity", "consumer_id"): "consumer",
    ("identity", "domain_id"): "domain", ("identity", "endpoint_group_id"): "endpoint group",
    ("identity", "endpoint_id"): "endpoint", ("identity", "group_id"): "group",
    ("identity", "implied_role_id"): "role:member", ("identity", "limit_id"): "limit",
    ("identity", "policy_id"): "policy", ("identity", "project_id"): "project", ("identity", "region_id"): "region",
    ("identity", "registered_limit_id"): "registered limit", ("identity", "prior_role_id"): "role:manager",
    ("identity", "role_id"): "role", ("identity", "service_id"): "service", ("identity", "value"): "=red",
    ("identity", "trust_id"): "trust", ("identity", "user_id"): "user",
    ("image", "image_id"): "image", ("image", "member_id"): "project:two", ("image", "namespace"): "namespace",
    ("image", "metadefs", "name"): "=namespaces", ("image", "name"): "=thing", ("image", "schemas", "name"): "=image",
    ("image", "store"): "=local", ("image", "tag"): "=red", ("image", "task_id"): "=none",
    ("network", "agents", "id"): "=host-1", ("network", "alias"): "=router",
    ("network", "floatingips", "id"): "floatingip",
    ("network", "network-ip-availabilities", "id"): "network", ("network", "networks", "id"): "network",
    ("network", "ports", "id"): "port", ("network", "project_id"): "project", ("network", "routers", "id"): "router",
    ("network", "security-group-rules", "id"): "security-group-rule",
    ("network", "security-groups", "id"): "security-group", ("network", "subnetpools", "id"): "subnetpool",
    ("network", "subnets", "id"): "subnet", ("network", "tag"): "=red", ("console", "rest"): "=none",
    ("console", "name"): "=none",
}  # fmt: skip
"""What fills a parameter: (service, segment before it or nothing, name) -> a thing of the world, or `=` a word."""
SECRETS = (
    "project:one", "user", "group", "credential", "ec2 credential", "application credential", "trust", "image",
    "network", "subnet", "subnetpool", "security-group", "security-group-rule", "router", "port", "floatingip",
    "server", "server group",
)  # fmt: skip
