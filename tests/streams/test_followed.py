"""The part of a stream that is followed does without the part that is written."""

from __future__ import annotations

import asyncio

import pytest

from hub.domain.events import Message
from hub.domain.stream_settings import StreamSettings
from hub.stores import Saved
from hub.streams.followed import FollowedStream
from hub.streams.stream import Stream
from hub.streams.wait import until
from tests.support.fake_stores import FakeStore


def made(store: FakeStore) -> FollowedStream:
    return FollowedStream("s", Saved(StreamSettings(), ((3, 0),)), store)


def written() -> FakeStore:
    """A store in which another has written three records."""
    store = FakeStore()
    stream = Stream("s", Saved(StreamSettings(), ((3, 0),)), store=store)
    for text in "abc":
        stream.append(Message("user", text))
    return store


async def test_it_moves_by_what_is_revealed_and_reads_that_from_the_store() -> None:
    stream = made(written())
    assert (stream.tail, stream.closed) == (0, False)
    stream.warm = 3  # what is revealed is in the store and not in memory
    waiting = asyncio.ensure_future(until(stream, lambda: stream.tail == 2, within=60))
    await asyncio.sleep(0)
    stream.reveal(2, closed=False)
    assert await waiting
    assert len((await stream.fetch(0, 10_000)).records) == 2, "and not what is not shown"
    stream.reveal(3, closed=True)
    assert [event async for event in stream.events()][-1] == Message("user", "c")
    assert stream.closed


async def test_whoever_follows_what_is_lost_is_woken() -> None:
    stream = made(FakeStore())
    waiting = asyncio.ensure_future(until(stream, lambda: False, within=60))
    await asyncio.sleep(0)
    stream.lose()
    assert not await waiting
    assert stream.lost


@pytest.mark.parametrize(
    "name", ["append", "append_body", "write", "close", "producers", "sequence", "writer", "end"]
)
def test_nothing_of_it_writes(name: str) -> None:
    assert hasattr(Stream, name)
    assert not hasattr(FollowedStream, name)
