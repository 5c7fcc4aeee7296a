"""Tokens: what one says, packed with msgpack and proven with a keyed BLAKE2b MAC.

A token is `base64url(key id, MAC, payload)` without padding. It says who, in what scope, by which methods, since when
and until when, and two audit ids; nothing in it is secret, and nothing of it is stored. Whether it still counts (user
enabled, roles held, not revoked) is decided when it is used. Two keys are kept: the newest signs, the one before still
proves, so a rotation voids nothing as long as rotations are further apart than a token's life.

Source of the MAC: RFC 7693 (BLAKE2), keyed mode.
"""

import os
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from hmac import compare_digest

import msgspec
from msgspec import Struct

from ..core.store import Store, Tx
from .records import TokenKey

MAC_BYTES = 20
KEY_ID_BYTES = 4
KEY_BYTES = 32
KEPT_KEYS = 2
ROTATION_S = 24 * 3600.0
"""Longer than any token lives, or a rotation would void valid ones; `Keys.rotate` sees to it."""
MAX_TOKEN_LENGTH = 1024
TOKEN = b"token"
RECEIPT = b"receipt"
"""Proof of a part of the methods that multi-factor rules ask for."""


class Token(Struct, frozen=True, array_like=True, omit_defaults=True):
    """What a token says. Moments are microseconds since the epoch: whole numbers compare exactly."""

    user_id: str
    issued_us: int
    expires_us: int
    methods: tuple[str, ...]
    audit_ids: tuple[str, ...]
    """Its own, and that of the token it was made from."""
    project_id: str = ""
    domain_id: str = ""
    system: bool = False
    trust_id: str = ""
    application_credential_id: str = ""
    access_token_id: str = ""


class InvalidToken(Exception):
    """Not a token of ours: truncated, forged, of a key that is gone, or not a token at all."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Token).decode


def new_audit_id() -> str:
    """22 random characters, as Keystone's."""
    return urlsafe_b64encode(os.urandom(16)).rstrip(b"=").decode()


def _mac(secret: bytes, key_id: bytes, payload: bytes, use: bytes) -> bytes:
    return blake2b(payload, digest_size=MAC_BYTES, key=secret, salt=key_id, person=use).digest()


def pack(token: Token, key_id: int, secret: bytes, use: bytes = TOKEN) -> str:
    """The token's text. `use` keeps tokens and receipts apart: one never proves as the other."""
    payload = _encode(token)
    identity = key_id.to_bytes(KEY_ID_BYTES, "big")
    return urlsafe_b64encode(identity + _mac(secret, identity, payload, use) + payload).rstrip(b"=").decode()


def unpack(text: str, secrets: dict[int, bytes], use: bytes = TOKEN) -> Token:
    """What the token says, once its MAC holds. Raises InvalidToken; UnknownKey when its key is not in `secrets`."""
    if not KEY_ID_BYTES + MAC_BYTES < len(text) <= MAX_TOKEN_LENGTH:
        raise InvalidToken
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise InvalidToken from error
    identity, mac, payload = raw[:KEY_ID_BYTES], raw[KEY_ID_BYTES : KEY_ID_BYTES + MAC_BYTES], raw[24:]
    if urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        raise InvalidToken  # base64 has several spellings for one value; a token has one
    secret = secrets.get(int.from_bytes(identity, "big"))
    if secret is None:
        raise UnknownKey(int.from_bytes(identity, "big"))
    if not compare_digest(mac, _mac(secret, identity, payload, use)):
        raise InvalidToken
    try:
        return _decode(payload)
    except msgspec.DecodeError as error:
        raise InvalidToken from error


class UnknownKey(InvalidToken):
    """The key is not known to this process (yet, or any more)."""

    def __init__(self, key_id: int):
        super().__init__(key_id)
        self.key_id = key_id


class Keys:
    """The keys of this process, read from the database: at start, and when a token names a newer one."""

    def __init__(self, store: Store):
        self._store = store
        self._lock = threading.Lock()
        self._secrets: dict[int, bytes] = {}
        self._newest = 0

    def load(self) -> None:
        """Read the keys again."""
        rows = self._store.read_now(_newest_keys)
        with self._lock:
            self._secrets = {row.id: row.secret for row in rows}
            self._newest = max(self._secrets, default=0)

    def issue(self, token: Token, use: bytes = TOKEN) -> str:
        """The token's text, signed with the newest key."""
        if not self._newest:
            self.load()
        return pack(token, self._newest, self._secrets[self._newest], use)

    def prove(self, text: str, use: bytes = TOKEN) -> Token:
        """What the token says. Raises InvalidToken.

        Only an id newer than all that are known leads to a look at the database.
        """
        try:
            return unpack(text, self._secrets, use)
        except UnknownKey as error:
            if error.key_id <= self._newest:
                raise
            self.load()
            return unpack(text, self._secrets, use)


def _newest_keys(tx: Tx) -> list[TokenKey]:
    return tx.select(TokenKey, f"ORDER BY id DESC LIMIT {KEPT_KEYS}")


def rotate(tx: Tx, now: float, interval_s: float = ROTATION_S) -> bool:
    """Make a new key if the newest is older than `interval_s`, and drop all but the newest two. True if it did."""
    rows = _newest_keys(tx)
    if rows and now - rows[0].created_at < interval_s:
        return False
    newest = rows[0].id + 1 if rows else 1
    tx.insert(TokenKey(id=newest, secret=os.urandom(KEY_BYTES), created_at=now))
    tx.delete_where(TokenKey, "id <= ?", newest - KEPT_KEYS)
    tx.ring("identity.keys")
    return True
