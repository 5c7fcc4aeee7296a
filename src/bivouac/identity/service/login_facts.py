"""What a login has to know of a user, and what it leaves behind: failures, lockout, activity."""

from msgspec import Struct

from ...core.errors import BadRequest
from ...core.ids import new_hex
from ...core.settings import Security
from ...core.store import Tx
from .. import revocation
from ..records import ApplicationCredential, Credential, Nonce, Project, User
from ..vault import Vault
from . import scope as scopes

DAY_S = 86_400.0


class UserName(Struct):
    """A user by id, or by name and domain, with what is to be proven."""

    id: str | None = None
    name: str | None = None
    domain: scopes.DomainName | None = None
    password: str | None = None
    passcode: str | None = None


class Found(Struct, frozen=True):
    """A user, or nobody (which depends on nothing, and is looked for again each time)."""

    user: User | None
    subjects: tuple[str, ...]


def find_user(tx: Tx, wanted: UserName) -> Found:
    """The named user in an enabled domain. Raises BadRequest when it names nobody."""
    if wanted.id:
        user = tx.get(User, wanted.id)
    elif wanted.name:
        if wanted.domain is None or not (wanted.domain.id or wanted.domain.name):
            raise BadRequest("Expecting to find domain in user. The server could not comply with the request since it "
                             "is either malformed or otherwise incorrect.")  # fmt: skip
        domain_id = wanted.domain.id or tx.value(
            "SELECT id FROM projects WHERE name = ? AND domain_id IS NULL", wanted.domain.name
        )
        user = tx.first(User, "WHERE domain_id = ? AND name = ?", domain_id, wanted.name) if domain_id else None
    else:
        raise BadRequest("Expecting to find id or name in user. The server could not comply with the request since it "
                         "is either malformed or otherwise incorrect.")  # fmt: skip
    domain = tx.get(Project, user.domain_id) if user is not None else None
    if user is None or domain is None or not domain.enabled:
        return Found(None, ())
    return Found(user, (user.id, domain.id))


def may_try(user: User, security: Security, now: float) -> bool:
    """Whether the user is enabled, active enough and not locked out."""
    if not user.enabled:
        return False
    days = security.disable_user_account_days_inactive
    if days and not user.options.get("ignore_user_inactivity"):
        seen = max(user.last_active_at or 0.0, user.created_at)
        if now - seen > days * DAY_S:
            return False
    return not is_locked(user, security, now)


def is_locked(user: User, security: Security, now: float) -> bool:
    """Whether too many wrong passwords have locked the user out for now."""
    attempts = security.lockout_failure_attempts
    if not attempts or user.failed_attempts < attempts or user.options.get("ignore_lockout_failure_attempts"):
        return False
    return not security.lockout_duration_s or now - (user.failed_at or 0.0) < security.lockout_duration_s


def note_failure(tx: Tx, user_id: str, security: Security, now: float) -> None:
    """Count a wrong password. After a lockout has passed, counting begins anew. For nobody as much is written, so that
    the time taken does not tell who exists."""
    user = tx.get(User, user_id)
    if user is None or is_locked(user, security, now):
        use_once(tx, f"refused {new_hex()}", now, 0.0)
        return
    passed = user.failed_attempts >= security.lockout_failure_attempts
    revocation.forget(tx, user.id)
    tx.update(user, failed_attempts=1 if passed else user.failed_attempts + 1, failed_at=now)


def note_success(tx: Tx, user_id: str, now: float) -> None:
    """Forget failures, note activity."""
    user = tx.get(User, user_id)
    if user is not None:
        revocation.forget(tx, user.id)
        tx.update(user, failed_attempts=0, failed_at=None, last_active_at=now)


def needs_note(user: User, security: Security, now: float) -> bool:
    """Whether a success is worth a write: failures to forget, or the first login of the day."""
    if user.failed_attempts:
        return True
    return bool(security.disable_user_account_days_inactive) and now - (user.last_active_at or 0.0) > DAY_S / 24


def must_change_password(user: User, security: Security, now: float) -> bool:
    """Whether the password is right but only serves to set a new one."""
    if user.password_expires_at is not None and user.password_expires_at <= now:
        return not user.options.get("ignore_password_expiry")
    return (
        security.change_password_upon_first_use
        and not user.password_set_by_user
        and not user.options.get("ignore_change_password_upon_first_use")
    )


def find_application_credential(
    tx: Tx, credential_id: str | None, name: str | None, owner: UserName | None
) -> tuple[ApplicationCredential | None, User | None]:
    """The application credential by id, or by name and owner, with its owner. Raises BadRequest."""
    if credential_id:
        credential = tx.get(ApplicationCredential, credential_id)
        user = find_user(tx, UserName(id=credential.user_id)).user if credential else None
        return credential, user
    if not name or owner is None:
        raise BadRequest("Expecting to find id, or name and user, in application_credential.")
    user = find_user(tx, owner).user
    if user is None:
        return None, None
    return tx.first(ApplicationCredential, "WHERE user_id = ? AND name = ?", user.id, name), user


def totp_secrets(tx: Tx, vault: Vault, user_id: str) -> list[str]:
    """The user's seeds for one-time passcodes, in base32."""
    rows = tx.select(Credential, "WHERE user_id = ? AND type = 'totp'", user_id)
    return [vault.open(tx, row).blob for row in rows]


def use_once(tx: Tx, nonce: str, now: float, keep_s: float) -> bool:
    """Whether this is the first use of the nonce (until it is forgotten after `keep_s`)."""
    tx.execute("DELETE FROM nonces WHERE expires_at < ?", now)
    if tx.get(Nonce, nonce) is not None:
        return False
    tx.insert(Nonce(id=nonce, expires_at=now + keep_s))
    return True
