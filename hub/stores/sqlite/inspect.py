"""What is in the file, for whoever looks at it from the command line: pages, streams, records.

It reads only, takes no lock and keeps no transaction open longer than one small query, so a
hub may run on the same file and is not held up: a long transaction would keep its WAL from
being reset. What is asked for in several steps may therefore change in between. Pages go by
name, so nothing is told twice; records never change, and one that went away is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import apsw
import orjson

from hub.domain.errors import StoreError, StreamNotFound
from hub.domain.producers import Stamp
from hub.domain.records import Position
from hub.domain.stream_settings import Fork, StreamSettings
from hub.stores.sqlite.errors import explaining
from hub.stores.sqlite.schema import VERSION, migrate

__all__ = ["Entry", "Inspector"]

PAGE: Final = 500
"""Streams read at a time."""

ROWS: Final = 512
READ_BYTES: Final = 1024 * 1024
"""Records read at a time: so many, or about so many bytes."""

FOREVER: Final = 2**62
"""An offset after all others."""

_ENTRY: Final = """
SELECT s.id, s.name, s.content_type, s.ttl, s.expires_at, f.name, s.fork_offset,
    s.head, (SELECT max(offset) + 1 FROM records WHERE stream = s.id),
    (SELECT total(length(body)) FROM records WHERE stream = s.id AND offset >= s.head),
    s.closed, s.closed_by, s.sequence, s.expires, s.hidden,
    (SELECT count(*) FROM producers WHERE stream = s.id),
    (SELECT count(*) FROM streams WHERE source = s.id)
