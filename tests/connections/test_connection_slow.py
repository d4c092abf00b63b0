"""Beats, evictions, and whatever else happens to a connection that is slow."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.events import Message
from hub.frames.websocket import WEBSOCKET, text_frame
from hub.streams.stream import Stream
from tests.support.fake_connection import HIGH, FakeConnection, say, turn
from tests.support.reference_parsers import Frames
from tests.support.strategies import quick

# Beats and evictions


def look(fake: FakeConnection, *seconds: float) -> None:
    start = asyncio.get_running_loop().time()
    for second in seconds:
        fake.connection.tick(start + second)


async def test_an_idle_connection_beats() -> None:
    fake = FakeConnection()
    look(fake, 1, 10, 18)
    assert not fake.buffer.waiting
    look(fake, 20.1, 21, 39, 40.2, 59)
    fake.buffer.take()
    assert fake.lines() == [{"type": "beat"}] * 2


async def test_a_beat_never_comes_between_what_waits_nor_after_the_end() -> None:
    fake = FakeConnection()
    fake.follow()
    fake.clog()
    say(fake.stream, "a")
    await turn()
    fake.buffer.take()
    assert fake.connection.busy
    look(fake, 25)
    await turn()
    fake.connection.end()
    look(fake, 50, 80)
    fake.buffer.take()
    assert [line["type"] for line in fake.lines()] == ["delta", "position"]


async def test_who_takes_nothing_for_so_long_is_cut() -> None:
    fake = FakeConnection()
    fake.follow()
    fake.clog()
    look(fake, 0, 10, 20, 29.9)
    assert not fake.buffer.aborted
    look(fake, 30)
    assert fake.buffer.aborted
    assert fake.counts.evictions == 1
    assert fake.connection.ended
    assert not fake.stream.in_use
    say(fake.stream, "a")
    await turn()


async def test_who_takes_little_is_not_cut() -> None:
    fake = FakeConnection()
    fake.clog()
    for second in range(0, 300, 10):
        look(fake, second)
        fake.buffer.take(1)
    assert not fake.buffer.aborted


async def test_who_was_stuck_and_recovered_begins_anew() -> None:
    fake = FakeConnection()
    fake.clog()
    look(fake, 0, 29)
    fake.buffer.take()
    look(fake, 30)
    fake.clog()
    look(fake, 31, 60)
    assert not fake.buffer.aborted
    look(fake, 61)
    assert fake.buffer.aborted


@pytest.mark.parametrize("left", [HIGH + 1, HIGH + 50])
async def test_who_is_always_seen_with_a_full_buffer_but_reads_is_not_cut(left: int) -> None:
    """Between two looks it took everything, and was written to directly again."""
    fake = FakeConnection(subscriptions=3)
    fake.follow()
    for second in range(0, 300, 10):
        assert not fake.wire.writing_paused
        fake.stream.append(Message("user", "w" * left))
        await turn(1)
        assert fake.wire.writing_paused
        assert not fake.connection.busy
        look(fake, second)
        assert not fake.buffer.aborted
        fake.buffer.take()


async def test_a_lost_connection_is_noticed() -> None:
    fake = FakeConnection(ends=True)
    fake.follow()
    fake.wire.lose()
    look(fake, 1)
    assert fake.connection.ended
    assert fake.over is not None
    assert fake.over.done()
    assert not fake.connection.complete
    assert not fake.stream.in_use


async def test_the_loss_of_a_connection_that_catches_up_ends_it() -> None:
    fake = FakeConnection()
    fake.follow()
    fake.clog()
    say(fake.stream, "a")
    await turn()
    fake.wire.lose()
    await turn()
    assert fake.connection.ended
    assert not fake.connection.busy
    await fake.connection.close()


async def test_closing_sees_the_writer_out() -> None:
    fake = FakeConnection()
    fake.follow()
    fake.clog()
    say(fake.stream, "a")
    await turn()
    others = asyncio.all_tasks()
    assert len(others) == 2
    await fake.connection.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert fake.buffer.aborted, "a writer that waits for the socket is let go by losing it"
    await fake.connection.close()


async def test_idle_waits_until_everything_is_written_but_not_for_ever() -> None:
    fake = FakeConnection()
    assert await fake.connection.idle(within=0.01)
    fake.clog()
    fake.connection.enqueue(b"{}\n")
    assert not await fake.connection.idle(within=0.01)
    fake.buffer.take()
    assert await fake.connection.idle(within=1)


# Whatever happens

moves = st.lists(
    st.tuples(
        st.sampled_from(["say", "say", "take", "turn", "follow", "leave", "ask"]),
        st.integers(0, 2),
        st.integers(0, 150),
    ),
    max_size=60,
)


@quick
@given(moves, st.booleans())
def test_whatever_happens_each_subscription_gets_each_record_once_in_order(
    schedule: list[tuple[str, int, int]], durable: bool
) -> None:
    asyncio.run(_live_through(schedule, durable=durable))


async def _live_through(schedule: list[tuple[str, int, int]], *, durable: bool) -> None:
    fake = FakeConnection(WEBSOCKET, catch_up_bytes=200, durable=durable)
    said = [0, 0, 0]
    asked: list[asyncio.Task[None]] = []
    stays: list[Stay] = []
    for what, number, size in schedule:
        stream = fake.streams[number]
        followed = stream.name in fake.connection.subscriptions
        if what == "say":
            for _ in range(size % 5):
                say(stream, f"<{said[number]}>")
                said[number] += 1
        elif what == "take":
            fake.buffer.take(size * 5)
        elif what == "turn":
            await turn(size % 4)
        elif what == "ask":
            frame = text_frame(b'{"type":"ok"}')
            asked.append(asyncio.create_task(fake.connection.send(frame)))
        elif what == "follow" and not followed:
            fake.follow(stream.position_at(max(0, stream.tail - size % 7)), stream)
            stays.append(Stay(fake, stream))
        elif what == "leave" and followed:
            fake.connection.unsubscribe(stream.name)
            next(stay for stay in reversed(stays) if stay.stream is stream).leave()
    for _ in range(100):
        fake.buffer.take()
        await turn(2)
    assert fake.buffer.most <= HIGH + 200 + 150, "no more than a frame over the mark"
    assert all(task.done() for task in asked)
    assert sum(kind == "ok" for kind, _, _ in _said(fake, 0)) == len(asked)
    for stay in stays:
        stay.check()
    assert sum(len(stay.frames()) for stay in stays) == sum(
        kind == "events" for kind, _, _ in _said(fake, 0)
    ), "a frame for nobody"


def _said(fake: FakeConnection, start: int, end: int | None = None) -> list[tuple[str, str, str]]:
    """Type, stream and text of the messages that were written from one to another."""
    found = []
    for frame in Frames().feed(b"".join(fake.buffer.written[start:end])):
        message = json.loads(frame.body)
        text = "".join(event["text"] for event in message.get("events", []))
        found.append((message["type"], message.get("stream", ""), text))
    return found


class Stay:
    """One stream followed from one time to another, and what was written of it then."""

    def __init__(self, fake: FakeConnection, stream: Stream) -> None:
        self.stream = stream
        self._desk = fake
        self._place = fake.connection.subscriptions[stream.name].place
        self._start = len(fake.buffer.written)
        self._end: int | None = None

    def leave(self) -> None:
        self._end = len(self._desk.buffer.written)

    def frames(self) -> list[str]:
        said = _said(self._desk, self._start, self._end)
        return [text for kind, name, text in said if (kind, name) == ("events", self.stream.name)]

    def check(self) -> None:
        told = "".join(self.frames())
        right = "".join(f"<{number}>" for number in range(self._place, self.stream.tail))
        if self._end is None:
            assert told == right
        else:
            assert right.startswith(told)
