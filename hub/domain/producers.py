"""Idempotent producers: a retried append has one effect.

(Durable Streams Protocol, section 5.2.1.) A producer numbers its appends from 0 in each of its
epochs. The hub keeps one pair for it, the last epoch and number that it accepted, and compares:

    epoch lower               fenced: a newer instance of the producer has taken over
    epoch higher, number 0    accepted
    epoch higher, number > 0  refused: an epoch starts at 0
    number ≤ last             a duplicate: appended before, nothing happens
    number = last + 1         accepted
    number > last + 1         refused: an earlier append has not arrived

`check` changes nothing; `accept` records an append when it is written, so that a refused body does
not use up a number.

A producer is never forgotten, because its retry would then be taken for a new append. So the number
of producers of a stream is bounded, and those of one user have their share of it
(`hub.domain.fair_share`). The name of a producer begins with a line that tells whose it is,
`Principal.scope`; without authentication it has no such line.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from hub.domain import defaults
from hub.domain.errors import Conflict, ProducerFenced, ProducerGap, RequestError
from hub.domain.fair_share import share

__all__ = ["Producers", "Stamp", "check_space", "share_taken", "too_many"]


class Stamp(NamedTuple):
    """The identity of one append of one producer."""

    producer: str
    epoch: int
    number: int


class Producers:
    """The last accepted append of each producer of one stream, of at most ``most`` producers."""

    __slots__ = ("_last", "_most")

    def __init__(
        self, last: dict[str, tuple[int, int]] | None = None, *, most: int = defaults.MAX_PRODUCERS
    ) -> None:
        self._last = dict(last or {})
        self._most = most

    @property
    def all(self) -> Mapping[str, tuple[int, int]]:
        """The last epoch and number of each."""
        return self._last

    def check(self, stamp: Stamp, owner: str | None = None) -> bool:
        """Whether the append is new; false for a duplicate. ``owner`` is the stream's.

        Raises:
            ProducerFenced: a newer epoch has taken over.
            ProducerGap: an earlier append is missing.
            RequestError: a new epoch does not start at 0.
            Conflict: the stream, or the producer's user, has as many producers as it may have.
        """
        if stamp.producer not in self._last:
            check_space(self._last, stamp.producer, owner, self._most)
        epoch, last = self._last.get(stamp.producer, (-1, -1))
        if stamp.epoch < epoch:
            raise ProducerFenced(
                "a newer epoch of this producer has taken over: stop, or use a higher epoch",
                epoch=epoch,
            )
        if stamp.epoch > epoch:
            if epoch >= 0 and stamp.number > 0:
                raise RequestError("a producer's new epoch must start at 0", code="producer_epoch")
            last = -1
        if stamp.number > last + 1:
            raise ProducerGap(
                f"append {last + 1} of this producer has not arrived",
                expected=last + 1,
                received=stamp.number,
            )
        return stamp.number > last

    def accept(self, stamp: Stamp) -> None:
        """Record that the append was written."""
        self._last[stamp.producer] = (stamp.epoch, stamp.number)

    def last(self, stamp: Stamp) -> int:
        """The highest number accepted in the producer's current epoch."""
        return self._last.get(stamp.producer, (stamp.epoch, stamp.number))[1]


def check_space(known: Collection[str], new: str, owner: str | None, most: int) -> None:
    """Check that a ``new`` producer may come to those ``known``, in a stream of an ``owner``.

    Raises:
        Conflict: the stream, or the user, has as many as it may have.
    """
    if len(known) >= most:
        raise too_many(most)
    user, named, _ = new.partition("\n")
    if not named or user == owner or len(known) * 2 < most:  # of half of them nobody has too many
        return
    own = sum(one.startswith(f"{user}\n") for one in known)
    if own >= share(most, len(known) - own):
        raise share_taken()


def share_taken() -> Conflict:
    """The error of another producer of a user who has enough in a stream of somebody else."""
    return Conflict(
        "your producers have as many places of this stream as others have left: use the id of one "
        "of them",
        code="too_many_producers",
    )


def too_many(most: int) -> Conflict:
    """The error of another producer in a stream that has as many as it may have."""
    return Conflict(
        f"the stream has {most} producers, the most it may have: use the id of one of them, or "
        "raise streams.max_producers",
        code="too_many_producers",
    )
