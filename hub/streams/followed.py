"""The part of a stream that can be followed: its history, its tail, and its followers.

Readers are given this part only. It changes only by `FollowedStream.reveal`, whoever writes the
records: in this process that is `hub.streams.stream.Stream`, the part that is written.
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

    __slots__ = ("__weakref__", "_counts", "ended", "fanout", "frames", "lost")

    def __init__(
        self,
        name: str,
        saved: Saved,
        store: Past,
        *,
        counts: Counters | None = None,
        cache_budget: SharedBudget | None = None,
        slice_size: int = defaults.SLICE,
    ) -> None:
        super().__init__(name, saved, store, cache_budget)
        self.lost = False
        """It is not as readers have seen it, so they cannot go on."""
        self.ended = 0
        """An offset at which no generation is unfinished, as far as is known."""
        self.frames: dict[tuple[int, int, bool, Encoder], bytes] = {}
        """Catch-up frames for several readers, dropped about once a second."""
        self._counts = counts if counts is not None else Counters()
        self.fanout = Fanout(self, self._counts, slice_size)

    @property
    def content_type(self) -> str:
        return self.settings.content_type

    def subscribe(self, follower: Follower) -> None:
        """Serve a follower from its place on; history and live have no seam."""
        self.fanout.add(follower)

    def unsubscribe(self, follower: Follower) -> None:
        """Serve a follower no longer; it may have been removed already."""
        self.fanout.remove(follower)

    def reveal(self, tail: int, *, closed: bool) -> None:
        """Show readers the records up to ``tail``, and whether the stream ends there."""
        self.tail = tail
        self.closed = closed
        self._retain()
        self.fanout.mark()

    def _retain(self) -> None:
        """Drop what need not stay in memory; here all of it stays."""

    def lose(self) -> None:
        """Cut off all followers, because what they have seen is lost."""
        self.lost = True
        self.fanout.queue_all()
