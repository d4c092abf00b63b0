"""Writing to streams by name: the one place that decides whether a write is allowed.

A method checks and writes in one step; nothing can come in between. If it raises, nothing has
changed; otherwise it returns the state right after the write. The write is not yet safe: code
that must not run ahead of the store also awaits `hub.stores.Store.synced`.

A generation writes often and waits for nothing. It has an `Appender`, which writes for as long
as the generation holds its stream. How it begins is not part of `Writer`: it depends on whether the
stream can be held first (`hub.streams.writer.LocalWriter.begin`) or not
(`hub.streams.shared_appender.Ticker.begin`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hub.domain.events import Event
from hub.domain.outcome import Outcome
from hub.domain.producers import Stamp
from hub.domain.queued_prompt import QueuedPrompt
from hub.domain.records import Body, Position, Record
from hub.domain.stream_settings import StreamSettings

__all__ = ["Appender", "Beginning", "Writer"]


class Appender(Protocol):
    """Writes the events of a generation."""

    def append(self, event: Event, *, safe: bool = False) -> Record | None:
        """Append an event; ``safe`` shows it to readers only once it is committed.

        Returns its record, unless it is written later and has no offset yet.

        Raises:
            StreamClosed, StreamNotFound: the stream takes no more records.
        """

    @property
    def full(self) -> bool:
        """Whether the store holds as many changes as it may."""

    async def space(self) -> None:
        """Wait until the store takes more; for sources that can wait."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first events of a generation: the messages it answers, then its `Started`."""

    generation: str
    events: Sequence[Event]
    key: str | None = None
    fingerprint: bytes = b""
    """Of the request that the idempotency key stands for."""
    queued: QueuedPrompt | None = None
    """The prompt that it takes from the stream's queue, whose first one it must still be."""


class Writer(Protocol):
    """Operations on streams, each named by ``stream``."""

    async def load(self, stream: str) -> Outcome:
        """The end of a stream.

        Raises:
            InvalidName, StreamNotFound: there is no such stream.
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
        epoch: int | None = None,
    ) -> Outcome:
        """Begin a stream with its first records; a duplicate if the same stream exists.

        With an ``epoch`` only the stream of that epoch is meant; -1 means a new one.

        Raises:
            StreamNotFound: the name is not in that epoch.
            InvalidName, LimitExceeded: it cannot begin.
            Conflict: ``stream_exists``: a different stream has the name; ``stream_deleted``: it
                was deleted, and its forks still hold the name.
            StoreError: nothing can be kept at the moment.
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
        """Write records, their producer's stamp, and the close: all or nothing.

        With ``settings`` a missing stream begins. With an ``epoch`` only the stream of that epoch
        is written to: the records were made for its content type; -1 means a new one.

        Raises:
            StreamClosed: the stream is closed. The write that closed it is a duplicate instead.
            StreamBusy: it would close a stream in which a generation runs.
            ProducerFenced, ProducerGap, RequestError, Conflict: as
                `hub.domain.producers.Producers.check`.
            Conflict: ``stream_seq``: the sequence is not greater than the last; ``not_json``: the
                stream holds no events.
            HubError: as `load` or, with ``settings``, `create`.
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
        epoch: int | None = None,
        source_epoch: int | None = None,
    ) -> Outcome:
        """Begin a stream with another's records; a duplicate if the same fork exists.

        The epochs restrict which streams are meant, as in `create`.

        See `hub.streams.registry.Streams.fork` for what it takes over and raises.
        """

    async def delete(self, stream: str, *, epoch: int | None = None) -> Outcome:
        """Remove a stream, or hide it while it has forks; with ``epoch`` only the stream of it.

        Raises:
            HubError: as `load`.
            StoreError: nothing can be kept at the moment.
        """

    async def touch(self, stream: str) -> Outcome:
        """Postpone the expiry of a stream with a ``ttl``, because it is read or written.

        Raises:
            HubError: as `load`.
        """
