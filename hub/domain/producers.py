"""Idempotent producers: a retried append has one effect.

(Durable Streams Protocol, section 5.2.1.) A producer numbers its appends from 0 in each of
its epochs. What the hub has accepted of it is one pair, epoch and number, and the rules are
a comparison:

    epoch lower               fenced: a newer instance of the producer has taken over
    epoch higher, number 0    accepted
    epoch higher, number > 0  refused: an epoch begins at 0
    number ≤ last             a duplicate: it was appended before, nothing happens
    number = last + 1         accepted
    number > last + 1         refused: something before it has not arrived

`check` changes nothing. What it let pass is taken over by `accept`, together with the
append itself, so that a refused body does not use up a number.

Nothing is ever forgotten of a producer, or its next append might be taken for new; so a stream
has only so many.
"""

from __future__ import annotations

from typing import NamedTuple

from hub.domain import defaults
from hub.domain.errors import Conflict, ProducerFenced, ProducerGap, RequestError

__all__ = ["Producers", "Stamp"]


class Stamp(NamedTuple):
    """One append of one producer."""

    producer: str
    epoch: int
    number: int


class Producers:
    """What has been accepted of each producer of one stream, at most ``most`` of them."""

    __slots__ = ("_last", "_most")

    def __init__(
        self, last: dict[str, tuple[int, int]] | None = None, *, most: int = defaults.MAX_PRODUCERS
    ) -> None:
        self._last = dict(last or {})
        self._most = most

    def check(self, stamp: Stamp) -> bool:
        """Whether the append is new; false for a duplicate.

        Raises:
            ProducerFenced: its epoch is over.
            ProducerGap: an append before it is missing.
            RequestError: a new epoch does not begin at 0.
            Conflict: the stream has as many producers as it may.
        """
        if stamp.producer not in self._last and len(self._last) >= self._most:
            raise Conflict(
                f"{self._most} producers have written here, and a new one may not: go on as one "
                "of them, or raise streams.max_producers",
                code="too_many_producers",
            )
        epoch, last = self._last.get(stamp.producer, (-1, -1))
        if stamp.epoch < epoch:
            raise ProducerFenced(
                "a newer epoch of this producer has taken over: stop, or begin a higher one",
                epoch=epoch,
            )
        if stamp.epoch > epoch:
            if epoch >= 0 and stamp.number > 0:
                raise RequestError("a new epoch of a producer begins at 0", code="producer_epoch")
            last = -1
        if stamp.number > last + 1:
            raise ProducerGap(
                f"append {last + 1} of this producer has not arrived",
                expected=last + 1,
                received=stamp.number,
            )
        return stamp.number > last

    def accept(self, stamp: Stamp) -> None:
        """The append was written."""
        self._last[stamp.producer] = (stamp.epoch, stamp.number)

    def last(self, stamp: Stamp) -> int:
        """The highest number accepted in the producer's present epoch."""
        return self._last.get(stamp.producer, (stamp.epoch, stamp.number))[1]
