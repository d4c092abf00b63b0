"""A connection on a wire of memory: a test says to the byte what its client has taken."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from hub.connections.connection import Connection, Pace
from hub.domain.counters import Counters
from hub.domain.events import Delta
from hub.frames.encoder import Encoder
from hub.frames.ndjson import LINES
from hub.stores.memory import MemoryStore
from hub.streams.stream import Retention, Stream
from tests.support.fake_stores import FakeStore
from tests.support.reference_parsers import Lines

__all__ = ["HIGH", "FakeConnection", "say", "turn"]

HIGH: Final = 400
"""Bytes in the buffer over which the writing pauses."""


class Buffer(asyncio.Transport):
    """A transport whose other side takes what the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = bytearray()
        self.taken = bytearray()
        self.most = 0
        self.written: list[bytes] = []
        self.high = 0
        self.paused = False
        self.aborted = False
        self.resumed = asyncio.Event()
        self.resumed.set()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        self.high = high

    def get_write_buffer_size(self) -> int:
        return len(self.waiting)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert data, "nothing is not written"
        assert not self.aborted
        self.written.append(bytes(data))
        self.waiting += data
        self.most = max(self.most, len(self.waiting))
        if len(self.waiting) > self.high:
            self.paused = True
            self.resumed.clear()

    def take(self, count: int = 1_000_000) -> None:
        """The client reads so many bytes."""
        self.taken += self.waiting[:count]
        del self.waiting[:count]
        if len(self.waiting) <= self.high // 4:
            self.paused = False
            self.resumed.set()

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True
        self.resumed.set()


class Wire:
    """A connection's protocol object."""

    def __init__(self) -> None:
        self.buffer = Buffer()
        self.lost = False

    @property
    def transport(self) -> asyncio.Transport | None:
        return None if self.lost or self.buffer.aborted else self.buffer

    @property
    def writing_paused(self) -> bool:
        return self.buffer.paused

    async def drain(self) -> None:
        if self.transport is None:
            raise ConnectionResetError
        await self.buffer.resumed.wait()

    def lose(self) -> None:
        self.lost = True
        self.buffer.resumed.set()


class FakeConnection:
    """One connection on a wire of memory, and the streams it may follow."""

    def __init__(
        self,
        encoder: Encoder = LINES,
        *,
        ends: bool = False,
        subscriptions: int = 3,
        max_records: int = 100_000,
        catch_up_bytes: int = 4096,
        durable: bool = False,
    ) -> None:
        self.counts = Counters()
        self.wire = Wire()
        self.buffer = self.wire.buffer
        self.over = asyncio.get_running_loop().create_future() if ends else None
        pace = Pace(
            catch_up_bytes=catch_up_bytes,
            beat_seconds=20.0,
            slow_client_timeout=30.0,
            subscriptions=subscriptions,
            write_buffer_bytes=HIGH,
        )
        self.connection = Connection(
            self.wire, self.wire.drain, encoder, pace, self.counts, over=self.over
        )
        # With a durable store next to nothing is in memory, and the rest has to be waited for.
        retention = Retention(max_records=max_records, warm_bytes=1)
        stores = [FakeStore() if durable else MemoryStore() for _ in "abcd"]
        self.streams = [
            Stream(name, store=store, retention=retention, counts=self.counts)
            for name, store in zip("abcd", stores, strict=True)
        ]
        self.stream, self.store = self.streams[0], stores[0]

    def follow(self, start: Any = "now", stream: Stream | None = None) -> None:
        stream = stream or self.stream
        self.connection.admit(stream.name)
        self.connection.subscribe(stream, stream.place(start))

    def clog(self) -> None:
        """The client stops reading, and the buffer is over its mark."""
        self.connection.write(b"x" * HIGH + b"\n")
        assert self.wire.writing_paused

    def heard(self) -> bytes:
        """All that the client has read so far, the clog left out."""
        return bytes(self.buffer.taken).replace(b"x" * HIGH + b"\n", b"")

    def lines(self) -> list[dict[str, Any]]:
        return list(Lines().feed(self.heard()))

    def text(self) -> str:
        return "".join(line.get("text", "") for line in self.lines())


def say(stream: Stream, *texts: str) -> None:
    for text in texts:
        stream.append(Delta("g", text=text))


async def turn(times: int = 10) -> None:
    for _ in range(times):
        await asyncio.sleep(0)
