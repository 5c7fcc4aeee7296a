"""Bucket policies: reading, checking and evaluating the JSON of AWS's policy language, version 2012-10-17.

A statement speaks of somebody (Principal or NotPrincipal), something (Action or NotAction), somewhere (Resource or
NotResource), perhaps
under conditions. An explicit Deny wins; else an Allow; else nothing is said and ACLs decide.

Principals are Identity's: `arn:aws:iam::PROJECT:root` or a bare project id is everybody acting in a project,
`arn:aws:iam::PROJECT:user/USER`
one user by id or name, `*` anybody. Source: "Policies and permissions in Amazon S3"; IAM User Guide, "IAM JSON policy
element reference".
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from bivouac.core.clock import parse_iso
from bivouac.s3.errors import S3Error

MAX_BYTES = 20 << 10


class Verdict(Enum):
    """What a policy says of one request."""

    ALLOW = "allow"
    DENY = "deny"
    SILENT = "silent"


class Principal(Struct, frozen=True):
    """Who asks, as far as policies can tell. Anonymous: everything empty. `service` names a part of the cloud, such as
    the log writer."""

    project_id: str = ""
    user_id: str = ""
    user_name: str = ""
    service: str = ""


Context = Mapping[str, list[str]]
"""Condition keys in lower case, with the request's values."""


class Condition(Struct, frozen=True):
    """One operator on one key. `every` is ForAllValues, `some` ForAnyValue, `if_exists` the suffix IfExists."""

    operator: str
    key: str
    values: tuple[str, ...]
    if_exists: bool
    every: bool
    some: bool


class Statement(Struct, frozen=True):
    sid: str
    allow: bool
    principals: tuple[tuple[str, str], ...]
    not_principals: bool
    actions: tuple[str, ...]
    not_actions: bool
    resources: tuple[str, ...]
    not_resources: bool
    conditions: tuple[Condition, ...]


class Policy(Struct, frozen=True):
    statements: tuple[Statement, ...]


def _malformed(reason: str) -> S3Error:
    return S3Error("MalformedPolicy", reason)


def parse(text: str | bytes, bucket: str) -> Policy:
    """Read and check a policy that is to be put on a bucket. Raises MalformedPolicy or InvalidArgument."""
    if len(text) > MAX_BYTES:
        raise _malformed(f"Policies must not exceed {MAX_BYTES} bytes")
    policy = _parse(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)
    for statement in policy.statements:
        for resource in statement.resources:
            if not _resource_of_bucket(resource, bucket):
                raise _malformed("Policy has invalid resource")
        if statement.not_principals and statement.allow:
            raise S3Error("InvalidArgument", "Allow with NotPrincipal is not allowed.")
    return policy


@lru_cache(maxsize=512)
def load(text: str) -> Policy:
    """A policy that was checked when it was put."""
    return _parse(text)


def _resource_of_bucket(resource: str, bucket: str) -> bool:
    name = resource.rsplit(":", 1)[1] if resource.startswith("arn:") else resource
    head = name.partition("/")[0]
    return head == "*" or bool(_pattern(head).fullmatch(bucket))


def _parse(text: str) -> Policy:
    try:
        tree = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise _malformed(f"This policy contains invalid Json: {error}") from None
    if not isinstance(tree, dict):
        raise _malformed("Policies must be valid JSON and the first byte must be '{'")
    if tree.get("Version", "2008-10-17") not in ("2012-10-17", "2008-10-17"):
        raise _malformed("The policy must contain a valid version string")
    statements = tree.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise _malformed("Missing required field Statement")
    return Policy(tuple(_statement(item) for item in statements))


def _strings(value: Any, what: str) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, str) for item in items):
        raise _malformed(f"Policy has invalid {what}")
    return tuple(items)


def _one_of(tree: dict[str, Any], name: str) -> tuple[Any, bool]:
    """The value of NAME or NotNAME, and whether it was the latter."""
    if (name in tree) == ("Not" + name in tree):
        raise _malformed(f"Missing required field {name}")
    return (tree[name], False) if name in tree else (tree["Not" + name], True)


