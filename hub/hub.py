"""The hub: streams, generations and connections behind one face, for every transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from hub.connection import Connection
from hub.counts import Counts
from hub.errors import Conflict, Draining, LimitExceeded, RequestError, TooLarge
from hub.events import Event, Message, Other, encode
from hub.generation import Generation
from hub.pipeline import Pipeline
from hub.records import Position, Record
from hub.runs import Ask, RunLimits, Runs
from hub.stores import Store
from hub.stream import From, Retention, Stream
from hub.streams import StreamLimits, Streams
from hub.upstream import Upstream

__all__ = ["Hub", "HubLimits", "parse_from"]

T = TypeVar("T")

CONTROL: Final = frozenset({"position", "reset", "closed", "beat", "retrying"})
"""What the hub itself says between events: nobody else may seem to."""


@dataclass(frozen=True, slots=True)
class HubLimits:
    """Every bound of a hub that is not a transport's own."""

    connections: int = 10_000
    event_bytes: int = 256 * 1024
    slice_size: int = 250
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
        self.counts = Counts()
        self.connections: set[Connection] = set()
        self.draining = False
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
        )
        self._runs = Runs(
            self._streams, upstreams, default_upstream, limits=limits.runs, counts=self.counts
        )
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Make the store ready and begin to look after streams and connections."""
        await self._store.start()
        self._watch = asyncio.create_task(self._look_after())

    async def drain(self, grace: float) -> None:
        """Begin nothing more; every generation ends, those still running after ``grace`` seconds
        as interrupted, and what they wrote is flushed.
        """
        self.draining = True
        await self._runs.close(grace)
        await self._streams.flushed()

    async def part(self, within: float) -> None:
        """Break off every connection, once it has what there is or after so many seconds.

        Their clients come back with their positions.
        """
        await asyncio.gather(*(_part(one, within) for one in list(self.connections)))

    async def close(self) -> None:
        """Stop looking after things and let go of the store; drain first."""
        await self.drain(0.0)
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        await self._store.synced()
        await self._store.stop()

    # Streams

    async def open(self, name: str) -> Stream:
        """A stream that there is; see `hub.streams.Streams.open`."""
        return await self._streams.open(name)

    async def create(self, name: str) -> Stream:
        """The stream of a name, begun if there is none; see `hub.streams.Streams.create`."""
        return await self._streams.create(name)

    def append(self, stream: Stream, event: Event) -> Record:
        """Write somebody's event.

        Raises:
            Conflict: it would speak for a generation of this hub.
            StreamClosed: the stream takes no more records.
            TooLarge: the event is over its limit.
        """
        return stream.append_body(self._body(event), event)

    async def append_to(self, name: str, event: Event) -> Stream:
        """Write somebody's event into the stream of a name, begun if there is none.

        Raises what `create` and `append` do; a stream is only begun for an event that can
        be written.
        """
        body = self._body(event)
        stream = await self.create(name)
        stream.append_body(body, event)
        return stream

    def _body(self, event: Event) -> bytes:
        if isinstance(event, Other) and event.object.get("type") in CONTROL:
            raise RequestError(
                f'only the hub says "{event.object["type"]}" in a stream', code="bad_event"
            )
        if not isinstance(event, Message | Other) and self._runs.owns(event.generation):
            raise Conflict(
                "only the hub writes the events of its generations", code="generation_owned"
            )
        body = encode(event)
        if len(body) > self._limits.event_bytes:
            raise TooLarge(f"an event has at most {self._limits.event_bytes} bytes")
        return body

    @property
    def streams(self) -> int:
        """How many streams are held."""
        return len(self._streams)

    @property
    def size(self) -> int:
        """Bytes of all records held."""
        return self._streams.size

    # Generations

    async def generate(self, ask: Ask) -> Generation:
        """Begin a generation; see `hub.runs.Runs.start`."""
        return await self._runs.start(ask)

    def generation(self, name: str) -> Generation:
        """A generation by its id; see `hub.runs.Runs.find`."""
        return self._runs.find(name)

    async def cancel(self, name: str) -> Generation:
        """Stop a generation; see `hub.runs.Runs.cancel`."""
        return await self._runs.cancel(name)

    async def finished(self, name: str) -> Generation:
        """A generation, once it has ended; see `hub.runs.Runs.wait`."""
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
            Draining: the hub is shutting down.
            LimitExceeded: there are as many as there may be.
        """
        if self.draining:
            raise Draining("the hub is shutting down: come back in a moment")
        if len(self.connections) >= self._limits.connections:
            self.counts.refusals += 1
            raise LimitExceeded("as many connections are open as may be: try again later")

    def connect(self, connection: Connection) -> None:
        """Look after a connection until `disconnect`."""
        self.connections.add(connection)

    async def disconnect(self, connection: Connection) -> None:
        """The connection's handler is done with it."""
        self.connections.discard(connection)
        await connection.close()

    async def _look_after(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._limits.look_seconds)
            for served, connection in enumerate(list(self.connections), start=1):
                connection.look_after(loop.time())
                if served % self._limits.slice_size == 0:
                    await asyncio.sleep(0)
            self._streams.sweep(loop.time())


async def _part(connection: Connection, within: float) -> None:
    await connection.idle(within=within)
    connection.abort(sent=True)
