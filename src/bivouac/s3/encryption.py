"""Server-side encryption: with the client's key (SSE-C) and with ours (SSE-S3).

Every object has a data key of its own; its bytes are AES-256 in counter mode, so that a range or a part can be read by
itself and sizes do
not change. Under SSE-C the data key is derived from the client's key and a random salt, and the client's key is never
kept, only a salted
hash that tells a wrong one. Under SSE-S3 the data key is random and kept wrapped (AES-GCM) by the master key of this
installation, a file
that only the service can read. Parts of a multipart object have keys of
their own, derived from the data key and a nonce that is kept with the part.

The store keeps and checks checksums of what it holds, which here is the encrypted bytes: damage is noticed before
decryption. SSE-KMS is
refused: there is no key management service to ask.

Source: "Using server-side encryption with customer-provided keys", Amazon S3 User Guide.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from bivouac.s3.errors import S3Error

CUSTOMER = "x-amz-server-side-encryption-customer-"
COPY_SOURCE = "x-amz-copy-source-server-side-encryption-customer-"
BLOCK = 16


class Envelope(Struct, frozen=True):
    """What is kept at an encrypted object. `wrapped` holds the data key (SSE-S3); `salt` and `key_md5`, `check` belong
    to SSE-C."""

    kind: str
    wrapped: str = ""
    master: str = ""
    salt: str = ""
    check: str = ""
    key_md5: str = ""


class CustomerKey(Struct, frozen=True):
    key: bytes
    md5: str


def dump(envelope: Envelope) -> str:
    return msgspec.json.encode(envelope).decode()


def load(text: str) -> Envelope:
    return msgspec.json.decode(text, type=Envelope)


def customer_key(headers: dict[str, str], prefix: str = CUSTOMER) -> CustomerKey | None:
    """The client's key from its headers; None without them. Raises InvalidArgument or
    InvalidEncryptionAlgorithmError."""
    algorithm, key_text, md5 = (headers.get(prefix + name) for name in ("algorithm", "key", "key-md5"))
    if algorithm is None and key_text is None and md5 is None:
        return None
    if algorithm is None:
        raise S3Error(
            "InvalidArgument",
            "Requests specifying Server Side Encryption with Customer provided keys must "
            "provide a valid encryption algorithm.",
            ArgumentName=prefix + "algorithm",
            ArgumentValue="null",
        )
    if algorithm != "AES256":
        raise S3Error("InvalidEncryptionAlgorithmError", ArgumentName=prefix + "algorithm", ArgumentValue=algorithm)
    if key_text is None:
        raise S3Error(
            "InvalidArgument",
            "Requests specifying Server Side Encryption with Customer provided keys must "
            "provide an appropriate secret key.",
            ArgumentName=prefix + "key",
            ArgumentValue="null",
        )
    try:
        key = base64.b64decode(key_text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise S3Error("InvalidArgument", "The secret key was invalid for the specified algorithm.")
    if md5 is None:
        raise S3Error(
            "InvalidArgument",
            "Requests specifying Server Side Encryption with Customer provided keys must "
            "provide the client calculated MD5 of the secret key.",
        )
    if not hmac.compare_digest(base64.b64encode(hashlib.md5(key, usedforsecurity=False).digest()), md5.encode()):
        raise S3Error("InvalidArgument", "The calculated MD5 hash of the key did not match the hash that was provided.")
    return CustomerKey(key, md5)


def requested(headers: dict[str, str], default: str | None) -> str:
    """The algorithm AES256 if the object is to be encrypted with our key, else "". Raises InvalidArgument,
    NotImplemented."""
    algorithm = headers.get("x-amz-server-side-encryption")
    if algorithm is not None and (headers.get(CUSTOMER + "algorithm") or headers.get(CUSTOMER + "key")):
        raise S3Error(
            "InvalidArgument",
            "Server Side Encryption with Customer provided key is incompatible with the encryption method specified",
        )
    if algorithm is None:
        if "x-amz-server-side-encryption-aws-kms-key-id" in headers:
            raise S3Error(
                "InvalidArgument",
                "Server Side Encryption with AWS KMS managed key requires HTTP header "
                "x-amz-server-side-encryption : aws:kms",
            )
        return default or ""
    if algorithm == "AES256":
        if "x-amz-server-side-encryption-aws-kms-key-id" in headers:
            raise S3Error("InvalidArgument", "A KMS key id goes only with x-amz-server-side-encryption: aws:kms")
        return algorithm
    if algorithm.startswith("aws:kms"):
        raise S3Error(
            "NotImplemented", "SSE-KMS is not offered: there is no key management service. Use AES256 or SSE-C."
        )
    raise S3Error(
        "InvalidArgument",
        "The encryption method specified is not supported",
        ArgumentName="x-amz-server-side-encryption",
        ArgumentValue=algorithm,
    )


class MasterKeys:
    """The installation's master key, made on first use in a file of mode 0600. Losing it loses every SSE-S3 object."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key: bytes | None = None

    @property
    def key(self) -> bytes:
        if self._key is None:
            try:
                descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except FileExistsError:
                self._key = self._path.read_bytes()
            else:
                self._key = secrets.token_bytes(32)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(self._key)
                    file.flush()
                    os.fsync(file.fileno())
                directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
                os.fsync(directory)
                os.close(directory)
            if len(self._key) != 32:
                raise ValueError(f"{self._path} is not a key of 32 bytes")
        return self._key

    @property
    def id(self) -> str:
        """Tells which master key wrapped a data key, without telling the key."""
        return hashlib.sha256(b"bivouac s3 master key id" + self.key).hexdigest()[:16]

    def wrap(self, data_key: bytes) -> str:
        nonce = secrets.token_bytes(12)
        return base64.b64encode(nonce + AESGCM(self.key).encrypt(nonce, data_key, self.id.encode())).decode()

    def unwrap(self, envelope: Envelope) -> bytes:
        """Raises S3Error (InternalError) when the master key is not the one that wrapped it."""
        data = base64.b64decode(envelope.wrapped)
        try:
            return AESGCM(self.key).decrypt(data[:12], data[12:], envelope.master.encode())
        except Exception as error:
            raise S3Error(
                "InternalError",
                f"The object was encrypted under the master key {envelope.master}, which is "
                "not the one of this installation.",
            ) from error


