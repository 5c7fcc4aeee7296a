"""May this caller do that here? Bucket policy, ownership, ACLs and public access block together.

The order, as Amazon's: an explicit Deny of the policy ends it. An Allow of the policy, being the owner, or a fitting
grant of an ACL lets in.
What the world is let in by is ignored where the public access block says so. Inside the owning project, roles decide
as in Swift: `member`,
`manager` and `admin` do everything, any other role only reads.

Swift's container ACLs count too: `.r:*` lets anybody read objects, with `.rlistings` list them; a project named in the
read or write ACL
may read or write.
"""

from __future__ import annotations

from collections.abc import Callable

from bivouac.objects.store.interface import Container, ObjectRecord
from bivouac.s3.call import Call
from bivouac.s3.documents import acl as acls
from bivouac.s3.documents import keys, policy
from bivouac.s3.documents.acl import Acl, Grant
from bivouac.s3.documents.bucket import PublicAccessBlock, load_public_access_block
from bivouac.s3.errors import S3Error

READ_ACTIONS = ("s3:get", "s3:list", "s3:head")
POLICY_ACTIONS = ("s3:getbucketpolicy", "s3:putbucketpolicy", "s3:deletebucketpolicy")
DEFAULT_OWNERSHIP = "ObjectWriter"


def ownership(container: Container) -> str:
    return container.documents.get(keys.OWNERSHIP, DEFAULT_OWNERSHIP)


def public_access_block(container: Container) -> PublicAccessBlock:
    return load_public_access_block(container.documents.get(keys.PUBLIC_ACCESS_BLOCK))


def bucket_acl(container: Container, name: str = "") -> Acl:
    """The bucket's ACL; a container of Swift's gets one from its Swift ACLs."""
    text = container.documents.get(keys.ACL)
    acl = acls.load(text) if text else acls.private(container.account, name)
    grants = _swift_grants(container)
    return Acl(acl.owner, acl.owner_name, acl.grants + grants) if grants else acl


def _swift_grants(container: Container) -> tuple[Grant, ...]:
    read, write = container.documents.get("swift:read", ""), container.documents.get("swift:write", "")
    if not read and not write:
        return ()
    grants = []
    if _world_readable(read) and ".rlistings" in read.split(","):
        grants.append(Grant("READ", group=acls.ALL_USERS))
    for text, permission in ((read, "READ"), (write, "WRITE")):
        for item in text.split(","):
            project, _, user = item.strip().partition(":")
            if project and not project.startswith(".") and project != "*" and user in ("", "*"):
                grants.append(Grant(permission, project))
    return tuple(grants)


def _world_readable(read: str) -> bool:
    return ".r:*" in (item.strip() for item in read.split(","))


def object_acl(container: Container, record: ObjectRecord) -> Acl:
    """The object's ACL. Without one of its own it is its owner's; Swift's container ACLs then count as well."""
    text = record.documents.get(keys.ACL)
    if text:
        return acls.load(text)
    owner = record.owner or container.account
    acl = acls.private(owner)
    read = container.documents.get("swift:read", "")
    if read:
        extra = [grant for grant in _swift_grants(container) if grant.permission == "READ" and grant.id]
        if _world_readable(read):
            extra.append(Grant("READ", group=acls.ALL_USERS))
        acl = Acl(acl.owner, acl.owner_name, (*acl.grants, *extra))
    return acl


def context_of(call: Call, record: ObjectRecord | None, extra: dict[str, list[str]] | None) -> dict[str, list[str]]:
    """The condition keys of a request."""
    headers, query, proof = call.request.headers, call.request.query, call.proof
    context: dict[str, list[str]] = {
        "aws:sourceip": [call.request.remote],
        "aws:securetransport": ["true" if call.request.secure else "false"],
        "aws:currenttime": [str(call.now)],
        "aws:epochtime": [str(int(call.now))],
        "aws:principaltype": ["User" if call.project else "Anonymous"],
    }
    if call.caller is not None:
        context["aws:userid"] = [call.caller.user_id]
        context["aws:username"] = [call.caller.user_name]
        context["aws:principalaccount"] = [call.project]
        context["aws:principalarn"] = [f"arn:aws:iam::{call.project}:user/{call.caller.user_name}"]
        context["s3:signatureversion"] = ["AWS4-HMAC-SHA256" if proof.version == "SigV4" else "AWS"]
        context["s3:authtype"] = ["REST-QUERY-STRING" if proof.kind == "QueryString" else "REST-HEADER"]
        if proof.version == "SigV4":
            context["s3:signatureage"] = [str(int((call.now - proof.moment) * 1000))]
        if proof.payload:
            context["s3:x-amz-content-sha256"] = [proof.payload]
    for name, key in (("referer", "aws:referer"), ("user-agent", "aws:useragent")):
        if name in headers:
            context[key] = [headers[name]]
    for name, value in headers.items():
        if name.startswith("x-amz-") and name != "x-amz-content-sha256":
            context["s3:" + name] = [value]
    for name in ("if-match", "if-none-match"):
        if name in headers:
            context["s3:" + name] = [headers[name]]
    for name in ("prefix", "delimiter", "max-keys"):
        if name in query:
            context["s3:" + name] = [query[name]]
    if "versionId" in query:
        context["s3:versionid"] = [query["versionId"]]
    if record is not None:
        for tag, value in record.tags.items():
            context["s3:existingobjecttag/" + tag.lower()] = [value]
    context.update(extra or {})
    return context


