"""Where streams survive a restart: the `Store` protocol, and those that it is made of.

The hub serves readers from memory; a store is told of every change as it happens, in
order, and hands a stream back when it is opened again. `note` never waits, so that a slow
disk does not slow the fan-out; whoever must not run ahead of the disk uses `after` or
awaits `synced`. Changes noted without a turn of the loop between them are kept together or
not at all.

A store refuses no change when it is noted, and some can never be kept: a record at an
offset that is taken, say, which is a mistake of the hub. Such a change is *rejected*, and
with it all that is noted of its stream until the stream has left memory and is readmitted.
Other streams are not touched.

This is how the streams of one process are kept. What may be written at all is judged before, by a
`hub.stores.writer.Writer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from hub.domain.events import NOTHING
from hub.domain.frozen import frozen
from hub.domain.producers import Stamp
from hub.domain.records import Position, Record
from hub.domain.stream_settings import StreamSettings

__all__ = [
    "Accepted",
    "Appended",
    "Began",
    "Change",
    "Closed",
    "Created",
    "Ended",
    "Expiry",
    "Hidden",
    "Keyed",
    "Keys",
    "Listed",
    "Listing",
    "Past",
    "Raised",
    "Rejections",
    "Removed",
    "Saved",
    "Sequenced",
    "Store",
    "Stories",
    "Told",
    "Touched",
    "Trimmed",
    "Unended",
]


@dataclass(frozen=True, slots=True)
class Created:
    """A stream began; ``epochs`` are pairs (epoch, first offset), those of a fork its source's
    and its own.
    """

    stream: str
    settings: StreamSettings
    epochs: tuple[tuple[int, int], ...]
    head: int = 0


@dataclass(frozen=True, slots=True)
class Raised:
    """A new life of the stream began at an offset."""

    stream: str
    epoch: int
    offset: int


@frozen
class Appended:
    """A record was written at the tail."""

    stream: str
    record: Record


@dataclass(frozen=True, slots=True)
class Accepted:
    """An idempotent producer's append was written."""

    stream: str
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Sequenced:
    """The last ``Stream-Seq`` of the stream's writers."""

    stream: str
    value: str


@dataclass(frozen=True, slots=True)
class Trimmed:
    """The records before ``head`` are gone."""

    stream: str
    head: int


@dataclass(frozen=True, slots=True)
class Touched:
    """The stream was read or written; it expires at ``expires`` (seconds since 1970)."""

    stream: str
    expires: float


@dataclass(frozen=True, slots=True)
class Closed:
    """The stream takes no more records; ``stamp`` is of the producer that closed it."""

    stream: str
    stamp: Stamp | None = None


@dataclass(frozen=True, slots=True)
class Hidden:
    """The stream was deleted, but forks still need its records."""

    stream: str