def new_envelope(algorithm: str, customer: CustomerKey | None, masters: MasterKeys) -> tuple[Envelope, bytes] | None:
    """(envelope, data key) for a new object; None if it is not to be encrypted."""
    if customer is not None:
        salt = secrets.token_bytes(16)
        key, check = _derive(customer.key, salt)
        return Envelope("SSE-C", salt=base64.b64encode(salt).decode(), check=check, key_md5=customer.md5), key
    if algorithm:
        key = secrets.token_bytes(32)
        return Envelope("SSE-S3", wrapped=masters.wrap(key), master=masters.id), key
    return None


def _derive(key: bytes, salt: bytes) -> tuple[bytes, str]:
    """(data key, what tells a wrong client key)"""
    data_key = hmac.digest(key, b"bivouac s3 data key" + salt, "sha256")
    return data_key, hmac.digest(key, b"bivouac s3 key check" + salt, "sha256").hex()


def data_key(envelope: Envelope, customer: CustomerKey | None, masters: MasterKeys) -> bytes:
    """The key to read with. Raises InvalidRequest without the client's key, AccessDenied for a wrong one."""
    if envelope.kind == "SSE-S3":
        if customer is not None:
            raise S3Error("InvalidRequest", "The encryption parameters are not applicable to this object.")
        return masters.unwrap(envelope)
    if customer is None:
        raise S3Error(
            "InvalidRequest",
            "The object was stored using a form of Server Side Encryption. The correct "
            "parameters must be provided to retrieve the object.",
        )
    key, check = _derive(customer.key, base64.b64decode(envelope.salt))
    if not hmac.compare_digest(check, envelope.check):
        raise S3Error("InvalidRequest", "The provided encryption key is not the one the object was stored with.")
    return key


def refuse_key(customer: CustomerKey | None) -> None:
    """A client's key for an object that is not encrypted. Raises InvalidRequest."""
    if customer is not None:
        raise S3Error("InvalidRequest", "The encryption parameters are not applicable to this object.")


def etag_of(envelope: Envelope, key: bytes, md5: str) -> str:
    """The ETag of plain bytes with this MD5. Under SSE-C it must not tell the MD5 to who lacks the key, and yet be the
    same when the same bytes are sent again."""
    return md5 if envelope.kind == "SSE-S3" else hmac.digest(key, md5.encode(), "sha256")[:16].hex()


def new_nonce() -> str:
    """For one part of a multipart upload: sent again, a part must not meet the same key stream."""
    return secrets.token_hex(16)


class Stream:
    """Encrypts or decrypts (counter mode is its own inverse) from `offset` of an object or, with its nonce, a part."""

    def __init__(self, key: bytes, nonce: str = "", offset: int = 0) -> None:
        if nonce:
            key = hmac.digest(key, nonce.encode(), "sha256")
        counter = (offset // BLOCK).to_bytes(BLOCK, "big")
        self._cipher = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()
        if skip := offset % BLOCK:
            self._cipher.update(bytes(skip))

    def update(self, data: bytes | memoryview) -> bytes:
        return self._cipher.update(data)


def headers_of(envelope: Envelope) -> dict[str, str]:
    """What an answer tells about an object's encryption."""
    if envelope.kind == "SSE-C":
        return {CUSTOMER + "algorithm": "AES256", CUSTOMER + "key-md5": envelope.key_md5}
    return {"x-amz-server-side-encryption": "AES256"}
