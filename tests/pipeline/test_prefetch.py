"""Reading ahead: bounded, in order, without losing an item or a task."""

from __future__ import annotations

import asyncio
import gc

import pytest

from hub.pipeline.prefetch import Batches, Prefetch
from tests.support.fake_connection import turn
from tests.support.recording_sources import nothing_left


async def lots(*items: int, fails: Exception | None = None, hangs: bool = False) -> Batches[int]:
    for item in items:
        await asyncio.sleep(0)
        yield (item,)
    if fails is not None:
        raise fails
    if hangs:
        await asyncio.Event().wait()


async def test_it_takes_what_is_there_up_to_a_number_then_says_the_end() -> None:
    async with Prefetch([lots(1, 2, 3)], ahead=5) as intake:
        await turn()
        assert await intake.take(2) == [1, 2]
        assert await intake.take(2) == [3]
        assert await intake.take(2) == []
        assert await intake.take(2) == []


async def test_it_reads_ahead_no_further_than_it_may() -> None:
    read = []

    async def endless() -> Batches[int]:
        for n in range(10_000):
            read.append(n)
            yield (n,)

    async with Prefetch([endless()], ahead=3) as intake:
        await turn()
        assert read == [0, 1, 2, 3]
        assert await intake.take(2) == [0, 1]
        await turn()
        assert read == [0, 1, 2, 3, 4, 5]


async def test_a_wait_that_is_given_up_loses_no_item() -> None:
    loop = asyncio.get_running_loop()
    comes = asyncio.Event()

    async def slow() -> Batches[int]:
        await comes.wait()
        yield (1,)

    async with Prefetch([slow()], ahead=1) as intake:
        assert await intake.take(1, loop.time() + 0.005) is None
        assert await intake.take(1, loop.time() - 1) is None
        waiting = asyncio.ensure_future(intake.take(1))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        comes.set()
        assert await intake.take(1) == [1]


async def test_an_error_comes_after_the_items_before_it() -> None:
    async with Prefetch([lots(1, 2, fails=KeyError("read"))], ahead=5) as intake:
        await turn()
        assert await intake.take(5) == [1, 2]
        with pytest.raises(KeyError, match="read"):
            await intake.take(5)


async def test_a_source_that_is_cancelled_from_within_does_not_leave_its_reader_waiting() -> None:
    async def gives_up() -> Batches[int]:
        yield (1,)
        raise asyncio.CancelledError

    async with Prefetch([gives_up()], ahead=5) as intake:
        assert await intake.take(5) == [1]
        with pytest.raises(asyncio.CancelledError):
            await intake.take(5)


async def test_an_error_that_nobody_came_to_hear_is_reported_nowhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A reader that has left early did not ask for what was read ahead of it."""
    async with Prefetch([lots(1, fails=KeyError())], ahead=5) as intake:
        assert await intake.take(1) == [1]
        await turn()
    del intake
    gc.collect()
    assert caplog.text == ""


async def test_each_source_is_read_and_closed_in_one_task() -> None:
    """A timeout that a source holds across its items needs that."""
    tasks = []

    async def noted() -> Batches[int]:
        try:
            for n in range(3):
                tasks.append(asyncio.current_task())
                yield (n,)
                await asyncio.sleep(0)
        finally:
            tasks.append(asyncio.current_task())

    async with Prefetch([noted()], ahead=1) as intake:
        assert await intake.take(1) == [0]
    assert len(set(tasks)) == 1
    assert tasks[0] is not asyncio.current_task()


async def test_leaving_waits_until_every_source_is_closed() -> None:
    closed = []

    async def slow_to_close(name: str) -> Batches[str]:
        try:
            yield (name,)
            await asyncio.Event().wait()
        finally:
            await turn()
            closed.append(name)

    async with Prefetch([slow_to_close("a"), slow_to_close("b")], ahead=5) as intake:
        await asyncio.sleep(0)
        assert await intake.take(5) == ["a", "b"]
    assert sorted(closed) == ["a", "b"]
    assert nothing_left()


async def test_leaving_reports_a_source_that_cannot_be_closed_and_closes_the_others() -> None:
    closed = []

    async def closing(fails: Exception | None) -> Batches[int]:
        try:
            yield (1,)
            await asyncio.Event().wait()
        finally:
            closed.append(fails)
            if fails is not None:
                raise fails

    intake = Prefetch([closing(None), closing(OSError("stuck")), closing(None)], ahead=9)
    await turn()
    with pytest.raises(OSError, match="stuck"):
        await intake.aclose()
    assert len(closed) == 3
    assert nothing_left()
