"""Everybody who waits is told once, and whoever does not wait any longer is not."""

from __future__ import annotations

from hub.awaited import SLICE, Awaited
from hub.stream import Stream
from tests.desk import turn


class Waiter:
    def __init__(self) -> None:
        self.told: list[Stream] = []

    def begun(self, stream: Stream) -> None:
        self.told.append(stream)


async def test_all_who_wait_are_told_once() -> None:
    awaited, stream = Awaited(), Stream("a")
    waiters, others = [Waiter() for _ in range(3)], [Waiter()]
    for waiter in waiters:
        awaited.add("a", waiter)
    awaited.add("b", others[0])
    awaited.remove("a", waiters[1])
    awaited.remove("a", waiters[1])
    awaited.remove("none", waiters[1])
    awaited.begun(stream)
    awaited.begun(stream)
    assert [waiter.told for waiter in waiters] == [[stream], [], [stream]]
    assert not others[0].told
    assert len(awaited) == 1


async def test_very_many_are_told_in_slices_between_which_others_have_their_turn() -> None:
    awaited, stream = Awaited(), Stream("a")
    waiters = [Waiter() for _ in range(3 * SLICE + 1)]
    for waiter in waiters:
        awaited.add("a", waiter)
    awaited.begun(stream)
    assert sum(bool(waiter.told) for waiter in waiters) == SLICE
    leaving = waiters[-1]
    awaited.remove("a", leaving)
    late = Waiter()
    awaited.add("a", late)
    await turn()
    assert all(waiter.told == [stream] for waiter in waiters[:-1])
    assert not leaving.told
    assert late.told == [stream]
    assert not awaited._waiters
