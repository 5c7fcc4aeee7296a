"""The cloud's own certificate authority, and what it signs: the servers of control and the object store, and hosts.

The authority's key is root's alone and signs only when root runs `bivouac up` or `bivouac host add`, or the supervisor
renews. A server's certificate can only serve, a host's can do both, so neither control nor an outsider who gets at a
server's key passes for a host. A certificate and its key lie in one file, which is replaced whole. Source: RFC 5280.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE = datetime.timedelta(days=3650)
SERVER_LIFE = datetime.timedelta(days=90)
RENEW_BEFORE = datetime.timedelta(days=30)
"""A server's certificate is renewed when it has less than this left."""
CLOCK_SLACK = datetime.timedelta(hours=1)
"""Clients' clocks may be behind by this much."""
_CURVE = ec.SECP256R1()


def ensure_authority(folder: Path, cloud: str) -> Path:
    """The authority's certificate, for everybody to trust; authority and key are made when they are not there.

    `cloud` goes into its name, for people who look at certificates. Raises OSError.
    """
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    if certificate.exists() and key.exists():
        return certificate
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    private = ec.generate_private_key(_CURVE)
    name = _name(f"Bivouac authority of {cloud}")
    own = x509.SubjectKeyIdentifier.from_public_key(private.public_key())
    made = (
        _builder(name, name, private.public_key(), AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(own, critical=False)
        .sign(private, hashes.SHA256())
    )
    # The key first: a certificate without its key would be trusted and could never sign.
    replace_file(key, _key_bytes(private), 0o600)
    replace_file(certificate, made.public_bytes(serialization.Encoding.PEM), 0o644)
    return certificate


def ensure_server(folder: Path, pem: Path, names: Sequence[str], owner: tuple[int, int] | None = None) -> bool:
    """Have a certificate with its key in `pem` for a server of these names; True when it was made anew.

    What is there stays as long as it names just these, comes from this authority, and is not about to end.
    Raises OSError.
    """
    wanted = {_general_name(name) for name in names}
    if pem.exists() and _is_good(pem, folder, wanted):
        return False
    usages = [ExtendedKeyUsageOID.SERVER_AUTH]
    replace_file(pem, _issue(folder, names[0], sorted(wanted, key=str), usages, SERVER_LIFE), 0o600, owner)
    return True


def issue_host(folder: Path, name: str) -> bytes:
    """A certificate with its key for the agent and the network daemons of a host, good as long as the authority's."""
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    return _issue(folder, name, [x509.DNSName(name)], usages, AUTHORITY_LIFE)


def replace_file(path: Path, content: bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Write a file whole or not at all, readable as `mode` says from its first byte on. Raises OSError."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        if owner is not None and os.geteuid() == 0:
            os.fchown(descriptor, *owner)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    temporary.replace(path)


def _is_good(pem: Path, folder: Path, wanted: set[x509.GeneralName]) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(pem.read_bytes())
        authority = x509.load_pem_x509_certificate((folder / "certificate.pem").read_bytes())
        certificate.verify_directly_issued_by(authority)
        named = set(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except Exception:  # a damaged file of whatever kind is made anew
        return False
    now = datetime.datetime.now(datetime.UTC)
    return named == wanted and certificate.not_valid_after_utc - now > RENEW_BEFORE


def _issue(
    folder: Path,
    name: str,
    names: Sequence[x509.GeneralName],
    usages: list[x509.ObjectIdentifier],
    life: datetime.timedelta,
) -> bytes:
    authority = x509.load_pem_x509_certificate((folder / "certificate.pem").read_bytes())
    signing = serialization.load_pem_private_key((folder / "key.pem").read_bytes(), None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    private = ec.generate_private_key(_CURVE)
    own = x509.SubjectKeyIdentifier.from_public_key(private.public_key())
    issuer = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    made = (
        _builder(_name(name), authority.subject, private.public_key(), life, authority.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(own, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        .sign(signing, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM) + _key_bytes(private)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    life: datetime.timedelta,
    end: datetime.datetime | None = None,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(min(now + life, end or now + life))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
