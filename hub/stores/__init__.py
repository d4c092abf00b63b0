"""Where streams survive a restart: the `Store` protocol and the protocols it consists of.

The hub serves readers from memory. It notes every change with the store, in order, and loads
a stream from the store when somebody opens it again. `note` never waits, so a slow disk does
not slow the fan-out; code that must not run ahead of the disk uses `after` or awaits `synced`.
Changes noted within one turn of the event loop are kept together or not at all.

`note` accepts every change, but some can never be kept, such as a second record at the same
offset, which is a bug in the hub. The store *rejects* such a change, and with it everything
noted for its stream until the stream has been evicted from memory and readmitted. Other
streams are not affected.

A store keeps the streams of one process. Whether a write is allowed is decided before, by a
`hub.stores.writer.Writer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final, Literal, NamedTuple, Protocol

import orjson

from hub.domain.events import NOTHING
from hub.domain.frozen import frozen
from hub.domain.producers import Stamp
from hub.domain.queued_prompt import QueuedPrompt
from hub.domain.records import Position, Record
from hub.domain.stream_settings import StreamSettings

__all__ = [
    "CREDENTIALS",
    "KEEP_ENDED_SECONDS",
    "Accepted",
    "Appended",
    "Began",
    "Change",
    "Closed",
    "Created",
    "Credential",
    "Credentials",
    "Ended",
    "Expiry",
    "GenerationIndex",
    "GenerationLocation",
    "Hidden",
    "Keyed",
    "Keys",
    "Label",
    "Listed",
    "Listing",
    "OwnerChanged",
    "Past",
    "PromptIndex",
    "QueueSet",
    "Raised",
    "Rejections",
    "Removed",
    "Saved",
    "Sequenced",
    "Store",
    "Touched",
    "Trimmed",
    "Unended",
]


CREDENTIALS: Final = 10_000
"""The most credentials of one kind that are kept."""

KEEP_ENDED_SECONDS: Final = 30 * 86_400.0
"""How long a credential is still listed after it has expired or was revoked."""


@frozen
class Change:
    """What happened to a stream."""

    stream: str


@frozen
class Created(Change):
    """A stream began. ``epochs`` are pairs (epoch, first offset); a fork has its source's too."""

    settings: StreamSettings
    epochs: tuple[tuple[int, int], ...]
    head: int = 0


@frozen
class Raised(Change):
    """A new epoch of the stream began at an offset."""

    epoch: int
    offset: int


@frozen
class Appended(Change):
    """A record was written at the tail."""

    record: Record


@frozen
class Accepted(Change):
    """An idempotent producer's append was written."""

    stamp: Stamp


@frozen
class Sequenced(Change):
    """The last ``Stream-Seq`` of the stream's writers."""

    value: str


@frozen
class Trimmed(Change):
    """The records before ``head`` are gone."""

    head: int


@frozen
class Touched(Change):
    """The stream was read or written; it expires at ``expires`` (seconds since 1970)."""

    expires: float


@frozen
class OwnerChanged(Change):
    """The stream belongs to another subject; ``None``: to nobody."""

    owner: str | None


@frozen
class Closed(Change):
    """The stream takes no more records; ``stamp`` is the producer's that closed it."""

    stamp: Stamp | None = None


@frozen
class Hidden(Change):
    """The stream was deleted, but forks still need its records."""


@frozen
class Removed(Change):
    """The stream is gone and its name is free. A fork names its ``source``."""

    source: str | None = None


@frozen
class Began(Change):
    """A generation runs in the stream; if the process dies, it is interrupted.

    Its first event is at ``position``, its `hub.domain.events.Started` at offset ``started``.
    """

    generation: str
    position: Position
    started: int


@frozen
class Ended(Change):
    """A generation has its terminal event at ``offset``; ``None``: forget the generation."""

    generation: str
    offset: int | None


@frozen
class Keyed(Change):
    """An idempotency key stands for this generation, whose first event is at ``position``.

    ``fingerprint`` distinguishes the same request from another one with the same key.
    """

    key: str
    fingerprint: bytes
    generation: str
    position: Position


@frozen
class QueueSet(Change):
    """These prompts wait in the stream, in this order; ``held``: until somebody sends one."""

    queue: tuple[QueuedPrompt, ...]
    held: bool


