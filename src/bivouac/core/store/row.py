"""Rows: the shape of a table as a frozen Struct, and how its values travel to and from SQL."""

from functools import cache
from types import NoneType, UnionType
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

_PLAIN = (str, int, float, bytes)


class Row(Struct, frozen=True, kw_only=True):
    """Base of all tables. The order of fields is free: columns are always named in SQL."""

    TABLE: ClassVar[str] = ""
    KEY: ClassVar[tuple[str, ...]] = ("id",)
    LOGGED: ClassVar[bool] = True
    """False: writes leave no line in `changes` (heartbeats, caches)."""
    COUNTED: ClassVar[str] = ""
    """A column that rises by one with each write of a row: it names a state of the row, for caches."""
    SECRET: ClassVar[frozenset[str]] = frozenset()
    """Columns shown as `***` in `changes`."""


class Shape:
    """What the store knows of a row class: column names, the select list, codecs of the columns that need one."""

    def __init__(self, row_class: type[Row]):
        hints = get_type_hints(row_class)
        self.row_class = row_class
        self.table = row_class.TABLE
        self.key = row_class.KEY
        self.columns = tuple(one.name for one in msgspec.structs.fields(row_class))
        self.column_set = frozenset(self.columns)
        self.nullable = frozenset(name for name in self.columns if _is_nullable(hints[name]))
        self.column_list = ", ".join(f"{self.table}.{name}" for name in self.columns)
        self.decoders = {
            name: decoder for name in self.columns if (decoder := _decoder(hints[name])) is not None
        }
        self._by_position = [(i, self.decoders[name]) for i, name in enumerate(self.columns) if name in self.decoders]
        marks = ", ".join("?" for _ in self.columns)
        self.insert_sql = f"INSERT INTO {self.table} ({', '.join(self.columns)}) VALUES ({marks})"
        self.key_where = " AND ".join(f"{name} = ?" for name in self.key)
        self.get_sql = f"SELECT {self.column_list} FROM {self.table} WHERE {self.key_where}"
        self._factory = _factory(row_class, self.columns)

    def load(self, values: tuple[Any, ...]) -> Any:
        """A row from a select of `column_list`."""
        if self._by_position:
            values = list(values)  # type: ignore[assignment]
            for position, decode in self._by_position:
                if (value := values[position]) is not None:
                    values[position] = decode(value)  # type: ignore[index]
        return self._factory(*values)

    def dump(self, name: str, value: Any) -> Any:
        """A field's value as SQL takes it."""
        if value is None or name not in self.decoders:
            return value
        if isinstance(value, bool):
            return int(value)
        return msgspec.json.encode(value).decode()

    def dump_row(self, row: Row) -> list[Any]:
        return [self.dump(name, getattr(row, name)) for name in self.columns]

    def key_of(self, row: Row) -> tuple[Any, ...]:
        return tuple(self.dump(name, getattr(row, name)) for name in self.key)


@cache
def shape(row_class: type[Row]) -> Shape:
    """The (cached) shape of a row class."""
    return Shape(row_class)


def _is_nullable(hint: Any) -> bool:
    return get_origin(hint) in (Union, UnionType) and NoneType in get_args(hint)


def _decoder(hint: Any) -> Any:
    """None for what SQL carries as it is; otherwise a function from the SQL value."""
    if get_origin(hint) in (Union, UnionType):
        inner = [one for one in get_args(hint) if one is not NoneType]
        if len(inner) == 1:
            return _decoder(inner[0])
    if hint in _PLAIN:
        return None
    if get_origin(hint) is not None and str(get_origin(hint)) == "typing.Literal":
        return None
    if hint is bool:
        return bool
    return msgspec.json.Decoder(hint).decode


def _factory(row_class: type[Row], columns: tuple[str, ...]) -> Any:
    """A function that makes the row from values by position: the class itself wants keywords, which cost more."""
    arguments = ", ".join(f"a{i}" for i in range(len(columns)))
    keywords = ", ".join(f"{name}=a{i}" for i, name in enumerate(columns))
    scope: dict[str, Any] = {"row_class": row_class}
    exec(f"def make({arguments}): return row_class({keywords})", scope)  # noqa: S102 - column names are ours
    return scope["make"]
