"""The SQLite store of a process that decides for several hubs: the same file, and more of it.

See `hub.stores.sequenced.SequencedStore`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any, Final

import apsw

from hub.domain.records import Record
from hub.stores import Listed
from hub.stores.sequenced import Kept
from hub.stores.shared import Claim
from hub.stores.sqlite import bodies
from hub.stores.sqlite.epochs import begin_life
from hub.stores.sqlite.store import SQLiteStore

__all__ = ["SequencedSQLiteStore"]


PACE_SECONDS: Final = 0.001
"""The least time between two commits. Somebody waits for nearly every change, and a commit costs
more than all the rest; a change that comes alone is committed at once."""


class SequencedSQLiteStore(SQLiteStore):
    """Streams that several hubs share, in the file of one that is alone."""

    _next = 0.0
    """When the next commit may begin, by the loop's clock."""

    def _hand_over_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        wait = self._next - loop.time()
        if seconds or self._soon or wait <= 0:
            super()._hand_over_in(seconds)
            return
        if self._due is not None:
            self._due.cancel()
        self._soon = True
        self._due = loop.call_later(wait, self._hand_over)

    def _hand_over(self) -> None:
        self._next = asyncio.get_running_loop().time() + PACE_SECONDS
        super()._hand_over()

    async def kept(self, stream: str) -> Kept | None:
        # Waits for changes of before. Nobody changes a stream that is not loaded.
        if await self.load(stream) is None:
            return None
        return await self._in_reader(lambda: self._readers().kept(stream))

    async def newest(self, stream: str, end: int, limit: int) -> list[Record]:
        return await self._in_reader(lambda: self._readers().newest(stream, end, limit))

    async def listed(self, prefix: str, after: str, limit: int, now: float) -> list[Listed]:
        return await self._listed(prefix, after, limit, now)

    async def owned(
        self, owner: str, prefix: str, after: str, limit: int, now: float
    ) -> list[Listed]:
        return await self._listed(prefix, after, limit, now, owner)

    async def _listed(
        self, prefix: str, after: str, limit: int, now: float, owner: str | None = None
    ) -> list[Listed]:
        """Each in the epoch that it is in: it gets a new one with its next change."""

        def read() -> list[Listed]:
            reader = self._readers()
            running = reader.running()
            found = reader.listed(prefix, after, limit, now, 0, owner)
            return [replace(one, running=running.get(one.name)) for one in found]

        return await self._in_reader(read)

    async def begin_life(self, above: int) -> int:
        self.life, self._epochs = await self._in_writer(partial(begin_life, above=above))
        self._epoch = max(self._epoch, self.life + 1)
        return self.life

    def epoch_above(self, epoch: int) -> int:
        # More than that are not assigned in a life: see LEAP in hub.stores.sqlite.epochs.
        self._epoch = max(self._epoch, epoch + 1)
        return self._epoch

    async def heal(self, stream: str, records: Iterable[Record]) -> None:
        def put_back(database: apsw.Connection) -> None:
            number = database.execute("SELECT id FROM streams WHERE name = ?", (stream,)).get
            if number is None:
                return
            held = "SELECT 1 FROM records WHERE stream = ? AND offset = ?"
            for record in records:
                if database.execute(held, (number, record.offset)).get is not None:
                    continue
                body = record.body
                kept = body if len(body) <= bodies.INLINE_BYTES else bodies.put(database, body)
                database.execute(
                    "INSERT INTO records (stream, offset, body) VALUES (?, ?, ?)",
                    (number, record.offset, kept),
                )

        await self._in_writer(put_back)

    async def claimed(self, key: str) -> Claim | None:
        return await self._in_reader(lambda: self._readers().claimed(key, time.time()))

    async def claim(self, key: str, claim: Claim, seconds: float) -> Claim:
        now = time.time()

        def first(database: apsw.Connection) -> Claim:
            database.execute("DELETE FROM claims WHERE expires <= ?", (now,))
            found: Any = database.execute(
                "SELECT fingerprint, stream, born FROM claims WHERE key = ?", (key,)
            ).fetchone()
            if found is not None:
                return Claim(*found)
            database.execute(
                "INSERT INTO claims (key, fingerprint, stream, born, expires)"
                " VALUES (?, ?, ?, ?, ?)",
                (key, *claim, now + seconds),
            )
            return claim

        return await self._in_writer(first)
