"""Stores made of memory, to stand on in tests: one that is asked, one that brings."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import apsw
import pytest

from hub.domain.errors import StoreError
from hub.domain.records import Record
from hub.stores import Appended, Change, Trimmed
from hub.stores.memory import MemoryStore
from hub.stores.sqlite.database import open_read_only

__all__ = ["FakeStore", "Notebook", "reading_connections"]


def reading_connections(monkeypatch: pytest.MonkeyPatch) -> list[apsw.Connection]:
    """The connections that SQLite stores open for reading from now on."""
    opened: list[apsw.Connection] = []

    def open_it(path: Path) -> apsw.Connection:
        opened.append(open_read_only(path))
        return opened[-1]

    monkeypatch.setattr("hub.stores.sqlite.reader.open_read_only", open_it)
    return opened


class Notebook(MemoryStore):
    """A store that can be asked what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[Change] = []

    def note(self, change: Change) -> None:
        self.noted.append(change)


class FakeStore(Notebook):
    """A store that has what one stream wrote, and takes a moment to bring it.

    A read waits for ``open``, and raises ``error`` if there is one.
    """

    durable = True

    def __init__(self, records: Sequence[Record] = ()) -> None:
        super().__init__()
        self.kept = {record.offset: record for record in records}
        self.reads = 0
        self.open = asyncio.Event()
        self.open.set()
        self.error: StoreError | None = None

    def note(self, change: Change) -> None:
        super().note(change)
        if isinstance(change, Appended):
            self.kept[change.record.offset] = change.record
        elif isinstance(change, Trimmed):
            self.kept = {at: kept for at, kept in self.kept.items() if at >= change.head}

    def lived(self, epoch: int) -> bool:
        """Also of the lives in which nothing was written."""
        del epoch
        return True

    async def read(self, stream: str, offset: int, limit: int) -> list[Record]:
        del stream
        self.reads += 1
        await asyncio.sleep(0)
        await self.open.wait()
        if self.error is not None:
            raise self.error
        found: list[Record] = []
        for at in sorted(at for at in self.kept if at >= offset):
            found.append(self.kept[at])
            if sum(len(record.body) for record in found) > limit:
                break
        return found
