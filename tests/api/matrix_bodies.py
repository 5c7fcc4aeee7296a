"""Bodies that every writing route takes, so that a refusal in the matrix is the policy's and not the decoder's.

`$thing` stands for the id of a thing of the world. What is not named here is sent as an empty object in the route's
envelope, a change as a new description.
"""

from typing import Any

from bivouac.core.http import Mount, Route

_TAGS = {"tags": ["red"]}
BODIES: dict[tuple[str, str], Any] = {
    # compute
    ("POST", "/flavors"): {"flavor": {"name": "new", "ram": 1, "vcpus": 1, "disk": 0}},
    ("PUT", "/flavors/{flavor_id}"): {"flavor": {"description": "new"}},
    ("POST", "/flavors/{flavor_id}/os-extra_specs"): {"extra_specs": {"blue": "no"}},
    ("PUT", "/flavors/{flavor_id}/os-extra_specs/{key}"): {"red": "no"},
    ("POST", "/flavors/{flavor_id}/action"): {"addTenantAccess": {"tenant": "$project"}},
    ("POST", "/os-keypairs"): {"keypair": {"name": "new", "user_id": "$user", "type": "ssh",
                                           "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEVvYWxsb3dlZGtleWZvcnRlc3RpbmdvbmVwcm9qZWNU x"}},  # noqa: E501
    ("POST", "/servers"): {"server": {"name": "new", "imageRef": "$image", "flavorRef": "small", "networks": "none"}},
    ("PUT", "/servers/{server_id}"): {"server": {"name": "new"}},
    ("PUT", "/servers/{server_id}/metadata"): {"metadata": {"blue": "no"}},
    ("POST", "/servers/{server_id}/metadata"): {"metadata": {"blue": "no"}},
    ("PUT", "/servers/{server_id}/metadata/{key}"): {"meta": {"red": "no"}},
    ("PUT", "/servers/{server_id}/tags"): _TAGS,
    ("POST", "/servers/{server_id}/os-interface"): {"interfaceAttachment": {"net_id": "$network"}},
    ("POST", "/servers/{server_id}/remote-consoles"): {"remote_console": {"protocol": "vnc", "type": "novnc"}},
    ("POST", "/os-server-groups"): {"server_group": {"name": "new", "policy": "affinity"}},
    ("PUT", "/os-quota-sets/{project_id}"): {"quota_set": {"instances": 5}},
    ("PUT", "/os-quota-class-sets/{name}"): {"quota_class_set": {"instances": 5}},
    ("PUT", "/os-services/enable"): {"host": "host-1", "binary": "nova-compute"},
    ("PUT", "/os-services/disable"): {"host": "host-1", "binary": "nova-compute"},
    ("PUT", "/os-services/disable-log-reason"): {"host": "host-1", "binary": "nova-compute", "disabled_reason": "x"},
    ("PUT", "/os-services/force-down"): {"host": "host-1", "binary": "nova-compute", "forced_down": True},
    ("PUT", "/os-services/{service_id}"): {"status": "disabled"},
    ("PUT", "/os-hosts/{name}"): {"status": "enable"},
    ("POST", "/os-aggregates"): {"aggregate": {"name": "new"}},
    ("PUT", "/os-aggregates/{aggregate_id}"): {"aggregate": {"name": "new"}},
    ("POST", "/os-aggregates/{aggregate_id}/action"): {"add_host": {"host": "host-1"}},
    ("POST", "/os-server-external-events"): {"events": [{"server_uuid": "$server", "name": "network-changed"}]},
    ("PUT", "/images/{id}/metadata"): {"metadata": {"blue": "no"}},
    ("POST", "/images/{id}/metadata"): {"metadata": {"blue": "no"}},
    ("PUT", "/images/{id}/metadata/{key}"): {"meta": {"red": "no"}},
    ("POST", "/os-security-groups"): {"security_group": {"name": "new", "description": "x"}},
    ("PUT", "/os-security-groups/{id}"): {"security_group": {"name": "new", "description": "x"}},
    ("POST", "/os-security-group-rules"): {"security_group_rule": {
        "parent_group_id": "$security-group", "ip_protocol": "tcp", "from_port": 1, "to_port": 2}},
    ("POST", "/os-floating-ips"): {"pool": "public"},
    # network
    ("POST", "/v2.0/networks"): {"network": {"name": "new", "project_id": "$project"}},
    ("POST", "/v2.0/subnets"): {"subnet": {"network_id": "$network", "ip_version": 4, "cidr": "10.8.0.0/24"}},
    ("POST", "/v2.0/subnetpools"): {"subnetpool": {"name": "new", "prefixes": ["10.7.0.0/16"],
                                                   "project_id": "$project"}},
    ("POST", "/v2.0/ports"): {"port": {"network_id": "$network", "project_id": "$project"}},
    ("POST", "/v2.0/routers"): {"router": {"name": "new", "project_id": "$project"}},
    ("POST", "/v2.0/floatingips"): {"floatingip": {"floating_network_id": "$public network", "project_id": "$project"}},
    ("POST", "/v2.0/security-groups"): {"security_group": {"name": "new", "project_id": "$project"}},
    ("POST", "/v2.0/security-group-rules"): {"security_group_rule": {
        "security_group_id": "$security-group", "direction": "egress", "protocol": "tcp"}},
    ("PUT", "/v2.0/routers/{id}/add_router_interface"): {"subnet_id": "$free subnet"},
    ("PUT", "/v2.0/routers/{id}/remove_router_interface"): {"subnet_id": "$subnet"},
    ("PUT", "/v2.0/routers/{id}/add_extraroutes"): {"router": {"routes": []}},
    ("PUT", "/v2.0/routers/{id}/remove_extraroutes"): {"router": {"routes": []}},
    ("PUT", "/v2.0/quotas/{project_id}"): {"quota": {"port": 5}},
    **{(method, f"/v2.0/{kind}/{{id}}/tags"): _TAGS
       for kind in ("networks", "subnets", "subnetpools", "ports", "routers", "floatingips", "security-groups",
                    "security-group-rules") for method in ("PUT", "POST")},
    # identity
    ("POST", "/v3/users/{user_id}/application_credentials"): {"application_credential": {"name": "new"}},
    ("POST", "/v3/services"): {"service": {"type": "x"}},
    ("POST", "/v3/endpoints"): {"endpoint": {"service_id": "$service", "interface": "admin", "url": "http://x"}},
    ("POST", "/v3/credentials"): {"credential": {"type": "cert", "blob": "x", "user_id": "$user"}},
    ("POST", "/v3/users/{user_id}/credentials/OS-EC2"): {"tenant_id": "$project"},
    ("PUT", "/v3/domains/{domain_id}/config"): {"config": {"ldap": {"url": "ldap://y"}}},
    ("PATCH", "/v3/domains/{domain_id}/config"): {"config": {"ldap": {"url": "ldap://y"}}},
    ("PATCH", "/v3/domains/{domain_id}/config/{group}"): {"config": {"ldap": {"url": "ldap://y"}}},
    ("PATCH", "/v3/domains/{domain_id}/config/{group}/{option}"): {"config": {"url": "ldap://y"}},
    ("POST", "/v3/domains"): {"domain": {"name": "new"}},
    ("POST", "/v3/OS-EP-FILTER/endpoint_groups"): {
        "endpoint_group": {"name": "new", "filters": {"interface": "admin"}}},
    ("PATCH", "/v3/endpoints/{endpoint_id}"): {"endpoint": {"url": "http://y"}},
    ("PATCH", "/v3/credentials/{credential_id}"): {"credential": {"blob": "y"}},
    ("PATCH", "/v3/policies/{policy_id}"): {"policy": {"blob": "y"}},
    ("POST", "/v3/groups"): {"group": {"name": "new", "domain_id": "$domain"}},
    ("POST", "/v3/registered_limits"): {"registered_limits": [
        {"service_id": "$service", "resource_name": "others", "default_limit": 1}]},
    ("PATCH", "/v3/registered_limits/{registered_limit_id}"): {"registered_limit": {"default_limit": 6}},
    ("POST", "/v3/limits"): {"limits": [{"service_id": "$service", "resource_name": "things", "resource_limit": 1,
                                         "project_id": "$project:two"}]},
    ("PATCH", "/v3/limits/{limit_id}"): {"limit": {"resource_limit": 2}},
    ("POST", "/v3/policies"): {"policy": {"blob": "x", "type": "text/plain"}},
    ("POST", "/v3/policy/explain"): {"explain": {"rule": "get_network"}},
    ("POST", "/v3/projects"): {"project": {"name": "new", "domain_id": "$domain"}},
    ("PUT", "/v3/projects/{project_id}/tags"): _TAGS,
    ("POST", "/v3/roles"): {"role": {"name": "new"}},
    ("POST", "/v3/OS-TRUST/trusts"): {"trust": {"trustor_user_id": "$user", "trustee_user_id": "$user:root",
                                                "project_id": "$project", "impersonation": False,
                                                "roles": [{"name": "member"}]}},
    ("POST", "/v3/users"): {"user": {"name": "new", "domain_id": "$domain"}},
    ("POST", "/v3/users/{user_id}/password"): {"user": {"password": "b", "original_password": "a"}},
    ("POST", "/v3/auth/tokens"): {"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}}},
    ("PUT", "/v3/OS-OAUTH1/authorize/{request_token_id}"): {"roles": [{"id": "$role"}]},
    # image
    ("POST", "/v2/images"): {"name": "new"},
    ("PATCH", "/v2/images/{image_id}"): [{"op": "replace", "path": "/name", "value": "new"}],
    ("POST", "/v2/images/{image_id}/import"): {"method": {"name": "glance-direct"}},
    ("POST", "/v2/images/{image_id}/locations"): {"url": "http://image.invalid/x"},
    ("POST", "/v2/images/{image_id}/members"): {"member": "$project:one"},
    ("PUT", "/v2/images/{image_id}/members/{member_id}"): {"status": "accepted"},
    ("POST", "/v2/tasks"): {"type": "import", "input": {"import_from": "http://image.invalid/x",
                            "import_from_format": "raw", "image_properties": {"disk_format": "raw",
                                                                              "container_format": "bare"}}},
    ("POST", "/v2/metadefs/namespaces"): {"namespace": "new"},
    ("PUT", "/v2/metadefs/namespaces/{namespace}"): {"namespace": "$namespace"},
    ("POST", "/v2/metadefs/namespaces/{namespace}/objects"): {"name": "new"},
    ("PUT", "/v2/metadefs/namespaces/{namespace}/objects/{name}"): {"name": "thing"},
    ("POST", "/v2/metadefs/namespaces/{namespace}/properties"): {"name": "new", "title": "x", "type": "string"},
    ("PUT", "/v2/metadefs/namespaces/{namespace}/properties/{name}"): {"name": "thing", "title": "x", "type": "string"},
    ("POST", "/v2/metadefs/namespaces/{namespace}/tags"): {"tags": [{"name": "new"}]},
    ("PUT", "/v2/metadefs/namespaces/{namespace}/tags/{name}"): {"name": "thing"},
    ("POST", "/v2/metadefs/namespaces/{namespace}/resource_types"): {"name": "new"},
}  # fmt: skip
ACTIONS: dict[str, Any] = {
    "reboot": {"type": "SOFT"}, "rebuild": {"imageRef": "$image"}, "resize": {"flavorRef": "small"},
    "createBackup": {"name": "x", "backup_type": "daily", "rotation": 1},
    "addFloatingIp": {"address": "$floating address"}, "removeFloatingIp": {"address": "$floating address"},
    "addFixedIp": {"networkId": "$network"}, "removeFixedIp": {"address": "$fixed address"},
    "createImage": {"name": "x"}, "changePassword": {"adminPass": "x"}, "addSecurityGroup": {"name": "default"},
    "removeSecurityGroup": {"name": "default"}, "os-getConsoleOutput": {}, "os-getVNCConsole": {"type": "novnc"},
    "os-getSerialConsole": {"type": "serial"}, "os-resetState": {"state": "active"},
}  # fmt: skip
"""Arguments of servers' actions; the others take null."""


def body_of(mount: Mount, route: Route, ids: dict[str, str]) -> Any:
    """What to send to a route; empty bytes to those that read nothing."""
    if route.method in ("GET", "HEAD", "DELETE"):
        return b""
    body = BODIES.get((route.method, route.path))
    if body is None:
        change = {"description": "new"} if route.method == "PATCH" else {}
        body = {route.envelope: change} if route.envelope else {}
    return filled(body, ids)


def filled(body: Any, ids: dict[str, str]) -> Any:
    """The body with the world's ids in the place of `$thing`."""
    if isinstance(body, dict):
        return {key: filled(value, ids) for key, value in body.items()}
    if isinstance(body, list):
        return [filled(one, ids) for one in body]
    if isinstance(body, str) and body.startswith("$"):
        return ids[body[1:]]
    return body
