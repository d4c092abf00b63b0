"""Streams in a store's file, put there as a hub does it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hub.domain.records import Record
from hub.domain.stream_settings import StreamSettings
from hub.stores import Appended, Change, Created, Saved
from hub.stores.sqlite import SQLiteStore

DATABASE = Path("data/streamhub.db")
"""Where the built-in configuration has it."""


def stream(name: str, *bodies: bytes, settings: StreamSettings | None = None) -> list[Change]:
    """The changes that make a stream."""
    records = [Appended(name, Record(at, body, None)) for at, body in enumerate(bodies)]
    return [Created(name, settings or StreamSettings(), ((0, 0),)), *records]


def keep(*changes: Change, path: Path = DATABASE) -> None:
    """A hub ran, this happened, and it stopped."""

    async def run() -> None:
        store = SQLiteStore(path)
        await store.start()
        for change in changes:
            store.note(change)
        await store.synced()
        await store.stop()

    asyncio.run(run())


def load(name: str, path: Path = DATABASE) -> Saved | None:
    """The stream as the next hub finds it."""

    async def run() -> Saved | None:
        store = SQLiteStore(path)
        await store.start()
        try:
            return await store.load(name)
        finally:
            await store.stop()

    return asyncio.run(run())
