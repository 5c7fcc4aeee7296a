"""Secrets that users keep here: EC2 keys, seeds of one-time passcodes, anything else.

Rows are sealed by the vault; what the rules here give back is open. Source: Identity API v3, "Credentials", and
OS-EC2. An EC2 key's credential id is the SHA-256 of its access key.
"""

import hashlib
import os
from typing import Any

import msgspec
from msgspec.structs import replace

from ...core.call import Call
from ...core.errors import BadRequest, Conflict, NotFound
from ...core.ids import new_hex
from ...core.store import Duplicate, Tx
from .. import revocation
from ..records import Credential
from ..vault import Vault
from . import targets
from .delegation import refuse_restricted

EC2 = "ec2"


def _target(user_id: str | None) -> targets.Target:
    return {} if user_id is None else {"target.credential.user_id": user_id, "user_id": user_id}


def list_credentials(tx: Tx, call: Call, vault: Vault, filters: dict[str, str]) -> list[Credential]:
    """Those of the caller, or all for who may see all. Raises Forbidden."""
    call.enforce("identity:list_credentials", _target(filters.get("user_id", call.user_id)))
    conditions = " AND ".join(f"{name} = ?" for name in filters)
    rows = tx.select(Credential, f"{'WHERE' if conditions else ''} {conditions} ORDER BY id", *filters.values())
    return [vault.open(tx, row) for row in rows if call.allows("identity:get_credential", _target(row.user_id))]


def show(tx: Tx, call: Call, vault: Vault, credential_id: str) -> Credential:
    """Raises Forbidden, NotFound."""
    return vault.open(tx, _get(tx, call, credential_id, "identity:get_credential"))


def _get(tx: Tx, call: Call, credential_id: str, rule: str) -> Credential:
    row = tx.get(Credential, credential_id)
    call.enforce(rule, _target(row.user_id if row else None))
    if row is None:
        raise NotFound(f"Could not find credential: {credential_id}.")
    return row


def _access_of(type: str, blob: str) -> str | None:
    """The access key in the blob of an EC2 credential. Raises BadRequest."""
    if type != EC2:
        return None
    try:
        tree = msgspec.json.decode(blob)
        access, secret = tree["access"], tree["secret"]
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise BadRequest("The blob of an ec2 credential must be JSON with access and secret.") from error
    if not isinstance(access, str) or not access or not isinstance(secret, str) or not secret:
        raise BadRequest("The access and secret of an ec2 credential must be texts.")
    return access


def credential_id_of(access: str) -> str:
    """The id of the credential with this access key."""
    return hashlib.sha256(access.encode()).hexdigest()


def create(
    tx: Tx, call: Call, vault: Vault, type: str, blob: str, user_id: str | None, project_id: str | None,
    extra: dict[str, Any],
) -> Credential:
    """Raises Forbidden, BadRequest, Conflict, NotFound (user, project)."""
    user_id = user_id or call.user_id
    call.enforce("identity:create_credential", _target(user_id))
    refuse_restricted(call)
    targets.user(tx, user_id)
    access = _access_of(type, blob)
    if access is not None and project_id is None:
        raise BadRequest("An ec2 credential needs a project_id.")
    if project_id is not None:
        targets.project(tx, project_id)
    who = call.caller
    row = Credential(
        id=credential_id_of(access) if access is not None else new_hex(), user_id=user_id, type=type, blob=blob,
        project_id=project_id, access=access, extra=extra, trust_id=who.trust_id or None,
        application_credential_id=who.application_credential_id or None,
        access_token_id=who.oauth_access_token_id or None,
    )  # fmt: skip
    _stored(lambda: tx.insert(vault.seal(tx, call.now, row)))
    return row


def _stored(action: Any) -> Credential:
    try:
        return action()
    except Duplicate as error:
        raise Conflict("Conflict occurred attempting to store credential - there is one with this key.") from error


