"""Which requests an application credential's access rules allow.

Source: Keystone's guide "Application Credentials", "Access Rules": `*` stands for one path segment, `**` for any
number, `{name}` for one segment.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from ..core.call import AccessRule

ALIASES = {
    "volume": "block-storage",
    "volumev3": "block-storage",
    "block-store": "block-storage",
    "volumev2": "block-storage",
}
"""Service types that mean the same (OpenStack's service types authority)."""


MAX_PATH = 1024
"""Longer paths are covered by no rule; with `application_credentials.MAX_RULES` it bounds what a request can cost."""
_TOKEN = re.compile(r"\*\*|\*|\{[^}/]*\}|.", re.DOTALL)


class _Pattern:
    """A path with wildcards as an automaton that takes one step for each character, whatever the wildcards: a regular
    expression of a user's making could take hours. Bit `i` of a state is set when the first `i` tokens have matched.
    Source: Baeza-Yates and Gonnet, "A new approach to text searching" (shift-and)."""

    def __init__(self, path: str):
        self._literal: dict[str, int] = {}
        self._segment = self._stay = self._stay_in_segment = 0
        bit = 1
        for token in _TOKEN.findall(path):
            if token == "**":
                self._stay |= bit
                continue
            if token == "*" or len(token) > 1:
                self._segment |= bit
                self._stay_in_segment |= bit << 1
            else:
                self._literal[token] = self._literal.get(token, 0) | bit
            bit <<= 1
        self._accepting = bit

    def covers(self, path: str) -> bool:
        """Whether the whole path matches."""
        state = 1
        for character in path:
            step, stay = self._literal.get(character, 0), self._stay
            if character != "/":
                step |= self._segment
                stay |= self._stay_in_segment
            state = ((state & step) << 1) | (state & stay)
            if not state:
                return False
        return bool(state & self._accepting)


_pattern = lru_cache(maxsize=4096)(_Pattern)


def allow(rules: Sequence[AccessRule], service_type: str, method: str, prefix: str, path: str) -> bool:
    """Whether one of the rules covers the request to `prefix` + `path` (the service's mount and what is below it).

    A rule may name the path as the endpoint shows it (`/compute/v2.1/servers`), from the version on as in Keystone's
    examples (`/v2.1/servers`), or below the mount (`/servers`).
    """
    wanted = ALIASES.get(service_type, service_type)
    whole = prefix + path
    if len(whole) > MAX_PATH:
        return False
    forms = {whole, path, "/" + whole.lstrip("/").partition("/")[2]}
    return any(
        ALIASES.get(rule.service, rule.service) == wanted
        and rule.method == method
        and any(_pattern(rule.path).covers(form) for form in forms)
        for rule in rules
    )
