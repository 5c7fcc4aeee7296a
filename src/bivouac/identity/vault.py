"""Credentials at rest: sealed with keys of the database, which are wrapped by a key of the state directory.

A copy of the database, or of a backup of it, tells nobody's secrets without the file STATE/control/credential-key.
The database's keys change by themselves each month, and upkeep seals older rows anew. The file's key changes when an
operator puts a new line above the old one and starts control again; the old line can go after the next upkeep.

AES-256-GCM throughout, each text bound to the row it belongs to. Source: NIST SP 800-38D; RFC 5116.
"""

import os
import secrets
from base64 import b64decode, b64encode
from hashlib import blake2b
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec.structs import replace

from ..core.errors import Error
from ..core.store import Tx
from .records import Credential, CredentialKey

KEY_BYTES = 32
NONCE_BYTES = 12
NAME_BYTES = 8
ROTATION_S = 30 * 24 * 3600.0
AT_ONCE = 500
"""Rows that one transaction seals anew."""


class VaultError(Error):
    """The file with the key is not of the form it must have, or not the one this database was sealed with."""


class Vault:
    """Seals and opens credentials, for one process."""

    def __init__(self, path: Path):
        self._path = path
        self._masters: dict[bytes, AESGCM] = {}
        self._known: dict[bytes, AESGCM] = {}

    def seal(self, tx: Tx, now: float, row: Credential) -> Credential:
        """The row with its blob sealed by the newest key, which is made when there is none yet."""
        newest = self._newest(tx) or self._make_key(tx, 1, now)
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self._unwrapped(newest).encrypt(nonce, row.blob.encode(), row.id.encode())
        return replace(row, key_id=newest.id, blob=b64encode(sealed).decode())

    def open(self, tx: Tx, row: Credential) -> Credential:
        """The row with its blob as the user gave it. Raises VaultError."""
        if row.key_id is None:
            return row
        key = tx.get(CredentialKey, row.key_id)
        sealed = b64decode(row.blob)
        if key is None:
            raise VaultError(f"The key of credential {row.id} is not in the database.")
        try:
            blob = self._unwrapped(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], row.id.encode())
        except InvalidTag as error:
            raise VaultError(f"Credential {row.id} was changed in the database.") from error
        return replace(row, key_id=None, blob=blob.decode())

    def upkeep(self, tx: Tx, now: float) -> None:
        """Make a new key when it is time, wrap keys with the file's newest, seal older rows anew, drop what is past.
        Raises VaultError."""
        newest = self._newest(tx)
        if newest is None or now - newest.created_at >= ROTATION_S:
            newest = self._make_key(tx, newest.id + 1 if newest else 1, now)
        wrapper, _ = self._first_master()
        for key in tx.select(CredentialKey):
            if not key.wrapped.startswith(wrapper):
                tx.update(key, wrapped=self._wrapped(key.id, self._unwrap(key)))
        older = "WHERE key_id IS NULL OR key_id < ? ORDER BY id LIMIT ?"
        for row in tx.select(Credential, older, newest.id, AT_ONCE):
            sealed = self.seal(tx, now, self.open(tx, row))
            tx.update(row, key_id=sealed.key_id, blob=sealed.blob)
        used = "SELECT key_id FROM credentials WHERE key_id IS NOT NULL"
        # The key before the newest stays: another process may just now be sealing with it.
        tx.delete_where(CredentialKey, f"id < ? AND id NOT IN ({used})", newest.id - 1)

    # --- keys of the database ----------------------------------------------------------------------------------------

    def _newest(self, tx: Tx) -> CredentialKey | None:
        return tx.first(CredentialKey, "ORDER BY id DESC LIMIT 1")

    def _make_key(self, tx: Tx, key_id: int, now: float) -> CredentialKey:
        secret = AESGCM.generate_key(KEY_BYTES * 8)
        return tx.insert(CredentialKey(id=key_id, wrapped=self._wrapped(key_id, secret), created_at=now))

    def _wrapped(self, key_id: int, secret: bytes) -> bytes:
        """Name of the wrapping key, nonce, and the key sealed with it."""
        name, master = self._first_master()
        nonce = os.urandom(NONCE_BYTES)
        return name + nonce + master.encrypt(nonce, secret, str(key_id).encode())

    def _unwrap(self, key: CredentialKey) -> bytes:
        name, nonce = key.wrapped[:NAME_BYTES], key.wrapped[NAME_BYTES : NAME_BYTES + NONCE_BYTES]
        master = self._load_masters(may_make=False).get(name)
        if master is None:
            raise VaultError(
                f"The database's credentials were sealed with another key than the one in {self._path}: copy that file "
                "from the state directory of the control process that made it."
            )
        try:
            return master.decrypt(nonce, key.wrapped[NAME_BYTES + NONCE_BYTES :], str(key.id).encode())
        except InvalidTag as error:
            raise VaultError(f"Credential key {key.id} was changed in the database.") from error

    def _unwrapped(self, key: CredentialKey) -> AESGCM:
        # By its bytes, not its id: a transaction that was rolled back may have made another key of this id.
        if (found := self._known.get(key.wrapped)) is None:
            found = self._known[key.wrapped] = AESGCM(self._unwrap(key))
        return found

    # --- the key of the state directory ------------------------------------------------------------------------------

    def _first_master(self) -> tuple[bytes, AESGCM]:
        return next(iter(self._load_masters(may_make=True).items()))

    def _load_masters(self, *, may_make: bool) -> dict[bytes, AESGCM]:
        """The file's keys by name, newest first. Raises VaultError."""
        if not self._masters:
            if may_make and not self._path.exists():
                self._make_file()
            try:
                lines = self._path.read_text().split()
                found = [bytes.fromhex(line) for line in lines]
            except FileNotFoundError:
                found = []
            except (OSError, ValueError) as error:
                raise VaultError(f"{self._path} cannot be read: {error}.") from error
            if any(len(secret) != KEY_BYTES for secret in found):
                raise VaultError(f"{self._path} must hold keys of {KEY_BYTES} bytes in hexadecimal, one a line.")
            self._masters = {blake2b(secret, digest_size=NAME_BYTES).digest(): AESGCM(secret) for secret in found}
        return self._masters

    def _make_file(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return
        with open(descriptor, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
