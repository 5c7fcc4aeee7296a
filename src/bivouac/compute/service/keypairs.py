"""Key pairs: public keys that their user gives, or whole pairs that are made here and whose private half is shown once.
"""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import NameOID

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, Conflict, Forbidden, NotFound
from bivouac.core.store import Tx

from ..records import Keypair
from .quotas import limit_of

RSA_BITS = 2048


class MadePair(NamedTuple):
    """Both halves of a pair as text, and the fingerprint."""

    public: str
    private: str
    fingerprint: str


def make_pair(kind: str, user_id: str) -> MadePair:
    """A new pair: Ed25519 for SSH, RSA with a certificate for x509 (which takes 100 ms: call it in a thread)."""
    if kind == "x509":
        rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
        private = rsa_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        ).decode()
        certificate = _certificate(rsa_key, user_id)
        return MadePair(certificate, private, fingerprint_of("x509", certificate))
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    public = f"{public} Generated-by-Bivouac"
    return MadePair(public, private, fingerprint_of("ssh", public))


def _certificate(key: rsa.RSAPrivateKey, user_id: str) -> str:
    """A self-signed certificate for Windows logons: ten years, for client authentication."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user_id[:64] or "user")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def fingerprint_of(kind: str, public_key: str) -> str:
    """MD5 of an SSH key's blob, SHA-1 of a certificate, in hex with colons. Raises BadRequest when it is neither."""
    try:
        if kind == "x509":
            certificate = x509.load_pem_x509_certificate(public_key.encode())
            digest = certificate.fingerprint(hashes.SHA1()).hex()  # noqa: S303 - the format's own, no secret rests on it
        else:
            serialization.load_ssh_public_key(public_key.strip().encode())
            digest = hashlib.md5(base64.b64decode(public_key.split()[1]), usedforsecurity=False).hexdigest()
    except (ValueError, IndexError, UnsupportedAlgorithm) as error:
        raise BadRequest(f"Keypair data is invalid: failed to generate fingerprint ({error})") from error
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def create_keypair(
    tx: Tx, call: Call, user_id: str, name: str, kind: str, public_key: str, fingerprint: str
) -> Keypair:
    """Keep a public key. Raises Conflict (name taken), Forbidden (quota)."""
    if tx.get(Keypair, user_id, name) is not None:
        raise Conflict(f"Key pair '{name}' already exists.")
    limit = limit_of(tx, call.project_id, "key_pairs")
    if 0 <= limit <= tx.count(Keypair, "WHERE user_id = ?", user_id):
        raise Forbidden("Quota exceeded, too many key pairs.")
    number = int(tx.value("SELECT coalesce(max(number), 0) FROM keypairs") or 0) + 1
    return tx.insert(
        Keypair(user_id=user_id, name=name, number=number, type=kind, public_key=public_key, fingerprint=fingerprint,
                created_at=call.now)
    )  # fmt: skip


def get_keypair(tx: Tx, call: Call, user_id: str, name: str) -> Keypair:
    """A user's key pair. Raises NotFound."""
    keypair = tx.get(Keypair, user_id, name)
    if keypair is None:
        raise NotFound(f"Keypair {name} not found for user {user_id}")
    return keypair


def list_keypairs(tx: Tx, call: Call, user_id: str, limit: int | None, marker: str | None) -> list[Keypair]:
    """A user's key pairs by name, after the one named by the marker. Raises BadRequest."""
    if marker is not None and tx.get(Keypair, user_id, marker) is None:
        raise BadRequest(f"Marker {marker} could not be found.")
    after, args = ("AND name > ?", [marker]) if marker is not None else ("", [])
    count = f"LIMIT {int(limit)}" if limit is not None else ""
    return tx.select(Keypair, f"WHERE user_id = ? {after} ORDER BY name {count}", user_id, *args)


def delete_keypair(tx: Tx, call: Call, user_id: str, name: str) -> None:
    """Remove a key pair; servers keep the key they have. Raises NotFound."""
    tx.delete(get_keypair(tx, call, user_id, name))
