"""The hub: its streams, generations, upstreams and connections."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import AsyncIterable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

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
from hub.stores import Credentials, Store
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

REVOKED: Final = 10_000
"""Revoked credentials that are remembered; a request that was admitted before one was may take a
while until it has a connection."""


@dataclass(frozen=True, slots=True)
class HubLimits:
    """The limits of a hub, except those of its transports.

    ``foreign_generations``: clients may write events of generations of their own.
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
    """Interval of the sweeps of connections and streams."""
    retention: Retention = field(default_factory=Retention)
    streams: StreamLimits = field(default_factory=StreamLimits)
    runs: RunLimits = field(default_factory=RunLimits)


def parse_from(text: str) -> From:
    """Parse ``start``, ``now`` or a position, from which a client wants to read.

    Raises:
        PositionError: it is none of these.
    """
    if text == "start":
        return "start"
    if text == "now":
        return "now"
    return Position.parse(text)


class Hub:
    """One hub. Start it before use and close it afterwards; use it from one event loop.

    Its operations are in `streams`, `generations` and `upstreams`. The hub itself starts and stops
    them, and manages the connections.
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
        """Memory for request bodies that are being processed."""
        self.draining = False
        """Whether no new generations are started; all else goes on."""
        self.upstreams = Upstreams(upstreams, default_upstream)
        self.limits = limits
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
        """Checked by all operations of `streams` and `generations`."""
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
            self._streams,
            self._runs,
            self.upstreams,
            self.permissions,
            name_length=limits.streams.name_length,
        )
        self._revoked: dict[str, None] = {}
        self._background = (
            Background("the sweep of connections", self._sweep_connections, self.counts),
            Background("the sweep of streams", self._sweep_streams, self.counts),
            Background("the eviction of rejected streams", self._evict_rejected, self.counts),
        )

    async def start(self) -> None:
        """Open the store and start the background tasks."""
        running = await self._store.start()
        try:
            await self._runs.interrupted(running)
        except BaseException:
            await self._store.stop()
            raise
        for task in self._background:
            task.start()

    async def drain(self, grace: float) -> None:
        """Start no more generations, wait ``grace`` seconds for those that run, interrupt the
        others, and flush what they wrote.
        """
        self.draining = True
        await self._runs.close(grace)
        await self._streams.flushed()

    async def close(self) -> None:
        """Drain, stop the background tasks, and close the store."""
        await self.drain(0.0)
        for task in self._background:
            await task.stop()
        await self._store.stop()

    @property
    def credentials(self) -> Credentials:
        """The credentials in the store."""
        return self._store.credentials

    @property
    def trouble(self) -> str | None:
        """Why this hub is not ready, in a sentence; ``None`` if it is."""
        found = (self._store.trouble, *(task.trouble for task in self._background))
        return next((why for why in found if why is not None), None)

    def pipeline(self, source: AsyncIterable[T] | Callable[[], AsyncIterable[T]]) -> Pipeline[T]:
        """A pipeline from any source; see `hub.pipeline`."""
        return Pipeline(source)

    # Older names of operations of `streams`

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
        """Check that another connection may be opened.

        Raises:
            Draining: the hub is shutting down.
            LimitExceeded: there are as many connections as there may be.
        """
        self.callers.admit()
        if len(self.connections) >= self.limits.connections:
            self.counts.refusals += 1
            raise LimitExceeded("the hub has reached its limit of connections: try again later")

    def connect(self, connection: Connection) -> None:
        """Manage a connection until `disconnect`.

        Raises:
            Draining: the hub is shutting down; perhaps it was not yet at `admit`.
        """
        self.callers.stay()
        self.connections.add(connection)

    async def disconnect(self, connection: Connection) -> None:
        """Close a connection; called when its handler ends."""
        self.connections.discard(connection)
        await connection.close()

    def revoke(self, credential: str) -> None:
        """End the connections of a credential (`Principal.credential`) within `look_seconds`.

        Also those that are opened later by requests that were admitted before.
        """
        self._revoked[credential] = None
        if len(self._revoked) > REVOKED:
            del self._revoked[next(iter(self._revoked))]

    async def _sweep_connections(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.limits.look_seconds)
            for count, connection in enumerate(list(self.connections), start=1):
                try:
                    if connection.by.credential in self._revoked and not connection.ended:
                        connection.revoke()
                    connection.tick(loop.time())
                except Exception:
                    log.exception("a connection failed in the sweep and is cut off")
                    self.counts.failures += 1
                    connection.abort()
                if count % self.limits.slice_size == 0:
                    await asyncio.sleep(0)

    async def _sweep_streams(self) -> None:
        while True:
            await asyncio.sleep(self.limits.look_seconds)
            try:
                await self._streams.sweep(asyncio.get_running_loop().time())
            except StoreError as error:
                log.error("streams were not swept: %s", error)

    async def _evict_rejected(self) -> None:
        while True:
            await self._store.rejection()
            self._streams.evict_rejected()


def _deprecated(name: str) -> None:
    warnings.warn(
        f"Hub.{name} is deprecated: use hub.streams.{name}", DeprecationWarning, stacklevel=3
    )
