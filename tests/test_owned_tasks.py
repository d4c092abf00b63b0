"""Tasks that belong to an object end with it, and none of them fails unseen."""

from __future__ import annotations

import asyncio
import logging

import pytest

from hub.domain.counters import Counters
from hub.owned_tasks import OwnedTasks

log = logging.getLogger("hub.test")


async def test_all_are_ended_at_the_stop() -> None:
    tasks = OwnedTasks("a task", log)
    ended: list[int] = []

    async def last(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(number)

    for number in range(3):
        tasks.start(last(number))
    await asyncio.sleep(0)
    await tasks.stop()
    assert sorted(ended) == [0, 1, 2]
    assert len(tasks) == 0


async def test_a_failure_is_logged_and_counted_and_ends_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counts = Counters()
    tasks = OwnedTasks("a task", log, counts)

    async def fail() -> None:
        raise RuntimeError("a mistake")

    other = tasks.start(asyncio.sleep(3600))
    await asyncio.wait([tasks.start(fail())])
    await asyncio.sleep(0)
    assert counts.failures == 1
    assert "a task has failed" in caplog.text
    assert not other.done()
    await tasks.stop()
    assert counts.failures == 1, "to be cancelled is no failure"
