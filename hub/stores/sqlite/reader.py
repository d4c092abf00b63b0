"""Reads streams and records from the file; the SQLite store gives it a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from hub.domain.producers import Stamp
from hub.domain.queued_prompt import QueuedPrompt
from hub.domain.records import UNREAD, Position, Record
from hub.domain.stream_settings import Fork, StreamSettings
from hub.stores import GenerationLocation, Keyed, Listed, Saved
from hub.stores.sequenced import Counted, Kept, Runs
from hub.stores.shared import Claim
from hub.stores.sqlite import bodies
from hub.stores.sqlite.credentials import CredentialTable
from hub.stores.sqlite.database import FOREVER, open_read_only

__all__ = ["STREAMS", "Reader", "Row"]

WARM_BYTES: Final = 16 * 1024
"""About how many bytes of the newest records are loaded with a stream. A stream that is opened
only for writing should not pay for its past."""

ROWS: Final = 4096
"""The most rows of one read."""

DUE: Final = 1000
"""The most expired streams of one query."""

STREAMS: Final = """
SELECT s.id, s.content_type, s.ttl, s.expires_at, f.name, s.fork_offset, s.head,
    (SELECT max(offset) + 1 FROM records WHERE stream = s.id),
    s.closed, s.closed_by, s.sequence, s.expires, s.hidden,
    (SELECT count(*) FROM streams WHERE source = s.id), s.owner, s.creator,
    s.held, s.name
