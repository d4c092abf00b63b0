"""The deadline keeps to the rules of `asyncio.timeout`, on both kinds of loop, with one timer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
import uvloop

from hub.generations.read_deadline import ReadDeadline
from tests.support.patience import patient

LOOPS: Final = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def play(loop: str, scenario: Callable[[], Awaitable[None]]) -> None:
    faults: list[dict[str, Any]] = []

    async def played() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
        await scenario()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(played())
    assert faults == []


on_each_loop = pytest.mark.parametrize("loop", LOOPS)


async def within(alarm: ReadDeadline, seconds: float, wait: Awaitable[object]) -> object:
    alarm.set(seconds)
    try:
        return await wait
    except asyncio.CancelledError:
        if alarm.stop():
            raise TimeoutError from None
        raise
    finally:
        alarm.stop()


@on_each_loop
def test_it_ends_a_wait_that_takes_too_long(loop: str) -> None:
    async def scenario() -> None:
        alarm = ReadDeadline()
        with pytest.raises(TimeoutError):
            await within(alarm, 0.01, asyncio.Event().wait())
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        assert await within(alarm, 60, asyncio.sleep(0, "next")) == "next"
        alarm.close()

    play(loop, scenario)


@on_each_loop
def test_many_short_waits_are_longer_than_one_may_be(loop: str) -> None:
    async def scenario() -> None:
        alarm = ReadDeadline()
        for _ in range(5):
            await within(alarm, 3.0, asyncio.sleep(0.7))
        alarm.close()

    play(loop, scenario)


@on_each_loop
def test_it_does_not_ring_between_two_waits(loop: str) -> None:
    async def scenario() -> None:
        alarm = ReadDeadline()
        await within(alarm, 2.0, asyncio.sleep(0))
        await asyncio.sleep(2.1)
        await within(alarm, 5, asyncio.sleep(0.005))
        with pytest.raises(TimeoutError):
            await within(alarm, 0.01, asyncio.Event().wait())
        alarm.close()

    play(loop, scenario)


@on_each_loop
def test_a_shorter_wait_after_a_longer_one_is_ended_in_its_own_time(loop: str) -> None:
    async def scenario() -> None:
        alarm = ReadDeadline()
        await within(alarm, 60, asyncio.sleep(0))
        async with asyncio.timeout(patient(30)):
            with pytest.raises(TimeoutError):
                await within(alarm, 0.01, asyncio.Event().wait())
        alarm.close()

    play(loop, scenario)


async def test_a_cancel_from_elsewhere_stays_a_cancel() -> None:
    alarm = ReadDeadline()
    task = asyncio.ensure_future(within(alarm, 5, asyncio.Event().wait()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    alarm.close()


async def test_a_cancel_in_the_same_turn_as_the_alarm_wins() -> None:
    """As with `asyncio.timeout`: whoever cancelled the task is not told of a timeout."""
    loop = asyncio.get_running_loop()
    alarm = ReadDeadline()
    task = asyncio.ensure_future(within(alarm, 0.01, asyncio.Event().wait()))
    await asyncio.sleep(0)
    # Timers that are due in one turn run in the order of their times.
    loop.call_at(loop.time() + 0.011, task.cancel)
    time.sleep(0.02)  # noqa: ASYNC251 - so that both are due in one turn
    with pytest.raises(asyncio.CancelledError):
        await task
    alarm.close()


async def test_a_wait_that_shrugs_the_alarm_off_leaves_no_cancel_behind() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "anyway"
        raise AssertionError("not reached")

    alarm = ReadDeadline()
    assert await within(alarm, 0.01, stubborn()) == "anyway"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    alarm.close()


async def test_it_may_be_set_by_one_task_after_another() -> None:
    alarm = ReadDeadline()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.create_task(within(alarm, 0.005, asyncio.Event().wait()))
    alarm.close()
