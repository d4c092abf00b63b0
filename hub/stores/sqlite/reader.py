"""Rows as streams and records: the reading half of the SQLite store, in a thread of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import apsw
import orjson

from hub.domain.producers import Stamp
from hub.domain.records import UNREAD, Position, Record
from hub.domain.stream_settings import Fork, StreamSettings
from hub.stores import Keyed, Listed, Saved, Told

__all__ = ["Reader"]

WARM_BYTES: Final = 16 * 1024
"""The newest records of a stream that come with it when it is opened, about so many bytes:
what is opened only to be written should not pay for its past."""

ROWS: Final = 4096
"""Rows read at most at a time."""

DUE: Final = 1000
"""Streams to be removed that are told of at a time."""

Row = tuple[Any, ...]


class Reader:
    """Reads what is committed."""

    def __init__(self, path: Path) -> None:
        self._database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        self._database.set_busy_timeout(5000)

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def load(self, name: str) -> Saved | None:
        """A stream with its newest records."""
        # One transaction, so that all of it is of one commit.
        self._database.execute("BEGIN")
        try:
            row = self._one(
                "SELECT s.id, s.content_type, s.ttl, s.expires_at, f.name, s.fork_offset, s.head,"
                " s.closed, s.closed_by, s.sequence, s.expires, s.hidden,"
                " (SELECT count(*) FROM streams WHERE source = s.id)"
                " FROM streams s LEFT JOIN streams f ON f.id = s.source WHERE s.name = ?",
                name,
            )
            return None if row is None else self._saved(row)
        finally:
            self._database.execute("COMMIT")

    def _saved(self, row: Row) -> Saved:
        stream, content_type, ttl, expires_at, source, fork_offset, head, closed, by, *rest = row
        fork = None if source is None else Fork(source, fork_offset)
        settings = StreamSettings(content_type, ttl, expires_at, fork)
        newest = self._one("SELECT max(offset) FROM records WHERE stream = ?", stream)
        tail = fork_offset if newest is None or newest[0] is None else newest[0] + 1
        sequence, expires, hidden, forks = rest
        return Saved(
            settings,
            tuple(
                self._database.execute(
                    "SELECT epoch, first FROM epochs WHERE stream = ? ORDER BY epoch", (stream,)
                )
            ),
            head=head,
            tail=max(tail, head),
            records=self._warm(stream, max(head, fork_offset), settings),
            closed=bool(closed),
            closed_by=None if by is None else Stamp(*orjson.loads(by)),
            producers={
                producer: (epoch, number)
                for producer, epoch, number in self._database.execute(
                    "SELECT producer, epoch, number FROM producers WHERE stream = ?", (stream,)
                )
            },
            sequence=sequence,
            expires=expires,
            hidden=bool(hidden),
            forks=forks,
        )

    def read(self, name: str, offset: int, limit: int) -> list[Record] | None:
        """Records from ``offset``; a fork's from its source, as far as they are the source's.

        ``None`` if there is no such stream.
        """
        self._database.execute("BEGIN")
        try:
            row = self._one(
                "SELECT id, source, fork_offset, content_type FROM streams WHERE name = ?", name
            )
            if row is None:
                return None
            stream, source, first, content_type = row
            # From the stream down to the source that has the offset; then the records back up.
            end = 2**62
            parts = [(stream, end)]
            while source is not None and offset < first:
                # A fork of a fork may begin before the latter's own records.
                end = min(end, first)
                stream, source, first = self._one_of(source)
                parts.append((stream, end))
            return self._walk(parts, offset, limit, StreamSettings(content_type))
        finally:
            self._database.execute("COMMIT")

    def expired(self, now: float) -> list[str]:
        """Streams whose time has come, some at a time.

        Also hidden ones whose last fork was removed by a hub that came no further.
        """
        rows = self._database.execute(
            "SELECT name FROM streams WHERE expires <= ?1 AND NOT hidden"
            " UNION ALL SELECT name FROM streams s WHERE hidden"
            " AND NOT EXISTS (SELECT 1 FROM streams WHERE source = s.id) LIMIT ?2",
            (now, DUE),
        )
        return [str(name) for (name,) in rows]

    def listed(self, prefix: str, after: str, limit: int, now: float, life: int) -> list[Listed]:
        """Streams by name; their tails are in the present ``life``, as if they were opened."""
        rows = self._database.execute(
            "SELECT s.name, s.content_type, s.closed, max(s.head, s.fork_offset,"
            " (SELECT ifnull(max(offset) + 1, 0) FROM records WHERE stream = s.id)),"
            " (SELECT ifnull(max(epoch), 0) FROM epochs WHERE stream = s.id)"
            # Of two lower bounds SQLite would use one, perhaps the one that is far below. No name
            # has a character beyond the last one of ASCII.
            " FROM streams s WHERE s.name >= ?1 AND s.name < ?2 || char(127) AND s.name <> ?3"
            " AND NOT s.hidden AND (s.expires IS NULL OR s.expires > ?4)"
            " ORDER BY s.name LIMIT ?5",
            (max(prefix, after), prefix, after, now, limit),
        )
        return [
            Listed(name, content_type, Position(max(epoch, life), tail), bool(closed))
            for name, content_type, closed, tail, epoch in rows
        ]

    def keyed(self, key: str) -> Keyed | None:
        """What a key was used for."""
        row = self._one(
            "SELECT key, fingerprint, generation, stream, position FROM keys WHERE key = ?", key
        )
        if row is None:
            return None
        _, fingerprint, generation, stream, position = row
        return Keyed(key, fingerprint, generation, stream, Position.parse(position))

    def told(self, generation: str) -> Told | None:
        """Where a generation is; of a fork and its source, the source has it first."""
        row = self._one(
            "SELECT s.name, g.epoch, g.first, g.started, g.ended"
            " FROM generations g JOIN streams s ON s.id = g.stream WHERE g.id = ?"
            " ORDER BY g.stream LIMIT 1",
            generation,
        )
        if row is None:
            return None
        stream, epoch, first, started, ended = row
        return Told(stream, Position(epoch, first), started, ended)

    def _walk(
        self, parts: list[tuple[int, int]], offset: int, limit: int, settings: StreamSettings
    ) -> list[Record]:
        """Records from ``offset`` until they have ``limit`` bytes, at least one if there is one.

        ``parts`` are streams and the offsets up to which their records are read, the newest stream
        first; ``offset`` lies in the last.
        """
        unread = UNREAD if settings.is_json else None
        found: list[Record] = []
        size = 0
        for stream, end in reversed(parts):
            if offset >= end:
                continue
            rows = self._database.execute(
                "SELECT offset, body FROM records WHERE stream = ? AND offset >= ? AND offset < ?"
                " ORDER BY offset LIMIT ?",
                (stream, offset, end, ROWS - len(found)),
            )
            for at, body in rows:
                size += len(body)
                if found and size > limit:
                    return found
                found.append(Record(at, body, unread))
            if len(found) >= ROWS:
                return found
            offset = end
        return found

    def _warm(self, stream: int, head: int, settings: StreamSettings) -> tuple[Record, ...]:
        rows = self._database.execute(
            "SELECT offset, body FROM records WHERE stream = ? AND offset >= ?"
            " ORDER BY offset DESC LIMIT ?",
            (stream, head, ROWS),
        )
        unread = UNREAD if settings.is_json else None
        found: list[Record] = []
        size = 0
        for offset, body in rows:
            size += len(body)
            if found and size > WARM_BYTES:
                break
            found.append(Record(offset, body, unread))
        return tuple(reversed(found))

    def _one_of(self, stream: int) -> Row:
        row = self._one("SELECT id, source, fork_offset FROM streams WHERE id = ?", stream)
        return row if row is not None else (stream, None, 0)

    def _one(self, statement: str, *values: Any) -> Row | None:
        return self._database.execute(statement, values).fetchone()
