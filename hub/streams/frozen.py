"""A stream up to a position, as if it had ended there.

Whoever may only read that much is given this in its place: its tail does not move, it is closed,
and nothing tells whether the stream goes on. It holds no records of its own; readers who are in the
same one share what they read.
"""

from __future__ import annotations

from typing import Final
from weakref import WeakValueDictionary

from hub.domain.errors import Gone
from hub.domain.records import Position, Record
from hub.stores import Saved
from hub.streams.followed import FollowedStream
from hub.streams.shared_budget import SharedBudget

__all__ = ["FrozenStream", "FrozenStreams"]

CACHED_BYTES: Final = 1024 * 1024
"""The most that one keeps for other readers."""


class FrozenStream(FollowedStream):
    """The records of a stream before an offset."""

    __slots__ = ("of",)

    def __init__(self, of: FollowedStream, end: int) -> None:
        saved = Saved(of.settings, of.lives_until(end), head=of.head, tail=end, closed=True)
        super().__init__(of.name, saved, _Past(of), cache_budget=SharedBudget(CACHED_BYTES))
        self.of = of


class _Past:
    """The past of another stream; see `hub.stores.Past`."""

    def __init__(self, stream: FollowedStream) -> None:
        self._stream = stream

    async def read(self, stream: str, offset: int, limit: int) -> list[Record]:
        del stream
        return (await self._stream.fetch(offset, limit)).records

    def lived(self, epoch: int) -> bool:
        return self._stream.lived(epoch)


class FrozenStreams:
    """The frozen streams that are being read."""

    def __init__(self) -> None:
        self._held: WeakValueDictionary[tuple[str, int], FrozenStream] = WeakValueDictionary()

    def get(self, stream: FollowedStream, until: Position) -> FrozenStream:
        """A stream up to a position.

        If the records before it were lost in a crash, it ends before these.

        Raises:
            Gone: ``position_trimmed``: nothing before the position is kept.
        """
        place = stream.place(until)
        end = place.offset
        trimmed = place.reset is not None and place.reset.reason == "trimmed"
        if trimmed or end < stream.head:
            raise Gone("what this link shows is no longer kept", code="position_trimmed")
        held = self._held.get((stream.name, end))
        if held is None or held.of is not stream:
            held = self._held[stream.name, end] = FrozenStream(stream, end)
        return held
