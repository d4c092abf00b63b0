"""Writing to streams by name: the one place where what a write depends on is judged.

A method checks and writes in one step, whoever else writes: nothing comes in between. What it
raises has changed nothing, and what it returns is the state right after it. That is not yet safe;
whoever must not run ahead of the store waits for `hub.stores.Store.synced` as well.

A generation writes much and waits for nothing: it has an `Appender`, which writes for as long as
the generation holds its stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hub.domain.events import Event
from hub.domain.outcome import Outcome
from hub.domain.producers import Stamp
from hub.domain.records import Body, Position, Record
from hub.domain.stream_settings import StreamSettings

__all__ = ["Appender", "Beginning", "Writer"]


class Appender(Protocol):
    """Where a generation writes."""

    def append(self, event: Event, *, safe: bool = False) -> Record:
        """Write an event at the end; ``safe`` shows it to readers only once it is committed.

        Raises:
            StreamClosed, StreamNotFound: nothing may be written any more.
        """

    @property
    def full(self) -> bool:
        """The store holds as much as it may."""

    async def space(self) -> None:
        """Wait until the store takes more; for whoever can make a source wait."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a generation begins: what was said to it, and last its `Started`."""

    generation: str
    events: Sequence[Event]
    key: str | None = None
    fingerprint: bytes = b""
    """Of what the idempotency key stands for."""


class Writer(Protocol):
    """What can be done to streams. A name is that of a stream which is open to be written."""

    async def load(self, stream: str) -> Outcome:
        """Where a stream ends.

        Raises:
            InvalidName, StreamNotFound: there is none of that name.
            Gone: it was deleted, and is only kept for its forks.
            StoreError: it cannot be read.
        """

    async def create(
        self,
        stream: str,
        settings: StreamSettings,
        bodies: Sequence[Body] = (),
        *,
        close: bool = False,
    ) -> Outcome:
        """Begin a stream with its first records; the same one that is there is a duplicate.

        Raises:
            InvalidName, LimitExceeded: it cannot begin.
            Conflict: ``stream_exists``: there is another of the name; ``stream_deleted``: it was
                deleted, and its forks still hold the name.
            StoreError: nothing can be kept just now.
        """

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
        """Write records, what their producer has reached, and the close: all or nothing.

        With ``settings`` a stream that is not there begins; with an ``epoch`` only the stream
        of that epoch is meant, whose kind the records were made for.

        Raises:
            StreamClosed: it takes no more, unless this is what closed it: then it is a duplicate.
            StreamBusy: it would close a stream in which something is generated.
            ProducerFenced, ProducerGap, RequestError, Conflict: as
                `hub.domain.producers.Producers.check`.
            Conflict: ``stream_seq``: the sequence is not greater than the last; ``not_json``: it
                holds no events.
            HubError: as `load` or, with ``settings``, `create`.
        """

    async def begin(self, stream: str, beginning: Beginning) -> Outcome:
        """Write how a generation begins, and note that it runs; its stream is held for it.

        Raises:
            StreamBusy: the stream is not held for this generation.
            HubError: as `write`.
        """

    def appender(self, stream: str, fence: str) -> Appender:
        """Where the generation that is called ``fence`` writes, which holds the stream.

        Raises:
            StreamBusy: it does not, or no longer.
        """

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
    ) -> Outcome:
        """Begin a stream with another's records; the same fork that is there is a duplicate.

        See `hub.streams.registry.Streams.fork` for what it takes over, and what it raises.
        """

    async def delete(self, stream: str, *, epoch: int | None = None) -> Outcome:
        """Remove a stream, or hide it while it has forks; only the one of an ``epoch`` if given.

        Raises:
            HubError: as `load`; so also if it was removed meanwhile.
            StoreError: nothing can be kept just now.
        """

    async def touch(self, stream: str) -> Outcome:
        """Somebody reads or writes it: a stream with a sliding expiry lives on.

        Raises:
            HubError: as `load`.
        """