def request_tags(tags: dict[str, str]) -> dict[str, list[str]]:
    """The condition keys of tags that a request brings."""
    found = {"s3:requestobjecttag/" + key.lower(): [value] for key, value in tags.items()}
    if tags:
        found["s3:requestobjecttagkeys"] = list(tags)
    return found


def policy_verdict(
    call: Call,
    container: Container,
    action: str,
    key: str | None,
    record: ObjectRecord | None = None,
    extra: dict[str, list[str]] | None = None,
) -> policy.Verdict:
    """What the bucket's policy says; a public Allow is no Allow where the bucket restricts itself to its project."""
    text = container.documents.get(keys.POLICY)
    if text is None:
        return policy.Verdict.SILENT
    rules = policy.load(text)
    resource = f"arn:aws:s3:::{container.name}" + ("" if key is None else f"/{key}")
    verdict = policy.evaluate(rules, call.principal, action.lower(), resource, context_of(call, record, extra))
    if (
        verdict is policy.Verdict.ALLOW
        and call.project != container.account
        and public_access_block(container).restrict_buckets
        and policy.is_public(rules)
    ):
        return policy.Verdict.SILENT
    return verdict


def _role_suffices(call: Call, action: str) -> bool:
    return call.may_write or action.lower().startswith(READ_ACTIONS)


def allow_bucket(
    call: Call,
    action: str,
    permission: str = "",
    *,
    key: str | None = None,
    container: Container | None = None,
    extra: dict[str, list[str]] | None = None,
) -> None:
    """Raise AccessDenied unless the caller may do `action` to the bucket (or to `key` in it, where the bucket's ACL
    decides: writing,
    deleting). `permission` is the ACL's; without one only owner and policy count."""
    container = container or call.container
    call.authorised = True
    owner = bool(call.project) and call.project == container.account
    if owner and action.lower() in POLICY_ACTIONS and call.may_write:
        return
    _decide(call, container, action, key, None, extra, owner, lambda: bucket_acl(container), permission)


def allow_object(
    call: Call,
    action: str,
    permission: str,
    record: ObjectRecord,
    *,
    container: Container | None = None,
    extra: dict[str, list[str]] | None = None,
) -> None:
    """Raise AccessDenied unless the caller may do `action` to an existing object, by policy, by owning it, or by its
    ACL."""
    container = container or call.container
    call.authorised = True
    enforced = ownership(container) == "BucketOwnerEnforced"
    owner_id = container.account if enforced else (record.owner or container.account)
    owner = bool(call.project) and call.project == owner_id
    _decide(
        call, container, action, record.name, record, extra, owner, lambda: object_acl(container, record), permission
    )


def _decide(
    call: Call,
    container: Container,
    action: str,
    key: str | None,
    record: ObjectRecord | None,
    extra: dict[str, list[str]] | None,
    owner: bool,
    acl: Callable[[], Acl],
    permission: str,
) -> None:
    if container.documents.get(keys.POLICY) is not None:
        verdict = policy_verdict(call, container, action, key, record, extra)
        if verdict is policy.Verdict.DENY:
            raise S3Error("AccessDenied", f"The bucket's policy denies {action}.")
        if verdict is policy.Verdict.ALLOW and (call.project != container.account or _role_suffices(call, action)):
            return
    if owner:
        if _role_suffices(call, action):
            return
        raise S3Error("AccessDenied", f"{action} needs one of the roles member, manager, admin in the project.")
    if permission and ownership(container) != "BucketOwnerEnforced":
        ignore = keys.PUBLIC_ACCESS_BLOCK in container.documents and public_access_block(container).ignore_acls
        if acls.allows(acl(), permission, call.project, call.groups, ignore) and (
            not call.project or _role_suffices(call, action)
        ):
            call.acl_used = True
            return
    raise S3Error("AccessDenied")


def may_list(call: Call) -> bool:
    """Whether the caller may know which keys exist: decides between NoSuchKey and AccessDenied."""
    try:
        allow_bucket(call, "s3:ListBucket", "READ", extra={"s3:prefix": [call.key]} if call.key else None)
    except S3Error:
        return False
    return True
