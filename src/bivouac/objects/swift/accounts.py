"""Requests on accounts: HEAD, GET (containers), POST, PUT, DELETE, bulk operations."""

from __future__ import annotations

import time

from bivouac.core.http1 import Response
from bivouac.objects.store.interface import Account, Usage
from bivouac.objects.swift import bulk, listings, metadata
from bivouac.objects.swift.access import (
    ACCOUNT_ACL,
    authorize_account,
    authorize_container,
    clean_account_acl,
    is_reseller,
    refuse,
)
from bivouac.objects.swift.call import RESELLER_PREFIX, Call, timestamp
from bivouac.objects.swift.errors import Refusal
from bivouac.objects.swift.limits import MAX_HEADER_SIZE, POLICIES, check_names

METHODS = "HEAD, GET, PUT, POST, DELETE, OPTIONS"


async def handle(call: Call) -> Response:
    method = call.method
    if method in ("PUT", "POST") and (archive := call.param("extract-archive")) is not None:
        await authorize_account(call)
        return await bulk.extract(call, archive)
    if method in ("POST", "DELETE") and call.param("bulk-delete") is not None:
        await authorize_account(call)
        return await bulk.delete(call)
    if method in ("HEAD", "GET"):
        await authorize_account(call)
        return await show(call)
    if method == "POST":
        await authorize_account(call)
        if not call.owner:
            raise refuse(call)
        await update(call)
        return Response(204, [("Content-Type", "text/html; charset=UTF-8")])
    if method in ("PUT", "DELETE"):
        if not is_reseller(call.caller):
            await authorize_container(call, None)
            raise refuse(call)
        return await create(call) if method == "PUT" else await delete(call)
    raise Refusal(405, headers=[("Allow", METHODS)])


async def show(call: Call) -> Response:
    account = await call.store.get_account(call.account)
    usage = await call.store.account_usage(call.account)
    headers = account_headers(account, usage, call.owner)
    if call.owner and call.caller is not None and call.caller.project_id == call.account:
        headers.append(("X-Account-Project-Domain-Id", call.caller.project_domain_id))
    if call.method == "HEAD":
        output = listings.output_format(call)
        return Response(204, [*headers, ("Content-Type", f"{listings.TYPES[output]}; charset=utf-8")])
    entries = await call.store.list_containers(call.account, listings.parse_listing(call))
    items = [listings.container_item(entry) for entry in entries]
    return listings.respond(
        call, "account", [entry.name for entry in entries], items, RESELLER_PREFIX + call.account, headers
    )


def account_headers(account: Account, usage: dict[str, Usage], owner: bool) -> list[tuple[str, str]]:
    total = [
        sum(used.objects for used in usage.values()),
        sum(used.bytes + used.older_bytes for used in usage.values()),
        sum(used.containers for used in usage.values()),
    ]
    created = timestamp(account.created or int(time.time()) * 1_000_000)
    headers = [
        ("X-Account-Object-Count", str(total[0])),
        ("X-Account-Bytes-Used", str(total[1])),
        ("X-Account-Container-Count", str(total[2])),
        ("X-Timestamp", created),
        ("X-Put-Timestamp", created),
        ("Accept-Ranges", "bytes"),
    ]
    for policy, used in usage.items():
        name = f"X-Account-Storage-Policy-{policy.title()}"
        headers += [
            (f"{name}-Object-Count", str(used.objects)),
            (f"{name}-Bytes-Used", str(used.bytes + used.older_bytes)),
            (f"{name}-Container-Count", str(used.containers)),
        ]
    headers += metadata.headers("Account", account.metadata, owner)
    if account.quota_bytes is not None:
        headers.append(("X-Account-Quota-Bytes", str(account.quota_bytes)))
        headers.append(("X-Account-Meta-Quota-Bytes", str(account.quota_bytes)))
    if account.quota_objects is not None:
        headers.append(("X-Account-Quota-Count", str(account.quota_objects)))
    for policy, limit in account.policy_quotas.items():
        headers.append((f"X-Account-Quota-Bytes-Policy-{policy.title()}", str(limit)))
    if owner and ACCOUNT_ACL in account.documents:
        headers.append(("X-Account-Access-Control", account.documents[ACCOUNT_ACL]))
    return headers


async def update(call: Call) -> None:
    """POST (and PUT): metadata, account ACL, and for the reseller's admin quotas."""
    check_names(call.account, None, None)
    quotas = _quotas(call)
    if quotas and not is_reseller(call.caller):
        raise Refusal(403)
    change = metadata.changes(call.request, "account")
    for name in [name for name in change if name.startswith("quota-bytes")]:
        del change[name]
    documents: dict[str, str | None] = {}
    acl = call.text("x-account-access-control")
    if acl is not None and len(acl) > MAX_HEADER_SIZE:
        raise Refusal(400, "Header Line Too Long")
    if acl is not None:
        documents[ACCOUNT_ACL] = (clean_account_acl(acl) or None) if acl else None
    elif b"x-remove-account-access-control" in call.request.headers:
        documents[ACCOUNT_ACL] = None
    account = await call.store.get_account(call.account)
    metadata.check_overall(account.metadata, change, "Account")
    await call.store.update_account(call.account, change, documents, quotas)


def _quotas(call: Call) -> dict[str, int | None]:
    """X-Account-Quota-Bytes and -Count, the older X-Account-Meta-Quota-Bytes, and the same per policy. Raises
    Refusal."""
    found: dict[str, int | None] = {}
    for header, raw in call.request.headers.items():
        name = header.decode("ascii")
        removes = name.startswith("x-remove-account-")
        rest = name.removeprefix("x-remove-account-" if removes else "x-account-").removeprefix("meta-")
        if rest == name or not rest.startswith("quota-"):
            continue
        key = {"quota-bytes": "bytes", "quota-count": "objects"}.get(rest)
        if key is None and rest.startswith("quota-bytes-policy-"):
            policy = rest.removeprefix("quota-bytes-policy-")
            if policy not in dict(POLICIES):
                raise Refusal(400, f"No policy {policy}")
            key = f"policy:{policy}"
        if key is None and rest.startswith("quota-count-policy-"):
            raise Refusal(400 if is_reseller(call.caller) else 403)
        if key is None:
            continue
        value = "" if removes else raw.decode("ascii", "replace").strip()
        if value and not (value.isdigit() and len(value) < 19):
            raise Refusal(400, "Invalid count quota." if key == "objects" else "Invalid bytes quota.")
        found[key] = int(value) if value else None
    return found


async def create(call: Call) -> Response:
    existed = (await call.store.get_account(call.account)).exists
    await update(call)
    return Response(202 if existed else 201, [("Content-Type", "text/html; charset=UTF-8")])


async def delete(call: Call) -> Response:
    if not await call.store.delete_account(call.account):
        raise Refusal(404)
    return Response(204, [("Content-Type", "text/html; charset=UTF-8")])
