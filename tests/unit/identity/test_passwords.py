"""Passwords: our hashes, those of other clouds, the memory of successes, one-time passcodes."""

import asyncio
import base64
import hashlib

import bcrypt
import pytest

from bivouac.core.errors import BadRequest
from bivouac.core.settings import Security
from bivouac.identity import one_time, passwords


def _ab64(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=").replace("+", ".")


def _bcrypt_sha256_2() -> str:
    """As passlib writes it: HMAC-SHA256 keyed with the salt, base64, then bcrypt."""
    import hmac

    salt = "n79VH.0Q2TMWmt3Oqt9uku"
    inner = base64.b64encode(hmac.new(salt.encode(), b"secret", hashlib.sha256).digest())
    digest = bcrypt.hashpw(inner, f"$2b$04${salt}".encode()).decode()[29:]
    return f"$bcrypt-sha256$v=2,t=2b,r=4${salt}${digest}"


HASHES = {
    "argon2id": passwords.make_hash("secret"),
    "bcrypt": bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode(),
    "bcrypt-sha256": _bcrypt_sha256_2(),
    "scrypt": "$scrypt$ln=10,r=8,p=1$"
    + f"{_ab64(b'salt')}${_ab64(hashlib.scrypt(b'secret', salt=b'salt', n=1024, r=8, p=1, dklen=32))}",
    "pbkdf2": "$pbkdf2-sha512$1000$"
    + f"{_ab64(b'salt')}${_ab64(hashlib.pbkdf2_hmac('sha512', b'secret', b'salt', 1000))}",
}


@pytest.mark.parametrize("name", HASHES)
def test_each_format_is_verified(name: str) -> None:
    assert passwords.is_known_format(HASHES[name])
    assert passwords.verify(HASHES[name], "secret")
    assert not passwords.verify(HASHES[name], "Secret")
    assert not passwords.verify(HASHES[name], "")


BROKEN = ["", "plain", "$2b$", "$scrypt$x$y$z", "$pbkdf2-sha512$1$a", "$argon2id$v=19$x", "$md5$a"]


@pytest.mark.parametrize("stored", BROKEN)
def test_broken_hashes_fit_nothing(stored: str) -> None:
    assert not passwords.verify(stored, "secret")


def test_a_success_is_remembered_for_this_hash_only() -> None:
    async def scenario() -> None:
        verifier = passwords.Verifier()
        stored = HASHES["argon2id"]
        assert await verifier.check(stored, "secret")
        hashed: list[str] = []
        original, passwords.verify = passwords.verify, lambda *args: hashed.append(args[0]) or False  # type: ignore[assignment]
        try:
            assert await verifier.check(stored, "secret"), "the second time nothing is hashed"
            assert hashed == []
            assert not await verifier.check(stored, "other")
            assert not await verifier.check(passwords.make_hash("changed"), "secret")
            assert not await verifier.check(None, "secret"), "nobody is hashed like anybody"
            assert len(hashed) == 3
        finally:
            passwords.verify = original

    asyncio.run(scenario())


def test_strength() -> None:
    rules = Security(password_regex=r"^(?=.*\d).{7,}$", password_regex_description="7 characters, a digit")
    passwords.check_strength(rules, "longenough1")
    for bad in ("short1", "nodigitshere", "x" * 5000 + "1"):
        with pytest.raises(BadRequest):
            passwords.check_strength(rules, bad)


def test_one_time_passcodes_of_the_rfc() -> None:
    """RFC 6238, appendix B, cut to six digits."""
    secret = base64.b32encode(b"12345678901234567890").decode()
    for moment, wanted in ((59, "287082"), (1111111109, "081804"), (20000000000, "353130")):
        assert one_time.passcode(secret, moment) == wanted
    assert one_time.fits(secret, "287082", 59 + 30)
    assert not one_time.fits(secret, "287082", 59 + 60)
    assert not one_time.fits("not base32!", "287082", 59)
