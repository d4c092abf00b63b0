"""What a store keeps for a process that decides for several hubs, besides what one hub needs.

Such a process (`hub.stores.coordinator`) counts the changes of each stream, and knows in which hub
a generation runs. Whether a write is allowed it decides from memory; the store keeps what it notes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from hub.domain.frozen import frozen
from hub.domain.records import Record
from hub.stores import Change, Saved, Store
from hub.stores.shared import Claim

__all__ = ["Counted", "Kept", "Runs", "SequencedStore"]


@frozen
class Counted(Change):
    """How far a stream is; the fields are those of `hub.stores.shared.State`."""

    born: int
    life: int
    change: int
    number: int = 0
    node: str = ""
    cancelled: bool = False
    """Somebody has asked for the generation that runs to stop."""


@dataclass(frozen=True, slots=True)
class Runs:
    """A generation that runs in a stream: its first offset with that one's epoch, and the offset
    of its `hub.domain.events.Started`.
    """

    generation: str
    epoch: int
    first: int
    started: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A stream as it was kept, without its records."""

    saved: Saved
    forks: frozenset[str]
    counted: Counted | None = None
    """``None`` if only a hub that was alone has written it."""
    running: Runs | None = None


class SequencedStore(Store, Protocol):
    """A store of one process that decides for several hubs."""

    async def kept(self, stream: str) -> Kept | None:
        """As `hub.stores.Store.load`, with what `Counted` has noted.

        Raises:
            StoreError: it cannot be read, or has changed and nothing can be kept at the moment.
        """

    async def newest(self, stream: str, end: int, limit: int) -> list[Record]:
        """The newest of a stream's own records before ``end``, in order: ``limit`` bytes of them
        or one record more.
        """

    async def begin_life(self, above: int) -> int:
        """Begin an epoch of the store that is above ``above`` and all that it has had."""

    def epoch_above(self, epoch: int) -> int:
        """As `hub.stores.Store.epoch`, and above another epoch, too."""

    async def heal(self, stream: str, records: Iterable[Record]) -> None:
        """Put back those of the records that the store has lost.

        Raises:
            StoreError: nothing can be stored at the moment, or that is not confirmed.
        """

    async def claimed(self, key: str) -> Claim | None:
        """As `hub.stores.shared.SharedEngine.claimed`."""

    async def claim(self, key: str, claim: Claim, seconds: float) -> Claim:
        """As `hub.stores.shared.SharedEngine.claim`."""