def _statement(tree: Any) -> Statement:
    if not isinstance(tree, dict):
        raise _malformed("A statement must be an object")
    if tree.get("Effect") not in ("Allow", "Deny"):
        raise _malformed("Invalid effect: " + str(tree.get("Effect")))
    principals, not_principals = _one_of(tree, "Principal")
    actions, not_actions = _one_of(tree, "Action")
    resources, not_resources = _one_of(tree, "Resource")
    names = _strings(actions, "action")
    for name in names:
        if name != "*" and not name.lower().startswith("s3:"):
            raise _malformed("Policy has invalid action")
    conditions = tree.get("Condition") or {}
    if not isinstance(conditions, dict):
        raise _malformed("Policy has invalid conditions")
    return Statement(
        sid=str(tree.get("Sid", "")),
        allow=tree["Effect"] == "Allow",
        principals=_principals(principals),
        not_principals=not_principals,
        actions=tuple(name.lower() for name in names),
        not_actions=not_actions,
        resources=_strings(resources, "resource"),
        not_resources=not_resources,
        conditions=tuple(_conditions(conditions)),
    )


def _principals(value: Any) -> tuple[tuple[str, str], ...]:
    if value == "*":
        return (("AWS", "*"),)
    if not isinstance(value, dict) or not value:
        raise _malformed("Invalid principal in policy")
    found = []
    for kind, names in value.items():
        if kind not in ("AWS", "CanonicalUser", "Service", "Federated"):
            raise _malformed("Invalid principal in policy")
        for name in _strings(names, "principal"):
            if kind == "AWS" and not _is_principal(name):
                raise _malformed("Invalid principal in policy")
            found.append((kind, name))
    return tuple(found)


def _is_principal(name: str) -> bool:
    if name.startswith("arn:"):
        parts = name.split(":", 5)
        return len(parts) == 6 and parts[2] in ("iam", "sts") and bool(parts[5])
    return bool(re.fullmatch(r"\*|[A-Za-z0-9_-]+", name))


def _conditions(tree: dict[str, Any]) -> Iterable[Condition]:
    for full_name, keys in tree.items():
        name, every, some = full_name, False, False
        if name.startswith("ForAllValues:"):
            name, every = name[13:], True
        elif name.startswith("ForAnyValue:"):
            name, some = name[12:], True
        if_exists = name.endswith("IfExists") and name != "Null"
        name = name.removesuffix("IfExists")
        if name not in OPERATORS and name != "Null":
            raise _malformed(f"Invalid Condition type : {full_name}")
        if not isinstance(keys, dict):
            raise _malformed("Policy has invalid conditions")
        for key, values in keys.items():
            items = values if isinstance(values, list) else [values]
            if not all(isinstance(item, str | bool | int | float) for item in items):
                raise _malformed("Policy has invalid conditions")
            texts = tuple(str(item).lower() if isinstance(item, bool) else str(item) for item in items)
            yield Condition(name, key.lower(), texts, if_exists, every, some)


