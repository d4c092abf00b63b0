"""Long work in slices: the loop runs one slice in a round, whoever it belongs to."""

from __future__ import annotations

import asyncio
import gc
import weakref

from hub.streams.turns import next_turn
from tests.support.loop_rounds import Rounds


async def walk(rounds: Rounds, slices: int) -> None:
    for _ in range(slices):
        await next_turn()
        rounds.note()


async def test_the_loop_runs_one_slice_of_all_walks_in_a_round() -> None:
    with Rounds() as rounds:
        await asyncio.gather(*(walk(rounds, 5) for _ in range(20)))
    assert sum(rounds.noted.values()) == 100
    assert rounds.most == 1


async def test_walks_take_turns() -> None:
    done: list[str] = []

    async def named(name: str) -> None:
        for _ in range(3):
            await next_turn()
            done.append(name)

    await asyncio.gather(named("a"), named("b"))
    assert done == ["a", "b"] * 3


async def test_who_leaves_keeps_no_turn_from_others() -> None:
    with Rounds() as rounds:
        leaving = [asyncio.create_task(walk(rounds, 5)) for _ in range(3)]
        staying = asyncio.create_task(walk(rounds, 5))
        await asyncio.sleep(0)
        for task in leaving:
            task.cancel()
        await staying
    assert sum(rounds.noted.values()) == 5


def test_a_loop_that_is_over_is_forgotten() -> None:
    loop = asyncio.SelectorEventLoop()
    loop.run_until_complete(next_turn())
    loop.close()
    forgotten = weakref.ref(loop)
    del loop
    gc.collect()
    assert forgotten() is None
