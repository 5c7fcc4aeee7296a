"""What makes tokens void, and the bell that tells every process's cache of proven tokens.

Void by time: a user, project or domain has `tokens_not_before`. Void by name: an event with the token's audit id.
Everything else (roles, names, enabled) is read when a token is proven; `forget` makes it be read again.
"""

from ..core.ids import new_hex
from ..core.store import Tx
from .records import RevocationEvent

BELL = "identity.forget"
EVERYTHING = "*"


def forget(tx: Tx, *subjects: str | None) -> None:
    """After the commit, prove again every token that depends on one of these ids (users, projects, domains, trusts,
    application credentials, access tokens, audit ids)."""
    for subject in subjects:
        if subject:
            tx.ring(BELL, subject)


def forget_everything(tx: Tx) -> None:
    """After the commit, prove every token again: what changed (roles, groups) may matter to anybody."""
    tx.ring(BELL, EVERYTHING)


def revoke(tx: Tx, now: float, expires_at: float | None = None, **what: str | None) -> None:
    """Note an event (`audit_id`, `user_id`, `project_id`, `domain_id`, `trust_id`, ...) and forget what it names."""
    tx.insert(RevocationEvent(id=new_hex(), issued_before=now, revoked_at=now, expires_at=expires_at, **what))
    forget(tx, *what.values())


def events(tx: Tx, since: float | None) -> list[RevocationEvent]:
    """Events, oldest first."""
    return tx.select(RevocationEvent, "WHERE revoked_at >= ? ORDER BY revoked_at, id", since or 0.0)


def prune(tx: Tx, now: float, token_lifetime_s: float) -> int:
    """Drop events that no living token can match. Returns how many."""
    return len(tx.delete_where(RevocationEvent, "revoked_at < ?", now - token_lifetime_s - 1800))
