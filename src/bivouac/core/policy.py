"""Policy: rules in oslo.policy's syntax, compiled once to functions.

Every route names its rule; its default stands in the service's table of `Rule`s; an operator overrides it in a YAML
file of `name: "check"` lines, as for OpenStack's services. A check is made of `role:NAME`, `rule:NAME`,
`KEY:%(TARGET_KEY)s`, `KEY:literal`, `'literal':%(KEY)s`, `@` (always), `!` (never), `and`, `or`, `not` and
parentheses. Source: oslo.policy documentation, "Policy rule expressions".
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from .errors import Error

Check = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]
_TOKEN = re.compile(r"\s*(\(|\)|(?:[^\s()'\"%]|'[^']*'|\"[^\"]*\"|%\([^)]*\)s)+)")
_PLACEHOLDER = re.compile(r"^%\(([^)]*)\)s$")
MAX_DEPTH = 20
"""Rules that name each other deeper than this are taken for a circle."""


class PolicyError(Error):
    """A rule does not parse, or names a rule that is not there."""


class Rule(Struct, frozen=True):
    """A default: name as in the OpenStack service's own policy, check, and what it is for."""

    name: str
    check: str
    description: str = ""


BASE_RULES = (
    Rule("admin_required", "role:admin", "The administrator of the whole cloud."),
    Rule("context_is_admin", "role:admin", "Sees and touches the things of all projects."),
    Rule("owner", "project_id:%(project_id)s", "Somebody of the project that owns the thing."),
    Rule("project_reader", "role:reader and rule:owner"),
    Rule("project_member", "role:member and rule:owner"),
    Rule("project_manager", "role:manager and rule:owner"),
    Rule("project_reader_or_admin", "rule:project_reader or rule:context_is_admin"),
    Rule("project_member_or_admin", "rule:project_member or rule:context_is_admin"),
    Rule("project_manager_or_admin", "rule:project_manager or rule:context_is_admin"),
    Rule("authenticated", "@", "Whoever has a valid token."),
)


