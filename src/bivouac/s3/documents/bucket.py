"""The small configurations of a bucket: location, versioning, encryption by default, ownership, public access block,
who pays.

Source: Amazon S3 API Reference, the Put... actions of the same names.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from bivouac.objects.store.interface import Versioning
from bivouac.s3 import xml
from bivouac.s3.errors import S3Error

OWNERSHIPS = ("BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter")
_FLAGS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def _tree(body: bytes, root: str) -> xml.Element:
    try:
        return xml.parse(body, root, max_bytes=64 << 10)
    except xml.XmlError as error:
        raise S3Error("MalformedXML", str(error)) from None


def parse_location(body: bytes) -> str:
    """The region a CreateBucketConfiguration asks for; "" if none. Raises MalformedXML."""
    if not body.strip():
        return ""
    return _tree(body, "CreateBucketConfiguration").value("LocationConstraint", "") or ""


def parse_versioning(body: bytes) -> Versioning:
    """Raises MalformedXML, IllegalVersioningConfigurationException, or NotImplemented for MFA delete."""
    tree = _tree(body, "VersioningConfiguration")
    status = tree.value("Status")
    if (tree.value("MfaDelete", "") or "").lower() == "enabled":
        raise S3Error("NotImplemented", "MFA delete is not offered.")
    if status not in ("Enabled", "Suspended"):
        raise S3Error("IllegalVersioningConfigurationException")
    return Versioning.ENABLED if status == "Enabled" else Versioning.SUSPENDED


def versioning_xml(versioning: Versioning) -> bytes:
    status = {Versioning.ENABLED: "Enabled", Versioning.SUSPENDED: "Suspended"}.get(versioning)
    return xml.document("VersioningConfiguration", xml.optional("Status", status))


def parse_encryption(body: bytes) -> str:
    """The default algorithm. Only AES256 is offered. Raises MalformedXML or NotImplemented."""
    tree = _tree(body, "ServerSideEncryptionConfiguration")
    default = tree.path("Rule", "ApplyServerSideEncryptionByDefault")
    algorithm = default.value("SSEAlgorithm") if default is not None else None
    if algorithm is None or default is None:
        raise S3Error("MalformedXML")
    if algorithm.startswith("aws:kms"):
        raise S3Error("NotImplemented", "SSE-KMS is not offered: there is no key management service. Use AES256.")
    if algorithm != "AES256" or default.child("KMSMasterKeyID") is not None:
        raise S3Error("MalformedXML")
    return algorithm


def encryption_xml(algorithm: str) -> bytes:
    name = "ApplyServerSideEncryptionByDefault"
    inner = f"<{name}>{xml.leaf('SSEAlgorithm', algorithm)}</{name}>"
    return xml.document(
        "ServerSideEncryptionConfiguration", f"<Rule>{inner}{xml.leaf('BucketKeyEnabled', False)}</Rule>"
    )


def parse_ownership(body: bytes) -> str:
    """Raises MalformedXML."""
    tree = _tree(body, "OwnershipControls")
    rules = tree.all("Rule")
    ownership = rules[0].value("ObjectOwnership") if len(rules) == 1 else None
    if ownership not in OWNERSHIPS:
        raise S3Error("MalformedXML")
    return ownership


def ownership_xml(ownership: str) -> bytes:
    return xml.document("OwnershipControls", f"<Rule>{xml.leaf('ObjectOwnership', ownership)}</Rule>")


class PublicAccessBlock(Struct, frozen=True):
    """What is refused or ignored that would let the world in."""

    block_acls: bool = False
    ignore_acls: bool = False
    block_policy: bool = False
    restrict_buckets: bool = False


def parse_public_access_block(body: bytes) -> PublicAccessBlock:
    """Raises MalformedXML."""
    tree = _tree(body, "PublicAccessBlockConfiguration")
    values = []
    for flag in _FLAGS:
        text = (tree.value(flag, "false") or "false").lower()
        if text not in ("true", "false"):
            raise S3Error("MalformedXML")
        values.append(text == "true")
    return PublicAccessBlock(*values)


def public_access_block_xml(block: PublicAccessBlock) -> bytes:
    values = (block.block_acls, block.ignore_acls, block.block_policy, block.restrict_buckets)
    inner = "".join(xml.leaf(flag, value) for flag, value in zip(_FLAGS, values, strict=True))
    return xml.document("PublicAccessBlockConfiguration", inner)


def dump_public_access_block(block: PublicAccessBlock) -> str:
    return msgspec.json.encode(block).decode()


def load_public_access_block(text: str | None) -> PublicAccessBlock:
    return msgspec.json.decode(text, type=PublicAccessBlock) if text else PublicAccessBlock()


def parse_request_payment(body: bytes) -> str:
    """Raises MalformedXML."""
    payer = _tree(body, "RequestPaymentConfiguration").value("Payer")
    if payer not in ("BucketOwner", "Requester"):
        raise S3Error("MalformedXML")
    return payer


def request_payment_xml(payer: str) -> bytes:
    return xml.document("RequestPaymentConfiguration", xml.leaf("Payer", payer))
