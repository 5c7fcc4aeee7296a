"""Passwords: argon2id, older hashes understood, successes remembered, and strength.

Hashing takes tens of milliseconds by design, so it runs in two threads of its own, never on the event loop. A success
is remembered in memory under a key of this process: the same password for the same stored hash again costs
microseconds. The stored hash is part of what is remembered, so a changed password is forgotten by itself.

Formats understood besides argon2id, for users brought from elsewhere: bcrypt (`$2a$ $2b$ $2y$`) and passlib's
`$bcrypt-sha256$`, `$scrypt$` and `$pbkdf2-sha512$`, which are what Keystone has written.
"""

import asyncio
import base64
import ctypes
import hashlib
import hmac
import os
import re
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import argon2
from argon2.exceptions import Argon2Error, InvalidHashError

from ..core.errors import BadRequest
from ..core.settings import Security

REMEMBERED = 10_000
MAX_BYTES = 4096
"""Longer passwords are refused: hashing them is an attack on the processor."""
_hasher = argon2.PasswordHasher(time_cost=5, memory_cost=7168, parallelism=1)
"""OWASP's password storage cheat sheet, the last of its equally strong choices for argon2id: 7 MiB, 5 passes, 1 lane.
With the first (19 MiB, 2 passes) mapping the memory costs as much again as hashing does."""
_M_MMAP_THRESHOLD = -3
"""mallopt(3)."""


def _give_memory_back() -> None:
    """Let glibc map and unmap what hashing needs: left to itself it learns to keep it in each thread's heap."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 20)


_threads = ThreadPoolExecutor(2, thread_name_prefix="passwords", initializer=_give_memory_back)


def make_hash(password: str) -> str:
    """An argon2id hash. Slow: on the event loop use `hash_in_thread`."""
    return _hasher.hash(password)


async def hash_in_thread(password: str) -> str:
    """`make_hash` without holding the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_threads, make_hash, password)


def verify(stored: str, password: str) -> bool:
    """Whether the password fits the stored hash. An unknown format fits nothing."""
    try:
        if stored.startswith("$argon2"):
            return _hasher.verify(stored, password)
        for prefix, check in _OTHERS.items():
            if stored.startswith(prefix):
                return check(stored, password)
    except (Argon2Error, InvalidHashError, ValueError, IndexError, TypeError):
        return False
    return False


def is_known_format(stored: str) -> bool:
    """Whether `verify` understands this hash."""
    return stored.startswith(("$argon2", *_OTHERS))


def _verify_bcrypt(stored: str, password: str) -> bool:
    import bcrypt  # noqa: PLC0415 - only for users brought from elsewhere

    return bcrypt.checkpw(password.encode()[:72], stored.encode())


def _verify_bcrypt_sha256(stored: str, password: str) -> bool:
    """passlib's: version 2 keys SHA-256 with the salt, version 1 does not."""
    import bcrypt  # noqa: PLC0415 - only for users brought from elsewhere

    _, _, parameters, salt, digest = stored.split("$")
    fields = dict(field.split("=") for field in parameters.split(",") if "=" in field)
    if fields.get("v") == "2":
        inner = hmac.new(salt.encode(), password.encode(), hashlib.sha256).digest()
        kind, rounds = fields["t"], int(fields["r"])
    else:
        inner = hashlib.sha256(password.encode()).digest()
        kind, rounds = parameters.split(",")[0], int(parameters.split(",")[1])
    return bcrypt.checkpw(base64.b64encode(inner), f"${kind}${rounds:02d}${salt}{digest}".encode())


def _ab64(text: str) -> bytes:
    """passlib's base64: `.` for `+`, no padding."""
    return base64.b64decode(text.replace(".", "+") + "=" * (-len(text) % 4))


def _verify_scrypt(stored: str, password: str) -> bool:
    _, _, parameters, salt, digest = stored.split("$")
    fields = dict(field.split("=") for field in parameters.split(","))
    size, wanted = 1 << int(fields["ln"]), _ab64(digest)
    block, lanes = int(fields["r"]), int(fields["p"])
    memory = 128 * block * (size + lanes + 2) + (1 << 20)
    got = hashlib.scrypt(
        password.encode(), salt=_ab64(salt), n=size, r=block, p=lanes, maxmem=memory, dklen=len(wanted)
    )
    return hmac.compare_digest(got, wanted)


def _verify_pbkdf2(stored: str, password: str) -> bool:
    _, _, rounds, salt, digest = stored.split("$")
    got = hashlib.pbkdf2_hmac("sha512", password.encode(), _ab64(salt), int(rounds))
    return hmac.compare_digest(got, _ab64(digest))


_OTHERS: dict[str, Callable[[str, str], bool]] = {
    "$bcrypt-sha256$": _verify_bcrypt_sha256,
    "$scrypt$": _verify_scrypt,
    "$pbkdf2-sha512$": _verify_pbkdf2,
    "$2a$": _verify_bcrypt,
    "$2b$": _verify_bcrypt,
    "$2y$": _verify_bcrypt,
}


class Verifier:
    """Checks passwords for one process, with a memory of successes.

    An absent user is checked against a hash of nothing, so that the time taken does not tell who exists.
    """

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._nobody = make_hash(base64.b64encode(os.urandom(24)).decode())

    async def check(self, stored: str | None, password: str) -> bool:
        """Whether the password fits. `stored` None: nobody, or somebody without a password."""
        if len(password) > MAX_BYTES:
            return False
        mark = b""
        if stored is not None:
            mark = hashlib.blake2b(
                stored.encode() + b"\0" + password.encode("utf-8", "surrogatepass"), key=self._key, digest_size=32
            ).digest()
            if mark in self._known:
                self._known.move_to_end(mark)
                return True
        loop = asyncio.get_running_loop()
        fits = await loop.run_in_executor(_threads, verify, stored or self._nobody, password)
        if stored is None or not fits:
            return False
        self._known[mark] = None
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return True


def check_strength(security: Security, password: str) -> None:
    """Raise BadRequest unless the password meets the cloud's rules."""
    if len(password.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise BadRequest(f"A password may have {MAX_BYTES} bytes.")
    if security.password_regex and not re.match(security.password_regex, password):
        words = security.password_regex_description or f"it must match {security.password_regex}"
        raise BadRequest(f"The password does not match the requirements: {words}.")


def expiry_of(security: Security, options: dict[str, Any], now: float) -> float | None:
    """When a password set now expires, or None."""
    if not security.password_expires_days or options.get("ignore_password_expiry"):
        return None
    return now + security.password_expires_days * 86_400.0
