"""Paths of application credentials' access rules."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bivouac.core.call import AccessRule
from bivouac.identity.access_rules import _Pattern, allow


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
        ("compute", "GET", "/v2.1/**/ips", "/servers/1/2/ips", True),
        ("compute", "GET", "/v2.1/**/ips", "/servers/1/ips/2", False),
        ("compute", "GET", "/v2.1/**", "/", True),
        ("compute", "GET", "/v2.1/s*s/*1/ips", "/servers/a1b1/ips", True),
        ("compute", "GET", "/v2.1/s*s/*1/ips", "/servers/1/ips", False),
        ("compute", "GET", "/v2.1/*/**/*", "/servers/1", False),
        ("compute", "GET", "/v2.1/*/**/*", "/servers//1", True),
        ("compute", "GET", "/v2.1/{a", "/{a", True),
        ("compute", "GET", "/v2.1/**", "/" + "x" * 1024, False),
    ],
)
def test_paths(service: str, method: str, rule: str, path: str, allowed: bool) -> None:
    rules = [AccessRule(service=service, method="GET", path=rule)]
    assert allow(rules, "compute", method, "/compute/v2.1", path) is allowed


def test_names_of_one_service_type_are_alike() -> None:
    rules = [AccessRule(service="volumev3", method="GET", path="/v3/p/volumes")]
    assert allow(rules, "block-storage", "GET", "/volume", "/v3/p/volumes")


def test_no_pattern_takes_more_than_a_step_a_character() -> None:
    """As a regular expression this one takes longer than the universe is old."""
    rules = [AccessRule(service="compute", method="GET", path="/" + "**a" * 70 + "b")]
    assert not allow(rules, "compute", "GET", "/compute/v2.1", "/" + "a" * 900)


@given(st.text("/ab*{}", max_size=8), st.text("/ab", max_size=8))
def test_patterns_mean_what_keystones_expressions_mean(pattern: str, path: str) -> None:
    parts = re.split(r"(\*\*|\*|\{[^}/]*\})", pattern)
    wild = {"**": ".*", "*": "[^/]+"}
    whole = [wild.get(part) or ("[^/]+" if re.fullmatch(r"{[^}/]*}", part) else re.escape(part)) for part in parts]
    assert _Pattern(pattern).covers(path) is bool(re.fullmatch("".join(whole), path))
