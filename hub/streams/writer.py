"""The writer of streams that live in this process, over any store.

A stream has one object here (`hub.streams.registry`), and the event loop runs one thing at a time.
So a check and the write after it are one step, as long as no ``await`` between them suspends.
Each method first finds its stream, which may take a while, and then does all the rest at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from hub.domain.errors import Conflict, StreamBusy, StreamNotFound
from hub.domain.outcome import Outcome
from hub.domain.producers import Stamp
from hub.domain.records import Body, Position
from hub.domain.stream_settings import StreamSettings
from hub.stores.writer import Appender, Beginning
from hub.streams.forks import same
from hub.streams.registry import Streams
from hub.streams.stream import Stream

__all__ = ["LocalWriter"]


class LocalWriter:
    """Writes to the streams of a registry; see `hub.stores.writer.Writer`."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    async def load(self, stream: str) -> Outcome:
        return (await self._streams.open(stream)).outcome()

    async def create(
        self,
        stream: str,
        settings: StreamSettings,
        bodies: Sequence[Body] = (),
        *,
        close: bool = False,
        epoch: int | None = None,
    ) -> Outcome:
        found, new = await self._streams.create(stream, settings, epoch=epoch)
        if new:
            return self._first(found, bodies, close=close)
        if found.settings.fork or found.sealed != close or not same(found.settings, settings):
            raise _exists(stream)
        return found.outcome(duplicate=True)

    async def write(
        self,
        stream: str,
        bodies: Sequence[Body],
        *,
        stamp: Stamp | None = None,
        sequence: str | None = None,
        close: bool = False,
        settings: StreamSettings | None = None,
        epoch: int | None = None,
    ) -> Outcome:
        if settings is None:
            found = await self._open(stream, epoch)
        else:
            found, _ = await self._streams.create(stream, settings, epoch=epoch)
        if any(event is not None for _, event in bodies):
            found.expect_events()
        outcome = found.write(bodies, stamp=stamp, sequence=sequence, close=close)
        if not outcome.duplicate:
            self._streams.touch(found)
        return outcome

    async def begin(self, stream: str, beginning: Beginning) -> Outcome:
        """Write the first events of a generation and note that it runs.

        Raises:
            StreamBusy: the stream is not held for this generation.
            Conflict: ``not_queued``: another prompt is the first of the queue, or it has changed.
            RequestError: an event cannot be written as JSON.
            HubError: as `write`.
        """
        return (await self._streams.open(stream)).begin(beginning)

    def appender(self, stream: str, fence: str) -> Appender:
        """The appender of the generation with the id ``fence``, which holds the stream.

        It is the stream itself, which ends the generation before it closes.

        Raises:
            StreamBusy: the generation does not hold the stream.
        """
        found = self._streams.loaded(stream)
        if found is None or found.writer is None or found.writer.id != fence:
            raise StreamBusy(f'"{stream}" is not held for {fence}')
        return found

    async def fork(
        self,
        stream: str,
        source: str,
        position: Position | None = None,
        settings: StreamSettings | None = None,
        *,
        further: int = 0,
        bodies: Sequence[Body] = (),
        close: bool = False,
        epoch: int | None = None,
        source_epoch: int | None = None,
    ) -> Outcome:
        found, new = await self._streams.fork(
            stream,
            source,
            position,
            settings,
            further=further,
            epoch=epoch,
            source_epoch=source_epoch,
        )
        if new:
            return self._first(found, bodies, close=close)
        if found.sealed != close:
            raise _exists(stream)
        return found.outcome(duplicate=True)

    async def delete(self, stream: str, *, epoch: int | None = None) -> Outcome:
        found = await self._open(stream, epoch)
        await self._streams.remove(found)
        return found.outcome()

    async def touch(self, stream: str) -> Outcome:
        found = await self._streams.open(stream)
        self._streams.touch(found)
        return found.outcome()

    async def _open(self, name: str, epoch: int | None) -> Stream:
        """An existing stream; with ``epoch`` only the one of that epoch."""
        found = await self._streams.open(name)
        if epoch is not None and found.epoch != epoch:
            raise StreamNotFound(f'"{name}" was deleted already')
        return found

    def _first(self, stream: Stream, bodies: Sequence[Body], *, close: bool) -> Outcome:
        """Write the first records in the same iteration of the loop in which the stream began."""
        if not bodies and not close:
            return stream.outcome()
        outcome = stream.write(bodies, close=close)
        self._streams.touch(stream)
        return outcome


def _exists(name: str) -> Conflict:
    return Conflict(f'there is already a different stream "{name}"', code="stream_exists")
