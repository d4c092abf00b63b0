"""Streams that several hubs write at once: what an engine keeps of them, does, and tells.

An engine decides whether a write is allowed, assigns the offsets, and tells all hubs that listen to
the stream what has changed. It may lose what it had accepted. What the hubs still have of it can be
put back for a while (`SharedEngine.restore`); after that the stream goes on in a higher epoch.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha1
from typing import Final, NamedTuple, Protocol

from hub.domain.errors import StoreError
from hub.domain.frozen import frozen
from hub.domain.producers import Stamp
from hub.domain.stream_settings import StreamSettings
from hub.stores import GenerationLocation, Listed

__all__ = [
    "CONNECTED_LEASES",
    "Bodies",
    "Claim",
    "DroppedPrompt",
    "DueFork",
    "Entry",
    "Notice",
    "SharedEngine",
    "SourceHold",
    "State",
    "Tick",
    "Ticked",
    "Written",
    "is_held",
    "join",
    "node_topic",
    "or_log",
    "queue_version",
]

log = logging.getLogger("hub.store")

Bodies = Sequence[bytes]

CONNECTED_LEASES: Final = 5
"""How many times longer the lease of a node is that listens to its `node_topic`: it is busy, or it
stands still, but its process has not died."""


class Entry(NamedTuple):
    """The records of one append, from an offset on."""

    first: int
    bodies: Bodies

    @property
    def end(self) -> int:
        """The offset after its last record."""
        return self.first + len(self.bodies)


def join(entries: Iterable[Entry], offset: int) -> list[bytes]:
    """The bodies from ``offset`` on, as far as the entries have them without a gap.

    Empty if the first entry begins later: what is missing must not be skipped.
    """
    bodies: list[bytes] = []
    expected = None
    for entry in entries:
        if entry.first != expected and (expected is not None or entry.first > offset):
            break
        bodies += entry.bodies[max(0, offset - entry.first) :]
        expected = entry.end
    return bodies


class SourceHold(NamedTuple):
    """What a fork has of its source, from before it begins until after it is gone.

    The ``token`` tells it from the hold of a fork that had the same name before: that one is
    released after the name is free. A fork of an older hub has none.
    """

    source: str
    fork: str
    token: str = ""

    @classmethod
    def of(cls, name: str, settings: StreamSettings) -> SourceHold | None:
        """The one of a stream; ``None`` if it is no fork."""
        fork = settings.fork
        return None if fork is None else cls(fork.source, name, fork.token)

    @property
    def key(self) -> str:
        """What the source knows the fork by."""
        return self.token or self.fork


def queue_version(prompts: str, *, held: bool) -> str:
    """What tells a queue from any other: of its prompts, and of whether they are held."""
    if not prompts:
        return ""
    # It only tells apart what hubs themselves have written; a script has no other function.
    return f"{sha1(prompts.encode(), usedforsecurity=False).hexdigest()}:{int(held)}"


def is_held(version: str) -> bool:
    """Whether the queue of a version waits until somebody sends one of its prompts."""
    return version.endswith(":1")


@frozen
class Notice:
    """What one change of a stream did; the fields that it did not change are ``None``.

    Whoever has everything up to a change, and its notice, has everything up to the next one.
    """

    change: int
    """Counts the changes of a stream, from 1."""
    epoch: int
    """The epoch after it. If it is a new one, its first offset is ``first``."""
    first: int
    """The tail before it."""
    bodies: Bodies = ()
    reload: bool = False
    """The stream began or was put back: it has to be loaded."""
    closed: bool = False
    closed_by: Stamp | None = None
    stamp: Stamp | None = None
    sequence: str | None = None
    running: str | None = None
    """The generation that runs afterwards; empty: none."""
    node: str | None = None
    began: str | None = None
    number: int | None = None
    """The hub in which it runs, where it began, how many records it has; see `State`."""
    queue: str | None = None
    prompts: str | None = None
    """The version of its queue, and what waits in it; see `State`."""
    owner: str | None = None
    """The subject to whom the stream belongs now; empty: nobody."""
    head: int | None = None
    expires: int | None = None
    """When the stream expires, in milliseconds since 1970."""
    removed: bool = False
    hidden: bool = False

    @property
    def tail(self) -> int:
        """The tail after it."""
        return self.first + len(self.bodies)


@frozen
class State:
    """All that is kept of a stream, except for its older records."""

    settings: StreamSettings
    born: int
    """The epoch in which it began; no other stream of its name has the same."""
    epochs: tuple[tuple[int, int], ...]
    life: int
    """The incarnation of the engine in which it was last written."""
    head: int
    tail: int
    change: int
    entries: Sequence[Entry]
    """The newest ones, the oldest of them first."""
    producers: Mapping[str, tuple[int, int]]
    closed: bool = False
    closed_by: Stamp | None = None
    sequence: str | None = None
    hidden: bool = False
    forks: int = 0
    expires: int | None = None
    """In milliseconds since 1970."""
    running: str | None = None
    """The generation that runs in it."""
    node: str = ""
    """The hub in which it runs."""
    number: int = 0
    """How many records it has; the next one is that of this number."""
    began: str = ""
    """Where it began: its epoch, its first offset and that of its
    `hub.domain.events.Started`, with colons."""
    queue: str = ""
    """The version of its queue (`queue_version`)."""
    prompts: str = ""
    """What waits in it, as one text (`hub.domain.queued_prompt.encode_queue`)."""

    @property
    def epoch(self) -> int:
        return self.epochs[-1][0]

    @property
    def own(self) -> int:
        """The first offset that is not a source's."""
        fork = self.settings.fork
        return self.head if fork is None else max(self.head, fork.offset)

    def gap(self, limit: int) -> int | None:
        """The first offset that is missing in a state that was loaded with a limit, if one is."""
        size = sum(len(body) for entry in self.entries for body in entry.bodies)
        first = self.entries[0].first if self.entries and size >= limit else self.own
        end = first + len(join(self.entries, first))
        return end if end < self.tail else None


