"""Waiting for a stream: woken by what it waits for, and by nothing else; bounded in time."""

from __future__ import annotations

import asyncio

from hub.domain.events import Message
from hub.streams.stream import Stream
from hub.streams.wait import until
from tests.support.patience import PATIENCE


async def test_what_is_so_already_is_not_waited_for() -> None:
    assert await until(Stream("s"), lambda: True, within=0.0)


async def test_an_append_wakes() -> None:
    stream = Stream("s")
    waiting = asyncio.ensure_future(until(stream, lambda: stream.tail > 0, within=PATIENCE))
    await asyncio.sleep(0)
    stream.append(Message("user", "hello"))
    assert await waiting
    assert not len(stream.fanout)


async def test_a_close_wakes() -> None:
    stream = Stream("s")
    waiting = asyncio.ensure_future(until(stream, lambda: stream.closed, within=PATIENCE))
    await asyncio.sleep(0)
    stream.close()
    assert await waiting


async def test_what_is_not_enough_does_not_wake_and_time_ends_it() -> None:
    stream = Stream("s")
    waiting = asyncio.ensure_future(until(stream, lambda: stream.tail > 1, within=0.05))
    await asyncio.sleep(0)
    stream.append(Message("user", "hello"))
    assert not await waiting
    assert not len(stream.fanout)


async def test_who_gives_up_is_no_longer_in_the_way() -> None:
    stream = Stream("s")
    waiting = asyncio.ensure_future(until(stream, lambda: False))
    await asyncio.sleep(0)
    assert len(stream.fanout) == 1
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not len(stream.fanout)