class Policy:
    """The rules in force: defaults of all services with an operator's overrides over them."""

    def __init__(self, rules: Iterable[Rule] = (), overrides: Mapping[str, str] | None = None):
        self.texts: dict[str, str] = {rule.name: rule.check for rule in (*BASE_RULES, *rules)}
        self.texts.update(overrides or {})
        self.checks: dict[str, Check] = {name: self._compile(name, text) for name, text in self.texts.items()}
        for name, text in self.texts.items():
            self._refuse_unknown(name, text)
        self._keys: dict[str, frozenset[str]] = {}
        self.own_verdicts: dict[tuple[Any, ...], dict[str, bool]] = {}
        """What `Call.allows` remembers; rules never change while a policy lives."""

    def keys(self, rule: str) -> frozenset[str]:
        """The keys of a target that the named rule looks at; another key cannot change its verdict."""
        found = self._keys.get(rule)
        if found is None:
            found = self._keys[rule] = frozenset(self._keys_of(self.texts.get(rule, "")))
        return found

    def _keys_of(self, text: str) -> Iterator[str]:
        for term in _TOKEN.findall(text):
            kind, _, match = term.partition(":")
            if kind == "rule":
                yield from self._keys_of(self.texts[match])
            elif placeholder := _PLACEHOLDER.match(match):
                yield placeholder.group(1)

    def allows(self, rule: str, target: Mapping[str, Any], credentials: Mapping[str, Any]) -> bool:
        """Whether the named rule holds. An unknown name is a programming error: PolicyError."""
        check = self.checks.get(rule)
        if check is None:
            raise PolicyError(f"there is no policy rule named {rule}")
        return check(target, credentials)

    def refusal(self, rule: str, target: Mapping[str, Any], credentials: Mapping[str, Any]) -> str:
        """The words of a 403: the rule, what it asks, what the caller has, and which of the terms fail."""
        missing = sorted(self.missing(rule, target, credentials))
        roles = ", ".join(credentials.get("roles", ())) or "none"
        words = f"Policy doesn't allow {rule} to be performed. The rule is \"{self.texts[rule]}\"; your roles: {roles}"
        return words + (f"; not met: {', '.join(missing)}." if missing else ".")

    def missing(self, rule: str, target: Mapping[str, Any], credentials: Mapping[str, Any], depth: int = 0) -> set[str]:
        """The terms below the rule that do not hold."""
        found: set[str] = set()
        for term in _TOKEN.findall(self.texts.get(rule, "")):
            if term.lower() in ("(", ")", "and", "or", "not", "@", "!"):
                continue
            if term.startswith("rule:") and depth < MAX_DEPTH:
                found |= self.missing(term[5:], target, credentials, depth + 1)
            elif not self._term(term)(target, credentials):
                found.add(term)
        return found

    def _refuse_unknown(self, name: str, text: str, trail: tuple[str, ...] = ()) -> None:
        if name in trail or len(trail) > MAX_DEPTH:
            raise PolicyError(f"policy rules name each other in a circle: {' > '.join((*trail, name))}")
        for term in _TOKEN.findall(text):
            if term.startswith("rule:"):
                if term[5:] not in self.texts:
                    raise PolicyError(f"policy rule {name} names rule {term[5:]}, which does not exist")
                self._refuse_unknown(term[5:], self.texts[term[5:]], (*trail, name))

    def _compile(self, name: str, text: str) -> Check:
        tokens = _TOKEN.findall(text)
        if "".join(tokens) != re.sub(r"\s+(?=(?:[^'\"]|'[^']*'|\"[^\"]*\")*$)", "", text):
            raise PolicyError(f"policy rule {name} does not parse: {text}")
        if not tokens:
            return lambda target, credentials: True
        check, rest = self._any(tokens, name)
        if rest:
            raise PolicyError(f"policy rule {name} does not parse after {rest[0]!r}: {text}")
        return check

    def _any(self, tokens: list[str], name: str) -> tuple[Check, list[str]]:
        check, tokens = self._all(tokens, name)
        checks = [check]
        while tokens and tokens[0].lower() == "or":
            check, tokens = self._all(tokens[1:], name)
            checks.append(check)
        if len(checks) == 1:
            return checks[0], tokens
        return (lambda target, credentials: any(one(target, credentials) for one in checks)), tokens

    def _all(self, tokens: list[str], name: str) -> tuple[Check, list[str]]:
        check, tokens = self._one(tokens, name)
        checks = [check]
        while tokens and tokens[0].lower() == "and":
            check, tokens = self._one(tokens[1:], name)
            checks.append(check)
        if len(checks) == 1:
            return checks[0], tokens
        return (lambda target, credentials: all(one(target, credentials) for one in checks)), tokens

    def _one(self, tokens: list[str], name: str) -> tuple[Check, list[str]]:
        if not tokens:
            raise PolicyError(f"policy rule {name} ends too early")
        first, rest = tokens[0], tokens[1:]
        if first.lower() == "not":
            check, rest = self._one(rest, name)
            return (lambda target, credentials: not check(target, credentials)), rest
        if first == "(":
            check, rest = self._any(rest, name)
            if not rest or rest[0] != ")":
                raise PolicyError(f"policy rule {name} lacks a closing parenthesis")
            return check, rest[1:]
        return self._term(first), rest

    def _term(self, term: str) -> Check:
        if term == "@":
            return lambda target, credentials: True
        if term == "!":
            return lambda target, credentials: False
        kind, colon, match = term.partition(":")
        if not colon:
            raise PolicyError(f"policy term {term!r} has no colon")
        if kind == "rule":
            return lambda target, credentials: self.checks[match](target, credentials)
        placeholder = _PLACEHOLDER.match(match)
        if kind == "role":
            if placeholder:
                key = placeholder.group(1)
                return lambda target, credentials: str(target.get(key)).lower() in credentials["roles"]
            role = match.lower()
            return lambda target, credentials: role in (have.lower() for have in credentials["roles"])
        return _comparison(kind, placeholder.group(1) if placeholder else None, match)


def _comparison(kind: str, key: str | None, literal: str) -> Check:
    """`KEY:%(TARGET)s` and its kin. A target without the key never matches, nor a caller without a value: one who has
    no project doesn't own what belongs to none."""
    quoted = kind[:1] in "'\""

    def check(target: Mapping[str, Any], credentials: Mapping[str, Any]) -> bool:
        if key is not None:
            wanted = _lookup(target, key)
            if wanted is _ABSENT:
                return False
        else:
            wanted = literal.strip("'\"")
        have: Any
        if quoted:
            have = kind[1:-1]
        elif kind in ("None", "True", "False"):
            have = kind
        else:
            have = _lookup(credentials, kind)
            if have is _ABSENT or (have is None and key is not None):
                return False
            if isinstance(have, (list, tuple)):
                return str(wanted) in [str(one) for one in have]
        return str(have) == str(wanted)

    return check


_ABSENT = object()


def _lookup(tree: Mapping[str, Any], key: str) -> Any:
    """`target.user.domain_id`, as a flat key or as a path into nested mappings."""
    if key in tree:
        return tree[key]
    node: Any = tree
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return _ABSENT
        node = node[part]
    return node


def load_overrides(path: Path | str) -> dict[str, str]:
    """Read a policy file. Raises PolicyError when it is not a mapping of names to checks."""
    try:
        tree = yaml.safe_load(Path(path).read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise PolicyError(f"policy file {path}: {error}") from error
    if not isinstance(tree, dict) or not all(isinstance(k, str) and isinstance(v, str) for k, v in tree.items()):
        raise PolicyError(f"policy file {path}: wants lines of `name: \"check\"`")
    return tree
