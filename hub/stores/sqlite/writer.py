"""Writes changes to the file; the SQLite store gives it a thread of its own.

Of what a group changes again and again (a head, an expiry, a producer's last number) only the
last value is written, and all its records with one statement: the cost of a group is that of
its records.

A change that can never be written must not hold up other streams. When a group fails for such
a reason, it is written again one change at a time, which shows whose change it is. All changes
of that stream are then left out: a stream that ends early is better than one with a hole.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, Final

import apsw
import orjson

from hub.domain.epochs import Epochs
from hub.domain.events import NOTHING
from hub.stores import (
    Accepted,
    Appended,
    Began,
    Change,
    Closed,
    Created,
    Ended,
    Hidden,
    Keyed,
    OwnerChanged,
    QueueSet,
    Raised,
    Removed,
    Sequenced,
    Touched,
    Trimmed,
)
from hub.stores.sequenced import Counted
from hub.stores.sqlite import bodies
from hub.stores.sqlite.database import FOREVER
from hub.stores.sqlite.removed_names import remember_removal

__all__ = ["Writer"]

SWEPT: Final = 500
SWEPT_BYTES: Final = 1024 * 1024
"""Records deleted at a time, so that a large removal does not delay other commits."""

KNOWN: Final = 10_000
"""Streams whose id is cached."""

KEYS: Final = 10_000
"""Idempotency keys that are kept."""

_PASSING: Final = (
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.FullError,
    apsw.InterruptError,
    apsw.IOError,
    apsw.LockedError,
    apsw.NoLFSError,
    apsw.NoMemError,
    apsw.NotADBError,
    apsw.PermissionsError,
    apsw.ProtocolError,
    apsw.ReadOnlyError,
)
"""Errors of the file or the machine, which may pass; all others are of the change itself."""

log = logging.getLogger("hub.store")


class Writer:
    """Writes groups of changes, each in one transaction."""

    def __init__(self, database: apsw.Connection) -> None:
        self._database = database
        self._ids: dict[str, int] = {}
        self._appended: list[tuple[int, int, bytes | int]] = []
        self._columns: dict[tuple[str, int], object] = {}
        self._producers: dict[tuple[int, str], tuple[int, int]] = {}
        self._counted: dict[int, tuple[object, ...]] = {}
        self.littered = True
        """There may be records to delete."""
        self._writes: Mapping[type[Change], Callable[[Any], None]] = {
            Created: self._created,
            Raised: self._raised,
            Appended: self._append,
            Accepted: self._accepted,
            Sequenced: lambda change: self._set("sequence", change.stream, change.value),
            Trimmed: lambda change: self._set("head", change.stream, change.head),
            Touched: lambda change: self._set("expires", change.stream, change.expires),
            OwnerChanged: lambda change: self._set("owner", change.stream, change.owner),
            Closed: self._closed,
            Hidden: lambda change: self._set("hidden", change.stream, 1),
            Removed: self._removed,
            Began: self._began,
            Ended: self._ended,
            Keyed: self._keyed,
            QueueSet: self._queue_set,
            Counted: self._count,
        }

    def write(self, changes: Sequence[Change]) -> Mapping[str, str]:
        """Write a group, except for the streams whose changes can never be written.

        Returns the names of those streams, each with the reason.

        Raises:
            apsw.Error: the file or the disk has a problem; nothing was written, and the group may
                be tried again.
        """
        try:
            self._write(changes)
        except _PASSING:
            raise
        except Exception:
            return self._write_apart(changes)
        return NOTHING

    def _write(self, changes: Sequence[Change]) -> None:
        with self.transaction():
            for change in changes:
                self._writes[type(change)](change)
            # Delete as many records as were added, so that a full stream does not grow on disk.
            swept = max(SWEPT, len(self._appended))
            self._flush()
            if self.littered:
                self._sweep(swept)

    def _write_apart(self, changes: Sequence[Change]) -> Mapping[str, str]:
        """Write what can be written; returns the streams that cannot, each with the reason."""
        rejected: dict[str, str] = {}
        while True:
            wrong: Change | None = None
            try:
                with self.transaction():
                    for change in changes:
                        if change.stream not in rejected:
                            wrong = change
                            _check_source(change, rejected)
                            self.apply([change])
                    wrong = None
                    if rejected:
                        # Readers may have seen records that are now lost: these streams go on
                        # in a later epoch, and new ones begin in the one after that.
                        self._run("UPDATE hub SET value = value + 2 WHERE key = 'life'")
            except _PASSING:
                raise
            except Exception as error:
                if wrong is None:
                    raise
                log.exception("%s cannot be written: %s", type(wrong).__name__, error)
                rejected[wrong.stream] = f"{type(error).__name__}: {error}"
            else:
                return rejected

    def apply(self, changes: Iterable[Change]) -> None:
        """Write changes one by one, within a `transaction`.

        Raises:
            apsw.Error: a change cannot be written.
        """
        for change in changes:
            self._writes[type(change)](change)
            self._flush()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all that is written within the ``with`` statement, or nothing."""
        if len(self._ids) > KNOWN:
            self._ids.clear()
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            # The ids were looked up in a transaction that is undone.
            self._ids.clear()
            self._appended.clear()
            self._columns.clear()
            self._producers.clear()
            self._counted.clear()
            if self._database.in_transaction:  # SQLite rolls back by itself after some errors
                self._run("ROLLBACK")
            raise

    def sweep(self) -> bool:
        """Delete some records that nobody can read; returns whether there may be more."""
        if self.littered:
            with self._database:
                self._sweep(SWEPT)
        return self.littered

    def _sweep(self, most: int) -> None:
        rows = self._database.execute("SELECT stream, before FROM trash LIMIT 1").fetchall()
        if not rows:
            self.littered = False
            return
        stream, before = rows[0]
        found: Any = self._database.execute(
            "SELECT offset, body FROM records WHERE stream = ? AND offset < ?"
            " ORDER BY offset LIMIT ?",
            (stream, before, most),
        )
        size = taken = last = 0
        large: list[tuple[int]] = []
        with closing(found):
            for offset, kept in found:
                last = offset
                taken += 1
                if isinstance(kept, bytes):
                    size += len(kept)
                else:
                    size += bodies.length(self._database, kept)
                    large.append((kept,))
                if size > SWEPT_BYTES:
                    break
        if taken:
            self._database.executemany("DELETE FROM bodies WHERE id = ?", large)
            self._run("DELETE FROM records WHERE stream = ? AND offset <= ?", stream, last)
        if taken < most and size <= SWEPT_BYTES:
            self._run("DELETE FROM trash WHERE stream = ?", stream)

    def _run(self, statement: str, *values: Any) -> None:
        self._database.execute(statement, values)

    def _insert(self, into: str, *values: Any) -> None:
        places = ", ".join("?" * len(values))
        self._run(f"INSERT {into} VALUES ({places})", *values)  # noqa: S608 - ours

    def _id(self, name: str) -> int:
        found = self._ids.get(name)
        if found is None:
            found = self._database.execute("SELECT id FROM streams WHERE name = ?", (name,)).get
            if found is None:
                raise LookupError(f"there is no stream {name!r}")
            self._ids[name] = found
        return found

    def _flush(self) -> None:
        if self._appended:
            self._database.executemany(
                "INSERT INTO records (stream, offset, body) VALUES (?, ?, ?)", self._appended
            )
            self._appended.clear()
        for (stream, producer), last in self._producers.items():
            self._insert("OR REPLACE INTO producers", stream, producer, *last)
        self._producers.clear()
        for (column, stream), value in self._columns.items():
            self._run(f"UPDATE streams SET {column} = ? WHERE id = ?", value, stream)  # noqa: S608 - ours
            if column == "head":
                self._discard_unshared(stream, value)
        self._columns.clear()
        if self._counted:
            self._database.executemany(
                "INSERT OR REPLACE INTO counted"
                " (stream, born, life, change, number, node, cancelled)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(stream, *values) for stream, values in self._counted.items()],
            )
            self._counted.clear()

    def _append(self, change: Appended) -> None:
        record = change.record
        stream, body = self._id(change.stream), record.body
        kept = body if len(body) <= bodies.INLINE_BYTES else bodies.put(self._database, body)
        self._appended.append((stream, record.offset, kept))

    def _created(self, change: Created) -> None:
        settings = change.settings
        source = None if settings.fork is None else self._id(settings.fork.source)
        offset = 0 if settings.fork is None else settings.fork.offset
        self._insert(
            "INTO streams"
            " (name, content_type, ttl, expires_at, source, fork_offset, head, owner, creator)",
            *(change.stream, settings.content_type, settings.ttl, settings.expires_at),
            *(source, offset, change.head, settings.owner, settings.creator),
        )
        self._ids[change.stream] = stream = self._database.last_insert_rowid()
        self._set_lives(stream, Epochs(change.epochs))

    def _raised(self, change: Raised) -> None:
        stream = self._id(change.stream)
        lives = Epochs(
            self._database.execute(
                "SELECT epoch, first FROM epochs WHERE stream = ? ORDER BY epoch", (stream,)
            )
        )
        lives.begin(change.epoch, change.offset)
        self._run("DELETE FROM epochs WHERE stream = ?", stream)
        self._set_lives(stream, lives)

    def _set_lives(self, stream: int, lives: Epochs) -> None:
        self._database.executemany(
            "INSERT INTO epochs (stream, epoch, first) VALUES (?, ?, ?)",
            ((stream, *life) for life in lives),
        )

    def _accepted(self, change: Accepted) -> None:
        producer, epoch, number = change.stamp
        self._producers[self._id(change.stream), producer] = epoch, number

    def _closed(self, change: Closed) -> None:
        stamp = None if change.stamp is None else orjson.dumps(list(change.stamp)).decode()
        self._set("closed", change.stream, 1)
        self._set("closed_by", change.stream, stamp)

    def _removed(self, change: Removed) -> None:
        self._flush()
        try:
            stream = self._id(change.stream)
        except LookupError:
            return  # it is gone already
        for table in ("epochs", "producers", "generations", "prompts", "counted"):
            self._run(f"DELETE FROM {table} WHERE stream = ?", stream)  # noqa: S608 - constants
        self._run("DELETE FROM streams WHERE id = ?", stream)
        self._discard(stream, FOREVER)
        remember_removal(self._database, change.stream)
        del self._ids[change.stream]

    def _began(self, change: Began) -> None:
        self._insert(
            "OR REPLACE INTO generations (id, stream, epoch, first, started)",
            *(change.generation, self._id(change.stream), *change.position, change.started),
        )

    def _ended(self, change: Ended) -> None:
        which = "WHERE id = ? AND stream = (SELECT id FROM streams WHERE name = ?)"
        values = (change.generation, change.stream)
        if change.offset is None:
            self._run(f"DELETE FROM generations {which}", *values)  # noqa: S608 - ours
        else:
            self._run(f"UPDATE generations SET ended = ? {which}", change.offset, *values)  # noqa: S608

    def _keyed(self, change: Keyed) -> None:
        self._insert(
            "OR REPLACE INTO keys (key, fingerprint, generation, stream, position)",
            *(change.key, change.fingerprint, change.generation, change.stream),
            str(change.position),
        )
        self._run("DELETE FROM keys WHERE number <= ?", self._database.last_insert_rowid() - KEYS)

    def _queue_set(self, change: QueueSet) -> None:
        with suppress(LookupError):  # it was removed while somebody held it
            stream = self._id(change.stream)
            self._set("held", change.stream, int(change.held))
            self._run("DELETE FROM prompts WHERE stream = ?", stream)
            self._database.executemany(
                "INSERT INTO prompts (stream, place, generation, body) VALUES (?, ?, ?, ?)",
                (
                    (stream, place, one.generation, one.encode())
                    for place, one in enumerate(change.queue)
                ),
            )

    def _count(self, change: Counted) -> None:
        self._counted[self._id(change.stream)] = (
            *(change.born, change.life, change.change),
            *(change.number, change.node, int(change.cancelled)),
        )

    def _discard_unshared(self, stream: int, before: Any) -> None:
        """Mark the records before an offset for deletion, unless a fork still reads them."""
        forks = self._database.execute("SELECT 1 FROM streams WHERE source = ? LIMIT 1", (stream,))
        if forks.get is None:
            self._discard(stream, before)
            self._run("DELETE FROM generations WHERE stream = ? AND ended < ?", stream, before)

    def _discard(self, stream: int, before: int) -> None:
        self._insert("OR REPLACE INTO trash", stream, before)
        self.littered = True

    def _set(self, column: str, name: str, value: object) -> None:
        with suppress(LookupError):  # it was removed while somebody held it
            self._columns[column, self._id(name)] = value


def _check_source(change: Change, rejected: Mapping[str, str]) -> None:
    fork = change.settings.fork if isinstance(change, Created) else None
    if fork is not None and fork.source in rejected:
        raise LookupError(f"the source {fork.source!r} cannot be written")
