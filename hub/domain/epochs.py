"""The lives of a stream: which of them wrote a record, and which records it cannot have.

A life is a pair (epoch, the first offset that it wrote); both rise. A reader's position names
the life in which it was told, and every later life has what came before its own first offset,
so one number judges any reader: `after`, where the first life that it does not know began.

How many are kept is bounded, and no reader is ever taken for one that may go on:

- A life that wrote nothing which is still there begins where the next one does. Without it
  every reader is judged as before, since the next one begins no later and is later, too. That
  the life was one of ours the store knows (`hub.stores.Past.lived`).
- Of more than `MOST` the two oldest become one: the epoch of the later, which began where the
  earlier did. Whoever was last here that many crashes ago reads all of it again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Final

__all__ = ["Epochs", "Life", "above"]

Life = tuple[int, int]

MOST: Final = 1000
"""Lives that are kept of a stream."""

_epoch = itemgetter(0)
_first = itemgetter(1)


def above(lives: Sequence[Life], epoch: int) -> tuple[Life, ...]:
    """The lives for a stream of a name that was another's up to an epoch.

    None of those up to there are its own: to whoever has a position of theirs, all is new. The
    last of the lives is later than it.
    """
    later = [life for life in lives if life[0] > epoch]
    return tuple(lives) if len(later) == len(lives) else ((later[0][0], 0), *later[1:])


class Epochs:
    """The lives of one stream, the oldest first; there is at least one."""

    __slots__ = ("_lives",)

    def __init__(self, lives: Iterable[Life]) -> None:
        self._lives: list[Life] = []
        for epoch, first in lives:
            self.begin(epoch, first)

    def __iter__(self) -> Iterator[Life]:
        return iter(self._lives)

    @property
    def last(self) -> Life:
        """The present one."""
        return self._lives[-1]

    def begin(self, epoch: int, first: int) -> None:
        """A life began at the tail, later than all before; the present one begins only once."""
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
        """The epoch of the life that wrote the record at an offset, or is to write it."""
        return self._lives[max(0, bisect_right(self._lives, offset, key=_first) - 1)][0]

    def end(self, offset: int) -> int | None:
        """Where the life that wrote the record at an offset ended; ``None``: it has not."""
        row = bisect_right(self._lives, offset, key=_first)
        return self._lives[row][1] if row < len(self._lives) else None

    def after(self, epoch: int) -> int | None:
        """Where the first life after an epoch began, if there was one."""
        row = bisect_right(self._lives, epoch, key=_epoch)
        return self._lives[row][1] if row < len(self._lives) else None

    def until(self, offset: int) -> list[Life]:
        """Those that had begun at an offset."""
        return self._lives[: bisect_right(self._lives, offset, key=_first)]
