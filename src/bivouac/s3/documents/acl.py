"""Access control lists: canned, by headers, and as XML.

An ACL has an owner and grants; a grantee is a project (S3's canonical user id is our project id), or one of two
groups: everybody, and
everybody who is authenticated. Source: "Access control list (ACL) overview", Amazon S3 User Guide.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from bivouac.s3 import xml
from bivouac.s3.errors import S3Error

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED_USERS = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
LOG_DELIVERY = "http://acs.amazonaws.com/groups/s3/LogDelivery"
GROUPS = (ALL_USERS, AUTHENTICATED_USERS, LOG_DELIVERY)
PERMISSIONS = ("FULL_CONTROL", "READ", "WRITE", "READ_ACP", "WRITE_ACP")
CANNED = (
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
    "log-delivery-write",
    "aws-exec-read",
)
HEADERS = {
    "x-amz-grant-read": "READ",
    "x-amz-grant-write": "WRITE",
    "x-amz-grant-read-acp": "READ_ACP",
    "x-amz-grant-write-acp": "WRITE_ACP",
    "x-amz-grant-full-control": "FULL_CONTROL",
}
MAX_GRANTS = 100


class Grant(Struct, frozen=True, array_like=True):
    """`group` is one of GROUPS, or empty; then `id` is a project. `email` was written in place of an id and is not
    resolved yet."""

    permission: str
    id: str = ""
    group: str = ""
    name: str = ""
    email: str = ""


class Acl(Struct, frozen=True):
    owner: str
    owner_name: str
    grants: tuple[Grant, ...]


_decoder = msgspec.json.Decoder(Acl)
_encoder = msgspec.json.Encoder()


def dump(acl: Acl) -> str:
    """As it is kept."""
    return _encoder.encode(acl).decode()


def load(text: str) -> Acl:
    return _decoder.decode(text)


def private(owner: str, name: str = "") -> Acl:
    return Acl(owner, name, (Grant("FULL_CONTROL", owner, name=name),))


def canned(name: str, owner: str, owner_name: str, bucket_owner: str = "", bucket_owner_name: str = "") -> Acl:
    """The ACL of a canned name. The bucket's owner matters for objects. Raises InvalidArgument."""
    if name not in CANNED:
        raise S3Error("InvalidArgument", ArgumentName="x-amz-acl", ArgumentValue=name)
    grants = [Grant("FULL_CONTROL", owner, name=owner_name)]
    if name.startswith("public-read"):
        grants.append(Grant("READ", group=ALL_USERS))
    if name == "public-read-write":
        grants.append(Grant("WRITE", group=ALL_USERS))
    if name == "authenticated-read":
        grants.append(Grant("READ", group=AUTHENTICATED_USERS))
    if name == "log-delivery-write":
        grants += [Grant("WRITE", group=LOG_DELIVERY), Grant("READ_ACP", group=LOG_DELIVERY)]
    if bucket_owner and bucket_owner != owner:
        if name == "bucket-owner-read":
            grants.append(Grant("READ", bucket_owner, name=bucket_owner_name))
        elif name == "bucket-owner-full-control":
            grants.append(Grant("FULL_CONTROL", bucket_owner, name=bucket_owner_name))
    return Acl(owner, owner_name, tuple(grants))


def from_headers(headers: Mapping[str, str], owner: str, owner_name: str) -> Acl | None:
    """The ACL that x-amz-grant-... headers say; None without them. Raises InvalidArgument."""
    grants = []
    for header, permission in HEADERS.items():
        for item in headers.get(header, "").split(","):
            if not item.strip():
                continue
            kind, _, value = item.strip().partition("=")
            value = value.strip().strip('"')
            match kind.strip().lower():
                case "id":
                    grants.append(Grant(permission, value))
                case "uri" if value in GROUPS:
                    grants.append(Grant(permission, group=value))
                case "emailaddress":
                    grants.append(Grant(permission, email=value))
                case _:
                    raise S3Error(
                        "InvalidArgument",
                        "Argument format not recognized",
                        ArgumentName=header,
                        ArgumentValue=item.strip(),
                    )
    return Acl(owner, owner_name, tuple(grants)) if grants else None


def parse(body: bytes) -> Acl:
    """An AccessControlPolicy. Raises MalformedACLError."""
    try:
        tree = xml.parse(body, "AccessControlPolicy", max_bytes=1 << 20)
    except xml.XmlError as error:
        raise S3Error("MalformedACLError", str(error)) from None
    owner, grants = tree.child("Owner"), []
    if owner is None:
        raise S3Error("MalformedACLError", "The Owner is missing.")
    grant_list = tree.child("AccessControlList")
    for item in grant_list.all("Grant") if grant_list is not None else []:
        grantee, permission = item.child("Grantee"), item.value("Permission")
        if grantee is None or permission not in PERMISSIONS:
            raise S3Error("MalformedACLError")
        grants.append(_grantee(grantee, permission))
    if len(grants) > MAX_GRANTS:
        raise S3Error("MalformedACLError", f"An ACL can have at most {MAX_GRANTS} grants.")
    return Acl(owner.value("ID", "") or "", owner.value("DisplayName", "") or "", tuple(grants))


def _grantee(grantee: xml.Element, permission: str) -> Grant:
    kind = grantee.attributes.get("type", "")
    if kind in ("CanonicalUser", "") and (who := grantee.value("ID")):
        return Grant(permission, who, name=grantee.value("DisplayName", "") or "")
    if kind in ("Group", "") and (uri := grantee.value("URI")):
        if uri not in GROUPS:
            raise S3Error("InvalidArgument", "Invalid group uri", ArgumentName="Group/URI", ArgumentValue=uri)
        return Grant(permission, group=uri)
    if kind in ("AmazonCustomerByEmail", "") and (email := grantee.value("EmailAddress")):
        return Grant(permission, email=email)
    raise S3Error("MalformedACLError")


def to_xml(acl: Acl) -> bytes:
    """The AccessControlPolicy."""
    inner = f"<Owner>{xml.leaf('ID', acl.owner)}{xml.leaf('DisplayName', acl.owner_name)}</Owner>"
    grants = "".join(_grant_xml(grant) for grant in sorted(acl.grants, key=lambda one: not one.group))
    return xml.document("AccessControlPolicy", f"{inner}<AccessControlList>{grants}</AccessControlList>")


def _grant_xml(grant: Grant) -> str:
    if grant.group:
        kind, who = "Group", xml.leaf("URI", grant.group)
    else:
        kind, who = "CanonicalUser", xml.leaf("ID", grant.id) + xml.leaf("DisplayName", grant.name)
    return (
        f'<Grant><Grantee xmlns:xsi="{xml.SCHEMA_INSTANCE}" xsi:type="{kind}">{who}</Grantee>'
        f"{xml.leaf('Permission', grant.permission)}</Grant>"
    )


def is_public(acl: Acl) -> bool:
    """Whether it grants anything to one of the two big groups."""
    return any(grant.group in (ALL_USERS, AUTHENTICATED_USERS) for grant in acl.grants)


def allows(acl: Acl, permission: str, project_id: str, groups: tuple[str, ...], ignore_public: bool = False) -> bool:
    """Whether a grant gives the permission to the project ("" for nobody) or to one of the groups the caller is in."""
    for grant in acl.grants:
        if grant.permission != permission and grant.permission != "FULL_CONTROL":
            continue
        if grant.group:
            if grant.group in groups and not (ignore_public and grant.group != LOG_DELIVERY):
                return True
        elif project_id and grant.id == project_id:
            return True
    return False
