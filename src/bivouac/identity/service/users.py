"""Users and their passwords. Source: Identity API v3, "Users"; keystone's security compliance guide."""

from typing import Any

from msgspec import Struct

from ...core.call import Call
from ...core.errors import BadRequest, Conflict
from ...core.ids import new_hex
from ...core.settings import Security
from ...core.store import Duplicate, Page, Tx
from .. import revocation
from ..passwords import expiry_of, is_known_format
from ..records import GroupMember, OldPassword, Project, RoleAssignment, Trust, User
from . import targets
from .filters import Filters, select

OPTIONS: dict[str, type] = {
    "ignore_change_password_upon_first_use": bool,
    "ignore_password_expiry": bool,
    "ignore_lockout_failure_attempts": bool,
    "ignore_user_inactivity": bool,
    "lock_password": bool,
    "multi_factor_auth_enabled": bool,
    "multi_factor_auth_rules": list,
}
DAY_S = 86_400.0


class NewUser(Struct, frozen=True, kw_only=True):
    """What a user is made of; the password as its hash."""

    name: str
    domain_id: str | None = None
    enabled: bool = True
    default_project_id: str | None = None
    description: str | None = None
    password_hash: str | None = None
    options: dict[str, Any] = {}
    extra: dict[str, Any] = {}


def list_users(tx: Tx, call: Call, filters: Filters, page: Page) -> list[User]:
    """Users; with a domain scope those of the domain."""
    call.enforce("identity:list_users", targets.own_domain(call))
    if call.caller.domain_id:
        filters = filters.having("domain_id = ?", call.caller.domain_id)
    return select(tx, User, filters, page)


def get(tx: Tx, call: Call, user_id: str, rule: str = "identity:get_user") -> User:
    """Raises Forbidden, NotFound."""
    call.enforce(rule, targets.of_user(tx.get(User, user_id)))
    return targets.user(tx, user_id)


def create(tx: Tx, call: Call, new: NewUser, security: Security) -> User:
    """Raises Forbidden, BadRequest, Conflict, NotFound (domain)."""
    domain_id = targets.default_domain(call, new.domain_id)
    call.enforce("identity:create_user", targets.of_new("user", domain_id))
    targets.domain(tx, domain_id)
    _check_default_project(tx, new.default_project_id)
    options = targets.merge_options({}, check_options(new.options))
    user = User(
        id=new_hex(), name=new.name, domain_id=domain_id, enabled=new.enabled,
        default_project_id=new.default_project_id, description=new.description, options=options, extra=new.extra,
        created_at=call.now, password_hash=new.password_hash,
        password_created_at=call.now if new.password_hash else None,
        password_expires_at=expiry_of(security, options, call.now) if new.password_hash else None,
    )  # fmt: skip
    return _stored(lambda: tx.insert(user), new.name)


def _stored(action: Any, name: str) -> User:
    try:
        return action()
    except Duplicate as error:
        raise Conflict(
            f"Conflict occurred attempting to store user - Duplicate entry found with name {name} in its domain."
        ) from error


def _check_default_project(tx: Tx, project_id: str | None) -> None:
    """A default project must not be a domain; one that does not exist is allowed, as with Keystone."""
    if project_id and (project := tx.get(Project, project_id)) is not None and project.is_domain:
        raise BadRequest("User's default project ID cannot be a domain ID.")


def check_options(options: dict[str, Any]) -> dict[str, Any]:
    """Raises BadRequest for options that are not known or of the wrong type."""
    for name, value in options.items():
        wanted = OPTIONS.get(name)
        if wanted is None:
            raise BadRequest(f"There is no user option {name}.")
        if value is not None and not isinstance(value, wanted):
            raise BadRequest(f"The option {name} must be of type {wanted.__name__}.")
    rules = options.get("multi_factor_auth_rules") or []
    for rule in rules:
        if not isinstance(rule, list) or not rule or not all(isinstance(one, str) for one in rule):
            raise BadRequest("multi_factor_auth_rules must be lists of names of authentication methods.")
        if len(set(rule)) != len(rule):
            raise BadRequest("A rule of multi_factor_auth_rules must not repeat a method.")
    if len({tuple(sorted(rule)) for rule in rules}) != len(rules):
        raise BadRequest("multi_factor_auth_rules must not repeat a rule.")
    return options


