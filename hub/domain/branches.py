"""The branches of a conversation in one stream: each turn follows another one.

A turn follows the one before it in the stream. If the event that begins it has a field ``after``,
it follows what that names: a message by its ``id``, a reply by its generation or the ``message`` it
belongs to (of several the last), or whatever began last before a position. ``null`` is the
beginning. A name that nothing has is ignored. So a stream that only grows is a tree; the *branch*
of a turn leads to it from the beginning, and the stream itself is on the branch of its last turn.

Only the offset of a position counts. It means the same record in a stream and in its forks, while
the epoch may be another one after a restart.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, Final, Generic, TypeVar

from hub.domain.errors import PositionError
from hub.domain.records import Position

__all__ = ["AFTER", "START", "Branches"]

AFTER: Final = "after"

START: Final = -1
"""The place before the first turn of every branch."""

Turn = TypeVar("Turn")


class Branches(Generic[Turn]):
    """Turns in the order in which they began. A place is the index of a turn, or `START`."""

    def __init__(self) -> None:
        self._turns: list[Turn] = []
        self._followed: list[int] = []
        """The place that each turn follows."""
        self._offsets: list[int] = []
        """Where each begins in the stream."""
        self._named: dict[str, int] = {}
        """The last turn of each name; many are looked up, and none may cost a walk over all."""

    @property
    def last(self) -> int:
        """The place of the turn that began last."""
        return len(self._turns) - 1

    def add(self, turn: Turn, offset: int, names: Iterable[object], fields: Any = ()) -> int:
        """Add a turn that begins at ``offset`` and has these ``names``, those that are strings.

        ``fields`` are those of its event, maybe with `AFTER`. Returns its place.
        """
        follows = self.last
        if AFTER in fields:
            name = fields[AFTER]
            found = START if name is None else self.find(name)
            follows = follows if found is None else found
        self._turns.append(turn)
        self._followed.append(follows)
        self._offsets.append(offset)
        for name in names:
            if isinstance(name, str):
                self._named[name] = self.last
        return self.last

    def find(self, name: object) -> int | None:
        """The place that a name or a position means; ``None`` if nothing has that name."""
        if not isinstance(name, str):
            return None
        try:
            position = Position.parse(name)
        except PositionError:
            return self._named.get(name)
        return bisect_left(self._offsets, position.offset) - 1

    def begins(self, place: int) -> int:
        """The offset at which a turn begins."""
        return self._offsets[place]

    def beside(self, place: int) -> list[Turn]:
        """The turns that follow the same place as a turn does, itself among them, oldest first."""
        follows = self._followed[place]
        return [self._turns[at] for at, one in enumerate(self._followed) if one == follows]

    def branch(self, place: int) -> list[Turn]:
        """The turns that lead to a place, the first one first."""
        found = []
        while place != START:
            found.append(self._turns[place])
            place = self._followed[place]
        return found[::-1]

    def newest(self, place: int) -> int:
        """Where the branches of a turn have got to: the last turn that follows it, or itself."""
        if place == START:
            return self.last
        within = {place}
        for later in range(place + 1, len(self._turns)):
            if self._followed[later] in within:
                within.add(later)
        return max(within)
