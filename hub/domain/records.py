"""Records and positions: what a stream is made of and how a place in it is named."""

from __future__ import annotations

import enum
import re
from enum import Enum
from typing import Final, NamedTuple

from hub.domain.errors import PositionError
from hub.domain.events import Delta, Event, recorded

__all__ = ["UNREAD", "Body", "Position", "Record", "Unread", "lean"]

Body = tuple[bytes, Event | None]
"""An encoded record, and the event that it decodes to."""

# ``re.ASCII`` because ``\d`` and ``int()`` also take the digits of other scripts;
# ``fullmatch`` because ``$`` also matches before a final newline.
_POSITION = re.compile(r"([0-9]{16})_([0-9]{16})", re.ASCII)


class Position(NamedTuple):
    """A place in a stream: the epoch and the offset of the record to be read next.

    On the wire it is opaque text, ``%016d_%016d``, which sorts as the places do. Offsets
    go on across epochs, so an epoch only tells *which* record was at an offset.
    """

    epoch: int
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch:016d}_{self.offset:016d}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read a position as a client sent it.

        Raises:
            PositionError: it is not one of ours.
        """
        found = _POSITION.fullmatch(text)
        if found is None:
            raise PositionError("a position is copied from a reply of the hub, never made up")
        return cls(int(found[1]), int(found[2]))


class Unread(Enum):
    """The type of `UNREAD`."""

    UNREAD = enum.auto()


UNREAD: Final = Unread.UNREAD
"""Stands for an event that is in the body and nowhere else."""

RECORD_BYTES: Final = 160
"""What a record needs beside what its body says: itself, its offset, the head of its body, and
its place in a list."""

DELTA_BYTES: Final = 40
"""What a delta that is kept needs beside its strings."""

KEPT_BYTES: Final = 192
"""The most that the strings of a delta take which is kept."""


class Record:
    """An event at an offset, encoded once.

    ``body`` is the event as JSON without white space, or a producer's bytes; every
    subscriber is sent these same bytes. ``event`` is the decoded form, ``None`` for bytes
    that are not an event. A decoded object may need thirty times what its JSON does, so
    only that of a small delta is kept (see `lean`); any other is `UNREAD`, and decoded
    whenever somebody asks for it.
    """

    __slots__ = ("_event", "body", "offset")

    def __init__(self, offset: int, body: bytes, event: Event | Unread | None) -> None:
        self.offset = offset
        self.body = body
        self._event = event

    @property
    def event(self) -> Event | None:
        """What the body decodes to, anew for each who asks unless it is kept."""
        event = self._event
        if event is not UNREAD:
            return event
        return recorded(self.body)

    @property
    def size(self) -> int:
        """Bytes of memory that it takes, about: what every limit on memory counts."""
        size = RECORD_BYTES + len(self.body)
        event = self._event
        if type(event) is Delta:
            size += DELTA_BYTES + _strings(event)
        return size

    def __repr__(self) -> str:
        return f"Record({self.offset}, {self.body!r})"


def lean(event: Event) -> Event | Unread:
    """What a record keeps of an event of the hub's own, beside its body.

    Small deltas, which are written by the thousand, and asked for by every reader who is not
    sent their bodies. The name of their generation is one string for all of them.
    """
    if type(event) is not Delta or event.tool or event.extra or _strings(event) > KEPT_BYTES:
        return UNREAD
    return event


def _strings(delta: Delta) -> int:
    """Bytes of its text and reasoning in memory: up to four times those in its body."""
    return delta.text.__sizeof__() + delta.reasoning.__sizeof__()
