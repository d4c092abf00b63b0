"""How much of something each caller has at a time."""

from __future__ import annotations

from collections import Counter

from hub.domain.errors import RateLimited

__all__ = ["AtOnce"]


class AtOnce:
    """Counts what each caller (`Principal.counted_as`) has: ``most`` at most; 0 is no limit.

    ``refusal`` is the sentence for whoever would have more, ``wait`` after how many seconds it may
    try again, if that is known. What is nobody's (``None``) is not counted.
    """

    __slots__ = ("_has", "_most", "_refusal", "_wait")

    def __init__(self, most: int, refusal: str, *, wait: float | None = None) -> None:
        self._most = most
        self._refusal = refusal
        self._wait = wait
        self._has: Counter[str] = Counter()

    def of(self, caller: str) -> int:
        """How many a caller has now; 0 without a limit."""
        return self._has[caller]

    def check(self, caller: str | None) -> None:
        """Check that a caller may have one more.

        Raises:
            RateLimited: it has as many as it may.
        """
        if self._most and caller is not None and self._has[caller] >= self._most:
            raise RateLimited(self._refusal, wait=self._wait)

    def take(self, caller: str | None) -> None:
        """Count one more, until `give`; raises what `check` does, and then counts nothing."""
        self.check(caller)
        if self._most and caller is not None:
            self._has[caller] += 1

    def give(self, caller: str | None) -> None:
        """A caller has one less."""
        if self._most and caller is not None:
            self._has[caller] -= 1
            if not self._has[caller]:
                del self._has[caller]