@dataclass(frozen=True, slots=True)
class Saved:
    """A stream as a store kept it.

    ``epochs`` are pairs (epoch, first offset), rising. ``records`` are the newest ones from
    ``head`` on; older ones are read on demand.
    """

    settings: StreamSettings
    epochs: tuple[tuple[int, int], ...]
    head: int = 0
    tail: int = 0
    records: tuple[Record, ...] = ()
    closed: bool = False
    closed_by: Stamp | None = None
    producers: Mapping[str, tuple[int, int]] = field(default_factory=lambda: NOTHING)
    """The last epoch and number of each idempotent producer."""
    sequence: str | None = None
    expires: float | None = None
    hidden: bool = False
    forks: int = 0
    queue: tuple[QueuedPrompt, ...] = ()
    held: bool = False
    """Whether the ``queue`` waits until somebody sends one of its prompts."""


class Unended(NamedTuple):
    """A generation without a terminal event, and the offset of its `hub.domain.events.Started`."""

    stream: str
    generation: str
    started: int


class GenerationLocation(NamedTuple):
    """The events of a generation: from ``position`` in a stream, with the offsets of its
    `hub.domain.events.Started` and, once it has ended, of its terminal event.
    """

    stream: str
    position: Position
    started: int
    ended: int | None


@dataclass(frozen=True, slots=True)
class Listed:
    """A stream in a list of streams."""

    name: str
    content_type: str
    tail: Position
    closed: bool
    owner: str | None = None
    running: str | None = None
    """The generation that runs in it, if the store knows."""


class Label(NamedTuple):
    """What credentials of a kind are found by: whose or of what they are."""

    of: Literal["user", "stream", "maker"]
    value: str
    """A ``user``, the name of a ``stream``, or the subject of a ``maker``; "" is one without."""


@dataclass(frozen=True, slots=True)
class Credential:
    """Something that lets its holder in, such as an API key. The secret itself is not kept.

    ``id`` is unique among those of its ``kind``; ``hash`` is the SHA-256 of the secret. ``grants``
    is JSON, which only its kind understands; but of an object the texts ``stream`` and ``by`` (who
    made it) are `labels`. Times are in seconds since 1970.
    """

    kind: str
    id: str
    hash: bytes
    name: str | None = None
    user: str | None = None
    tenant: str | None = None
    grants: str | None = None
    created: float = 0.0
    expires: float | None = None
    revoked: float | None = None

    @property
    def ended(self) -> float:
        """When it was revoked or expires, whichever is earlier; infinity if it never does."""
        times = [time for time in (self.expires, self.revoked) if time is not None]
        return min(times, default=inf)

    @property
    def labels(self) -> tuple[Label, ...]:
        """What it is found by."""
        found = [] if self.user is None else [Label("user", self.user)]
        try:
            held = orjson.loads(self.grants or "")
        except orjson.JSONDecodeError:
            held = None
        if isinstance(held, dict):
            stream, by = held.get("stream"), held.get("by") or ""
            found += [Label("stream", stream)] if isinstance(stream, str) else []
            found += [Label("maker", by)] if isinstance(by, str) else []
        return tuple(found)

    def holds(self, now: float) -> bool:
        """Whether it was not revoked and has not expired at ``now``."""
        return self.revoked is None and self.ended > now


class Past(Protocol):
    """What a follower of a stream needs: its records and the epochs of the store."""

    async def read(self, stream: str, offset: int, limit: int) -> list[Record]:
        """Records from ``offset`` on, about ``limit`` bytes; at least one if there is one."""

    def lived(self, epoch: int) -> bool:
        """Whether this store has been in that epoch.

        If so, all that a stream had at the end of that epoch is here, and its next epoch begins
        behind it.
        """


class Keys(Protocol):
    """Remembers idempotency keys."""

    async def keyed(self, key: str) -> Keyed | None:
        """What an idempotency key was last used for; only the newest keys are kept."""


class Listing(Protocol):
    """Lists streams."""

    async def listed(self, prefix: str, after: str, limit: int, now: float) -> list[Listed]:
        """Up to ``limit`` streams by name that begin with ``prefix`` and come after ``after``.

        Without hidden ones and those that have expired at ``now`` (seconds since 1970).
        """

    async def owned(
        self, owner: str, prefix: str, after: str, limit: int, now: float
    ) -> list[Listed]:
        """As `listed`, of one owner's streams, which are found without a look at the others."""


class Expiry(Protocol):
    """Finds streams that are due for removal."""

    async def expired(self, now: float) -> list[str]:
        """Streams, a bounded number, that have expired at ``now`` (seconds since 1970) or are
        hidden and have no forks left.
        """


class GenerationIndex(Protocol):
    """Finds the events of a generation."""

    async def locate(self, generation: str) -> GenerationLocation | None:
        """Where a generation's events are, for as long as its stream holds them."""


class PromptIndex(Protocol):
    """Finds the streams in which prompts wait."""

    async def waiting_in(self, generation: str) -> str | None:
        """The stream in which the prompt of a generation waits; ``None`` if it does in none."""

    async def unheld(self) -> list[str]:
        """The streams with a queue that is not held."""


