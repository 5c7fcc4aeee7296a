"""Plain SQL over two engines: SQLite (one writer, group commit) and PostgreSQL. No ORM.

- A table is a `Row`: a frozen msgspec Struct with `TABLE` and `KEY`; its columns are its fields. JSON columns are
  fields of any type that is not text, number, bool or bytes; booleans are 0/1 and moments float seconds.
- A rule is a synchronous function over a `Tx`, may be retried whole, and does nothing but SQL. `Store.read` and
  `Store.write` run it: one call, one transaction. After the commit the bells rung with `tx.ring` go off.
- Every row written leaves a line in `changes`, by the store itself; columns named in `SECRET` are masked.
- SQL is the common subset of both engines with `?` for parameters. Tables are made by numbered migrations.
"""

from .listing import Page, select_page
from .row import Row
from .store import Store, open_store
from .tx import Duplicate, Referenced, Stale, Tx

__all__ = ["Duplicate", "Page", "Referenced", "Row", "Stale", "Store", "Tx", "open_store", "select_page"]
