"""Rows of OVN as plain values, named by our keys instead of by UUIDs."""

from typing import Any

from msgspec import Struct

OWNER = "bivouac"
"""The key in external_ids under which a row of ours carries its own key."""


class Ref(Struct, frozen=True, order=True):
    """A reference to a row of ours."""

    table: str
    key: str


Value = Any
"""str, int or bool; a list is a set (of values or Refs); a dict is a map."""
Wanted = dict[Ref, dict[str, Value]]
"""Row -> columns. A column that is not named is left as it is."""


class Draft:
    """Collects the rows that are wanted."""

    def __init__(self) -> None:
        self.rows: Wanted = {}

    def add(self, table: str, key: str, external_ids: dict[str, str] | None = None, **columns: Value) -> Ref:
        """Want a row; returns the reference to it."""
        ref = Ref(table, key)
        self.rows[ref] = {**columns, "external_ids": {OWNER: key, **(external_ids or {})}}
        return ref