@lru_cache(maxsize=4096)
def _pattern(text: str, ignore_case: bool = False) -> re.Pattern[str]:
    """`*` and `?` as in policies."""
    body = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in text)
    return re.compile(body, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _number(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    def operator(given: str, wanted: str) -> bool:
        try:
            return compare(float(given), float(wanted))
        except ValueError:
            return False

    return operator


def _moment(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return parse_iso(text)


def _date(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    def operator(given: str, wanted: str) -> bool:
        try:
            return compare(_moment(given), _moment(wanted))
        except ValueError:
            return False

    return operator


def _in_network(given: str, wanted: str) -> bool:
    try:
        return ipaddress.ip_address(given) in ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        return False


def _arn_like(given: str, wanted: str) -> bool:
    """Each of an ARN's six parts is matched by itself."""
    left, right = given.split(":", 5), wanted.split(":", 5)
    return len(left) == len(right) and all(_pattern(w).fullmatch(g) for g, w in zip(left, right, strict=True))


def _binary(given: str, wanted: str) -> bool:
    try:
        return base64.b64decode(given) == base64.b64decode(wanted)
    except (binascii.Error, ValueError):
        return False


def _like(given: str, wanted: str) -> bool:
    return bool(_pattern(wanted).fullmatch(given))


_POSITIVE: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda given, wanted: given == wanted,
    "StringEqualsIgnoreCase": lambda given, wanted: given.casefold() == wanted.casefold(),
    "StringLike": _like,
    "NumericEquals": _number(lambda a, b: a == b),
    "NumericLessThan": _number(lambda a, b: a < b),
    "NumericLessThanEquals": _number(lambda a, b: a <= b),
    "NumericGreaterThan": _number(lambda a, b: a > b),
    "NumericGreaterThanEquals": _number(lambda a, b: a >= b),
    "DateEquals": _date(lambda a, b: a == b),
    "DateLessThan": _date(lambda a, b: a < b),
    "DateLessThanEquals": _date(lambda a, b: a <= b),
    "DateGreaterThan": _date(lambda a, b: a > b),
    "DateGreaterThanEquals": _date(lambda a, b: a >= b),
    "Bool": lambda given, wanted: given.lower() == wanted.lower(),
    "BinaryEquals": _binary,
    "IpAddress": _in_network,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
}
_NEGATIVE = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
    "NotIpAddress": "IpAddress",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
}
OPERATORS = frozenset(_POSITIVE) | frozenset(_NEGATIVE)
_VARIABLE = re.compile(r"\$\{([^}]*)\}")


def _expanded(text: str, context: Context) -> str:
    """Policy variables such as ${aws:username}; ${*}, ${?} and ${$} are the characters themselves."""
    if "${" not in text:
        return text

    def value(found: re.Match[str]) -> str:
        name = found[1].partition(",")[0].strip()
        if name in ("*", "?", "$"):
            return name
        return next(iter(context.get(name.lower(), ())), "\0")

    return _VARIABLE.sub(value, text)


def _holds(condition: Condition, context: Context) -> bool:
    given = context.get(condition.key, [])
    if condition.operator == "Null":
        return (not given) == (condition.values[:1] == ("true",))
    negated = condition.operator in _NEGATIVE
    if not given:
        # A missing key fulfils IfExists, ForAllValues, and what is negated; it fulfils nothing else.
        return condition.if_exists or condition.every or (negated and not condition.some)
    test = _POSITIVE[_NEGATIVE.get(condition.operator, condition.operator)]
    wanted = [_expanded(value, context) for value in condition.values]
    results = ((any(test(value, one) for one in wanted)) != negated for value in given)
    if condition.every or (negated and not condition.some):
        return all(results)
    return any(results)


def _is(principal: Principal, kind: str, name: str) -> bool:
    if name == "*" and kind == "AWS":
        return not principal.service
    if kind == "Service":
        return bool(principal.service) and principal.service == name
    if not principal.project_id:
        return False
    if kind == "CanonicalUser":
        return name == principal.project_id
    if kind != "AWS":
        return False
    if not name.startswith("arn:"):
        return name in (principal.project_id, principal.user_id)
    _, _, _, _, account, resource = name.split(":", 5)
    if account not in ("", principal.project_id):
        return False
    if resource == "root":
        return account == principal.project_id
    kind_of, _, who = resource.partition("/")
    return kind_of == "user" and who in ("*", principal.user_id, principal.user_name, principal.project_id)


def _applies(statement: Statement, principal: Principal, action: str, resource: str, context: Context) -> bool:
    named = any(_is(principal, kind, name) for kind, name in statement.principals)
    if named == statement.not_principals:
        return False
    done = any(_pattern(name).fullmatch(action) for name in statement.actions)
    if done == statement.not_actions:
        return False
    there = any(name == "*" or _pattern(_expanded(name, context)).fullmatch(resource) for name in statement.resources)
    if there == statement.not_resources:
        return False
    return all(_holds(condition, context) for condition in statement.conditions)


def evaluate(policy: Policy, principal: Principal, action: str, resource: str, context: Context) -> Verdict:
    """What the policy says. `action` such as `s3:getobject` in lower case, `resource` an ARN."""
    verdict = Verdict.SILENT
    for statement in policy.statements:
        if (statement.allow and verdict is Verdict.ALLOW) or not _applies(
            statement, principal, action, resource, context
        ):
            continue
        if not statement.allow:
            return Verdict.DENY
        verdict = Verdict.ALLOW
    return verdict


_NARROW = frozenset(
    [
        "aws:sourcearn",
        "aws:sourcevpc",
        "aws:sourcevpce",
        "aws:sourceowner",
        "aws:sourceaccount",
        "aws:userid",
        "aws:username",
        "aws:principalarn",
        "aws:principalorgid",
        "aws:principalaccount",
        "s3:x-amz-server-side-encryption-aws-kms-key-id",
        "s3:dataaccesspointarn",
    ]
)


def is_public(policy: Policy) -> bool:
    """Whether it lets anybody in ("The meaning of public", Amazon S3 User Guide): a wildcard principal without a
    narrowing condition."""
    return any(
        statement.allow
        and (statement.not_principals or any(name == "*" for _, name in statement.principals))
        and not any(_narrows(condition) for condition in statement.conditions)
        for statement in policy.statements
    )


def _narrows(condition: Condition) -> bool:
    if condition.operator in _NEGATIVE or condition.if_exists:
        return False
    if condition.key == "aws:sourceip":
        return all(not _is_broad(value) for value in condition.values)
    return condition.key in _NARROW and not any("*" in value and not value.strip("*") for value in condition.values)


def _is_broad(value: str) -> bool:
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        return True
    return network.prefixlen < (8 if network.version == 4 else 32)
