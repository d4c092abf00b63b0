"""Whether a client takes anything while writing to it is paused."""

from __future__ import annotations

__all__ = ["StallDetector"]


class StallDetector:
    """Remembers when a connection last made progress."""

    __slots__ = ("_left", "_since", "_written")

    def __init__(self) -> None:
        self._since = 0.0
        self._written = -1
        self._left = 0

    def pause(self, now: float, written: int, left: int) -> float:
        """Seconds without progress at ``now``.

        Progress means that more bytes were ``written``, or that fewer are ``left`` in the buffer
        than at the last progress.
        """
        if written != self._written or left < self._left:
            self._since, self._written, self._left = now, written, left
        return now - self._since
