"""Policy rules in oslo.policy's syntax."""

import pytest

from bivouac.core.call import Call, Caller
from bivouac.core.policy import Policy, PolicyError, Rule

CREDENTIALS = {"roles": ("member", "reader"), "project_id": "p1", "user_id": "u1", "system_scope": None,
               "domain_id": None}  # fmt: skip


@pytest.mark.parametrize(
    ("check", "target", "allowed"),
    [
        ("", {}, True),
        ("@", {}, True),
        ("!", {}, False),
        ("role:member", {}, True),
        ("role:MEMBER", {}, True),
        ("role:admin", {}, False),
        ("not role:admin", {}, True),
        ("project_id:%(project_id)s", {"project_id": "p1"}, True),
        ("project_id:%(project_id)s", {"project_id": "p2"}, False),
        ("project_id:%(project_id)s", {}, False),
        (
            "role:admin or (role:reader and project_id:%(target.project.id)s)",
            {"target": {"project": {"id": "p1"}}},
            True,
        ),
        ("role:reader and role:admin or role:member", {}, True),
        ("role:reader and (role:admin or role:nobody)", {}, False),
        ("system_scope:all", {}, False),
        ("None:%(domain_id)s", {"domain_id": None}, True),
        ("domain_id:%(domain_id)s", {"domain_id": None}, False),
        ("domain_id:None", {}, True),
        ("'shared':%(visibility)s", {"visibility": "shared"}, True),
        ("user_id:u1", {}, True),
        ("rule:owner", {"project_id": "p1"}, True),
    ],
)
def test_checks(check: str, target: dict, allowed: bool) -> None:
    policy = Policy([Rule("x", check)])
    assert policy.allows("x", target, CREDENTIALS) is allowed


def test_an_override_wins_and_a_refusal_names_what_is_missing() -> None:
    policy = Policy([Rule("x", "@")], {"x": "role:admin or rule:special", "special": "role:special"})
    assert not policy.allows("x", {}, CREDENTIALS)
    words = policy.refusal("x", {}, CREDENTIALS)
    assert "x" in words and "role:admin" in words and "role:special" in words and "member" in words


@pytest.mark.parametrize(
    "check", ["(role:a", "role:a)", "role:a or", "nonsense", "rule:absent", "rule:x", "role:a role:b"]
)
def test_bad_rules_are_refused_when_read(check: str) -> None:
    with pytest.raises(PolicyError):
        Policy([Rule("x", check)])


def test_a_remembered_verdict_is_the_one_that_the_rule_gives() -> None:
    """For callers that differ in one thing each, asked twice."""
    checks = [
        "role:admin", "project_id:%(project_id)s and role:member", "user_id:%(user_id)s", "system_scope:all",
        "domain_id:d1", "trust_id:t1", "user_domain_id:d1", "project_domain_id:d1", "user_id:u1",
    ]  # fmt: skip
    policy = Policy([Rule(f"x{number}", check) for number, check in enumerate(checks)])
    plain: dict = {"user_id": "u1", "user_name": "u", "project_id": "p1", "roles": ("member",)}
    callers = [Caller(**plain | one) for one in (
        {}, {"roles": ("admin",)}, {"roles": ()}, {"user_id": "u2"}, {"project_id": ""}, {"system": True},
        {"domain_id": "d1", "project_id": ""}, {"trust_id": "t1"}, {"user_domain_id": "d1"},
        {"project_domain_id": "d1"},
    )]  # fmt: skip
    for _ in range(2):
        for caller in callers:
            call = Call(caller=caller, policy=policy)
            for number in range(len(checks)):
                straight = policy.allows(f"x{number}", call.own_target(), call.credentials)
                assert call.allows(f"x{number}") is straight, (caller, checks[number])


def test_the_keys_that_a_rule_looks_at() -> None:
    policy = Policy([Rule("x", "rule:owner or role:%(needed)s or (not 'a':%(target.kind)s and role:admin)")])
    assert policy.keys("x") == {"project_id", "needed", "target.kind"}
    assert policy.keys("context_is_admin") == frozenset()
