"""What the command line can change in the file while no hub runs on it.

It takes the same lock as a hub. Each change is one transaction, however large, with
``synchronous=FULL``.

A restored stream begins a new epoch at its tail, above every epoch so far, because the stream
that was exported may have gone on: a reader who has seen more of that one is reset instead of
being sent other records from the same offset. If the name belonged to another stream before,
the restored one begins its epochs above those of the other, so all of it is new to its readers.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from hub.domain.epochs import above
from hub.domain.errors import Conflict, Gone, RequestError, StreamNotFound
from hub.domain.permissions import StreamPattern
from hub.domain.producers import Stamp
from hub.domain.records import Position, Record
from hub.stores import (
    Accepted,
    Appended,
    Began,
    Change,
    Closed,
    Created,
    Credential,
    Ended,
    Hidden,
    OwnerChanged,
    Removed,
    Saved,
    Sequenced,
    Touched,
)
from hub.stores.sqlite.credentials import CredentialTable
from hub.stores.sqlite.database import heed_interrupts, open_read_write
from hub.stores.sqlite.epochs import new_epoch
from hub.stores.sqlite.errors import explaining
from hub.stores.sqlite.lock import FileLock
from hub.stores.sqlite.removed_names import removals
from hub.stores.sqlite.schema import migrate
from hub.stores.sqlite.writer import Writer

__all__ = ["Maintenance"]


class Maintenance:
    """The right to change the database at ``path``, within a ``with`` statement.

    Raises:
        StoreError: on creation: a hub runs on it (``store_locked``), or it cannot be used; by
            each method: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(path)
        self._lock.take()
        try:
            with explaining(path):
                self._database = open_read_write(path)
                heed_interrupts(self._database)
                migrate(self._database, str(path))
        except BaseException:
            self._lock.release()
            raise
        self._writer = Writer(self._database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with explaining(self._path):
            self._database.close()
        self._lock.release()

    @property
    def size(self) -> int:
        """Bytes of the file and of the WAL beside it."""
        files = (self._path, Path(f"{self._path}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def add_credential(self, credential: Credential) -> None:
        """Keep a new credential.

        Raises:
            Conflict, LimitExceeded: see `hub.stores.Credentials.add`.
        """
        with self._transaction():
            CredentialTable(self._database).add(credential)

    def revoke_credential(self, kind: str, id_: str, now: float) -> Credential | None:
        """Revoke a credential, unless it is already; returns it, if there is one."""
        with self._transaction():
            return CredentialTable(self._database).revoke(kind, id_, now)

    def change_owner(
        self, which: str | StreamPattern, owner: str | None, after: str, limit: int
    ) -> tuple[list[str], str | None]:
        """Give streams to a subject, or to nobody; see
        `hub.access.streams.StreamAccess.change_owner`.

        Raises:
            StreamNotFound, Gone: as `delete`.
        """
        with self._transaction():
            following = None
            if isinstance(which, str):
                self._expect(which)
                names = [which]
            else:
                names, following = self._page(which.beginning, after, limit)
                names = [name for name in names if which.matches(name)]
            names = [name for name in names if self._owner(name) != owner]
            self._writer.apply(OwnerChanged(name, owner) for name in names)
        return names, following

    def _page(self, prefix: str, after: str, limit: int) -> tuple[list[str], str | None]:
        rows: Any = self._database.execute(
            "SELECT name FROM streams WHERE name >= ?1 AND name < ?2 || char(127) AND name <> ?3"
            " AND NOT hidden ORDER BY name LIMIT ?4",
            (max(prefix, after), prefix, after, limit + 1),
        ).fetchall()
        names = [name for (name,) in rows[:limit]]
        return names, names[-1] if len(rows) > limit else None

    def _owner(self, name: str) -> Any:
        return self._database.execute("SELECT owner FROM streams WHERE name = ?", (name,)).get

    def delete(self, name: str) -> bool:
        """Remove a stream; false if it is only hidden because forks need its records.

        Raises:
            StreamNotFound: there is no such stream.
            Gone: it was deleted before, and goes with the last of its forks.
        """
        with self._transaction():
            return self._delete(name)

    def restore(
        self,
        name: str,
        saved: Saved,
        records: Iterable[Record],
        more: Iterable[bytes] = (),
        generations: Iterable[tuple[str, int, int]] = (),
        *,
        replace: bool = False,
    ) -> None:
        """Write a stream: ``saved`` without its records, and those from head to tail.

        ``more`` are bodies of records that follow in its new epoch. ``generations`` are ids with
        the offsets of the first and the last event; they are read last.

        Raises:
            Conflict: the name is taken, and ``replace`` is not set or the stream has forks.
            RequestError: the records are not those from head to tail, or the stream has expired.
        """
        expires = saved.settings.expires(now := time.time())
        if expires is not None and expires < now:
            raise RequestError(
                f"the stream expired at {saved.settings.expires_at} and would be deleted at once",
                code="stream_expired",
            )
        with self._transaction():
            self._free(name, replace=replace)
            epoch = new_epoch(self._database, above=max((e for e, _ in saved.epochs), default=0))
            epochs = above(
                (*saved.epochs, (epoch, saved.tail)), removals(self._database).last(name)
            )
            self._writer.apply([Created(name, saved.settings, epochs, saved.head)])
            self._writer.apply(_state(name, saved, expires))
            for record in _checked(records, saved):
                self._writer.apply([Appended(name, record)])
            for offset, body in enumerate(more, start=saved.tail):
                self._writer.apply([Appended(name, Record(offset, body, None))])
            for id_, start, end in generations:
                written_in = max((e for e, first in epochs if first <= start), default=0)
                begins = Position(written_in, start)
                self._writer.apply([Began(name, id_, begins, start), Ended(name, id_, end)])

    def sweep(self) -> Iterator[None]:
        """Delete records that nobody can read any more, some in each step."""
        with explaining(self._path):
            while self._writer.sweep():
                yield

    def compact(self) -> None:
        """Return free space inside the file to the disk; on an error the file is unchanged."""
        with explaining(self._path):
            self._database.execute("VACUUM")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with explaining(self._path), self._writer.transaction():
            yield

    def _delete(self, name: str) -> bool:
        """As `hub.streams.registry.Streams.remove`: a hidden source goes with its last fork."""
        source, forks, closed = self._expect(name)
        if forks:
            changes = [Hidden(name)] if closed else [Hidden(name), Closed(name)]
            self._writer.apply(changes)
            return False
        self._writer.apply([Removed(name)])
        while source is not None and (found := self._find(source)):
            name, (source, forks, hidden, _) = source, found
            if forks or not hidden:
                break
            self._writer.apply([Removed(name)])
        return True

    def _expect(self, name: str) -> tuple[str | None, int, int]:
        """The source of a stream that is there, the number of its forks, and whether it is closed.

        Raises:
            StreamNotFound, Gone: as `delete`.
        """
        found = self._find(name)
        if found is None:
            raise StreamNotFound(f'there is no stream "{name}" in {self._path}')
        source, forks, hidden, closed = found
        if hidden:
            raise Gone(f'"{name}" was deleted; only its forks remain', code="stream_deleted")
        return source, forks, closed

    def _find(self, name: str) -> tuple[str | None, int, int, int] | None:
        """A stream's source, the number of its forks, and whether it is hidden and closed."""
        found: tuple[str | None, int, int, int] | None = self._database.execute(
            "SELECT f.name, (SELECT count(*) FROM streams WHERE source = s.id), s.hidden, s.closed"
            " FROM streams s LEFT JOIN streams f ON f.id = s.source WHERE s.name = ?",
            (name,),
        ).fetchone()
        return found

    def _free(self, name: str, *, replace: bool) -> None:
        """Delete the stream of a name, if there is one."""
        found = self._find(name)
        if found is None:
            return
        if not replace:
            raise Conflict(f'there is already a stream "{name}"', code="stream_exists")
        if found[1]:
            raise Conflict(f'"{name}" has forks, which need its records', code="stream_forked")
        self._delete(name)


def _state(name: str, saved: Saved, expires: float | None) -> Iterator[Change]:
    for producer, (epoch, number) in saved.producers.items():
        yield Accepted(name, Stamp(producer, epoch, number))
    if saved.closed:
        yield Closed(name, saved.closed_by)
    if saved.sequence is not None:
        yield Sequenced(name, saved.sequence)
    if expires is not None:
        yield Touched(name, expires)


def _checked(records: Iterable[Record], saved: Saved) -> Iterator[Record]:
    due = saved.head
    for record in records:
        if record.offset != due or due >= saved.tail:
            raise RequestError(
                f"found record {record.offset} instead of {due}: the records must be those from "
                f"{saved.head} to {saved.tail - 1}, each once and in order",
                code="export_malformed",
            )
        yield record
        due += 1
    if due != saved.tail:
        raise RequestError(
            f"it ends before record {due}: there should be {saved.tail - saved.head} records",
            code="export_truncated",
        )
