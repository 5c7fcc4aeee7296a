"""Browser uploads: the signed policy document of a POST form, and whether the form keeps it.

Source: "Browser-based uploads using POST", Amazon S3 API Reference.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from typing import Any

import msgspec

from bivouac.core.clock import parse_iso
from bivouac.s3.errors import S3Error
from bivouac.s3.signing import v2, v4

FREE = frozenset(("x-amz-signature", "signature", "file", "policy", "awsaccesskeyid", "x-amz-algorithm"))
"""Fields that need no condition, as those named x-ignore-* and x-amz-checksum-*."""


def access_key(fields: dict[str, str]) -> str | None:
    """Whose signature the form bears; None for an anonymous form. Raises S3Error (InvalidArgument)."""
    if "policy" not in fields:
        return None
    if "x-amz-credential" in fields:
        return v4._credential(fields["x-amz-credential"], "InvalidArgument")[0]
    if "awsaccesskeyid" in fields:
        return fields["awsaccesskeyid"]
    raise S3Error("InvalidArgument", "The form has a policy, but neither AWSAccessKeyId nor x-amz-credential.")


def check_signature(fields: dict[str, str], secret: str) -> None:
    """Raises S3Error (SignatureDoesNotMatch, InvalidArgument)."""
    policy = fields["policy"]
    if "x-amz-credential" in fields:
        if fields.get("x-amz-algorithm") != v4.ALGORITHM or "x-amz-signature" not in fields:
            raise S3Error("InvalidArgument", "The form lacks x-amz-algorithm or x-amz-signature.")
        _, date, region, service = v4._credential(fields["x-amz-credential"], "InvalidArgument")
        wanted = v4.sign(v4.signing_key(secret, date, region, service), policy)
        given = fields["x-amz-signature"]
    else:
        if "signature" not in fields:
            raise S3Error("InvalidArgument", "The form lacks the field signature.")
        wanted, given = v2.sign(secret, policy), fields["signature"]
    if not hmac.compare_digest(wanted.encode(), given.encode("utf-8", "surrogateescape")):
        raise S3Error("SignatureDoesNotMatch", StringToSign=policy)


def _refuse(reason: str) -> S3Error:
    return S3Error("AccessDenied", f"Invalid according to Policy: {reason}")


def decode_policy(text: str, now: float) -> list[Any]:
    """The conditions of a policy document that is still valid. Raises S3Error (InvalidPolicyDocument, AccessDenied)."""
    try:
        document = msgspec.json.decode(base64.b64decode(text))
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError) as error:
        raise S3Error("InvalidPolicyDocument", f"Invalid Policy: Invalid JSON: {error}") from None
    if not isinstance(document, dict):
        raise S3Error("InvalidPolicyDocument", "Invalid Policy: not an object.")
    expiration, conditions = document.get("expiration"), document.get("conditions")
    if not isinstance(expiration, str):
        raise S3Error("InvalidPolicyDocument", "Invalid Policy: Policy missing expiration.")
    if not isinstance(conditions, list):
        raise S3Error("InvalidPolicyDocument", "Invalid Policy: Policy missing conditions.")
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", expiration):
        raise S3Error("InvalidPolicyDocument", "Invalid Policy: Invalid 'expiration' value.")
    try:
        moment = parse_iso(expiration)
    except ValueError:
        raise S3Error("InvalidPolicyDocument", "Invalid Policy: Invalid 'expiration' value.") from None
    if moment <= now:
        raise _refuse("Policy expired.")
    return conditions


def check_conditions(conditions: list[Any], fields: dict[str, str], size: int) -> None:
    """Every condition must hold, and every field must have one. Raises S3Error (AccessDenied, EntityToo..., ...)."""
    if not conditions:
        raise S3Error("InvalidPolicyDocument", "Invalid Policy: the list of conditions is empty.")
    covered: set[str] = set(FREE)
    for condition in conditions:
        if isinstance(condition, dict) and condition:
            for name, value in condition.items():
                covered.add(_hold("eq", name, value, fields, condition))
        elif isinstance(condition, list) and len(condition) == 3 and isinstance(condition[0], str):
            operator = condition[0].lower()
            if operator == "content-length-range":
                _check_length(condition[1], condition[2], size)
            elif operator in ("eq", "starts-with") and isinstance(condition[1], str) and condition[1].startswith("$"):
                covered.add(_hold(operator, condition[1][1:], condition[2], fields, condition))
            else:
                raise S3Error("InvalidPolicyDocument", f"Invalid Policy: Invalid condition {condition!r}.")
        else:
            raise S3Error("InvalidPolicyDocument", f"Invalid Policy: Invalid condition {condition!r}.")
    for name in fields:
        if name not in covered and not name.startswith(("x-ignore-", "x-amz-checksum-")):
            raise _refuse(f"Extra input fields: {name}")


def _check_length(low: Any, high: Any, size: int) -> None:
    try:
        low, high = int(low), int(high)
    except (TypeError, ValueError):
        raise S3Error("InvalidPolicyDocument", "Invalid Policy: Invalid content-length-range.") from None
    if low < 0 or high < low:
        raise S3Error("InvalidPolicyDocument", "Invalid Policy: Invalid content-length-range.")
    if size > high:
        raise S3Error("EntityTooLarge", ProposedSize=str(size), MaxSizeAllowed=str(high))
    if size < low:
        raise S3Error("EntityTooSmall", ProposedSize=str(size), MinSizeAllowed=str(low))


def _hold(operator: str, name: str, value: Any, fields: dict[str, str], condition: Any) -> str:
    """The field's name in lower case, if the condition holds."""
    if not isinstance(value, str):
        raise S3Error("InvalidPolicyDocument", f"Invalid Policy: Invalid condition {condition!r}.")
    lower = name.lower()
    given = fields.get(lower)
    if operator == "eq":
        holds = given == value
    elif value == "":
        holds = True
    elif lower == "content-type":
        holds = given is not None and all(item.strip().startswith(value) for item in given.split(","))
    else:
        holds = given is not None and given.startswith(value)
    if not holds:
        raise _refuse(f"Policy Condition failed: {msgspec.json.encode(condition).decode()}")
    return lower
