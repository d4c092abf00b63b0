"""Records and positions: what a stream is made of and how a place in it is named."""

from __future__ import annotations

import re
from typing import NamedTuple

from hub.errors import PositionError
from hub.events import Event

__all__ = ["Position", "Record"]

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


class Record:
    """An event at an offset, encoded once.

    ``body`` is the event as JSON without white space, or a producer's bytes; every
    subscriber is sent these same bytes. ``event`` is the decoded form, ``None`` for bytes
    that are not an event.
    """

    __slots__ = ("body", "event", "offset")

    def __init__(self, offset: int, body: bytes, event: Event | None) -> None:
        self.offset = offset
        self.body = body
        self.event = event

    def __repr__(self) -> str:
        return f"Record({self.offset}, {self.body!r})"
