"""One-time passcodes. Source: RFC 6238 (TOTP) over RFC 4226 (HOTP), SHA-1, 30 seconds, 6 digits."""

import base64
import binascii
import hmac

STEP_S = 30
DIGITS = 6
PREVIOUS_STEPS = 1
"""Passcodes of the step before count too (Keystone's `included_previous_windows`)."""


def passcode(secret: str, moment: float) -> str:
    """The passcode of a base32 secret at a moment. Raises ValueError when the secret is not base32."""
    try:
        key = base64.b32decode(secret.upper() + "=" * (-len(secret) % 8))
    except binascii.Error as error:
        raise ValueError("not base32") from error
    digest = hmac.digest(key, int(moment // STEP_S).to_bytes(8, "big"), "sha1")
    offset = digest[-1] & 15
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return str(number % 10**DIGITS).zfill(DIGITS)


def fits(secret: str, given: str, now: float) -> bool:
    """Whether a passcode is right now, or was one step ago."""
    try:
        right = [passcode(secret, now - step * STEP_S) for step in range(PREVIOUS_STEPS + 1)]
    except ValueError:
        return False
    return any(hmac.compare_digest(one.encode(), given.encode()) for one in right)
