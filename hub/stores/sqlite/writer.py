"""Changes as SQL: the writing half of the SQLite store, used by its one writer thread.

Of what a group changes again and again (a head, an expiry, what a producer has reached)
only the last is written, and all its records in one go: the cost of a group is that of its
records.

A change that can never be written must not hold up those of other streams. When a group
fails for such a reason it is written again one change at a time, which shows whose change
it is. All changes of that stream are left out then: a stream with a hole in it would be
worse than one that ends early.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

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
    Raised,
    Removed,
    Sequenced,
    Touched,
    Trimmed,
)
from hub.stores.sqlite.removed_names import remember_removal

__all__ = ["Writer"]

FOREVER: Final = 2**62
"""An offset after all others."""

SWEPT: Final = 500
SWEPT_BYTES: Final = 1024 * 1024
"""Records deleted in one go, so that a large removal holds up nobody's commit."""

KNOWN: Final = 10_000
"""Streams whose number is remembered."""

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
"""What SQLite says of the file or the machine; all other errors are of the change itself."""


log = logging.getLogger("hub.store")


class Writer:
    """Writes groups of changes, each in one transaction."""

    def __init__(self, database: apsw.Connection) -> None:
        self._database = database
        self._ids: dict[str, int] = {}
        self._appended: list[tuple[int, int, bytes]] = []
        self._columns: dict[tuple[str, int], object] = {}
        self._producers: dict[tuple[int, str], tuple[int, int]] = {}
        self.littered = True
        """There may be records to sweep."""
        self._writes: Mapping[type[Change], Callable[[Any], None]] = {
            Created: self._created,
            Raised: self._raised,
            Appended: self._append,
            Accepted: self._accepted,
            Sequenced: self._sequenced,
            Trimmed: self._trimmed,
            Touched: self._touched,
            Closed: self._closed,
            Hidden: self._hidden,
            Removed: self._removed,
            Began: self._began,
            Ended: self._ended,
            Keyed: self._keyed,
        }

    def write(self, changes: Sequence[Change]) -> Mapping[str, str]:
        """Write a group: all of it, but for the streams whose changes can never be written.

        Returns the names of those streams, each with the reason. With an error nothing is
        written.

        Raises:
            apsw.Error: what SQLite says of the file or the disk; the group may be tried again.
        """
        try:
            self._write(changes)
        except _PASSING:
            raise
        except Exception:
            return self._write_apart(changes)
        return NOTHING

    def _write(self, changes: Sequence[Change]) -> None:
        with self._transaction():
            for change in changes:
                self._writes[type(change)](change)
            # As many as come may go, so that a stream at its limit does not grow on disk.
            swept = max(SWEPT, len(self._appended))
            self._flush()
            if self.littered:
                self._sweep(swept)

    def _write_apart(self, changes: Sequence[Change]) -> Mapping[str, str]:
        """Write what can be written; the others fail one by one, each with its stream."""
        rejected: dict[str, str] = {}
        while True:
            wrong: Change | None = None
            try:
                with self._transaction():
                    for change in changes:
                        if change.stream not in rejected:
                            wrong = change
                            self._write_one(change, rejected)
                    wrong = None
                    if rejected:
                        # What readers saw of these streams is not what they will be: they go
                        # on in a later life, and new ones begin in the epoch after it.
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

    def _write_one(self, change: Change, rejected: Mapping[str, str]) -> None:
        if (
            type(change) is Created
            and change.settings.fork
            and change.settings.fork.source in rejected
        ):
            raise LookupError(f"the source {change.settings.fork.source!r} cannot be written")
        self._writes[type(change)](change)
        self._flush()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if len(self._ids) > KNOWN:
            self._ids.clear()
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            # What was looked up in a transaction that is undone may not be so.
            self._ids.clear()
            self._appended.clear()
            self._columns.clear()
            self._producers.clear()
            if self._database.in_transaction:  # after some errors SQLite has gone back itself
                self._run("ROLLBACK")
            raise

    def sweep(self) -> bool:
        """Delete some records that nobody can read; whether there may be more."""
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
        found = self._database.execute(
            "SELECT offset, length(body) FROM records WHERE stream = ? AND offset < ?"
            " ORDER BY offset LIMIT ?",
            (stream, before, most),
        ).fetchall()
        size = taken = 0
        for _, length in found:
            size += cast("int", length)
            taken += 1
            if size > SWEPT_BYTES:
                break
        if taken:
            last, _ = found[taken - 1]
            self._run("DELETE FROM records WHERE stream = ? AND offset <= ?", stream, last)
        if taken == len(found) < most:
            self._run("DELETE FROM trash WHERE stream = ?", stream)

    def _run(self, statement: str, *values: Any) -> None:
        self._database.execute(statement, values)

    def _id(self, name: str) -> int:
        found = self._ids.get(name)
        if found is None:
            rows = self._database.execute("SELECT id FROM streams WHERE name = ?", (name,))
            number = rows.get
            if number is None:
                raise LookupError(f"no stream is called {name!r}")
            found = self._ids[name] = int(number)
        return found

    def _flush(self) -> None:
        """Write what was gathered."""
        if self._appended:
            self._database.executemany(
                "INSERT INTO records (stream, offset, body) VALUES (?, ?, ?)", self._appended
            )
            self._appended.clear()
        for (stream, producer), last in self._producers.items():
            self._run(
                "INSERT OR REPLACE INTO producers (stream, producer, epoch, number)"
                " VALUES (?, ?, ?, ?)",
                stream,
                producer,
                *last,
            )
        self._producers.clear()
        for (column, stream), value in self._columns.items():
            self._run(f"UPDATE streams SET {column} = ? WHERE id = ?", value, stream)  # noqa: S608 - ours
            if column == "head":
                self._discard_unshared(stream, value)
        self._columns.clear()

    def _append(self, change: Appended) -> None:
        record = change.record
        self._appended.append((self._id(change.stream), record.offset, record.body))

    def _created(self, change: Created) -> None:
        settings = change.settings
        source = None if settings.fork is None else self._id(settings.fork.source)
        offset = 0 if settings.fork is None else settings.fork.offset
        self._run(
            "INSERT INTO streams (name, content_type, ttl, expires_at, source, fork_offset, head)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            change.stream,
            settings.content_type,
            settings.ttl,
            settings.expires_at,
            source,
            offset,
            change.head,
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
        producer, *last = change.stamp
        self._producers[self._id(change.stream), producer] = (last[0], last[1])

    def _sequenced(self, change: Sequenced) -> None:
        self._set("sequence", change.stream, change.value)

    def _touched(self, change: Touched) -> None:
        self._set("expires", change.stream, change.expires)

    def _hidden(self, change: Hidden) -> None:
        self._set("hidden", change.stream, 1)

    def _closed(self, change: Closed) -> None:
        stamp = None if change.stamp is None else orjson.dumps(list(change.stamp)).decode()
        self._set("closed", change.stream, 1)
        self._set("closed_by", change.stream, stamp)

    def _trimmed(self, change: Trimmed) -> None:
        self._set("head", change.stream, change.head)

    def _removed(self, change: Removed) -> None:
        self._flush()
        try:
            stream = self._id(change.stream)
        except LookupError:
            return  # gone already, which is what was wanted
        for table in ("epochs", "producers", "generations"):
            self._run(f"DELETE FROM {table} WHERE stream = ?", stream)  # noqa: S608 - constants
        self._run("DELETE FROM streams WHERE id = ?", stream)
        self._discard(stream, FOREVER)
        remember_removal(self._database, change.stream)
        del self._ids[change.stream]

    def _began(self, change: Began) -> None:
        self._run(
            "INSERT OR REPLACE INTO generations (id, stream, epoch, first, started)"
            " VALUES (?, ?, ?, ?, ?)",
            change.generation,
            self._id(change.stream),
            *change.position,
            change.started,
        )

    def _ended(self, change: Ended) -> None:
        which = "WHERE id = ? AND stream = (SELECT id FROM streams WHERE name = ?)"
        values = (change.generation, change.stream)
        if change.offset is None:
            self._run(f"DELETE FROM generations {which}", *values)  # noqa: S608 - ours
        else:
            self._run(f"UPDATE generations SET ended = ? {which}", change.offset, *values)  # noqa: S608

    def _keyed(self, change: Keyed) -> None:
        self._run(
            "INSERT OR REPLACE INTO keys (key, fingerprint, generation, stream, position)"
            " VALUES (?, ?, ?, ?, ?)",
            change.key,
            change.fingerprint,
            change.generation,
            change.stream,
            str(change.position),
        )
        self._run("DELETE FROM keys WHERE number <= ?", self._database.last_insert_rowid() - KEYS)

    def _discard_unshared(self, stream: int, before: Any) -> None:
        """The records before an offset may go, unless a fork still reads them."""
        forks = self._database.execute("SELECT 1 FROM streams WHERE source = ? LIMIT 1", (stream,))
        if forks.get is None:
            self._discard(stream, before)
            self._run("DELETE FROM generations WHERE stream = ? AND ended < ?", stream, before)

    def _discard(self, stream: int, before: int) -> None:
        self._run("INSERT OR REPLACE INTO trash (stream, before) VALUES (?, ?)", stream, before)
        self.littered = True

    def _set(self, column: str, name: str, value: object) -> None:
        """Whoever held a stream while it was removed may still touch it: that is nothing."""
        try:
            self._columns[column, self._id(name)] = value
        except LookupError:
            return
