"""Everybody who waits is told once, and whoever does not wait any longer is not."""

from __future__ import annotations

from hub.streams.followed import FollowedStream
from hub.streams.stream import Stream
from hub.streams.waiters import SLICE, StreamWaiters
from tests.support.fake_connection import turn


class Waiter:
    def __init__(self) -> None:
        self.told: list[FollowedStream] = []

    def begun(self, stream: FollowedStream) -> None:
        self.told.append(stream)


async def test_all_who_wait_are_told_once() -> None:
    awaited, stream = StreamWaiters(), Stream("a")
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
    awaited, stream = StreamWaiters(), Stream("a")
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
    assert not awaited.names


async def test_whoever_is_told_later_is_not_told_of_what_has_gone_by_then() -> None:
    awaited, old, new = StreamWaiters(), Stream("a"), Stream("a")
    waiters = [Waiter() for _ in range(2 * SLICE)]
    for waiter in waiters:
        awaited.add("a", waiter)
    awaited.begun(old)
    awaited.gone(old)
    awaited.gone(new)
    await turn()
    assert [bool(waiter.told) for waiter in waiters] == [True] * SLICE + [False] * SLICE
    awaited.begun(new)
    await turn()
    assert all(waiter.told == [old] for waiter in waiters[:SLICE])
    assert all(waiter.told == [new] for waiter in waiters[SLICE:])
    assert not awaited.names


async def test_the_next_of_its_name_is_told_in_the_place_of_what_has_gone() -> None:
    """Also where the first has not been told to all when the next begins."""
    awaited, old, new = StreamWaiters(), Stream("a"), Stream("a")
    waiters = [Waiter() for _ in range(4 * SLICE)]
    for waiter in waiters:
        awaited.add("a", waiter)
    awaited.begun(old)
    awaited.gone(old)
    awaited.begun(new)
    for _ in range(4):
        await turn()
    assert all(waiter.told == [new] for waiter in waiters[SLICE:])
    assert not awaited.names