class Credentials(Protocol):
    """Keeps credentials. A change is as safe as this store makes it when its method returns."""

    async def add(self, credential: Credential) -> None:
        """Keep a new credential.

        First removes those of its kind that ended `KEEP_ENDED_SECONDS` before it was created; if
        there are still `CREDENTIALS`, the one that ended first.

        Raises:
            Conflict: there is one with its kind and id (``credential_exists``).
            LimitExceeded: there are `CREDENTIALS` of its kind, and none of them has ended
                (``too_many_credentials``).
            StoreError: nothing can be stored at the moment, or that is not confirmed.
        """

    async def find(self, kind: str, id_: str) -> Credential | None:
        """The credential with this id, also one that has expired or was revoked.

        Raises:
            StoreError: the store cannot be read.
        """

    async def listed(self, kind: str, after: str, limit: int) -> list[Credential]:
        """Up to ``limit`` credentials of a kind, by id, whose id comes after ``after``.

        Raises:
            StoreError: the store cannot be read.
        """

    async def held(
        self, kind: str, label: Label, after: str, limit: int, now: float
    ) -> list[Credential]:
        """As `listed`, those with a label that hold at ``now``, without a look at the others.

        Raises:
            StoreError: the store cannot be read.
        """

    async def count(self, kind: str, label: Label, now: float) -> int:
        """How many of a kind with a label hold at ``now``.

        Raises:
            StoreError: the store cannot be read.
        """

    async def revoke(self, kind: str, id_: str, now: float) -> Credential | None:
        """Revoke a credential at ``now``; a second time changes nothing.

        Returns it as it is then; ``None`` if there is none.

        Raises:
            StoreError: nothing can be stored at the moment, or that is not confirmed.
        """


class Rejections(Protocol):
    """Drops changes that can never be kept."""

    @property
    def rejected(self) -> Mapping[str, str]:
        """Streams whose changes are dropped because one can never be kept, and the reason."""

    async def rejection(self) -> None:
        """Wait until a stream is `rejected`."""

    def readmit(self, stream: str) -> None:
        """Accept changes again: the rejected stream has been evicted from memory."""


class Store(Past, Keys, Listing, Expiry, GenerationIndex, PromptIndex, Rejections, Protocol):
    """Takes changes and returns streams as those changes left them."""

    @property
    def durable(self) -> bool:
        """Whether it returns what was noted."""

    @property
    def credentials(self) -> Credentials:
        """The credentials, which are kept apart from the streams."""

    @property
    def trouble(self) -> str | None:
        """Why nothing can be kept at the moment, in a sentence; ``None`` if it can."""

    async def start(self) -> list[Unended]:
        """Open the store; returns the generations that ran when it was last used.

        Raises:
            StoreError: it cannot be used; the message says what to do.
        """

    async def load(self, stream: str) -> Saved | None:
        """A stream as left by all changes noted before this returns; ``None`` if there is none.

        Raises:
            StoreError: it cannot be read, or has changed and nothing can be kept at the moment.
        """

    def pending(self, stream: str) -> bool:
        """Whether `load` would have to wait for changes that are not safe yet."""

    @property
    def life(self) -> int:
        """The least epoch of a stream that is opened now.

        Higher than any epoch in which something may have been lost, here or in a copy of the
        store.
        """

    def epoch(self) -> int:
        """The epoch of a stream that begins now: higher than any its name has had."""

    def last(self, stream: str) -> int:
        """An upper bound of the epochs of removed streams of this name; -1 if there were none.

        Valid until the next ``await``; see `hub.domain.removed_names`.
        """

    def admit(self) -> None:
        """Check that a write can be made safe and acknowledged.

        Raises:
            StoreError: nothing can be made safe at the moment.
        """

    @property
    def full(self) -> bool:
        """Whether as many changes wait as may."""

    async def space(self) -> None:
        """Wait until the store is not full; for sources that can wait."""

    def note(self, change: Change) -> None:
        """Take a change without waiting. Writers of much data call `admit` or await `space`."""

    def after(self, done: Callable[[], None], stream: str | None = None) -> None:
        """Call ``done`` once everything noted so far is as safe as this store makes it.

        It is never called if changes of ``stream`` among these are rejected.
        """

    async def synced(self, stream: str | None = None) -> None:
        """Wait until everything noted so far is as safe as this store makes it.

        Raises:
            StoreError: that takes too long (``store_full``, ``store_slow``), or changes of
                ``stream`` are rejected (``store_rejected``).
        """

    async def stop(self) -> None:
        """Write what is left and release all resources."""
