"""Signatures of images: made over all bytes by the image's publisher, verified while the bytes come in.

Properties as Glance and Nova know them (`img_signature`, ...). The certificate is a credential of type `certificate`
in Identity (PEM), which the image's own project or an administrator put there; its own validity is checked too.
Source: Glance's user documentation, "Signed images"; RFC 8017 (RSASSA-PSS), FIPS 186 (DSA, ECDSA).
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa, utils

from bivouac.core.blobs import BLOCK_BYTES, Blob
from bivouac.core.errors import BadRequest

PROPERTIES = ("img_signature", "img_signature_hash_method", "img_signature_key_type",
              "img_signature_certificate_uuid")  # fmt: skip
_HASHES = {"SHA-224": hashes.SHA224(), "SHA-256": hashes.SHA256(), "SHA-384": hashes.SHA384(),
           "SHA-512": hashes.SHA512()}  # fmt: skip
_CURVES = ("SECT571K1", "SECT409K1", "SECT571R1", "SECT409R1", "SECP521R1", "SECP384R1")


def is_signed(properties: Mapping[str, str]) -> bool:
    """Whether the image claims a signature: one property is enough to make all of them count."""
    return any(name in properties for name in PROPERTIES)


def certificate_id(properties: Mapping[str, str]) -> str:
    """Raises BadRequest when the properties are not all there."""
    if missing := [name for name in PROPERTIES if not properties.get(name)]:
        raise BadRequest(f"Signature verification failed: the image lacks {', '.join(missing)}.")
    return properties["img_signature_certificate_uuid"]


def verify(properties: Mapping[str, str], pem: str, source: Blob, now: float) -> None:
    """Hold the signature against the bytes. Reads them all: call it in a thread. Raises BadRequest."""
    method = properties["img_signature_hash_method"]
    if method not in _HASHES:
        raise BadRequest(f"Signature verification failed: the hash method must be one of {', '.join(_HASHES)}.")
    key = _public_key(pem, now)
    try:
        signature = base64.b64decode(properties["img_signature"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("Signature verification failed: img_signature is not base64.") from error
    digest = hashlib.new(method.replace("-", ""))
    offset = 0
    while block := source.read(offset, BLOCK_BYTES):
        digest.update(block)
        offset += len(block)
    try:
        _verify(properties["img_signature_key_type"], key, signature, digest.digest(), method)
    except InvalidSignature as error:
        raise BadRequest("Signature verification failed: the signature does not fit the bytes.") from error


def _public_key(pem: str, now: float) -> object:
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise BadRequest("Signature verification failed: the credential holds no certificate in PEM.") from error
    moment = datetime.fromtimestamp(now, UTC)
    if not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
        raise BadRequest("Signature verification failed: the certificate is not valid now.")
    return certificate.public_key()


def _verify(kind: str, key: object, signature: bytes, digest: bytes, method: str) -> None:
    """Raises InvalidSignature, BadRequest (key and kind do not fit)."""
    algorithm = _HASHES[method]
    prehashed = utils.Prehashed(algorithm)
    if kind == "RSA-PSS" and isinstance(key, rsa.RSAPublicKey):
        scheme = padding.PSS(mgf=padding.MGF1(algorithm), salt_length=padding.PSS.AUTO)
        key.verify(signature, digest, scheme, prehashed)
    elif kind == "DSA" and isinstance(key, dsa.DSAPublicKey):
        key.verify(signature, digest, prehashed)
    elif (
        kind.removeprefix("ECC_") in _CURVES
        and isinstance(key, ec.EllipticCurvePublicKey)
        and key.curve.name.upper() == kind.removeprefix("ECC_")
    ):
        key.verify(signature, digest, ec.ECDSA(prehashed))
    else:
        raise BadRequest(f"Signature verification failed: the certificate's key is not of type {kind[:40]}.")
