"""What keeps the streams of a hub and runs its generations: this process, or several hubs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol
from uuid import uuid4

from hub.connections.participants import Participants
from hub.connections.shared_presence import SharedPresence
from hub.domain import defaults
from hub.domain.counters import Counters
from hub.domain.frozen import frozen
from hub.domain.memory_budget import MemoryBudget
from hub.generations.leases import Leases
from hub.generations.operations import GenerationOperations
from hub.generations.runs import RunLimits, Runs
from hub.generations.shared_runs import SharedRuns
from hub.stores import Credentials, Store
from hub.stores.shared import SharedEngine
from hub.stores.writer import Writer
from hub.streams.mirrors import Mirrors
from hub.streams.news import News
from hub.streams.opened import StreamRegistry
from hub.streams.registry import StreamLimits, Streams
from hub.streams.shared_limits import SharedLimits
from hub.streams.shared_registry import SharedStreams
from hub.streams.shared_writer import SharedWriter
from hub.streams.stream import Retention
from hub.streams.survey import Survey
from hub.streams.writer import LocalWriter
from hub.upstreams.registry import Upstreams

__all__ = [
    "Backend",
    "HubLimits",
    "LocalBackend",
    "SharedBackend",
    "SharedStore",
    "backend_of",
]

Work = Callable[[], Coroutine[Any, Any, None]]
"""Runs until it is cancelled."""

Holds = Callable[[str], Awaitable[bool]]
"""Whether a credential is still valid."""


@dataclass(frozen=True, slots=True)
class HubLimits:
    """The limits of a hub, except those of its transports.

    ``foreign_generations``: clients may write events of generations of their own.
    """

    connections: int = defaults.CONNECTIONS
    connections_of_one: int = 0
    """Connections and open responses of one principal at a time; 0 is no limit."""
    event_bytes: int = defaults.EVENT_BYTES
    bodies_bytes: int = defaults.BODIES_BYTES
    presence: int = defaults.PRESENCE
    presence_bytes: int = defaults.PRESENCE_BYTES
    shares_of_one: int = defaults.SHARES
    """Share links of one principal at a time; 0 is no limit."""
    slice_size: int = defaults.SLICE
    deliver: Literal["at_once", "committed"] = defaults.DELIVER
    foreign_generations: bool = defaults.FOREIGN_GENERATIONS
    look_seconds: float = 1.0
    """Interval of the sweeps of connections and streams."""
    retention: Retention = field(default_factory=Retention)
    streams: StreamLimits = field(default_factory=StreamLimits)
    runs: RunLimits = field(default_factory=RunLimits)


@frozen
class SharedStore:
    """Where several hubs keep their streams, and who this hub is among them."""

    connect: Callable[[Mapping[int, int]], SharedEngine]
    """Makes an engine that knows these incarnations, not open yet."""
    credentials: Callable[[Callable[[], SharedEngine]], Credentials]
    """The credentials in whichever engine is in use."""
    node: str
    lease_seconds: float = defaults.LEASE
    workers: int = 1
    """How many hubs are one to their operator, and report their numbers together."""


class Backend(Protocol):
    """The parts of a hub that depend on where its streams are."""

    @property
    def streams(self) -> StreamRegistry: ...

    @property
    def writer(self) -> Writer: ...

    @property
    def runs(self) -> GenerationOperations: ...

    @property
    def credentials(self) -> Credentials: ...

    @property
    def trouble(self) -> str | None:
        """Why nothing can be kept at the moment, in a sentence; ``None`` if it can."""

    @property
    def sentinels(self) -> tuple[int, int] | None:
        """How many of those answer that watch the store, of how many; ``None``: nobody does."""

    @property
    def news(self) -> News | None:
        """What other hubs say; ``None`` if there are none."""

    @property
    def survey(self) -> Survey | None:
        """What asks the hubs that report with this one; ``None`` if there are none."""

    @property
    def shared_limits(self) -> SharedLimits | None:
        """What counts together with other hubs; ``None`` if there are none."""

    def presence(self, participants: Participants) -> Work | None:
        """What lets other hubs know of participants, and these of those there."""

    @property
    def work(self) -> Mapping[str, Work]:
        """What goes on in the background, by what it is called."""

    async def start(self) -> None:
        """Open the store.

        Raises:
            StoreError: it cannot be used; the message says what to do.
        """

    async def sweep(self, now: float) -> None:
        """Let streams leave memory, and remove what has expired; ``now`` is the loop's time."""

    async def drain(self, grace: float) -> None:
        """Start no more generations, wait ``grace`` seconds for those that run, interrupt the
        others, and flush what they wrote.
        """

    async def stop(self) -> None:
        """Close the store."""


