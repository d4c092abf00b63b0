"""What is in the file, for the command line: pages of streams, single streams, records.

It only reads, takes no lock and keeps no transaction open longer than one small query. A hub may
run on the same file and is not held up: a long transaction would keep its WAL from being reset.
The file may therefore change between two steps. Pages go by name, so no stream comes twice;
records never change, and one that has disappeared is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from hub.domain.epochs import Epochs
from hub.domain.errors import StoreError, StreamNotFound
from hub.domain.records import Position
from hub.stores import CREDENTIALS, Credential, Saved
from hub.stores.sqlite.bodies import SIZE
from hub.stores.sqlite.database import FOREVER
from hub.stores.sqlite.errors import explaining
from hub.stores.sqlite.reader import STREAMS, Reader, Row
from hub.stores.sqlite.schema import VERSION, version_of

__all__ = ["Entry", "Inspector"]

PAGE: Final = 500
"""Streams of one query."""

READ_BYTES: Final = 1024 * 1024
"""About how many bytes of records are read at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Saved):
    """A stream in the file, without its records.

    ``size`` is the bytes of its own record bodies, without those of a fork's source. ``running``
    are generations without a terminal event: they run, or ran when a hub died.
    """

    number: int
    name: str
    size: int
    running: tuple[str, ...]

    def position(self, offset: int) -> Position:
        """The position of an offset between head and tail."""
        return Position(Epochs(self.epochs).of(offset), offset)


class Inspector(Reader):
    """The streams in the database at ``path``. Close it after use, or use ``with``.

    Raises:
        StoreError: on creation and by each method: the file does not exist or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            raise StoreError(
                f"{path} does not exist: a hub creates it when it runs with this configuration",
                code="store_missing",
            )
        with explaining(path):
            super().__init__(path)
            if int(self._database.pragma("user_version")) < VERSION:
                raise StoreError(
                    f"{path} was written by an older streamhub, or by none: start a hub on it "
                    "once to upgrade it",
                    code="store_older",
                )
            version_of(self._database, str(path))  # refuses a file from a newer one

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def entries(self, prefix: str = "", after: str = "", limit: int = FOREVER) -> Iterator[Entry]:
        """Streams by name that begin with ``prefix`` and come after ``after``."""
        while limit > 0:
            page = self._entries(
                # No name has a character beyond the last one of ASCII.
                "s.name > ?1 AND s.name >= ?2 AND s.name < ?2 || char(127) ORDER BY s.name LIMIT ?",
                *(after, prefix, min(limit, PAGE)),
            )
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].name
            limit -= len(page)

    def find(self, name: str) -> Entry:
        """One stream.

        Raises:
            StreamNotFound: there is no such stream.
        """
        found = self._entries("s.name = ?", name)
        if not found:
            raise StreamNotFound(f'there is no stream "{name}" in {self._path}')
        return found[0]

    def records(self, entry: Entry) -> Iterator[tuple[int, bytes]]:
        """Offset and body of every record from the entry's head to its tail.

        Raises:
            StoreError: ``stream_changed``: records were trimmed or deleted meanwhile.
        """
        offset = entry.head
        while offset < entry.tail:
            with explaining(self._path), self._transaction():
                found = self._read(entry.number, offset, READ_BYTES)
            if not found:
                raise self._changed(entry, offset)
            for record in found[: entry.tail - offset]:
                if record.offset != offset:
                    raise self._changed(entry, offset)
                yield offset, record.body
                offset += 1

    def find_credential(self, kind: str, id_: str) -> Credential | None:
        """The credential with this id, also one that has ended."""
        with explaining(self._path):
            return self.credentials.find(kind, id_)

    def list_credentials(self, kind: str) -> list[Credential]:
        """All credentials of a kind, by id."""
        with explaining(self._path):
            return self.credentials.listed(kind, "", CREDENTIALS)

    def _entries(self, condition: str, *values: object) -> list[Entry]:
        with explaining(self._path), self._transaction():
            rows = self._rows(f"{STREAMS} WHERE {condition}", *values)
            return [self._entry(row) for row in rows]

    def _entry(self, row: Row) -> Entry:
        number, fields = row[0], self._fields(row)
        ((size,),) = self._rows(
            f"SELECT total({SIZE}) FROM records WHERE stream = ? AND offset >= ?",  # noqa: S608 - a constant
            *(number, fields["head"]),
        )
        running = self._rows(
            "SELECT id FROM generations WHERE stream = ? AND ended IS NULL", number
        )
        return Entry(
            **fields,
            number=number,
            name=row[-1],
            size=int(size),
            running=tuple(generation for (generation,) in running),
        )

    def _changed(self, entry: Entry, offset: int) -> StoreError:
        return StoreError(
            f'"{entry.name}" was trimmed or deleted while it was read: record {offset} is gone',
            code="stream_changed",
        )