class Written(NamedTuple):
    """The state of a stream right after a change of it."""

    epoch: int
    tail: int
    change: int
    """The notice of the change has the same number."""
    closed: bool = False
    duplicate: bool = False
    """It had been done before; nothing was done now."""
    number: int | None = None
    """For a producer's write: the highest number accepted in the producer's epoch."""


class Tick(NamedTuple):
    """The next records of a generation, of which the first has the number ``number``, from 0."""

    stream: str
    generation: str
    number: int
    bodies: Bodies


class Ticked(NamedTuple):
    """What came of a tick: ``written``, or why not.

    ``number`` is that of the record which has to come next, if it was another one: the engine has
    some already, or has lost some. Without either the generation does not run any more.
    """

    written: Written | None = None
    number: int | None = None
    cancelled: bool = False
    """Somebody has asked for the generation to stop."""
    requeued: bool = False
    """Nothing was written: the queue is another one by now."""


class DroppedPrompt(NamedTuple):
    """A prompt that waits no more, and the offset of its first event with that one's epoch."""

    generation: str
    epoch: int
    first: int


class DueFork(NamedTuple):
    """What is held for a fork of which it is to be looked whether it is there, since ``due``."""

    hold: SourceHold
    due: int
    """In milliseconds since 1970."""


class Claim(NamedTuple):
    """What an idempotency key was first used for: a request, and the stream that it is answered in.

    The generation's id follows from the key, so it is known before it has begun.
    """

    fingerprint: bytes
    stream: str
    born: int = 0
    """The epoch in which the stream began: a later one of its name has not answered it."""


def node_topic(node: str) -> str:
    """Where a node hears what is for it alone, for as long as it is connected."""
    return f"node:{node}"


