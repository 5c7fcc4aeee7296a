"""Header values as text and back: clients send UTF-8, some send other bytes, and both must come back as they were."""

from __future__ import annotations

PRIVATE = 0xF700
"""Unicode's private use: where the bytes of values that are no UTF-8 are kept."""


def text_of(value: str) -> str:
    """A header's value as text: UTF-8 where it is that; other bytes move to a private range, see `as_sent`."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return "".join(character if character < "\x80" else chr(PRIVATE + ord(character)) for character in value)


def as_sent(text: str) -> str:
    """The text with bytes that were no UTF-8 as surrogates, which go out as the bytes that came."""
    if text.isascii():
        return text
    return "".join(chr(ord(c) - PRIVATE + 0xDC00) if PRIVATE + 0x80 <= ord(c) < PRIVATE + 0x100 else c for c in text)
