"""What the command line may change in the file while no hub runs on it.

Under the same lock as a hub. Each change is one transaction, however large: it is made
whole, with ``synchronous=FULL``, or not at all.

What was restored begins a new life at its tail, above every epoch there was, because the
stream it was taken from may have gone on: a reader who has seen more of that one is told to
go back instead of being sent something else from the same offset. What replaces another
stream begins its new life at its beginning: to whoever read the other, all of it is new. So it
is with a name that was removed, for all lives that the other may have had, too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import apsw
import orjson

from hub.domain.epochs import above
from hub.domain.errors import Conflict, Gone, RequestError, StoreError, StreamNotFound
from hub.domain.records import Record
from hub.stores import Saved
from hub.stores.sqlite.epochs import new_epoch
from hub.stores.sqlite.errors import explaining
from hub.stores.sqlite.lock import FileLock
from hub.stores.sqlite.removed_names import remember_removal, removals
from hub.stores.sqlite.schema import migrate
from hub.stores.sqlite.writer import FOREVER, Writer

__all__ = ["Maintenance"]

STEPS: Final = 100_000
"""SQLite's instructions between two chances for Ctrl-C: about a millisecond."""


class Maintenance:
    """The right to change the database at ``path``, for as long as the ``with`` lasts.

    Raises:
        StoreError: a hub runs on it (``store_locked``), or it cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(path)
        self._lock.take()
        try:
            with explaining(path):
                self._database = self._open()
        except BaseException:
            self._lock.let_go()
            raise
        self._ledger = Writer(self._database)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        with explaining(self._path):
            self._database.close()
        self._lock.let_go()

    @property
    def size(self) -> int:
        """Bytes of the file and what waits beside it to be written into it."""
        files = (self._path, Path(f"{self._path}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def delete(self, name: str) -> bool:
        """Remove a stream; false if forks still need its records, and it is only hidden.

        Raises:
            StreamNotFound: none has this name.
            Gone: it was deleted before, and goes with the last of its forks.
            StoreError: it cannot be written.
        """
        with self._changing():
            return self._delete(name)

    def restore(
        self,
        name: str,
        kept: Saved,
        records: Iterable[Record],
        more: Iterable[bytes] = (),
        told: Iterable[tuple[str, int, int]] = (),
        *,
        replace: bool = False,
    ) -> None:
        """Write a stream as it was: ``kept`` without its records, and those from head to tail.

        ``more`` are bodies that follow in its new life, ``told`` generations with the offsets of
        their first and last event; they are asked for last.

        Raises:
            Conflict: the name is taken, and either nothing is to be replaced or it has forks.
            RequestError: the records are not those from head to tail, or it has expired.
            StoreError: it cannot be written.
        """
        expires = _expires(kept)
        with self._changing():
            self._make_way(name, replace=replace)
            epoch = new_epoch(
                self._database, above=max((life for life, _ in kept.epochs), default=0)
            )
            lives = above((*kept.epochs, (epoch, kept.tail)), removals(self._database).last(name))
            number = self._insert(name, kept, expires)
            self._many("epochs (stream, epoch, first)", ((number, *life) for life in lives))
            self._many(
                "producers (stream, producer, epoch, number)",
                ((number, producer, *last) for producer, last in kept.producers.items()),
            )
            for rows in (
                ((record.offset, record.body) for record in _checked(records, kept)),
                enumerate(more, start=kept.tail),
            ):
                self._many("records (stream, offset, body)", ((number, *row) for row in rows))
            self._many(
                "generations (id, stream, epoch, first, started, ended)",
                ((id_, number, _life(lives, at), at, at, end) for id_, at, end in told),
            )

    def sweep(self) -> Iterator[None]:
        """Delete the records that nobody can read any more, a few in each step.

        Raises:
            StoreError: it cannot be written.
        """
        with explaining(self._path):
            while self._ledger.sweep():
                yield

    def compact(self) -> None:
        """Give space that is free inside the file back to the disk.

        Raises:
            StoreError: it cannot be written; the file is as it was.
        """
        with explaining(self._path):
            self._database.execute("VACUUM")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _open(self) -> apsw.Connection:
        try:
            # SQLite would make it readable for others; its other files are like this one.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StoreError(f"cannot use {self._path}: {error.strerror}") from None
        database = apsw.Connection(str(self._path))
        database.set_busy_timeout(5000)
        # Python looks for Ctrl-C only between its own steps.
        database.set_progress_handler(lambda: False, STEPS)
        database.pragma("journal_mode", "wal")
        database.pragma("synchronous", "full")
        migrate(database, str(self._path))
        return database

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with explaining(self._path):
            self._run("BEGIN IMMEDIATE")
            try:
                yield
                self._run("COMMIT")
            except BaseException:
                if (
                    self._database.in_transaction
                ):  # when the disk is full SQLite has gone back itself
                    self._run("ROLLBACK")
                raise

    def _delete(self, name: str) -> bool:
        """As `hub.streams.registry.Streams.delete`: a hidden source goes with the last of its
        forks.
        """
        kin = self._kin(name)
        if kin is None:
            raise StreamNotFound(f'no stream in {self._path} is called "{name}"')
        number, source, forks, hidden = kin
        if hidden:
            raise Gone(f'"{name}" was deleted; only its forks remain', code="stream_deleted")
        if forks:
            self._run("UPDATE streams SET hidden = 1, closed = 1 WHERE id = ?", number)
            return False
        self._remove(number)
        while source is not None and (kin := self._kin(source)):
            name, (number, source, forks, hidden) = source, kin
            if forks or not hidden:
                break
            self._remove(number)
        return True

    def _kin(self, name: str) -> tuple[int, str | None, int, bool] | None:
        """The number of a stream, its source, how many forked from it, and whether it is hidden."""
        return self._database.execute(
            "SELECT s.id, f.name, (SELECT count(*) FROM streams WHERE source = s.id), s.hidden"
            " FROM streams s LEFT JOIN streams f ON f.id = s.source WHERE s.name = ?",
            (name,),
        ).fetchone()

    def _make_way(self, name: str, *, replace: bool) -> None:
        """Have no stream of the name."""
        kin = self._kin(name)
        if kin is None:
            return
        if not replace:
            raise Conflict(f'there is a stream called "{name}" already', code="stream_exists")
        if kin[2]:
            raise Conflict(f'"{name}" has forks, which need its records', code="stream_forked")
        self._delete(name)

    def _remove(self, number: int) -> None:
        for table in ("epochs", "producers", "generations"):
            self._run(f"DELETE FROM {table} WHERE stream = ?", number)  # noqa: S608 - ours
        name = self._database.execute(
            "DELETE FROM streams WHERE id = ? RETURNING name", (number,)
        ).get
        remember_removal(self._database, str(name))
        self._run("INSERT OR REPLACE INTO trash (stream, before) VALUES (?, ?)", number, FOREVER)

    def _insert(self, name: str, kept: Saved, expires: float | None) -> int:
        settings = kept.settings
        by = None if kept.closed_by is None else orjson.dumps(list(kept.closed_by)).decode()
        self._run(
            "INSERT INTO streams (name, content_type, ttl, expires_at, expires, head, closed,"
            " closed_by, sequence) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(name, settings.content_type, settings.ttl, settings.expires_at, expires, kept.head),
            *(int(kept.closed), by, kept.sequence),
        )
        return self._database.last_insert_rowid()

    def _many(self, columns: str, rows: Iterable[tuple[Any, ...]]) -> None:
        places = ", ".join("?" * (columns.count(",") + 1))
        self._database.executemany(f"INSERT INTO {columns} VALUES ({places})", rows)  # noqa: S608 - ours

    def _run(self, statement: str, *values: Any) -> None:
        self._database.execute(statement, values)


def _life(lives: Iterable[tuple[int, int]], offset: int) -> int:
    """The epoch in which a record was written."""
    return max((epoch for epoch, first in lives if first <= offset), default=0)


def _expires(kept: Saved) -> float | None:
    if kept.settings.ttl is not None:
        return time.time() + kept.settings.ttl
    if kept.settings.expires_at is None:
        return None
    expires = datetime.fromisoformat(kept.settings.expires_at).timestamp()
    if expires <= time.time():
        raise RequestError(
            f"the stream has expired, at {kept.settings.expires_at}: it would be deleted at once",
            code="stream_expired",
        )
    return expires


def _checked(records: Iterable[Record], kept: Saved) -> Iterator[Record]:
    due = kept.head
    for record in records:
        if record.offset != due or due >= kept.tail:
            raise RequestError(
                f"record {record.offset} stands where {due} should: each comes once, in order, "
                f"from {kept.head} to {kept.tail - 1}",
                code="export_malformed",
            )
        yield record
        due += 1
    if due != kept.tail:
        raise RequestError(
            f"it ends before record {due}: there should be {kept.tail - kept.head}",
            code="export_truncated",
        )
