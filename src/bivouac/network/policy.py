"""Policy rules of the network service, named as Neutron names its own.

`network_project_id` in a target is the owner of the port's or subnet's network.
"""

from bivouac.core.policy import Rule

ADMIN = "rule:context_is_admin"
MEMBER = "rule:project_member_or_admin"
READER = "rule:project_reader_or_admin"
NETWORK_OWNER = "rule:context_is_admin or (role:member and project_id:%(network_project_id)s)"
PORT_OR_NETWORK_OWNER = f"{MEMBER} or (role:member and project_id:%(network_project_id)s)"


def _resource(name: str, *admin_attributes: str, read: str = READER, write: str = MEMBER) -> list[Rule]:
    """get, create, update, delete of one resource, and attributes that only an admin may set."""
    rules = [
        Rule(f"get_{name}", read), Rule(f"create_{name}", write), Rule(f"update_{name}", write),
        Rule(f"delete_{name}", write),
    ]  # fmt: skip
    for attribute in admin_attributes:
        rules += [Rule(f"create_{name}:{attribute}", ADMIN), Rule(f"update_{name}:{attribute}", ADMIN)]
    return rules


POLICY = [
    *_resource("network", "shared", "router:external", "is_default", "provider:network_type",
               "provider:physical_network", "provider:segmentation_id"),
    Rule("get_network:provider", ADMIN, "See provider attributes."),
    *_resource("subnet", "service_types", write=PORT_OR_NETWORK_OWNER),
    *_resource("subnetpool", "shared", "is_default", "default_quota"),
    *_resource("port", "binding:host_id", "binding:profile"),
    Rule("get_port:binding", ADMIN, "See where a port is bound."),
    Rule("create_port:mac_address", NETWORK_OWNER), Rule("update_port:mac_address", ADMIN),
    Rule("create_port:fixed_ips:ip_address", NETWORK_OWNER), Rule("update_port:fixed_ips:ip_address", NETWORK_OWNER),
    Rule("create_port:port_security_enabled", NETWORK_OWNER), Rule("update_port:port_security_enabled", NETWORK_OWNER),
    Rule("create_port:allowed_address_pairs", NETWORK_OWNER), Rule("update_port:allowed_address_pairs", NETWORK_OWNER),
    Rule("create_port:device_owner", NETWORK_OWNER, "Device owners that begin with `network:`."),
    Rule("update_port:device_owner", NETWORK_OWNER, "Device owners that begin with `network:`."),
    *_resource("router"),
    Rule("create_router:external_gateway_info:enable_snat", ADMIN),
    Rule("update_router:external_gateway_info:enable_snat", ADMIN),
    Rule("create_router:external_gateway_info:external_fixed_ips", ADMIN),
    Rule("update_router:external_gateway_info:external_fixed_ips", ADMIN),
    Rule("add_router_interface", MEMBER), Rule("remove_router_interface", MEMBER),
    Rule("add_extraroutes", MEMBER), Rule("remove_extraroutes", MEMBER),
    *_resource("floatingip"),
    Rule("create_floatingip:floating_ip_address", ADMIN),
    *_resource("security_group"),
    *_resource("security_group_rule"),
    Rule("get_agent", ADMIN),
    Rule("get_quota", READER), Rule("update_quota", ADMIN), Rule("delete_quota", ADMIN),
    Rule("get_availability_zone", READER), Rule("get_extension", READER),
    Rule("get_service_provider", READER),
    Rule("get_network_ip_availability", ADMIN),
    Rule("get_auto_allocated_topology", READER), Rule("delete_auto_allocated_topology", MEMBER),
]  # fmt: skip
