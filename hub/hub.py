"""The hub: streams, generations and connections behind one face, for every transport."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeVar

from hub.background import Background
from hub.connections.connection import Connection
from hub.connections.open_requests import OpenRequests
from hub.connections.participants import Participants
from hub.domain import defaults
from hub.domain.counters import Counters
from hub.domain.errors import Gone, LimitExceeded, StoreError, StreamNotFound, TooLarge
from hub.domain.events import Event, encode
from hub.domain.generation import Generation
from hub.domain.generation_request import GenerationRequest
from hub.domain.memory_budget import MemoryBudget
from hub.domain.outcome import Outcome
from hub.domain.producers import Stamp
from hub.domain.records import Body, Position
from hub.domain.stream_names import check_name
from hub.domain.stream_settings import StreamSettings
from hub.generations.runs import RunLimits, Runs
from hub.pipeline.pipeline import Pipeline
from hub.stores import Listed, Store
from hub.stores.writer import Writer
from hub.streams.history import From
from hub.streams.registry import StreamLimits, Streams
from hub.streams.stream import Retention, Stream
from hub.streams.write_permissions import WritePermissions
from hub.streams.writer import LocalWriter
from hub.upstreams.upstream import Upstream

__all__ = ["Hub", "HubLimits", "Shown", "parse_from"]

log = logging.getLogger("hub")

T = TypeVar("T")


class Shown(NamedTuple):
    """A stream in a list, and the generation that runs in it."""

    stream: Listed
    running: str | None


@dataclass(frozen=True, slots=True)
class HubLimits:
    """Every bound of a hub that is not a transport's own.

    ``foreign_generations``: others may write events of generations of their own.
    """

    connections: int = defaults.CONNECTIONS
    event_bytes: int = defaults.EVENT_BYTES
    bodies_bytes: int = defaults.BODIES_BYTES
    presence: int = defaults.PRESENCE
    presence_bytes: int = defaults.PRESENCE_BYTES
    slice_size: int = defaults.SLICE
    deliver: Literal["at_once", "committed"] = defaults.DELIVER
    foreign_generations: bool = defaults.FOREIGN_GENERATIONS
    look_seconds: float = 1.0
    """How often each connection and stream is looked after."""
    retention: Retention = field(default_factory=Retention)
    streams: StreamLimits = field(default_factory=StreamLimits)
    runs: RunLimits = field(default_factory=RunLimits)


def parse_from(text: str) -> From:
    """``start``, ``now`` or a position, as a client says where it wants to read from.

    Raises:
        PositionError: none of these.
    """
    if text == "start":
        return "start"
    if text == "now":
        return "now"
    return Position.parse(text)


class Hub:
    """One hub. Start it before use, close it after; use it from one event loop."""

    def __init__(
        self,
        store: Store,
        upstreams: Mapping[str, Upstream],
        default_upstream: str,
        limits: HubLimits | None = None,
    ) -> None:
        limits = limits or HubLimits()
        self.counts = Counters()
        self.connections: set[Connection] = set()
        self.callers = OpenRequests()
        self.allowance = MemoryBudget(limits.bodies_bytes)
        """For what clients send, until it is done with."""
        self.draining = False
        """Nothing is begun any more; all else goes on."""
        self.upstreams = upstreams
        self.default_upstream = default_upstream
        self._limits = limits
        self._store = store
        self._streams = Streams(
            store,
            retention=limits.retention,
            limits=limits.streams,
            slice_size=limits.slice_size,
            counts=self.counts,
            deliver=limits.deliver,
        )
        self._writer: Writer = LocalWriter(self._streams)
        self._runs = Runs(
            self._streams,
            store,
            upstreams,
            default_upstream,
            allowance=self.allowance,
            limits=limits.runs,
            counts=self.counts,
        )
        self._authors = WritePermissions(foreign_generations=limits.foreign_generations)
        self.participants = Participants(members=limits.presence, state_bytes=limits.presence_bytes)
        self._background = (
            Background("looking after connections", self._look_after_connections, self.counts),
            Background("looking after streams", self._look_after_streams, self.counts),
            Background("evicting rejected streams", self._evict_rejected, self.counts),
        )

    async def start(self) -> None:
        """Make the store ready and begin to look after streams and connections."""
        running = await self._store.start()
        try:
            await self._runs.interrupted(running)
        except BaseException:
            await self._store.stop()
            raise
        for one in self._background:
            one.start()

    async def drain(self, grace: float) -> None:
        """Begin nothing more; every generation ends, those still running after ``grace`` seconds
        as interrupted, and what they wrote is flushed.
        """
        self.draining = True
        await self._runs.close(grace)
        await self._streams.flushed()

    async def close(self) -> None:
        """Stop looking after things and let go of the store; drain first."""
        await self.drain(0.0)
        for one in self._background:
            await one.stop()
        await self._store.stop()

    # Streams

    async def open(self, name: str) -> Stream:
        """A stream that there is; see `hub.streams.registry.Streams.open`."""
        return await self._streams.open(name)

    async def expect(self, connection: Connection, name: str, start: From) -> None:
        """Have a connection follow a stream that may still have to begin.

        Raises:
            InvalidName, Gone: as `open`.
        """
        try:
            stream = await self.open(name)
        except StreamNotFound:
            stream = None
        connection.stand_by(self._streams.awaited, name, start)
        if stream is not None:
            self._streams.awaited.begun(stream)

    async def create(self, name: str) -> Stream:
        """The JSON stream of a name, begun if there is none; see
        `hub.streams.registry.Streams.create`.
        """
        stream, _ = await self._streams.create(name)
        return stream

    async def make(
        self,
        name: str,
        settings: StreamSettings,
        bodies: Sequence[Body] = (),
        *,
        close: bool = False,
    ) -> Outcome:
        """Begin a stream of any type with its first records; see
        `hub.stores.writer.Writer.create`.

        Raises:
            RequestError, Conflict, Forbidden: as `check_authors`.
        """
        self.check_authors(settings, bodies)
        return await self._writer.create(name, settings, bodies, close=close)

    async def listed(self, prefix: str, after: str, limit: int) -> tuple[list[Shown], bool]:
        """A page of the streams there are, and whether more come after it.

        Names begin with ``prefix`` and lie after ``after``, in the order of their characters.
        """
        found, more = await self._streams.listed(prefix, after, limit)
        running = self._runs.running()
        return [Shown(one, running.get(one.name)) for one in found], more

    async def fork(
        self,
        name: str,
        source: str,
        position: Position | None = None,
        *,
        settings: StreamSettings | None = None,
        further: int = 0,
        bodies: Sequence[Body] = (),
        close: bool = False,
    ) -> Outcome:
        """Begin a stream with another's past up to a position, and records of its own after it.

        This is what "edit this message" and "regenerate" are: a fork at the position of the
        message, in which the conversation goes on differently. See
        `hub.stores.writer.Writer.fork`.

        Raises:
            RequestError, Conflict, Forbidden: as `check_authors`.
        """
        if bodies:
            self.check_authors((await self.open(source)).settings, bodies)
        return await self._writer.fork(
            name, source, position, settings, further=further, bodies=bodies, close=close
        )

    async def delete(self, name: str) -> None:
        """Remove a stream, and cancel what is generated in it; see
        `hub.stores.writer.Writer.delete`.
        """
        stream = await self._streams.open(name)
        # Before anything is cancelled, for a deletion that cannot be kept.
        self._store.admit()
        await self._runs.leave(stream)
        # Another may have its name by now.
        await self._writer.delete(name, epoch=stream.epoch)

    async def committed(self, stream: str | None = None) -> None:
        """Wait until everything written so far is as safe as the store makes it.

        Raises:
            StoreError: the store cannot say so, or not of this stream.
        """
        await self._store.synced(stream)

    async def touch(self, name: str) -> None:
        """Somebody reads the stream; see `hub.stores.writer.Writer.touch`."""
        with suppress(StreamNotFound, Gone):  # deleted while it was looked at
            await self._writer.touch(name)

    @property
    def trouble(self) -> str | None:
        """Why this hub should not be asked just now, if so."""
        found = (self._store.trouble, *(one.trouble for one in self._background))
        return next((why for why in found if why is not None), None)

    def append(self, stream: Stream, event: Event) -> Outcome:
        """Write somebody's event.

        Raises:
            RequestError, Conflict, Forbidden: as `check_authors`.
            Conflict: ``not_json``: the stream holds no events.
            StreamClosed: the stream takes no more records.
            TooLarge: the event is over its limit.
            StoreError: nothing can be kept just now.
        """
        body = self._body(event)
        stream.expect_events()
        outcome = stream.write([(body, event)])
        self._streams.touch(stream)
        return outcome

    async def append_to(self, name: str, event: Event, body: bytes | None = None) -> Outcome:
        """Write somebody's event into the stream of a name, begun if there is none.

        ``body`` is the event as somebody wrote it, one JSON object in one line. Raises what
        `create` and `append` do; a stream is only begun for an event that can be written.
        """
        body = self._body(event, body)
        return await self._writer.write(name, [(body, event)], settings=StreamSettings())

    def _body(self, event: Event, body: bytes | None = None) -> bytes:
        self.check_authors(StreamSettings(), [(b"", event)])
        body = encode(event) if body is None else body
        if len(body) > self._limits.event_bytes:
            most = self._limits.event_bytes
            raise TooLarge(f"an event has at most {most} bytes (limits.event_bytes)")
        return body

    def check_authors(self, settings: StreamSettings, bodies: Iterable[Body]) -> None:
        """Refuse what only the hub may write; see
        `hub.streams.write_permissions.WritePermissions.check`.
        """
        self._authors.check(settings, bodies)

    async def write(
        self,
        name: str,
        bodies: Sequence[Body],
        *,
        stamp: Stamp | None = None,
        sequence: str | None = None,
        close: bool = False,
        epoch: int | None = None,
    ) -> Outcome:
        """Write somebody's records, all or nothing; see `hub.stores.writer.Writer.write`.

        ``epoch`` is that of the stream for which the records were made, as `open` gave it.

        Raises:
            RequestError, Conflict, Forbidden: as `check_authors`.
        """
        stream = await self.open(name)
        self.check_authors(stream.settings, bodies)
        return await self._writer.write(
            name,
            bodies,
            stamp=stamp,
            sequence=sequence,
            close=close,
            epoch=stream.epoch if epoch is None else epoch,
        )

    @property
    def streams(self) -> int:
        """How many streams are held."""
        return len(self._streams)

    @property
    def size(self) -> int:
        """Bytes of memory that all records held take."""
        return self._streams.size

    # Generations

    async def generate(self, ask: GenerationRequest) -> Generation:
        """Begin a generation; see `hub.generations.runs.Runs.start`."""
        return await self._runs.start(ask)

    async def generation(self, name: str) -> Generation:
        """A generation by its id; see `hub.generations.runs.Runs.find`."""
        return await self._runs.find(name)

    def running(self, stream: str) -> Generation | None:
        """The generation that runs in a stream, if one does.

        Raises:
            InvalidName: no stream can have this name.
        """
        check_name(stream, self._limits.streams.name_length)
        return self._runs.running_in(stream)

    async def cancel(self, name: str) -> Generation:
        """Stop a generation; see `hub.generations.runs.Runs.cancel`."""
        return await self._runs.cancel(name)

    def stop(self, name: str) -> None:
        """Stop a generation without waiting for it; see `hub.generations.runs.Runs.stop`."""
        self._runs.stop(name)

    async def finished(self, name: str) -> Generation:
        """A generation, once it has ended; see `hub.generations.runs.Runs.wait`."""
        return await self._runs.wait(name)

    @property
    def generating(self) -> int:
        """How many generations run."""
        return self._runs.active

    def upstream(self, name: str | None = None) -> Upstream:
        """A configured upstream; ``None`` for the default."""
        return self._runs.upstream(name)

    def pipeline(self, source: AsyncIterable[T] | Callable[[], AsyncIterable[T]]) -> Pipeline[T]:
        """A pipeline from any source; see `hub.pipeline`."""
        return Pipeline(source)

    # Connections

    def admit(self) -> None:
        """Whether another connection may be opened.

        Raises:
            Draining: the hub is leaving.
            LimitExceeded: there are as many as there may be.
        """
        self.callers.admit()
        if len(self.connections) >= self._limits.connections:
            self.counts.refusals += 1
            raise LimitExceeded("as many connections are open as may be: try again later")

    def connect(self, connection: Connection) -> None:
        """Look after a connection until `disconnect`.

        Raises:
            Draining: the hub is leaving, and may not have been yet at `admit`.
        """
        self.callers.stay()
        self.connections.add(connection)

    async def disconnect(self, connection: Connection) -> None:
        """The connection's handler is done with it."""
        self.connections.discard(connection)
        await connection.close()

    async def _look_after_connections(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._limits.look_seconds)
            for served, connection in enumerate(list(self.connections), start=1):
                try:
                    connection.tick(loop.time())
                except Exception:
                    log.exception("a connection could not be looked after, and is cut off")
                    self.counts.failures += 1
                    connection.abort()
                if served % self._limits.slice_size == 0:
                    await asyncio.sleep(0)

    async def _look_after_streams(self) -> None:
        while True:
            await asyncio.sleep(self._limits.look_seconds)
            try:
                await self._streams.sweep(asyncio.get_running_loop().time())
            except StoreError as error:
                log.error("streams were not looked after: %s", error)

    async def _evict_rejected(self) -> None:
        while True:
            await self._store.rejection()
            self._streams.evict_rejected()
