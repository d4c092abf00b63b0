"""Records, of which a stream consists, and positions, which are places in it."""

from __future__ import annotations

import enum
import re
from enum import Enum
from typing import Final, NamedTuple

from hub.domain.errors import PositionError
from hub.domain.events import Delta, Event, recorded

__all__ = ["UNREAD", "Body", "Position", "Record", "Unread", "lean"]

Body = tuple[bytes, Event | None]
"""An encoded record, and the event that it decodes to if it is one."""

# ``re.ASCII`` because ``\d`` and ``int()`` also take the digits of other scripts;
# ``fullmatch`` because ``$`` also matches before a final newline.
_POSITION = re.compile(r"([0-9]{16})_([0-9]{16})", re.ASCII)


class Position(NamedTuple):
    """A place in a stream: the epoch and the offset of the record to read next.

    On the wire it is opaque text, ``%016d_%016d``, which sorts in stream order. Offsets continue
    across epochs, so the epoch only tells *which* record was at an offset.
    """

    epoch: int
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch:016d}_{self.offset:016d}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read a client's position.

        Raises:
            PositionError: it does not have the form of a position.
        """
        found = _POSITION.fullmatch(text)
        if found is None:
            raise PositionError("a position must be copied from a response of the hub")
        return cls(int(found[1]), int(found[2]))


class Unread(Enum):
    """The type of `UNREAD`."""

    UNREAD = enum.auto()


UNREAD: Final = Unread.UNREAD
"""Stands for an event that exists only in the body."""

RECORD_BYTES: Final = 160
"""Memory of a record besides its body's content: the object, its offset, the header of the body,
and its entry in a list."""

DELTA_BYTES: Final = 40
"""Memory of a kept delta besides its strings."""

KEPT_BYTES: Final = 192
"""The most memory of the strings of a kept delta."""


class Record:
    """An event at an offset, encoded once.

    ``body`` is the event as JSON without white space, or a producer's bytes; every subscriber is
    sent these same bytes. ``event`` is the decoded form, or ``None`` for bytes that are not an
    event. A decoded object may need thirty times the memory of its JSON, so only small deltas are
    kept (see `lean`); any other event is `UNREAD` and decoded at each access.
    """

    __slots__ = ("_event", "body", "offset")

    def __init__(self, offset: int, body: bytes, event: Event | Unread | None) -> None:
        self.offset = offset
        self.body = body
        self._event = event

    @property
    def event(self) -> Event | None:
        """The event of the body, decoded at each access unless it is kept."""
        event = self._event
        return recorded(self.body) if event is UNREAD else event

    @property
    def size(self) -> int:
        """Approximate bytes in memory, which every memory limit counts."""
        size = RECORD_BYTES + len(self.body)
        event = self._event
        if type(event) is Delta:
            size += DELTA_BYTES + _strings(event)
        return size

    def __repr__(self) -> str:
        return f"Record({self.offset}, {self.body!r})"


def lean(event: Event) -> Event | Unread:
    """What a record keeps of one of the hub's events, besides its body: small deltas.

    There are thousands of them, and every reader that is not sent their bodies needs them. All
    deltas of a generation share the string with its name.
    """
    if type(event) is not Delta or event.tool or event.extra or _strings(event) > KEPT_BYTES:
        return UNREAD
    return event


def _strings(delta: Delta) -> int:
    """Bytes of a delta's text and reasoning in memory, up to four times those in its body."""
    return delta.text.__sizeof__() + delta.reasoning.__sizeof__()