def update(tx: Tx, call: Call, user_id: str, changes: dict[str, Any], security: Security) -> User:
    """Change a user; a new password comes as `password_hash`, and then ends what the old one began."""
    user = get(tx, call, user_id, "identity:update_user")
    changes = dict(changes)
    if "domain_id" in changes and changes.pop("domain_id") != user.domain_id:
        raise BadRequest("A user's domain can't be changed.")
    fields: dict[str, Any] = {}
    for name in ("name", "enabled", "default_project_id", "description"):
        if name in changes:
            fields[name] = changes.pop(name)
    _check_default_project(tx, fields.get("default_project_id"))
    if "options" in changes:
        fields["options"] = targets.merge_options(user.options, check_options(changes.pop("options")))
    if "password_hash" in changes:
        hashed = changes.pop("password_hash")
        if user.options.get("lock_password") and fields.get("options", user.options).get("lock_password"):
            raise BadRequest("The password of this user is locked.")
        fields |= _new_password(tx, call, user, hashed, security, by_user=False)
    if changes:
        fields["extra"] = {**user.extra, **changes}
    if fields.get("enabled") is False and user.enabled:
        fields["tokens_not_before"] = call.now
        revocation.revoke(tx, call.now, user_id=user.id)
    if fields.get("enabled") is True and not user.enabled:
        fields |= {"failed_attempts": 0, "failed_at": None, "last_active_at": call.now}
    revocation.forget(tx, user.id)
    return _stored(lambda: tx.update(user, **fields), fields.get("name", user.name))


def _new_password(
    tx: Tx, call: Call, user: User, hashed: str | None, security: Security, by_user: bool
) -> dict[str, Any]:
    """The fields of a user with a new password; the old one goes into the history, all tokens become void."""
    if hashed is not None and not is_known_format(hashed):
        raise BadRequest("The password's hash is of an unknown format.")
    keep = security.unique_last_password_count
    if user.password_hash is not None and keep:
        tx.insert(
            OldPassword(
                id=new_hex(), user_id=user.id, password_hash=user.password_hash,
                created_at=user.password_created_at or 0.0,
            )
        )  # fmt: skip
        old = tx.select(OldPassword, "WHERE user_id = ? ORDER BY created_at DESC, id", user.id)
        for one in old[keep:]:
            tx.delete(one)
    revocation.revoke(tx, call.now, user_id=user.id)
    return {
        "password_hash": hashed,
        "password_created_at": call.now if hashed else None,
        "password_expires_at": expiry_of(security, user.options, call.now) if hashed else None,
        "password_set_by_user": by_user,
        "failed_attempts": 0,
        "failed_at": None,
        "tokens_not_before": call.now,
    }


def password_history(tx: Tx, user_id: str, security: Security) -> list[str]:
    """Hashes that a new password of this user must not fit: the current one and those before it."""
    keep = security.unique_last_password_count
    user = tx.get(User, user_id)
    if not keep or user is None:
        return []
    old = tx.select(OldPassword, "WHERE user_id = ? ORDER BY created_at DESC, id", user_id)
    hashes = [user.password_hash] if user.password_hash else []
    return (hashes + [one.password_hash for one in old])[:keep]


def change_password(tx: Tx, call: Call, user_id: str, old_hash: str | None, hashed: str, security: Security) -> None:
    """Set the password that the user has chosen, having proven the one with `old_hash`. Raises BadRequest (too soon,
    locked), Conflict when the password was changed meanwhile."""
    user = targets.user(tx, user_id)
    if user.password_hash != old_hash:
        raise Conflict("The password was changed by another request.")
    if user.options.get("lock_password"):
        raise BadRequest("The password of this user is locked.")
    days = security.minimum_password_age_days
    age_s = call.now - (user.password_created_at or 0.0)
    if days and user.password_set_by_user and age_s < days * DAY_S:
        raise BadRequest(f"A password must be {days} days old before it can be changed. Contact an administrator.")
    tx.update(user, **_new_password(tx, call, user, hashed, security, by_user=True))


def delete(tx: Tx, call: Call, user_id: str) -> None:
    """Raises Forbidden, NotFound."""
    remove(tx, call, get(tx, call, user_id, "identity:delete_user"))


def remove(tx: Tx, call: Call, user: User) -> None:
    """Delete the user with all that is theirs (the rest goes by foreign keys)."""
    tx.delete_where(RoleAssignment, "actor_type = 'user' AND actor_id = ?", user.id)
    tx.delete_where(GroupMember, "user_id = ?", user.id)
    tx.delete_where(Trust, "trustor_user_id = ? OR trustee_user_id = ?", user.id, user.id)
    tx.delete(user)
    revocation.revoke(tx, call.now, user_id=user.id)
