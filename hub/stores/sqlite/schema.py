"""The tables of the SQLite store, and how an older file becomes a newer one.

``user_version`` counts the migrations that a file has been through. Each runs once, in a
transaction of its own. Before the first one the file is copied to its own name and its version,
such as ``streamhub.db.v1``. A file from a newer program is refused.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

from hub.domain.errors import StoreError

__all__ = ["VERSION", "migrate", "version_of"]

log = logging.getLogger("hub.store")

COPIED: Final = 1000
"""Pages copied at a time, so that Ctrl-C is noticed in between."""

_FIRST: Final = """
CREATE TABLE hub (
    key   TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO hub VALUES ('life', 0), ('clean', 1);

-- An id is never used twice: the records of a removed stream are deleted gradually.
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

-- Records that nobody can read any more: those of a stream with offsets below ``before``.
CREATE TABLE trash (
    stream INTEGER PRIMARY KEY,
    before INTEGER NOT NULL
);
"""

# Few streams are hidden; the sweep looks for those without forks.
_HIDDEN: Final = "CREATE INDEX streams_hidden ON streams (id) WHERE hidden;"

_GENERATIONS: Final = """
-- Where the events of a generation are: the first at ``first``, in ``epoch``; ``started`` and
-- ``ended`` are the offsets of its Started and its terminal event. One without an end runs, or ran
-- when the hub died. (A fork that an older hub made in the middle of an answer lacks the end, so it
-- may have a row for the same generation as its source.)
CREATE TABLE generations (
    id      TEXT NOT NULL,
    stream  INTEGER NOT NULL,
    epoch   INTEGER NOT NULL,
    first   INTEGER NOT NULL,
    started INTEGER NOT NULL,
    ended   INTEGER,
    PRIMARY KEY (id, stream)
) WITHOUT ROWID;
CREATE INDEX generations_by_stream ON generations (stream, ended);
CREATE INDEX generations_unended ON generations (stream) WHERE ended IS NULL;

-- The first and last events of all generations so far.
CREATE TEMP TABLE said AS
SELECT r.stream, r.offset,
    CASE WHEN json_valid(CAST(body AS TEXT)) THEN json_extract(CAST(body AS TEXT), '$.type') END
        AS type,
    CASE WHEN json_valid(CAST(body AS TEXT)) THEN json_extract(CAST(body AS TEXT), '$.generation')
        END AS id
FROM records r JOIN streams s ON s.id = r.stream
WHERE s.content_type LIKE 'application/json%' AND (
    CAST(substr(body, 1, 24) AS TEXT) LIKE '{"type":"started",%'
    OR CAST(substr(body, 1, 24) AS TEXT) LIKE '{"type":"finished",%'
    OR CAST(substr(body, 1, 24) AS TEXT) LIKE '{"type":"failed",%'
    OR CAST(substr(body, 1, 24) AS TEXT) LIKE '{"type":"cancelled",%'
    OR CAST(substr(body, 1, 24) AS TEXT) LIKE '{"type":"interrupted",%');
DELETE FROM said WHERE id IS NULL OR length(id) <> 36 OR substr(id, 1, 4) <> 'gen_';
CREATE INDEX said_by_id ON said (stream, id);

INSERT INTO generations (id, stream, epoch, first, started, ended)
SELECT b.id, b.stream,
    ifnull((SELECT max(e.epoch) FROM epochs e
        WHERE e.stream = b.stream AND e.first <= b.offset), 0),
    min(b.offset), min(b.offset),
    (SELECT min(e.offset) FROM said e
        WHERE e.stream = b.stream AND e.id = b.id AND e.type <> 'started')
FROM said b WHERE b.type = 'started' GROUP BY b.stream, b.id;

-- The beginning of a long answer may be trimmed already.
INSERT OR IGNORE INTO generations (id, stream, epoch, first, started)
SELECT r.generation, s.id,
    ifnull((SELECT max(e.epoch) FROM epochs e WHERE e.stream = s.id AND e.first <= s.head), 0),
    s.head, s.head
FROM running r JOIN streams s ON s.name = r.stream;

-- Forks that begin in the middle of an answer.
WITH RECURSIVE past (fork, stream, below) AS (
    SELECT id, source, fork_offset FROM streams WHERE source IS NOT NULL
    UNION ALL
    SELECT p.fork, s.source, min(p.below, s.fork_offset)
    FROM past p JOIN streams s ON s.id = p.stream WHERE s.source IS NOT NULL
)
INSERT OR IGNORE INTO generations (id, stream, epoch, first, started)
SELECT g.id, p.fork, g.epoch, g.first, g.started
FROM past p JOIN generations g ON g.stream = p.stream
WHERE g.started < p.below AND (g.ended IS NULL OR g.ended >= p.below)
AND NOT EXISTS (
    SELECT 1 FROM said e WHERE e.stream = p.fork AND e.id = g.id AND e.type <> 'started');

DROP TABLE said;
DROP TABLE running;
"""

_REMOVED: Final = """
-- Names of removed streams, and the highest epoch that a stream of the name can have had. The
-- oldest are dropped, and ``forgotten`` is the highest epoch of those. Of streams that were removed
-- before this table existed only the file's last epoch is known.
CREATE TABLE removed (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name   TEXT NOT NULL UNIQUE,
    epoch  INTEGER NOT NULL
);
INSERT INTO hub SELECT 'forgotten', CASE value WHEN 0 THEN -1 ELSE value + 1 END
FROM hub WHERE key = 'life';
"""

_OWNERS: Final = """
-- Whose the stream is: Principal.subject. Streams of before have no owner.
ALTER TABLE streams ADD COLUMN owner TEXT;
"""

_CREDENTIALS: Final = """
-- What lets its holder in, such as an API key. ``hash`` is the SHA-256 of the secret.
CREATE TABLE credentials (
    kind      TEXT NOT NULL,
    id        TEXT NOT NULL,
    hash      BLOB NOT NULL,
    name      TEXT,
    user      TEXT,
    tenant    TEXT,
    grants    TEXT,
    created   REAL NOT NULL,
    expires   REAL,
    revoked   REAL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
"""

_PROMPTS: Final = """
-- Prompts that wait for their turn in a stream, in the order of ``place``. ``body`` is
-- QueuedPrompt.encode(). A stream that is ``held`` begins none of them by itself.
CREATE TABLE prompts (
    stream     INTEGER NOT NULL,
    place      INTEGER NOT NULL,
    generation TEXT NOT NULL UNIQUE,
    body       BLOB NOT NULL,
    PRIMARY KEY (stream, place)
) WITHOUT ROWID;
ALTER TABLE streams ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
"""

_OWNED: Final = """
-- The streams of an owner, by name.
CREATE INDEX owned ON streams (owner, name) WHERE owner IS NOT NULL;
"""

_CREATORS: Final = """
-- Who began the stream; until now its owner could not change.
ALTER TABLE streams ADD COLUMN creator TEXT;
UPDATE streams SET creator = owner WHERE owner IS NOT NULL;
"""

_IS_OBJECT: Final = "json_valid(grants) AND json_type(grants) = 'object'"
STREAM: Final = f"CASE WHEN {_IS_OBJECT} THEN json_extract(grants, '$.stream') END"
MAKER: Final = f"CASE WHEN {_IS_OBJECT} THEN ifnull(json_extract(grants, '$.by'), '') END"
"""Of what stream a credential is, and who made it, as `hub.stores.Label` says. An index is used
only for the very expression that it was made with."""

_LABELS: Final = f"""
-- The credentials that were not revoked, by user, stream and maker.
CREATE INDEX credentials_of_user ON credentials (kind, user) WHERE revoked IS NULL;
CREATE INDEX credentials_of_stream ON credentials (kind, {STREAM}) WHERE revoked IS NULL;
CREATE INDEX credentials_of_maker ON credentials (kind, {MAKER}) WHERE revoked IS NULL;
"""

_COUNTED: Final = """
-- What a coordinator counts in a stream that several hubs write: hub.stores.sequenced.Counted.
CREATE TABLE counted (
    stream    INTEGER PRIMARY KEY,
    born      INTEGER NOT NULL,
    life      INTEGER NOT NULL,
    change    INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    node      TEXT NOT NULL,
    cancelled INTEGER NOT NULL
);
-- What an idempotency key was first used for: hub.stores.shared.Claim.
CREATE TABLE claims (
    key         TEXT PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    stream      TEXT NOT NULL,
    born        INTEGER NOT NULL,
    expires     REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX claims_by_expiry ON claims (expires);
"""

_BODIES: Final = """
-- The bodies of large records, as hub.stores.sqlite.bodies says.
CREATE TABLE bodies (
    id   INTEGER PRIMARY KEY,
    body BLOB NOT NULL
);
-- A prompt may be large, too, so this table has rowids now.
CREATE TABLE waiting (
    stream     INTEGER NOT NULL,
    place      INTEGER NOT NULL,
    generation TEXT NOT NULL UNIQUE,
    body       BLOB NOT NULL,
    PRIMARY KEY (stream, place)
);
INSERT INTO waiting (stream, place, generation, body)
SELECT stream, place, generation, body FROM prompts ORDER BY stream, place;
DROP TABLE prompts;
ALTER TABLE waiting RENAME TO prompts;
"""


def _move_bodies(database: apsw.Connection) -> None:
    """Move large bodies out of ``records``, one by one: each takes the space that another left."""
    database.execute(_BODIES)
    database.execute(
        "CREATE TEMP TABLE large AS SELECT stream, offset FROM records WHERE length(body) > 960"
    )
    for key in database.execute("SELECT stream, offset FROM large"):
        database.execute(
            "INSERT INTO bodies (body) SELECT body FROM records WHERE stream = ? AND offset = ?",
            key,
        )
        database.execute(
            "UPDATE records SET body = last_insert_rowid() WHERE stream = ? AND offset = ?", key
        )
    database.execute("DROP TABLE large")


_MIGRATIONS: Final[tuple[str | Callable[[apsw.Connection], None], ...]] = (
    *(_FIRST, _HIDDEN, _GENERATIONS, _REMOVED, _OWNERS, _CREDENTIALS),
    *(_OWNED, _CREATORS),
    *(_PROMPTS, _LABELS, _COUNTED, _move_bodies),
)
VERSION: Final = len(_MIGRATIONS)


def migrate(database: apsw.Connection, path: str) -> None:
    """Bring a file up to the present version, after copying an older one.

    Raises:
        StoreError: the file is from a newer streamhub or another program.
        apsw.Error: for example, there is no space for the copy; the file is unchanged.
    """
    found = version_of(database, path)
    if 0 < found < VERSION:
        kept = _kept(database, Path(f"{path}.v{found}"))
        log.warning(
            "%s is from an older streamhub and is being upgraded; %s is a copy of it", path, kept
        )
    for number in range(found, VERSION):
        with database:
            step = _MIGRATIONS[number]
            if isinstance(step, str):
                database.execute(step)
            else:
                step(database)
            database.pragma("user_version", number + 1)


def version_of(database: apsw.Connection, path: str) -> int:
    """How many migrations a file has been through; 0 for an empty one.

    Raises:
        StoreError: the file is from a newer streamhub or another program.
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


def _kept(database: apsw.Connection, copy: Path) -> Path:
    """Write a complete copy of the file, replacing an earlier one."""
    part = copy.with_name(f"{copy.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    try:
        with closing(apsw.Connection(str(part))) as target:
            with target.backup("main", database, "main") as copying:
                while not copying.done:
                    copying.step(COPIED)
            # One file instead of three, whoever opens it.
            target.pragma("journal_mode", "delete")
        part.replace(copy)
    finally:
        part.unlink(missing_ok=True)
    return copy
