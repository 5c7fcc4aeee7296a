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


@lru_cache(maxsize=4096)
def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*|\{[^}/]*\})", path)
    text = "".join(
        ".*" if part == "**" else "[^/]+" if part == "*" or part.startswith("{") else re.escape(part) for part in parts
    )
    return re.compile(text + "$")


def allow(rules: Sequence[AccessRule], service_type: str, method: str, prefix: str, path: str) -> bool:
    """Whether one of the rules covers the request to `prefix` + `path` (the service's mount and what is below it).

    A rule may name the path as the endpoint shows it (`/compute/v2.1/servers`), from the version on as in Keystone's
    examples (`/v2.1/servers`), or below the mount (`/servers`).
    """
    wanted = ALIASES.get(service_type, service_type)
    whole = prefix + path
    forms = {whole, path, "/" + whole.lstrip("/").partition("/")[2]}
    return any(
        ALIASES.get(rule.service, rule.service) == wanted
        and rule.method == method
        and any(_pattern(rule.path).match(form) for form in forms)
        for rule in rules
    )
