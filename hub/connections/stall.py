"""Whether a connection whose writing is paused takes anything at all."""

from __future__ import annotations

__all__ = ["StallDetector"]


class StallDetector:
    """How far a connection had come when it was last seen to move, and when that was."""

    __slots__ = ("_left", "_since", "_written")

    def __init__(self) -> None:
        self._since = 0.0
        self._written = -1
        self._left = 0

    def pause(self, now: float, written: int, left: int) -> float:
        """Seconds without progress, by now.

        It moves if something more was ``written``, or if fewer bytes are ``left`` in its buffer
        than when it last did.
        """
        if written != self._written or left < self._left:
            self._since, self._written, self._left = now, written, left
        return now - self._since
