"""A stream as those see it who follow it: its history, its tail, and the followers themselves.

Whoever only reads is given this and no more. It moves by `reveal` alone, whoever wrote what is
shown: in this process that is `hub.streams.stream.Stream`, the part that is written.
"""

from __future__ import annotations

from hub.domain import defaults
from hub.domain.counters import Counters
from hub.frames.encoder import Encoder
from hub.stores import Past, Saved
from hub.streams.fanout import Fanout, Follower
from hub.streams.history import History
from hub.streams.shared_budget import SharedBudget

__all__ = ["FollowedStream"]


class FollowedStream(History):
    """A history that can be followed. Used from one event loop."""

    __slots__ = ("__weakref__", "_counts", "fanout", "frames", "lost")

    def __init__(
        self,
        name: str,
        saved: Saved,
        store: Past,
        *,
        counts: Counters | None = None,
        moment: SharedBudget | None = None,
        slice_size: int = defaults.SLICE,
    ) -> None:
        super().__init__(name, saved, store, moment)
        self.lost = False
        """It is not as it was shown: its readers cannot go on."""
        self.frames: dict[tuple[int, int, bool, Encoder], bytes] = {}
        """Catch-up frames that several readers share, for a moment."""
        self._counts = counts if counts is not None else Counters()
        self.fanout = Fanout(self, self._counts, slice_size)

    @property
    def content_type(self) -> str:
        """What its records are."""
        return self.settings.content_type

    def subscribe(self, follower: Follower) -> None:
        """Serve a follower from its place on. One step: history and live have no seam."""
        self.fanout.add(follower)

    def unsubscribe(self, follower: Follower) -> None:
        """Serve it no more; it may have been dropped already."""
        self.fanout.remove(follower)

    def reveal(self, tail: int, *, closed: bool) -> None:
        """Show readers what it has up to ``tail``, and whether that is the end of it."""
        self.tail = tail
        self.closed = closed
        self._retain()
        self.fanout.mark()

    def _retain(self) -> None:
        """Let go of what need not stay in memory; here all of it stays."""

    def lose(self) -> None:
        """Cut off everybody who follows it: what they were shown is not so."""
        self.lost = True
        self.fanout.rouse()
