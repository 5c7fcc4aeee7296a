"""EC2 access keys: whom one stands for. Used by the object store, `ec2tokens` and `s3tokens`."""

from msgspec.structs import replace

from ...core.store import Tx
from ..records import AccessToken, ApplicationCredential, Credential, Trust
from ..tokens import Token, new_audit_id
from ..vault import Vault
from .credentials import secret_of
from .validity import MICROSECONDS, Proven, Refused, prove

METHOD = "ec2credential"
LIFETIME_S = 3600


def prove_access_key(tx: Tx, vault: Vault, access: str, now: float) -> Proven:
    """The key's owner on the key's project, as a token made now would show it. Raises Refused."""
    row = tx.first(Credential, "WHERE access = ?", access)
    if row is None or row.type != "ec2" or row.project_id is None:
        raise Refused("no such key")
    expires_at = now + LIFETIME_S
    for table, key in (
        (Trust, row.trust_id), (ApplicationCredential, row.application_credential_id),
        (AccessToken, row.access_token_id),
    ):  # fmt: skip
        if key:
            source = tx.get(table, key)
            if source is None or (source.expires_at is not None and source.expires_at <= now):
                raise Refused("what the key was made with is gone")
            expires_at = min(expires_at, source.expires_at or expires_at)
    user_id = row.user_id
    if row.trust_id and (trust := tx.get(Trust, row.trust_id)) is not None:
        user_id = trust.trustee_user_id
    token = Token(
        user_id=user_id,
        issued_us=round(now * MICROSECONDS),
        expires_us=round(expires_at * MICROSECONDS),
        methods=(METHOD,),
        audit_ids=(new_audit_id(),),
        project_id=row.project_id,
        trust_id=row.trust_id or "",
        application_credential_id=row.application_credential_id or "",
        access_token_id=row.access_token_id or "",
    )
    proven = prove(tx, token)
    return replace(proven, access_secret=secret_of(vault.open(tx, row)), subjects=(*proven.subjects, access))
