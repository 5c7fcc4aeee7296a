"""Paths of application credentials' access rules."""

import pytest

from bivouac.core.call import AccessRule
from bivouac.identity.access_rules import allow


@pytest.mark.parametrize(
    ("service", "method", "rule", "path", "allowed"),
    [
        ("compute", "GET", "/v2.1/servers", "/servers", True),
        ("compute", "GET", "/compute/v2.1/servers", "/servers", True),
        ("compute", "GET", "/servers", "/servers", True),
        ("compute", "POST", "/v2.1/servers", "/servers", False),
        ("image", "GET", "/v2.1/servers", "/servers", False),
        ("compute", "GET", "/v2.1/servers/*/ips", "/servers/1/ips", True),
        ("compute", "GET", "/v2.1/servers/{server_id}/ips", "/servers/1/ips", True),
        ("compute", "GET", "/v2.1/servers/*/ips", "/servers/1/2/ips", False),
        ("compute", "GET", "/v2.1/servers/*", "/servers/", False),
        ("compute", "GET", "/v2.1/**", "/servers/1/2/ips", True),
        ("compute", "GET", "/v2.1/servers", "/servers/1", False),
        ("compute", "GET", "/v2.1/serv.rs", "/servers", False),
    ],
)
def test_paths(service: str, method: str, rule: str, path: str, allowed: bool) -> None:
    rules = [AccessRule(service=service, method="GET", path=rule)]
    assert allow(rules, "compute", method, "/compute/v2.1", path) is allowed


def test_names_of_one_service_type_are_alike() -> None:
    rules = [AccessRule(service="volumev3", method="GET", path="/v3/p/volumes")]
    assert allow(rules, "block-storage", "GET", "/volume", "/v3/p/volumes")
