"""Who may do what: roles, container ACLs, account ACLs. The forms are those of Swift's Keystone middleware.

A container's read ACL holds `.r:*`, `.r:host`, `.r:.domain`, `.r:-host` (referrers), `.rlistings`, and
`PROJECT:USER` with ids, `*`, or names (names
only within the default domain, because elsewhere they are not unique), or a role's name. A write ACL holds the
latter two.
"""

from __future__ import annotations

import json
from urllib.parse import urlparse

from bivouac.objects.caller import Caller
from bivouac.objects.store.interface import Account, Container
from bivouac.objects.swift.call import RESELLER_PREFIX, Call
from bivouac.objects.swift.errors import Refusal

OPERATOR_ROLES = frozenset(("admin", "member", "swiftoperator", "_member_", "manager"))
READER_ROLES = frozenset(("reader",))
RESELLER_ROLE = "reselleradmin"
READS = frozenset(("GET", "HEAD", "OPTIONS"))
DEFAULT_DOMAIN = "default"
ACCOUNT_ACL = "swift:acl"
READ_ACL, WRITE_ACL = "swift:read", "swift:write"
OWNER_DOMAIN = "swift:owner-domain"
"""The domain of the container's project, where it is not the default one."""


def is_reseller(caller: Caller | None) -> bool:
    return caller is not None and any(role.lower() == RESELLER_ROLE for role in caller.roles)


def refuse(call: Call) -> Refusal:
    """401 to the unknown, 403 to the known."""
    if call.caller is None:
        realm = f'Swift realm="{RESELLER_PREFIX}{call.account}"'.encode("ascii", "replace").decode()
        return Refusal(401, headers=[("Www-Authenticate", realm)])
    return Refusal(403)


def owns(call: Call) -> bool:
    """The caller is the account's operator (or may act as one everywhere)."""
    caller = call.caller
    if caller is None:
        return False
    if caller.project_id == call.account and not OPERATOR_ROLES.isdisjoint(caller.roles):
        return True
    return is_reseller(caller)


def may_read_account(call: Call) -> bool:
    caller = call.caller
    return caller is not None and caller.project_id == call.account and not READER_ROLES.isdisjoint(caller.roles)


async def authorize_account(call: Call) -> None:
    """For requests on the account itself. Raises Refusal."""
    if owns(call):
        call.owner = True
        return
    if call.method in READS and may_read_account(call):
        return
    level = account_acl_level(await call.store.get_account(call.account), call.caller)
    if level == "admin":
        call.owner = True
        return
    if level == "read-write" and call.method in READS:
        return
    if level == "read-only" and call.method in READS:
        return
    raise refuse(call)


async def authorize_container(call: Call, container: Container | None, method: str = "") -> None:
    """For requests on a container (`call.name` None) or an object. Raises Refusal."""
    if call.override:
        return
    if owns(call):
        call.owner = True
        return
    method = method or call.method
    reads = method in READS
    if reads and may_read_account(call):
        return
    on_object = call.name is not None
    if container is not None:
        if reads and allows_read(container, call.caller, call.referrer, on_object):
            return
        if on_object and not reads and allows_user(container, WRITE_ACL, call.caller):
            return
    level = account_acl_level(await call.store.get_account(call.account), call.caller)
    if level == "admin":
        call.owner = True
        return
    if level == "read-write" or (level == "read-only" and reads):
        return
    raise refuse(call)


def may_read(call: Call, account: str, container: Container) -> bool:
    """For what a request reads besides its own path: segments, sources of copies, targets of links."""
    if call.override:
        return account == call.account and (call.scope == "account" or container.name == call.container)
    caller = call.caller
    if (
        caller is not None
        and caller.project_id == account
        and not (OPERATOR_ROLES | READER_ROLES).isdisjoint(caller.roles)
    ):
        return True
    return is_reseller(caller) or allows_read(container, caller, call.referrer, True)


# container ACLs