def or_log(topic: str, heard: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """A listener of a topic that logs what it raises.

    Another version may have said what it does not understand, and the connection is for all topics.
    """

    def take(message: bytes) -> None:
        try:
            heard(message)
        except Exception:
            log.exception("a message on %s cannot be taken", topic)

    return take


class SharedEngine(Protocol):
    """A connection to an engine, used until it is lost and never again.

    Every method raises `StoreError`: ``store_unavailable``: the engine cannot be reached, or has
    lost something; ``store_slow``: it does not answer; ``store_full``: it has no room. Unless it
    is full, what was asked may have been done. Methods that name a stream raise `StreamNotFound`
    and, if they change it, `Gone`.
    """

    lost: asyncio.Future[StoreError]
    """Why it can no longer be used, once it cannot."""

    @property
    def incarnations(self) -> Mapping[int, int]:
        """The present incarnation of each partition, for the next connection."""

    @property
    def sentinels(self) -> tuple[int, int] | None:
        """How many of those answer that watch the engine, of how many; ``None``: nobody does."""

    def partition(self, stream: str) -> int:
        """The partition of a stream; it never changes."""

    def incarnation(self, stream: str) -> int:
        """The present incarnation of a stream's partition."""

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Disconnect; what is under way fails."""

    async def subscribe(self, stream: str, heard: Callable[[Notice | None], None]) -> None:
        """Call ``heard`` with each change; with ``None`` if it is not understood.

        Returns once none is missed. A stream has one listener at a time.
        """

    def unsubscribe(self, stream: str) -> None:
        """Listen to a stream no longer."""

    async def caught_up(self) -> None:
        """Return once the changes that were accepted before this call have all been heard."""

    async def hear(self, topic: str, heard: Callable[[bytes], None]) -> None:
        """Call ``heard`` with each message for a topic; returns once none is missed.

        A topic has one listener at a time, for as long as the engine is used. What it raises is
        logged, and keeps nothing else from being heard.
        """

    def ignore(self, topic: str) -> None:
        """Hear a topic no longer."""

    async def say(self, topic: str, message: bytes, *, keep: int = 0) -> None:
        """Send a message to all hubs that hear a topic.

        A hub without an engine misses it; the last ``keep`` of a topic are kept (`said`).
        """

    async def said(self, topic: str) -> list[bytes]:
        """The messages of a topic that are kept."""

    async def find(self, stream: str, limit: int) -> State | None:
        """As `load`; ``None`` if there is no stream, perhaps only until somebody puts it back."""

    async def load(self, stream: str, limit: int) -> State:
        """A stream with its newest records, ``limit`` bytes of them or one append more."""

    async def read(self, stream: str, offset: int, limit: int) -> list[Entry]:
        """The entries from the one that covers ``offset`` on, ``limit`` bytes of them or one more.

        What is missing is not there; see `join`.
        """

    async def create(
        self,
        stream: str,
        settings: StreamSettings,
        bodies: Bodies = (),
        *,
        close: bool = False,
        expires: int | None = None,
        head: int = 0,
        epochs: Iterable[tuple[int, int]] = (),
    ) -> tuple[Written, StreamSettings | None]:
        """Begin a stream; of one that exists, also its settings.

        ``head`` and ``epochs`` are those of a fork up to where it begins, in records of its source
        that were held before (`hold`).

        Raises:
            Gone: the name belongs to a stream that was deleted, and is kept for its forks.
            Conflict: ``stream_moved``: the source does not hold them any more.
        """

    async def write(
        self,
        stream: str,
        bodies: Bodies,
        *,
        stamp: Stamp | None = None,
        sequence: str | None = None,
        close: bool = False,
        born: int | None = None,
    ) -> Written:
        """Write records, their producer's stamp, and the close: all or nothing.

        With ``born`` only the stream that began in this epoch is meant.

        Raises:
            StreamClosed, StreamBusy, ProducerFenced, ProducerGap, RequestError, Conflict: as
                `hub.stores.writer.Writer.write`.
        """

    async def delete(self, stream: str, *, born: int | None = None) -> SourceHold | None:
        """Remove a stream, or hide it while it has forks; what to `release` of its source, if any.

        A generation in it is fenced.
        """

    async def touch(self, stream: str) -> Written:
        """Postpone the expiry of a stream with a ``ttl``."""

    async def set_owner(self, stream: str, owner: str | None) -> Written:
        """Give a stream to a subject, or to nobody."""

    async def listed(
        self, prefix: str, after: str, limit: int, owner: str | None = None
    ) -> list[Listed]:
        """Up to ``limit`` streams by name that begin with ``prefix`` and come after ``after``.

        Without hidden ones; with ``owner`` only those of this subject, which are found without a
        look at the others.
        """

    async def hold(self, hold: SourceHold, offset: int) -> bool:
        """Keep the records of a stream for a fork; false if it has none at that offset.

        The fork begins with the token of the hold in its settings. One that does not begin within
        half a minute has to be held again (`create`).
        """

    async def release(self, hold: SourceHold, *, due: int | None = None) -> SourceHold | None:
        """Keep the records of a stream for a fork no longer; a later one of its name keeps its own.

        If that removes it, because it was deleted before, what to release of its own source. With
        ``due`` only if it was not held again since it was to be looked for then (`due_forks`).
        """

    async def due_forks(self) -> list[DueFork]:
        """Forks of which it is to be looked now whether they are there, for the engine cannot.

        They were held a minute ago, or may have expired. Those that are there are to be kept
        (`keep_fork`), and the sources of others to be released.
        """

    async def keep_fork(self, fork: DueFork, again: int | None) -> None:
        """A fork is there; it is to be looked for ``again`` once that may have changed."""

    async def restore(self, stream: str, state: State, lost: tuple[int, int] | None) -> bool:
        """Put back what the engine has lost; false if it has something else by now.

        ``lost`` are the epoch and the change that the engine has; ``None``: it lacks the stream.
        The entries of ``state`` begin at its tail.
        """

    async def heal(self, stream: str, state: State, start: int) -> bool:
        """Put back records that are missing among others; false if the stream has changed.

        ``state`` has all records from ``start`` to the tail.
        """

    async def begin(
        self,
        stream: str,
        generation: str,
        node: str,
        tail: int,
        bodies: Bodies,
        *,
        queue: tuple[str, str] | None = None,
    ) -> Written | None:
        """Write the first events of a generation, the last of which is its `Started`.

        ``None`` if it had begun already. The stream must end at ``tail``. One that has waited
        brings the version of the ``queue`` that it leaves, and the prompts that stay. What was
        held goes on after it.

        Raises:
            StreamClosed: the stream takes no more records.
            StreamBusy: another generation runs in it, or its next prompt is about to begin.
            Conflict: ``stream_moved``: it ends elsewhere by now; ``queue_changed``: its queue is
                another one by now.
        """

    async def tick(self, ticks: Sequence[Tick]) -> list[Ticked]:
        """Write the next records of generations whose streams are in one partition."""

    async def end(
        self,
        stream: str,
        generation: str,
        bodies: Bodies,
        *,
        number: int | None = None,
        close: bool = False,
        queue: str | None = None,
        hold: bool = False,
    ) -> Ticked:
        """Write the last records of a generation, of which the last is its terminal event.

        ``number`` is that of the first of them; ``None`` for whoever interrupts it and does not
        know. With ``queue`` only if the stream's has this version; ``hold`` holds it from then on.
        """

    async def queue(
        self,
        stream: str,
        version: str,
        bodies: Bodies,
        prompts: tuple[str, str],
        *,
        held: bool = False,
        added: str | None = None,
        dropped: DroppedPrompt | None = None,
    ) -> Written | None:
        """Write the events that tell what waits in a stream, and keep that, all or nothing.

        ``prompts`` are the parts that `hub.domain.queued_prompt.encode_queue` gives, the
        position of the first record between them. The generation that is ``added`` can be found
        by its id, and ``None`` is returned if it has begun or was dropped before; the one that is
        ``dropped`` can be located from then on, as if it had ended with the last record.

        Raises:
            StreamClosed: the stream takes no more records.
            Conflict: ``queue_changed``: its queue has another version by now.
        """

    async def waiting_in(self, generation: str) -> str | None:
        """The stream in which a generation waits, if it does and was not lost."""

    async def note_waiting(self, stream: str, generation: str) -> None:
        """Let a generation that waits be found by its id."""

    async def cancel(self, stream: str, generation: str) -> str | None:
        """Ask for a generation to stop; the hub in which it runs, ``None`` if it does not run."""

    # Nodes

    async def renew(self, node: str, seconds: float) -> list[str]:
        """Renew the lease of a node; those whose lease is over, which are now this one's to end.

        Each is given to one node for as long as a lease, and then to one again until `forget`.
        Nobody's lease is over because the engine was away, and that of a node that listens to its
        `node_topic` only after `CONNECTED_LEASES`.
        """

    async def nodes(self) -> list[str]:
        """The nodes that have a lease, also if it has just ended."""

    async def forget(self, node: str) -> bool:
        """End a node; false if generations of it are left."""

    async def enlist(self, node: str, stream: str, generation: str) -> None:
        """Note that a generation is about to begin in a node; if that dies, another ends it.

        A node without a lease has to renew one within a few seconds.
        """

    async def locate(self, generation: str) -> GenerationLocation | None:
        """Where a generation is that was enlisted in the last 30 days, if its stream has it."""

    async def strike(self, node: str, stream: str, generation: str) -> None:
        """Note that a generation of a node has its end, or has not begun."""

    async def runs(self, node: str) -> list[tuple[str, str]]:
        """The streams and the generations that a node has enlisted."""

    async def claimed(self, key: str) -> Claim | None:
        """What a key was first used for; ``None`` if it was not, or too long ago."""

    async def claim(self, key: str, claim: Claim, seconds: float) -> Claim:
        """What a key was first used for, within so many seconds; ``claim`` if that is this time."""
