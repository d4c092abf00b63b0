"""The lives of a stream: which one wrote a record, and from where a reader has to read again.

A life is a pair (epoch, first offset that it wrote); both increase. A reader's position names the
life in which the reader received it. Every later life has the records before its own first offset.
So one number decides for any reader: `after`, where the first life that it does not know began.

The number of lives kept is bounded, in ways that never let a reader continue wrongly:

- A life whose records are all gone begins where the next one does. Dropping it changes no decision,
  because the next life begins no later and has a higher epoch. The store still knows that the life
  existed (`hub.stores.Past.lived`).
- If there are more than `MOST`, the two oldest are merged into one, with the epoch of the later and
  the first offset of the earlier. A reader from that many crashes ago reads everything again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Final

__all__ = ["Epochs", "Life", "above"]

Life = tuple[int, int]

MOST: Final = 1000
"""The most lives kept of a stream."""

_epoch = itemgetter(0)
_first = itemgetter(1)


def above(lives: Sequence[Life], epoch: int) -> tuple[Life, ...]:
    """The lives of a stream without those up to ``epoch``, in which another had its name.

    A reader with a position in one of those reads everything again. The last of ``lives`` must be
    later than ``epoch``.
    """
    later = [life for life in lives if life[0] > epoch]
    return tuple(lives) if len(later) == len(lives) else ((later[0][0], 0), *later[1:])


class Epochs:
    """The lives of one stream, oldest first; there is at least one."""

    __slots__ = ("_lives",)

    def __init__(self, lives: Iterable[Life]) -> None:
        self._lives: list[Life] = []
        for epoch, first in lives:
            self.begin(epoch, first)

    def __iter__(self) -> Iterator[Life]:
        return iter(self._lives)

    @property
    def last(self) -> Life:
        """The current life."""
        return self._lives[-1]

    def begin(self, epoch: int, first: int) -> None:
        """Add a life that begins at the tail; does nothing if it is the current one."""
        if self._lives and epoch <= self._lives[-1][0]:
            return
        while self._lives and self._lives[-1][1] >= first:
            self._lives.pop()
        self._lives.append((epoch, first))
        if len(self._lives) > MOST:
            (_, first), (epoch, _) = self._lives[:2]
            self._lives[:2] = [(epoch, first)]

    def __contains__(self, epoch: int) -> bool:
        row = bisect_right(self._lives, epoch, key=_epoch) - 1
        return row >= 0 and self._lives[row][0] == epoch

    def of(self, offset: int) -> int:
        """The epoch of the life that wrote the record at an offset, or will write it."""
        return self._lives[max(0, bisect_right(self._lives, offset, key=_first) - 1)][0]

    def end(self, offset: int) -> int | None:
        """Where the life that wrote the record at an offset ended, or ``None``."""
        row = bisect_right(self._lives, offset, key=_first)
        return self._lives[row][1] if row < len(self._lives) else None

    def after(self, epoch: int) -> int | None:
        """Where the first life after an epoch began, or ``None``."""
        row = bisect_right(self._lives, epoch, key=_epoch)
        return self._lives[row][1] if row < len(self._lives) else None

    def until(self, offset: int) -> list[Life]:
        """The lives that had begun at an offset."""
        return self._lives[: bisect_right(self._lives, offset, key=_first)]
