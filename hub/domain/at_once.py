"""How much of something each caller has at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from hub.domain.errors import LimitExceeded
from hub.domain.untold import Untold

__all__ = ["AtOnce", "Elsewhere"]


class Elsewhere:
    """What callers have at other hubs, as far as these have said so lately."""

    __slots__ = ("_said", "_sums")

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], tuple[int, float]] = {}
        """How much a caller has at a hub, and until when that counts if it is not said again."""
        self._sums: Counter[str] = Counter()

    def of(self, caller: str) -> int:
        """How much a caller has at all of them together."""
        return self._sums[caller]

    def hear(self, hub: str, numbers: Mapping[str, int], till: float) -> None:
        """Note how much callers have at a hub."""
        for caller, number in numbers.items():
            before, _ = self._said.pop((hub, caller), (0, 0.0))
            self._add(caller, number - before)
            if number:
                self._said[hub, caller] = number, till

    def forget(self, now: float) -> None:
        """Forget what was not said again in time."""
        late = [one for one, (_, till) in self._said.items() if till < now]
        for hub, caller in late:
            self.hear(hub, {caller: 0}, now)

    def _add(self, caller: str, more: int) -> None:
        self._sums[caller] += more
        if not self._sums[caller]:
            del self._sums[caller]


class AtOnce:
    """Counts what each caller (`Principal.counted_as`) has: ``most`` at most; 0 is no limit.

    ``refusal`` makes the error for whoever would have more. What is nobody's (``None``) is not
    counted. Set `untold` for others to be told of what is counted here.
    """

    __slots__ = ("_has", "_most", "_refusal", "elsewhere", "untold")

    def __init__(self, most: int, refusal: Callable[[], LimitExceeded]) -> None:
        self._most = most
        self._refusal = refusal
        self._has: Counter[str] = Counter()
        self.elsewhere = Elsewhere()
        """What is counted at other hubs, and counts here."""
        self.untold: Untold | None = None

    def of(self, caller: str) -> int:
        """How many a caller has here now; 0 without a limit."""
        return self._has[caller]

    def check(self, caller: str | None) -> None:
        """Check that a caller may have one more.

        Raises:
            LimitExceeded: the refusal: it has as many as it may.
        """
        if self._left(caller) < 1:
            raise self._refusal()

    def confirm(self, caller: str | None) -> None:
        """Check that a caller has no more than it may, once others were heard after `take`.

        Raises:
            LimitExceeded: the refusal: it has more, because others have counted some before.
        """
        if self._left(caller) < 0:
            raise self._refusal()

    def take(self, caller: str | None) -> None:
        """Count one more, until `give`; raises what `check` does, and then counts nothing."""
        self.check(caller)
        if self._most and caller is not None:
            self._has[caller] += 1
            self._tell(caller)

    def give(self, caller: str | None) -> None:
        """A caller has one less."""
        if self._most and caller is not None:
            self._has[caller] -= 1
            self._tell(caller)
            if not self._has[caller]:
                del self._has[caller]

    def tell_all(self) -> None:
        """Tell others of everything that is counted here."""
        for caller in self._has:
            self._tell(caller)

    def _left(self, caller: str | None) -> int:
        """How many more a caller may have; 1 for what is not limited."""
        if not self._most or caller is None:
            return 1
        return self._most - self._has[caller] - self.elsewhere.of(caller)

    def _tell(self, caller: str) -> None:
        if self.untold is not None:
            self.untold.put(caller, self._has[caller])
