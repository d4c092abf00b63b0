"""The hub: its streams, generations, upstreams and connections, put together and kept going."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import AsyncIterable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from hub.access.generations import GenerationAccess
from hub.access.permissions import Permissions
from hub.access.streams import StreamAccess
from hub.background import Background
from hub.connections.connection import Connection
from hub.connections.open_requests import OpenRequests
from hub.connections.participants import Participants
from hub.domain import defaults
from hub.domain.counters import Counters
from hub.domain.errors import LimitExceeded, StoreError
from hub.domain.memory_budget import MemoryBudget
from hub.domain.records import Position
from hub.generations.runs import RunLimits, Runs
from hub.pipeline.pipeline import Pipeline
from hub.stores import Store
from hub.streams.history import From
from hub.streams.registry import StreamLimits, Streams
from hub.streams.stream import Retention, Stream
from hub.streams.write_permissions import WritePermissions
from hub.streams.writer import LocalWriter
from hub.upstreams.registry import Upstreams
from hub.upstreams.upstream import Upstream

__all__ = ["Hub", "HubLimits", "parse_from"]

log = logging.getLogger("hub")

T = TypeVar("T")


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
    """One hub. Start it before use, close it after; use it from one event loop.

    What can be done with it stands in `streams`, `generations` and `upstreams`; the hub itself
    starts and stops them and looks after the connections.
    """

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
        self.upstreams = Upstreams(upstreams, default_upstream)
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
        self._runs = Runs(
            self._streams,
            store,
            self.upstreams,
            allowance=self.allowance,
            limits=limits.runs,
            counts=self.counts,
        )
        self.participants = Participants(members=limits.presence, state_bytes=limits.presence_bytes)
        self.permissions = Permissions()
        """Asked by all operations, those of `streams` and `generations` first of all."""
        self.streams = StreamAccess(
            self._streams,
            LocalWriter(self._streams),
            self._runs,
            store,
            self.participants,
            self.permissions,
            WritePermissions(foreign_generations=limits.foreign_generations),
            event_bytes=limits.event_bytes,
        )
        self.generations = GenerationAccess(
            self._runs, self.upstreams, self.permissions, name_length=limits.streams.name_length
        )
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

    @property
    def trouble(self) -> str | None:
        """Why this hub should not be asked just now, if so."""
        found = (self._store.trouble, *(one.trouble for one in self._background))
        return next((why for why in found if why is not None), None)

    def pipeline(self, source: AsyncIterable[T] | Callable[[], AsyncIterable[T]]) -> Pipeline[T]:
        """A pipeline from any source; see `hub.pipeline`."""
        return Pipeline(source)

    # Names that were documented before `streams` was

    async def create(self, name: str) -> Stream:
        """The JSON stream of a name. Deprecated: use ``hub.streams.create``."""
        _deprecated("create")
        stream, _ = await self.streams.create(name)
        return stream

    async def fork(
        self, name: str, source: str, position: Position | None = None
    ) -> tuple[Stream, bool]:
        """A fork of a stream. Deprecated: use ``hub.streams.fork``."""
        _deprecated("fork")
        outcome = await self.streams.fork(name, source, position)
        return await self.streams.open(name), not outcome.duplicate

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


def _deprecated(name: str) -> None:
    warnings.warn(
        f"Hub.{name} is deprecated: use hub.streams.{name}", DeprecationWarning, stacklevel=3
    )