class LocalBackend:
    """Streams that live in this process, over a store."""

    news: Final = None
    survey: Final = None
    shared_limits: Final = None
    sentinels: Final = None

    def presence(self, participants: Participants) -> None:
        """There are no others."""

    def __init__(
        self,
        store: Store,
        upstreams: Upstreams,
        limits: HubLimits,
        *,
        allowance: MemoryBudget,
        counts: Counters,
        holds: Holds,
    ) -> None:
        self._store = store
        self.streams = Streams(
            store,
            retention=limits.retention,
            limits=limits.streams,
            slice_size=limits.slice_size,
            counts=counts,
            deliver=limits.deliver,
        )
        self.writer = LocalWriter(self.streams)
        self.runs = Runs(
            self.streams,
            store,
            upstreams,
            allowance=allowance,
            limits=limits.runs,
            counts=counts,
            holds=holds,
        )

    @property
    def credentials(self) -> Credentials:
        return self._store.credentials

    @property
    def trouble(self) -> str | None:
        return self._store.trouble

    @property
    def work(self) -> Mapping[str, Work]:
        return {"the eviction of rejected streams": self._evict_rejected}

    async def start(self) -> None:
        running = await self._store.start()
        try:
            await self.runs.interrupted(running)
        except BaseException:
            await self._store.stop()
            raise

    async def sweep(self, now: float) -> None:
        await self.streams.sweep(now)

    async def _evict_rejected(self) -> None:
        while True:
            await self._store.rejection()
            self.streams.evict_rejected()

    async def drain(self, grace: float) -> None:
        await self.runs.close(grace)
        await self.streams.flushed()

    async def stop(self) -> None:
        await self._store.stop()


class SharedBackend:
    """Streams that several hubs write, over an engine."""

    def __init__(
        self,
        store: SharedStore,
        upstreams: Upstreams,
        limits: HubLimits,
        *,
        allowance: MemoryBudget,
        counts: Counters,
        holds: Holds | None = None,
    ) -> None:
        # Of each process its own: what the one before has left is ended like any dead hub's.
        self._node = f"{store.node}.{uuid4().hex[:8]}"
        self._mirrors = Mirrors(
            store.connect,
            counts=counts,
            slice_size=limits.slice_size,
            streams=limits.streams.streams,
            name_length=limits.streams.name_length,
            total_bytes=limits.streams.total_bytes,
            keep_warm=limits.streams.keep_warm,
        )
        self.news = News(self._mirrors)
        self.survey = (
            Survey(self._mirrors, self._node, store.workers) if store.workers > 1 else None
        )
        self.shared_limits = SharedLimits(self._mirrors, self._node)
        self.writer = SharedWriter(self._mirrors)
        self.streams = SharedStreams(self._mirrors, self.writer)
        self.runs = SharedRuns(
            self._mirrors,
            self.streams,
            self.writer,
            upstreams,
            self._node,
            allowance=allowance,
            limits=limits.runs,
            counts=counts,
            shared_limits=self.shared_limits,
            credential_holds=holds,
        )
        self.credentials = store.credentials(lambda: self._mirrors.engine)
        self._leases = Leases(
            self._mirrors, self._node, seconds=store.lease_seconds, take_on=self.runs.take_on
        )

    @property
    def trouble(self) -> str | None:
        return self._mirrors.trouble

    @property
    def sentinels(self) -> tuple[int, int] | None:
        return self._mirrors.sentinels

    @property
    def work(self) -> Mapping[str, Work]:
        return {
            "the lease of this hub": self._leases.run,
            "the limits of all hubs": self.shared_limits.run,
            "the sources of forks": self.writer.look_for_forks,
        }

    def presence(self, participants: Participants) -> Work:
        return SharedPresence(participants, self._mirrors, self._node).run

    async def start(self) -> None:
        await self._mirrors.start()
        try:
            await self.runs.open()
            await self.news.open()
            await self.shared_limits.open()
            if self.survey is not None:
                await self.survey.open()
        except BaseException:
            await self._mirrors.stop()
            raise

    async def sweep(self, now: float) -> None:
        await self._mirrors.sweep(now)

    async def drain(self, grace: float) -> None:
        await self.runs.close(grace)
        await self._mirrors.flushed()

    async def stop(self) -> None:
        await self.runs.stop_all()
        await self.news.stop()
        if self.survey is not None:
            await self.survey.stop()
        await self._leases.leave()
        await self._mirrors.stop()


def backend_of(
    store: Store | SharedStore,
    upstreams: Upstreams,
    limits: HubLimits,
    *,
    allowance: MemoryBudget,
    counts: Counters,
    holds: Holds,
) -> Backend:
    """The backend over a store; ``holds`` says whether a credential is still valid."""
    if isinstance(store, SharedStore):
        return SharedBackend(
            store, upstreams, limits, allowance=allowance, counts=counts, holds=holds
        )
    return LocalBackend(store, upstreams, limits, allowance=allowance, counts=counts, holds=holds)
