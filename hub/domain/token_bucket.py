"""How much may be done, on average and at once."""

from __future__ import annotations

__all__ = ["TokenBucket"]


class TokenBucket:
    """Holds up to ``burst`` tokens, and gets ``rate`` new ones a second; it begins full.

    Times are in seconds of a clock that never goes back.
    """

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, burst: float, rate: float, now: float) -> None:
        self._burst = burst
        self._rate = rate
        self._tokens = burst
        self._at = now

    def take(self, tokens: float, now: float) -> float:
        """Take tokens, also on credit; returns for how many seconds there is a debt then."""
        held = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._tokens, self._at = held - tokens, now
        return max(0.0, -self._tokens / self._rate)