def allows_read(container: Container, caller: Caller | None, referrer: str, on_object: bool) -> bool:
    acl = container.documents.get(READ_ACL)
    if not acl:
        return False
    if referrer_allowed(referrer, acl) and (on_object or ".rlistings" in entries(acl)):
        return True
    return allows_user(container, READ_ACL, caller)


def allows_user(container: Container, key: str, caller: Caller | None) -> bool:
    """Whether the ACL under `key` names the caller. Names count only where all are in the default domain: the caller,
    its project, and the project whose container it is."""
    acl = container.documents.get(key)
    if caller is None or not acl:
        return False
    projects, users = {"*", caller.project_id}, {"*", caller.user_id}
    owner = container.documents.get(OWNER_DOMAIN, DEFAULT_DOMAIN)
    if caller.project_domain_id == caller.user_domain_id == owner == DEFAULT_DOMAIN:
        projects.add(caller.project_name)
        users.add(caller.user_name)
    for entry in entries(acl):
        if entry.startswith("."):
            continue
        project, separator, user = entry.partition(":")
        if separator:
            if project in projects and user in users:
                return True
        elif project in caller.roles:
            return True
    return False


def entries(acl: str) -> list[str]:
    return [entry for part in acl.split(",") if (entry := part.strip())]


def referrer_allowed(referrer: str, acl: str) -> bool:
    """Later entries override earlier ones, as documented for Swift."""
    host = (urlparse(referrer).hostname or "unknown") if referrer else "unknown"
    allowed = False
    for entry in entries(acl):
        if not entry.startswith(".r:"):
            continue
        rule = entry[3:]
        deny = rule.startswith("-")
        rule = rule.lstrip("-")
        if rule == "*" or rule == host or (rule.startswith(".") and host.endswith(rule)):
            allowed = not deny
    return allowed


def clean_acl(name: str, text: str) -> str:
    """Normalised as Swift does. Raises Refusal for what cannot be an ACL."""
    found = []
    for entry in entries(text):
        first, separator, rest = entry.partition(":")
        if not first.startswith("."):
            found.append(entry)
            continue
        first, rest = first.strip(), rest.strip()
        if not separator:
            if first != ".rlistings":
                raise Refusal(400, f"Unknown designator {first!r} in ACL: {entry!r}")
            found.append(first)
            continue
        if first not in (".r", ".ref", ".referer", ".referrer"):
            raise Refusal(400, f"Unknown designator {first!r} in ACL: {entry!r}")
        if "write" in name:
            raise Refusal(400, f"Referrers not allowed in write ACL: {entry!r}")
        deny = rest.startswith("-")
        rest = rest[1:].strip() if deny else rest
        if rest not in ("", "*") and rest.startswith("*"):
            rest = rest[1:].strip()
        if not rest or rest == ".":
            raise Refusal(400, f"No host/domain value after referrer designation in ACL: {entry!r}")
        found.append(f".r:{'-' if deny else ''}{rest}")
    return ",".join(found)


# account ACLs

LEVELS = ("admin", "read-write", "read-only")


def clean_account_acl(text: str) -> str:
    """`{"admin": [...], "read-write": [...], "read-only": [...]}` with user ids, `PROJECT:USER` or project ids.
    Raises Refusal."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(
        level in LEVELS and isinstance(names, list) and all(isinstance(name, str) for name in names)
        for level, names in found.items()
    ):
        raise Refusal(400, "Syntax error in X-Account-Access-Control")
    found = {level: names for level, names in found.items() if names}
    return json.dumps(found, separators=(",", ":"), sort_keys=True) if found else ""


def account_acl_level(account: Account, caller: Caller | None) -> str:
    """The highest level the account's ACL gives the caller, or nothing."""
    acl = account.documents.get(ACCOUNT_ACL)
    if acl is None or caller is None:
        return ""
    known = {caller.user_id, caller.project_id, f"{caller.project_id}:{caller.user_id}", f"{caller.project_id}:*"}
    found = json.loads(acl)
    return next((level for level in LEVELS if not known.isdisjoint(found.get(level, ()))), "")