def update(tx: Tx, call: Call, vault: Vault, credential_id: str, changes: dict[str, Any]) -> Credential:
    """Raises Forbidden, BadRequest, Conflict, NotFound."""
    row = _get(tx, call, credential_id, "identity:update_credential")
    opened = vault.open(tx, row)
    changes = dict(changes)
    refuse_restricted(call)
    if "user_id" in changes:
        call.enforce("identity:update_credential", _target(changes["user_id"]))
        targets.user(tx, changes["user_id"])
    if changes.get("project_id"):
        targets.project(tx, changes["project_id"])
    fields = {name: changes.pop(name) for name in ("type", "blob", "user_id", "project_id") if name in changes}
    fields["access"] = _access_of(fields.get("type", row.type), fields.get("blob", opened.blob))
    if changes:
        fields["extra"] = {**row.extra, **changes}
    revocation.forget(tx, row.access, fields["access"])
    changed = replace(opened, **fields)
    sealed = vault.seal(tx, call.now, changed)
    _stored(lambda: tx.update(row, **{**fields, "blob": sealed.blob, "key_id": sealed.key_id}))
    return changed


def delete(tx: Tx, call: Call, credential_id: str) -> None:
    """Raises Forbidden, NotFound."""
    row = _get(tx, call, credential_id, "identity:delete_credential")
    refuse_restricted(call)
    tx.delete(row)
    revocation.forget(tx, row.access)


# --- OS-EC2 ------------------------------------------------------------------------------------------------------


def create_key(tx: Tx, call: Call, vault: Vault, user_id: str, project_id: str) -> Credential:
    """A fresh EC2 key of the user for the project. Raises Forbidden, NotFound."""
    call.enforce("identity:ec2_create_credential", _target(user_id))
    refuse_restricted(call)
    targets.user(tx, user_id)
    targets.project(tx, project_id)
    access, secret = new_hex(), os.urandom(16).hex()
    who = call.caller
    row = Credential(
        id=credential_id_of(access), user_id=user_id, type=EC2, project_id=project_id, access=access,
        blob=msgspec.json.encode({"access": access, "secret": secret, "trust_id": who.trust_id or None}).decode(),
        trust_id=who.trust_id or None, application_credential_id=who.application_credential_id or None,
        access_token_id=who.oauth_access_token_id or None,
    )  # fmt: skip
    tx.insert(vault.seal(tx, call.now, row))
    return row


def list_keys(tx: Tx, call: Call, vault: Vault, user_id: str) -> list[Credential]:
    """Raises Forbidden, NotFound."""
    call.enforce("identity:ec2_list_credentials", _target(user_id))
    targets.user(tx, user_id)
    rows = tx.select(Credential, "WHERE user_id = ? AND type = ? ORDER BY id", user_id, EC2)
    return [vault.open(tx, row) for row in rows]


def show_key(tx: Tx, call: Call, vault: Vault, user_id: str, access: str) -> Credential:
    """Raises Forbidden, NotFound."""
    return vault.open(tx, _get_key(tx, call, user_id, access, "identity:ec2_get_credential"))


def _get_key(tx: Tx, call: Call, user_id: str, access: str, rule: str) -> Credential:
    row = tx.first(Credential, "WHERE access = ?", access)
    call.enforce(rule, _target(row.user_id if row and row.user_id == user_id else user_id))
    if row is None or row.user_id != user_id:
        raise NotFound(f"Could not find credential: {access}.")
    return row


def delete_key(tx: Tx, call: Call, user_id: str, access: str) -> None:
    """Raises Forbidden, NotFound."""
    row = _get_key(tx, call, user_id, access, "identity:ec2_delete_credential")
    refuse_restricted(call)
    tx.delete(row)
    revocation.forget(tx, row.access)


def secret_of(row: Credential) -> str:
    """The secret key of an EC2 credential that is open."""
    return str(msgspec.json.decode(row.blob)["secret"])