@dataclass(frozen=True, slots=True)
class Removed:
    """The stream is gone; its name may be used again. A fork names its ``source``."""

    stream: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Began:
    """A generation runs in the stream: if the process dies, it was interrupted.

    Its story begins at ``position``; its `started` event is at the offset ``started``.
    """

    stream: str
    generation: str
    position: Position
    started: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The generation has its terminal event, at ``offset``; with none there is no more to tell
    of it.
    """

    stream: str
    generation: str
    offset: int | None


@dataclass(frozen=True, slots=True)
class Keyed:
    """An idempotency key has been used: for this generation, whose story begins at ``position``.

    ``fingerprint`` tells the same request from another one with the same key.
    """

    key: str
    fingerprint: bytes
    generation: str
    stream: str
    position: Position


Change = (
    Created
    | Raised
    | Appended
    | Accepted
    | Sequenced
    | Trimmed
    | Touched
    | Closed
    | Hidden
    | Removed
    | Began
    | Ended
    | Keyed
)


@dataclass(frozen=True, slots=True)
class Saved:
    """A stream as a store kept it.

    ``epochs`` are pairs (epoch, first offset), rising. ``records`` are the newest of those
    from ``head`` on; the older ones are read when they are asked for.
    """

    settings: StreamSettings
    epochs: tuple[tuple[int, int], ...]
    head: int = 0
    tail: int = 0
    records: tuple[Record, ...] = ()
    closed: bool = False
    closed_by: Stamp | None = None
    producers: Mapping[str, tuple[int, int]] = field(default_factory=lambda: NOTHING)
    sequence: str | None = None
    expires: float | None = None
    hidden: bool = False
    forks: int = 0


class Unended(NamedTuple):
    """A generation that lacks its terminal event, and the offset of its `started`."""

    stream: str
    generation: str
    started: int


class Told(NamedTuple):
    """Where the story of a generation stands: from ``position`` in a stream, `started` and, if
    it has ended, the terminal event at these offsets.
    """

    stream: str
    position: Position
    started: int
    ended: int | None


@dataclass(frozen=True, slots=True)
class Listed:
    """A stream in a list of streams; ``tail`` is the position after what it holds."""

    name: str
    content_type: str
    tail: Position
    closed: bool


class Past(Protocol):
    """What whoever follows a stream needs: its records, and its lives."""

    async def read(self, stream: str, offset: int, limit: int) -> list[Record]:
        """Records from ``offset`` on, about ``limit`` bytes; at least one if there is."""

    def lived(self, epoch: int) -> bool:
        """Whether this store was or is in that life.

        What a stream had when it ended is then here, and its next life begins behind it.
        """


class Keys(Protocol):
    """Remembers idempotency keys."""

    async def keyed(self, key: str) -> Keyed | None:
        """What an idempotency key was last used for; only the newest keys are kept."""


class Listing(Protocol):
    """Tells which streams there are."""

    async def listed(self, prefix: str, after: str, limit: int, now: float) -> list[Listed]:
        """Streams kept, in the order of their names: so many of those that begin with ``prefix``
        and lie after ``after``. Not the hidden ones, nor those that have expired by ``now``.
        """


class Expiry(Protocol):
    """Tells which streams are to go."""

    async def expired(self, now: float) -> list[str]:
        """Streams, a bounded number, that have expired by ``now`` (seconds since 1970).

        Also those that are hidden and have no forks any more.
        """


class Stories(Protocol):
    """Tells where a generation is told."""

    async def told(self, generation: str) -> Told | None:
        """Where a generation is told, for as long as its stream holds its events."""


class Rejections(Protocol):
    """Drops changes that can never be kept."""

    @property
    def rejected(self) -> Mapping[str, str]:
        """Streams whose changes are dropped, because one of them can never be kept, and why."""

    async def rejection(self) -> None:
        """Wait until some stream is `rejected`."""

    def readmit(self, stream: str) -> None:
        """A rejected stream has left memory: from here on it is what `load` says."""


class Store(Past, Keys, Listing, Expiry, Stories, Rejections, Protocol):
    """What a store can do: it takes changes, and hands streams back as these leave them.

    What else it can do stands in protocols of its own: whoever needs one of them asks for that.
    """

    @property
    def durable(self) -> bool:
        """Whether it hands back what it was told."""

    @property
    def trouble(self) -> str | None:
        """Why it cannot keep anything just now, in a sentence; ``None`` if it can."""

    async def start(self) -> list[Unended]:
        """Make it ready; the generations that were running when it was left.

        Raises:
            StoreError: it cannot be used; the message says the way out.
        """

    async def load(self, stream: str) -> Saved | None:
        """A stream as all changes leave it that were noted before this returns, or ``None``.

        Raises:
            StoreError: it cannot be read, or has changed and nothing can be kept just now.
        """

    def pending(self, stream: str) -> bool:
        """Whether changes are noted and not yet safe that `load` would have to wait for."""

    @property
    def life(self) -> int:
        """The epoch that a stream which is opened now has at least.

        Higher than any in which something may have been lost, here or in a copy of the store.
        """

    def epoch(self) -> int:
        """The epoch of a stream that begins now: higher than any its name has had."""

    def last(self, stream: str) -> int:
        """The highest epoch that a removed stream of this name can have had, or a bit more.

        -1 if there was none. True until the next ``await``; see `hub.domain.removed_names`.
        """

    def admit(self) -> None:
        """Whether something may be written that is to be acknowledged.

        Raises:
            StoreError: nothing can be made safe just now.
        """

    @property
    def full(self) -> bool:
        """As many changes are held as may be."""

    async def space(self) -> None:
        """Wait until it is not full; for whoever can make a source wait."""

    def note(self, change: Change) -> None:
        """Take a change. Never waits; whoever writes much asks `admit` or awaits `space`."""

    def after(self, done: Callable[[], None], stream: str | None = None) -> None:
        """Call ``done`` once everything noted so far is as safe as this store makes it.

        It is never called if changes of ``stream`` among it are rejected.
        """

    async def synced(self, stream: str | None = None) -> None:
        """Wait until everything noted so far is as safe as this store makes it.

        Raises:
            StoreError: it cannot be made safe in a reasonable time (``store_full``,
                ``store_slow``), or changes of ``stream`` are rejected (``store_rejected``).
        """

    async def stop(self) -> None:
        """Write out what is left and let go of everything."""
