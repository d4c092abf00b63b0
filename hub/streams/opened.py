"""What operations on streams need of those who keep them, whoever that is.

The streams of a process are in its memory (`hub.streams.registry`). Those that several hubs write
are in an engine, and are followed here (`hub.streams.shared_registry`). Operations on streams and
generations know only this.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Final, Protocol

from hub.domain.errors import StreamNotFound
from hub.domain.outcome import Outcome
from hub.domain.producers import Stamp
from hub.domain.queued_prompt import QueuedPrompt
from hub.domain.stream_settings import StreamSettings
from hub.stores import Listed
from hub.streams.followed import FollowedStream
from hub.streams.waiters import StreamWaiters

__all__ = ["ABSENT", "OpenedStream", "StreamRegistry", "check_epoch"]

ABSENT: Final = -1
"""The epoch of a name without a stream."""


class OpenedStream(FollowedStream, ABC):
    """A stream that can be followed, and written by its name (`hub.stores.writer.Writer`)."""

    __slots__ = ("held", "queue", "sealed")

    sealed: bool
    """Whether nothing more may be written, as far as is known here."""
    queue: tuple[QueuedPrompt, ...]
    """The prompts that wait for their turn, the next one first."""
    held: bool
    """Whether they wait until somebody sends one."""

    @property
    @abstractmethod
    def unfinished(self) -> tuple[str, int] | None:
        """The generation that runs in it and the offset of its first event, if it has one."""

    @abstractmethod
    def has_been(self, epoch: int) -> bool:
        """Whether a stream that was opened in this epoch is this one, as it was judged then."""

    @abstractmethod
    def judge(self, stamp: Stamp | None = None, *, only_close: bool = False) -> Outcome | None:
        """The outcome of a write that does not depend on its records, if it can be told here.

        ``only_close``: it closes the stream without writing records.

        Raises:
            HubError: as `hub.stores.writer.Writer.write`.
        """


class StreamRegistry(Protocol):
    """Opens streams by name."""

    @property
    def awaited(self) -> StreamWaiters:
        """Those who wait for a stream to begin; see `expect`."""

    def __len__(self) -> int:
        """The number of streams in memory."""

    @property
    def size(self) -> int:
        """Bytes of memory of all records."""

    def loaded(self, name: str) -> OpenedStream | None:
        """The stream of a name, if it is in memory."""

    async def open(self, name: str) -> OpenedStream:
        """An existing stream, with all that was acknowledged to anybody before.

        Raises:
            InvalidName: no stream can have this name.
            StreamNotFound: there is no such stream.
            Gone: it was deleted, and is only kept for its forks.
            StoreError: it cannot be read.
        """

    async def create(
        self, name: str, settings: StreamSettings | None = None, *, epoch: int | None = None
    ) -> tuple[OpenedStream, bool]:
        """The stream of a name, created if there is none, and whether it was.

        With an ``epoch`` only the stream of that epoch is meant; `ABSENT`: only a new one.

        Raises:
            InvalidName: no stream can have this name.
            StreamNotFound: the name is not in that epoch.
            LimitExceeded: there are as many streams as there may be.
            Conflict: it was deleted, and its forks still hold the name.
            StoreError: nothing can be kept at the moment.
        """

    def expect(self, name: str) -> None:
        """Tell those who have begun to wait for a stream (`awaited`) when it begins, or has."""

    def is_same(self, stream: FollowedStream, epoch: int) -> bool:
        """Whether a stream is the one that had its name in an epoch, and not a later one."""

    async def exists(self, name: str, epoch: int) -> bool:
        """Whether the stream that had a name in an epoch is still there."""

    async def listed(self, prefix: str, after: str, limit: int) -> tuple[list[Listed], bool]:
        """Up to ``limit`` streams by name, and whether there are more.

        Their names begin with ``prefix`` and come after ``after``.
        """

    async def owned(
        self, owner: str, prefix: str, after: str, limit: int
    ) -> tuple[list[Listed], bool]:
        """As `listed`, of one owner's streams."""

    async def set_owner(self, names: Iterable[str], owner: str | None) -> None:
        """Give streams to a subject, or to nobody; those that are not there are left out.

        Raises:
            StoreError: it cannot be kept, or that is not confirmed.
        """

    def written(self, name: str) -> None:
        """Postpone the expiry of a stream whose object was written to."""

    def admit(self) -> None:
        """Check that a write can be made safe and acknowledged.

        Raises:
            StoreError: nothing can be made safe at the moment.
        """

    async def committed(self, stream: str | None = None) -> None:
        """Wait until what was written so far, at all or to a stream, may be acknowledged.

        Raises:
            StoreError: it cannot be kept, or that is not confirmed.
        """


def check_epoch(name: str, stream: OpenedStream | None, epoch: int | None) -> None:
    """Refuse a stream, or its absence, if another epoch of its name is meant.

    Raises:
        StreamNotFound: it is not the one that was meant.
    """
    if epoch is None:
        return
    if not (epoch == ABSENT if stream is None else stream.has_been(epoch)):
        raise StreamNotFound.named(name)