FROM streams s LEFT JOIN streams f ON f.id = s.source
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stream as it stands in the file, without its records.

    ``size`` is the bytes of its own record bodies; what a fork shares with its source counts
    there. ``expires`` is in seconds since 1970. ``hidden``: deleted, kept for its ``forks``.
    ``running`` are generations that write here, or did when a hub died.
    """

    number: int
    name: str
    settings: StreamSettings
    head: int
    tail: int
    size: int
    closed: bool
    closed_by: Stamp | None
    sequence: str | None
    expires: float | None
    hidden: bool
    producers: int
    forks: int
    epochs: tuple[tuple[int, int], ...]
    running: tuple[str, ...]

    def position(self, offset: int) -> Position:
        """The position of an offset between head and tail."""
        lives = [epoch for epoch, first in self.epochs if first <= offset]
        return Position(lives[-1] if lives else 0, offset)


class Inspector:
    """The streams in the database at ``path``, to be read. Close it after use, or use ``with``.

    Raises:
        StoreError: there is none, or it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            raise StoreError(
                f"{path} is not there: nothing is kept until a hub runs with this configuration",
                code="store_missing",
            )
        with explaining(path):
            self._database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            self._database.set_busy_timeout(5000)
            self._check_version()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def entries(self, prefix: str = "", after: str = "", limit: int = FOREVER) -> Iterator[Entry]:
        """Streams in the order of their names: those that begin with ``prefix``, after ``after``.

        Raises:
            StoreError: the file cannot be read.
        """
        while limit > 0:
            page = self._page(prefix, after, min(limit, PAGE))
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].name
            limit -= len(page)

    def find(self, name: str) -> Entry:
        """One stream.

        Raises:
            StreamNotFound: none has this name.
            StoreError: the file cannot be read.
        """
        with explaining(self._path), self._database:
            rows = self._database.execute(f"{_ENTRY} WHERE s.name = ?", (name,)).fetchall()
            found = [self._entry(row) for row in rows]
        if not found:
            raise StreamNotFound(f'no stream in {self._path} is called "{name}"')
        return found[0]

    def producers(self, entry: Entry) -> dict[str, tuple[int, int]]:
        """What has been accepted of each producer: epoch and number."""
        with explaining(self._path):
            rows = self._database.execute(
                "SELECT producer, epoch, number FROM producers WHERE stream = ?", (entry.number,)
            )
            return {str(producer): (epoch, number) for producer, epoch, number in rows}

    def records(self, entry: Entry) -> Iterator[tuple[int, bytes]]:
        """Offset and body of every record from the head to the tail that the entry has.

        Raises:
            StoreError: the file cannot be read, or records were trimmed or deleted meanwhile.
        """
        for stream, start, end in self._stretches(entry):
            offset = start
            while offset < end:
                for at, body in self._read(stream, offset, end):
                    if at != offset:
                        raise self._gone(entry, offset)
                    yield at, body
                    offset += 1

    def _check_version(self) -> None:
        found = int(self._database.pragma("user_version"))
        if found > VERSION:
            migrate(self._database, str(self._path))  # which refuses
        if found < VERSION:
            raise StoreError(
                f"{self._path} was written by an older streamhub, or by none: start a hub on it "
                "once, which brings it up to date",
                code="store_older",
            )

    def _page(self, prefix: str, after: str, limit: int) -> list[Entry]:
        page: list[Entry] = []
        with explaining(self._path), self._database:
            rows = self._database.execute(
                # No name has a character beyond the last one of ASCII.
                f"{_ENTRY} WHERE s.name > ?1 AND s.name >= ?2 AND s.name < ?2 || char(127)"
                " ORDER BY s.name LIMIT ?3",
                (after, prefix, limit),
            )
            page += [self._entry(row) for row in rows.fetchall()]
        return page

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        number, name, content_type, ttl, expires_at, source, fork_offset, *rest = row
        head, tail, size, closed, by, sequence, expires, hidden, producers, forks = rest
        fork = None if source is None else Fork(source, fork_offset)
        epochs: list[Any] = self._database.execute(
            "SELECT epoch, first FROM epochs WHERE stream = ? ORDER BY epoch", (number,)
        ).fetchall()
        running = self._database.execute(
            "SELECT id FROM generations WHERE stream = ? AND ended IS NULL", (number,)
        )
        return Entry(
            number=number,
            name=name,
            settings=StreamSettings(content_type, ttl, expires_at, fork),
            head=head,
            tail=max(head, fork_offset if tail is None else tail),
            size=int(size),
            closed=bool(closed),
            closed_by=None if by is None else Stamp(*orjson.loads(by)),
            sequence=sequence,
            expires=expires,
            hidden=bool(hidden),
            producers=producers,
            forks=forks,
            epochs=tuple(epochs),
            running=tuple(str(generation) for (generation,) in running),
        )

    def _stretches(self, entry: Entry) -> list[tuple[int, int, int]]:
        """Whose records are read from where to where: a fork's source's, then its own."""
        found = []
        stream, end = entry.number, entry.tail
        while True:
            with explaining(self._path):
                row = self._database.execute(
                    "SELECT source, fork_offset FROM streams WHERE id = ?", (stream,)
                ).fetchone()
            if row is None:
                raise self._gone(entry, entry.head)
            source, first = row
            if source is None or first <= entry.head:
                found.append((stream, entry.head, end))
                return found[::-1]
            if first < end:
                found.append((stream, first, end))
            stream, end = source, min(first, end)

    def _read(self, stream: int, offset: int, end: int) -> list[tuple[int, bytes]]:
        """Some records, at least one; one at the offset -1 where there is none any more."""
        found: list[tuple[int, bytes]] = []
        size = 0
        with explaining(self._path):
            rows = self._database.execute(
                "SELECT offset, body FROM records WHERE stream = ? AND offset >= ? AND offset < ?"
                " ORDER BY offset LIMIT ?",
                (stream, offset, end, ROWS),
            )
            for at, body in rows:
                found.append((at, body))
                size += len(body)
                if size > READ_BYTES:
                    break
            rows.close()
        return found or [(-1, b"")]

    def _gone(self, entry: Entry, offset: int) -> StoreError:
        return StoreError(
            f'"{entry.name}" was trimmed or deleted while it was read: it has no offset {offset} '
            "any more",
            code="stream_changed",
        )
