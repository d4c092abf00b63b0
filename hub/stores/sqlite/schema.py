"""The tables of the SQLite store, and how an older file becomes a newer one.

``user_version`` counts the migrations that a file has been through; each runs once, in a
transaction of its own. A file from a newer program is refused.
"""

from __future__ import annotations

from typing import Final

import apsw

from hub.errors import StoreError

__all__ = ["VERSION", "migrate", "version_of"]

_FIRST: Final = """
CREATE TABLE hub (
    key   TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO hub VALUES ('life', 0), ('clean', 1);

-- An id is never used twice: the records of a removed stream are deleted bit by bit.
CREATE TABLE streams (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT NOT NULL UNIQUE,
    content_type TEXT NOT NULL,
    ttl          INTEGER,
    expires_at   TEXT,
    expires      REAL,
    source       INTEGER REFERENCES streams (id),
    fork_offset  INTEGER NOT NULL DEFAULT 0,
    head         INTEGER NOT NULL DEFAULT 0,
    closed       INTEGER NOT NULL DEFAULT 0,
    closed_by    TEXT,
    sequence     TEXT,
    hidden       INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX streams_by_expiry ON streams (expires) WHERE expires IS NOT NULL;
CREATE INDEX streams_by_source ON streams (source) WHERE source IS NOT NULL;

CREATE TABLE epochs (
    stream INTEGER NOT NULL,
    epoch  INTEGER NOT NULL,
    first  INTEGER NOT NULL,
    PRIMARY KEY (stream, epoch)
) WITHOUT ROWID;

CREATE TABLE records (
    stream INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    body   BLOB NOT NULL,
    PRIMARY KEY (stream, offset)
) WITHOUT ROWID;

CREATE TABLE producers (
    stream   INTEGER NOT NULL,
    producer TEXT NOT NULL,
    epoch    INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    PRIMARY KEY (stream, producer)
) WITHOUT ROWID;

CREATE TABLE running (
    generation TEXT PRIMARY KEY,
    stream     TEXT NOT NULL
) WITHOUT ROWID;

-- Which generation an idempotency key was used for; the oldest are dropped.
CREATE TABLE keys (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    key         TEXT NOT NULL UNIQUE,
    fingerprint BLOB NOT NULL,
    generation  TEXT NOT NULL,
    stream      TEXT NOT NULL,
    position    TEXT NOT NULL
);

-- Records that nobody can read any more: those of a stream that are before ``before``.
CREATE TABLE trash (
    stream INTEGER PRIMARY KEY,
    before INTEGER NOT NULL
);
"""

# Hidden streams are few; the housekeeping looks for those that nothing needs any more.
_HIDDEN: Final = "CREATE INDEX streams_hidden ON streams (id) WHERE hidden;"

_MIGRATIONS: Final = (_FIRST, _HIDDEN)
VERSION: Final = len(_MIGRATIONS)


def migrate(database: apsw.Connection, path: str) -> None:
    """Bring a file up to this program's tables.

    Raises:
        StoreError: the file is a newer program's, or another program's.
    """
    for number in range(version_of(database, path), VERSION):
        with database:
            database.execute(_MIGRATIONS[number])
            database.pragma("user_version", number + 1)


def version_of(database: apsw.Connection, path: str) -> int:
    """How many migrations a file has been through; 0 for an empty one.

    Raises:
        StoreError: the file is a newer program's, or another program's.
    """
    found = int(database.pragma("user_version"))
    if found > VERSION:
        raise StoreError(
            f"{path} was written by a newer streamhub (its version is {found}, this program's "
            f"{VERSION}): run that one, or use another file",
            code="store_newer",
        )
    if not found and database.execute("SELECT 1 FROM sqlite_schema LIMIT 1").get:
        raise StoreError(
            f"{path} is a database, but not a streamhub's: name another file in store.url",
            code="store_foreign",
        )
    return found
