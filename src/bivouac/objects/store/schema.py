"""The index: tables, connections and their settings.

One SQLite database holds the index and the bytes of small objects, so that both become durable in one commit and
there is nothing to
recover but SQLite's own log. `objects` has the current versions only: a listing is one range scan of its primary
key. Older versions and
delete markers live in `versions`. Data are shared by reference count, kept only for those that have more than one
reference.
"""

from __future__ import annotations

import apsw

VERSION = 1
OBJECT_COLUMNS = (
    "container_id, name, version, modified, size, etag, content_type, kind, null_version,"
    " expires_at, media, data, detail"
)
_OBJECT_TABLE = """
  container_id INTEGER NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, modified INTEGER NOT NULL,
  size INTEGER NOT NULL, etag TEXT NOT NULL, content_type TEXT NOT NULL, kind INTEGER NOT NULL, null_version INTEGER
  NOT NULL,
  expires_at INTEGER, media INTEGER, data INTEGER, detail BLOB
"""
SCHEMA = f"""
CREATE TABLE accounts(name TEXT PRIMARY KEY, created INTEGER NOT NULL, modified INTEGER NOT NULL, settings BLOB NOT
NULL)
  WITHOUT ROWID;
CREATE TABLE containers(
  id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, name TEXT NOT NULL, created INTEGER NOT NULL,
  modified INTEGER NOT NULL, policy TEXT NOT NULL, versioning TEXT NOT NULL, bucket INTEGER NOT NULL,
  settings BLOB NOT NULL, UNIQUE(account, name));
CREATE UNIQUE INDEX buckets ON containers(name) WHERE bucket;
CREATE TABLE container_usage(
  container_id INTEGER PRIMARY KEY, objects INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,
  older_versions INTEGER NOT NULL DEFAULT 0, older_bytes INTEGER NOT NULL DEFAULT 0);
CREATE TABLE account_usage(
  account TEXT NOT NULL, policy TEXT NOT NULL, objects INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,
  older_versions INTEGER NOT NULL DEFAULT 0,
  older_bytes INTEGER NOT NULL DEFAULT 0, containers INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(account, policy)) WITHOUT ROWID;
CREATE TABLE objects({_OBJECT_TABLE}, PRIMARY KEY(container_id, name)) WITHOUT ROWID;
CREATE INDEX expiring ON objects(expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE versions({_OBJECT_TABLE}, PRIMARY KEY(container_id, name, version DESC)) WITHOUT ROWID;
CREATE TABLE blobs(id INTEGER PRIMARY KEY, crc INTEGER NOT NULL, bytes BLOB NOT NULL);
CREATE TABLE files(id INTEGER PRIMARY KEY, size INTEGER NOT NULL, md5 TEXT NOT NULL,
  audited INTEGER NOT NULL DEFAULT 0);
CREATE TABLE shared(media INTEGER NOT NULL, data INTEGER NOT NULL, extra INTEGER NOT NULL,
  PRIMARY KEY(media, data)) WITHOUT ROWID;
CREATE TABLE garbage(file INTEGER PRIMARY KEY);
CREATE TABLE multiparts(
  id TEXT PRIMARY KEY, container_id INTEGER NOT NULL, name TEXT NOT NULL, created INTEGER NOT NULL, detail BLOB NOT
  NULL)
  WITHOUT ROWID;
CREATE INDEX multiparts_by_name ON multiparts(container_id, name, created, id);
CREATE TABLE parts(
  upload TEXT NOT NULL, number INTEGER NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL, modified INTEGER NOT NULL,
  detail BLOB NOT NULL, PRIMARY KEY(upload, number)) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""
WRITER_PRAGMAS = (
    ("journal_mode", "WAL"),
    ("synchronous", "FULL"),
    ("wal_autocheckpoint", 0),  # the committer decides when
    ("cache_size", -32768),
    ("temp_store", "MEMORY"),
)
READER_PRAGMAS = (("query_only", "ON"), ("cache_size", -16384), ("temp_store", "MEMORY"))


def open_writer(path: str, vfs: str | None = None) -> apsw.Connection:
    """The one connection that writes. Makes the tables in a new file. `vfs` lets tests put faults beneath SQLite."""
    connection = apsw.Connection(path, vfs=vfs)
    connection.set_busy_timeout(10_000)
    if not connection.pragma("user_version"):
        connection.pragma("page_size", 4096)
        connection.pragma("auto_vacuum", "INCREMENTAL")
    # One by one: a statement that gives a row would end a script of several.
    for name, value in WRITER_PRAGMAS:
        connection.pragma(name, value)
    found = connection.pragma("user_version")
    if found == 0:
        connection.execute("BEGIN IMMEDIATE;" + SCHEMA + "COMMIT")
    elif found != VERSION:
        raise RuntimeError(f"{path} has schema version {found}; this program knows {VERSION}")
    return connection


def open_reader(path: str, vfs: str | None = None) -> apsw.Connection:
    """A connection that only reads and sees each commit at once."""
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    connection.set_busy_timeout(10_000)
    for name, value in READER_PRAGMAS:
        connection.pragma(name, value)
    return connection


def open_copier(path: str, vfs: str | None = None) -> apsw.Connection:
    """A connection that only copies the log into the database: it never writes rows and needs no cache."""
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    connection.pragma("synchronous", "FULL")
    connection.pragma("wal_autocheckpoint", 0)
    return connection