FROM streams s LEFT JOIN streams f ON f.id = s.source
"""
"""Rows for `Reader._fields`."""

Row = tuple[Any, ...]


class Reader:
    """Reads what is committed.

    Raises:
        apsw.Error: on creation and by each method: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._database = open_read_only(path)
        self.credentials = CredentialTable(self._database)

    def close(self) -> None:
        self._database.close()

    def load(self, name: str) -> Saved | None:
        """A stream with its newest records."""
        with self._transaction():
            row = self._one(f"{STREAMS} WHERE s.name = ?", name)
            if row is None:
                return None
            fields = self._fields(row)
            start = max(fields["head"], row[5])
            return Saved(**fields, records=self._newest(row[0], start, fields["settings"]))

    def kept(self, name: str) -> Kept | None:
        """A stream that several hubs share, without its records."""
        with self._transaction():
            row = self._one(f"{STREAMS} WHERE s.name = ?", name)
            if row is None:
                return None
            number = row[0]
            counted = self._one(
                "SELECT born, life, change, number, node, cancelled FROM counted WHERE stream = ?",
                number,
            )
            running = self._one(
                "SELECT id, epoch, first, started FROM generations"
                " WHERE stream = ? AND ended IS NULL LIMIT 1",
                number,
            )
            forks = self._rows("SELECT name FROM streams WHERE source = ?", number)
            return Kept(
                Saved(**self._fields(row)),
                frozenset(fork for (fork,) in forks),
                None if counted is None else _counted(name, counted),
                None if running is None else Runs(*running),
            )

    def running(self) -> dict[str, str]:
        """The generations that run, by stream."""
        return dict(
            self._rows(
                "SELECT s.name, g.id FROM generations g JOIN streams s ON s.id = g.stream"
                " WHERE g.ended IS NULL"
            )
        )

    def claimed(self, key: str, now: float) -> Claim | None:
        """What an idempotency key was first used for."""
        row = self._one(
            "SELECT fingerprint, stream, born FROM claims WHERE key = ? AND expires > ?", key, now
        )
        return None if row is None else Claim(*row)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Everything that is read within the ``with`` statement is from one commit."""
        with self._database:
            yield

    def _fields(self, row: Row) -> dict[str, Any]:
        """The fields of `Saved`, without its records, from a row of `STREAMS`."""
        number, content_type, ttl, expires_at, source, fork_offset, head, tail, *rest = row
        closed, closed_by, sequence, expires, hidden, forks, owner, creator, held, name = rest
        fork = None if source is None else Fork(source, fork_offset)
        return {
            "settings": StreamSettings(content_type, ttl, expires_at, fork, owner, creator),
            "epochs": tuple(
                self._rows(
                    "SELECT epoch, first FROM epochs WHERE stream = ? ORDER BY epoch", number
                )
            ),
            "head": head,
            "tail": max(head, fork_offset if tail is None else tail),
            "closed": bool(closed),
            "closed_by": None if closed_by is None else Stamp(*orjson.loads(closed_by)),
            "producers": {
                producer: (epoch, last)
                for producer, epoch, last in self._rows(
                    "SELECT producer, epoch, number FROM producers WHERE stream = ?", number
                )
            },
            "sequence": sequence,
            "expires": expires,
            "hidden": bool(hidden),
            "forks": forks,
            "queue": tuple(
                QueuedPrompt.decode(generation, name, body)
                for generation, body in self._rows(
                    "SELECT generation, body FROM prompts WHERE stream = ? ORDER BY place", number
                )
            ),
            "held": bool(held),
        }

    def read(self, name: str, offset: int, limit: int) -> list[Record] | None:
        """Records from ``offset`` on until they have ``limit`` bytes, at least one if there is
        one; those before a fork's own come from its source. ``None`` if there is no such stream.
        """
        with self._transaction():
            row = self._one("SELECT id FROM streams WHERE name = ?", name)
            return None if row is None else self._read(row[0], offset, limit)

    def _read(self, number: int, offset: int, limit: int) -> list[Record]:
        # From the stream down to the source that has the offset, then the records back up.
        parts: list[tuple[int, int]] = []
        stream, end, content_type = number, FOREVER, ""
        while True:
            row = self._one(
                "SELECT source, fork_offset, content_type FROM streams WHERE id = ?", stream
            )
            source, first, content_type = row or (None, 0, content_type)
            parts.append((stream, end))
            if source is None or offset >= first:
                return self.read_parts(parts, offset, limit, StreamSettings(content_type))
            # A fork of a fork may begin before the latter's own records.
            stream, end = source, min(end, first)

    def expired(self, now: float) -> list[str]:
        """Some of the streams that have expired.

        Also hidden ones whose last fork was removed just before a hub ended.
        """
        rows = self._rows(
            "SELECT name FROM streams WHERE expires <= ?1 AND NOT hidden"
            " UNION ALL SELECT name FROM streams s WHERE hidden"
            " AND NOT EXISTS (SELECT 1 FROM streams WHERE source = s.id) LIMIT ?2",
            now,
            DUE,
        )
        return [name for (name,) in rows]

    def listed(
        self,
        prefix: str,
        after: str,
        limit: int,
        now: float,
        life: int,
        owner: str | None = None,
    ) -> list[Listed]:
        """Streams by name, with the tails they would have if they were opened in epoch ``life``;
        with an ``owner`` only theirs.
        """
        of_owner = "" if owner is None else " AND s.owner = ?6"
        rows = self._rows(
            "SELECT s.name, s.content_type, s.closed, max(s.head, s.fork_offset,"  # noqa: S608 - constants
            " (SELECT ifnull(max(offset) + 1, 0) FROM records WHERE stream = s.id)),"
            " (SELECT ifnull(max(epoch), 0) FROM epochs WHERE stream = s.id), s.owner"
            # Of two lower bounds SQLite would use one, perhaps the one that is far below. No name
            # has a character beyond the last one of ASCII.
            " FROM streams s WHERE s.name >= ?1 AND s.name < ?2 || char(127) AND s.name <> ?3"
            f" AND NOT s.hidden AND (s.expires IS NULL OR s.expires > ?4){of_owner}"
            " ORDER BY s.name LIMIT ?5",
            *(max(prefix, after), prefix, after, now, limit),
            *(() if owner is None else (owner,)),
        )
        return [
            Listed(name, content_type, Position(max(epoch, life), tail), bool(closed), owner)
            for name, content_type, closed, tail, epoch, owner in rows
        ]

    def keyed(self, key: str) -> Keyed | None:
        """What an idempotency key was used for."""
        row = self._one(
            "SELECT stream, key, fingerprint, generation, position FROM keys WHERE key = ?", key
        )
        if row is None:
            return None
        stream, key, fingerprint, generation, position = row
        return Keyed(stream, key, fingerprint, generation, Position.parse(position))

    def locate(self, generation: str) -> GenerationLocation | None:
        """Where a generation's events are; of a source and its fork, in the source."""
        row = self._one(
            "SELECT s.name, g.epoch, g.first, g.started, g.ended"
            " FROM generations g JOIN streams s ON s.id = g.stream WHERE g.id = ?"
            " ORDER BY g.stream LIMIT 1",
            generation,
        )
        if row is None:
            return None
        stream, epoch, first, started, ended = row
        return GenerationLocation(stream, Position(epoch, first), started, ended)

    def waiting_in(self, generation: str) -> str | None:
        """The stream in which the prompt of a generation waits."""
        row = self._one(
            "SELECT s.name FROM prompts p JOIN streams s ON s.id = p.stream WHERE p.generation = ?",
            generation,
        )
        return None if row is None else row[0]

    def unheld(self) -> list[str]:
        """The streams with a queue that is not held."""
        rows = self._rows(
            "SELECT name FROM streams WHERE NOT held AND id IN (SELECT stream FROM prompts)"
        )
        return [name for (name,) in rows]

    def read_parts(
        self, parts: list[tuple[int, int]], offset: int, limit: int, settings: StreamSettings
    ) -> list[Record]:
        """Records from ``offset`` on until they have ``limit`` bytes, at least one if there is one.

        ``parts`` are the ids of streams and the offsets at which their records end, the newest
        stream first; ``offset`` lies in the last.
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
            for at, kept in rows:
                body = kept if isinstance(kept, bytes) else bodies.get(self._database, kept)
                size += len(body)
                if found and size > limit:
                    return found
                found.append(Record(at, body, unread))
            if len(found) >= ROWS:
                return found
            offset = end
        return found

    def _newest(self, stream: int, start: int, settings: StreamSettings) -> tuple[Record, ...]:
        """The newest of a stream's own records from ``start`` on, about `WARM_BYTES` of them."""
        unread = UNREAD if settings.is_json else None
        found: list[Record] = []
        size = 0
        for offset, kept in self._database.execute(
            "SELECT offset, body FROM records WHERE stream = ? AND offset >= ?"
            " ORDER BY offset DESC LIMIT ?",
            (stream, start, ROWS),
        ):
            body = kept if isinstance(kept, bytes) else bodies.get(self._database, kept)
            size += len(body)
            if found and size > WARM_BYTES:
                break
            found.append(Record(offset, body, unread))
        return tuple(reversed(found))

    def newest(self, name: str, end: int, limit: int) -> list[Record]:
        """See `hub.stores.sequenced.SequencedStore.newest`."""
        found: list[Record] = []
        size = 0
        with self._transaction():
            rows = self._database.execute(
                "SELECT offset, body FROM records WHERE offset < ? AND stream ="
                " (SELECT id FROM streams WHERE name = ?) ORDER BY offset DESC",
                (end, name),
            )
            for offset, kept in rows if limit else ():
                body = kept if isinstance(kept, bytes) else bodies.get(self._database, kept)
                found.append(Record(offset, body, None))
                size += len(body)
                if size >= limit:
                    break
        return found[::-1]

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        return self._database.execute(statement, values).fetchall()

    def _one(self, statement: str, *values: Any) -> Row | None:
        return self._database.execute(statement, values).fetchone()


def _counted(name: str, row: Row) -> Counted:
    born, life, change, number, node, cancelled = row
    return Counted(name, born, life, change, number, node, bool(cancelled))
