"""Sources: closed once, and files read without holding up the loop."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import warnings
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hub.pipeline.pipeline import Pipeline
from hub.pipeline.source import Source
from tests.support.loopback_hub import eventually
from tests.support.recording_sources import Recorded, cancelled_at_every_wait, nothing_left


class Iterable:
    """Both the iterable and its iterator have something to close."""

    def __init__(self) -> None:
        self.closed: list[str] = []

    async def __aiter__(self) -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            self.closed.append("iterator")

    async def aclose(self) -> None:
        self.closed.append("iterable")


async def test_the_iterator_is_closed_before_what_it_came_from() -> None:
    given = Iterable()
    async with Pipeline(given) as p:
        await anext(p)
    assert given.closed == ["iterator", "iterable"]


async def test_a_source_without_a_close_is_just_left() -> None:
    class Plain:
        def __aiter__(self) -> Plain:
            return self

        async def __anext__(self) -> int:
            return 1

    async with Pipeline(Plain()) as p:
        assert await anext(p) == 1


async def test_leaving_twice_closes_once() -> None:
    given = Recorded(range(3))
    p = Pipeline(given)
    await anext(p)
    await p.aclose()
    await p.aclose()
    assert given.closed == 1


async def test_only_an_ended_source_can_be_delimited() -> None:
    given = Recorded([1])
    given.delimited = True
    source = Source(given)
    assert not source.delimited
    assert [item async for lot in source.batches() for item in lot] == [1]
    assert source.delimited


async def test_a_file_is_read_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 10)
    pieces = await Pipeline.file(path, chunk_bytes=1000).collect()
    assert [len(piece) for piece in pieces] == [1000, 1000, 560]
    assert b"".join(pieces) == path.read_bytes()


async def test_an_empty_file_gives_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    assert await Pipeline.file(path).collect() == []


async def test_a_file_that_is_not_there_is_an_error_of_the_first_read(tmp_path: Path) -> None:
    p = Pipeline.file(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        await p.collect()


async def test_a_slow_file_does_not_hold_up_the_loop_and_may_be_given_up(tmp_path: Path) -> None:
    """A pipe that nobody writes to blocks its reader for ever."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    task = asyncio.ensure_future(Pipeline.file(path).collect())
    turns = 0
    while turns < 20:
        await asyncio.sleep(0.001)
        turns += 1
    assert not task.done()
    task.cancel()
    threading.Timer(0.05, lambda: path.open("wb").close()).start()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancel_at_any_wait_closes_the_file(tmp_path: Path) -> None:
    """An open file that is forgotten warns when it is collected, which fails this test."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)

    async def run() -> None:
        async for _ in Pipeline.file(path, chunk_bytes=10):
            await asyncio.sleep(0.0005)

    await cancelled_at_every_wait(run, lambda: None, most=40)
    gc.collect()
    await eventually(nothing_left)


async def test_a_file_is_closed_also_when_its_closing_is_given_up(tmp_path: Path) -> None:
    """All threads are busy, and whoever waits for the closing is cancelled."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    busy = threading.Event()
    p = Pipeline.file(path, chunk_bytes=10)
    await anext(p)
    loop.run_in_executor(None, busy.wait)
    closing = asyncio.ensure_future(p.aclose())
    for _ in range(5):
        await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    busy.set()
    await loop.shutdown_default_executor()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        del p, closing
        gc.collect()
    assert [str(warning.message) for warning in said] == []
