"""Tokens: packing, proof, keys and their rotation."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bivouac.core.store import Store
from bivouac.identity.tokens import RECEIPT, InvalidToken, Keys, Token, UnknownKey, pack, rotate, unpack

SECRETS = {1: b"a" * 32, 2: b"b" * 32}
TOKEN = Token("u" * 32, 1_700_000_000_000_000, 1_700_000_003_600_000, ("password",), ("audit",), project_id="p" * 32)


def test_a_token_comes_back_as_it_was_packed() -> None:
    text = pack(TOKEN, 2, SECRETS[2])
    assert unpack(text, SECRETS) == TOKEN
    assert len(text) < 255


def test_every_changed_character_is_noticed() -> None:
    text = pack(TOKEN, 2, SECRETS[2])
    for at, old in enumerate(text):
        for new in "AB-_9":
            if new != old:
                with pytest.raises(InvalidToken):
                    unpack(text[:at] + new + text[at + 1 :], SECRETS)
    for length in range(len(text)):
        with pytest.raises(InvalidToken):
            unpack(text[:length], SECRETS)
    for more in ("A", "=", "==", " ", "\n"):
        with pytest.raises(InvalidToken):
            unpack(text + more, SECRETS)


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_no_text_does_more_than_be_refused(text: str) -> None:
    with pytest.raises(InvalidToken):
        unpack(text, SECRETS)


def test_a_receipt_is_no_token_and_a_key_proves_only_its_own() -> None:
    with pytest.raises(InvalidToken):
        unpack(pack(TOKEN, 2, SECRETS[2], RECEIPT), SECRETS)
    with pytest.raises(UnknownKey):
        unpack(pack(TOKEN, 3, SECRETS[2]), SECRETS)
    with pytest.raises(InvalidToken):
        unpack(pack(TOKEN, 1, SECRETS[2]), SECRETS)


def test_a_rotation_voids_only_what_the_key_before_last_signed(make_store: Callable[..., Store]) -> None:
    store = make_store("bivouac.identity")
    assert store.write_now(rotate, 1000.0) is True
    here, elsewhere = Keys(store), Keys(store)
    first = here.issue(TOKEN)
    assert elsewhere.prove(first) == TOKEN
    assert store.write_now(rotate, 1000.0 + 3600) is False
    assert store.write_now(rotate, 1000.0 + 90_000) is True
    here.load()
    second = here.issue(TOKEN)
    assert elsewhere.prove(second) == TOKEN, "a process that has not heard of the new key looks for it"
    assert here.prove(first) == elsewhere.prove(first) == TOKEN
    store.write_now(rotate, 1000.0 + 180_000)
    here.load()
    assert here.prove(second) == TOKEN
    with pytest.raises(InvalidToken):
        here.prove(first)
