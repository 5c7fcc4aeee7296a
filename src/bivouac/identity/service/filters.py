"""Filters of lists as SQL conditions."""

from collections.abc import Sequence

from msgspec import Struct

from ...core.errors import BadRequest, NotFound
from ...core.store import Page, Row, Tx, select_page
from ...core.store.listing import MarkerNotFound

_LIKE = {"contains": "%{}%", "startswith": "{}%", "endswith": "%{}"}


class Filters(Struct, frozen=True):
    """Conditions on columns of one table, with their arguments; `values` are the exact ones by name."""

    conditions: tuple[str, ...] = ()
    args: tuple[object, ...] = ()
    values: dict[str, str] = {}

    @classmethod
    def parse(
        cls, query: Sequence[tuple[str, str]], texts: frozenset[str], flags: frozenset[str]
    ) -> "Filters":
        """From a query string. What is not a column is ignored. Raises BadRequest for a comparator we do not know."""
        conditions: list[str] = []
        args: list[object] = []
        values: dict[str, str] = {}
        for key, value in query:
            column, _, comparator = key.partition("__")
            if column in flags and not comparator:
                conditions.append(f"{column} = ?")
                args.append(int(parse_bool(value)))
            elif column in texts and not comparator:
                values[column] = value
                if value:
                    conditions.append(f"{column} = ?")
                    args.append(value)
                else:
                    conditions.append(f"({column} = '' OR {column} IS NULL)")
            elif column in texts:
                condition, arg = _inexact(column, comparator, value)
                conditions.append(condition)
                args.append(arg)
        return cls(tuple(conditions), tuple(args), values)

    def having(self, condition: str, *args: object) -> "Filters":
        """With one condition more."""
        return Filters((*self.conditions, condition), (*self.args, *args), self.values)


def like(value: str) -> str:
    """The text for a LIKE ... ESCAPE '!' that finds it as it is."""
    return value.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _inexact(column: str, comparator: str, value: str) -> tuple[str, str]:
    blind = comparator.startswith("i")
    pattern = _LIKE.get(comparator.removeprefix("i"))
    if pattern is None:
        raise BadRequest(f"There is no comparator {comparator}; use contains, startswith or endswith, or with an i.")
    text = pattern.format(like(value))
    if blind:
        return f"lower({column}) LIKE lower(?) ESCAPE '!'", text
    return f"{column} LIKE ? ESCAPE '!'", text


def parse_bool(text: str) -> bool:
    """Keystone's reading: everything but 0, false and their like is true, the empty text too."""
    return text.strip().lower() not in ("0", "false", "f", "no", "n", "off")


def select(tx: Tx, row_class: type[Row], filters: Filters, page: Page) -> list:
    """Rows of the page. Raises NotFound for a marker that names nothing."""
    try:
        return select_page(tx, row_class, filters.conditions, filters.args, page)
    except MarkerNotFound as error:
        raise NotFound(f"Marker {page.marker} could not be found.") from error
