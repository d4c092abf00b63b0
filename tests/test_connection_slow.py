"""Beats, evictions, and whatever else happens to a connection that is slow."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.encoders import WEBSOCKET, text_frame
from hub.events import Message
from hub.stream import Stream
from tests.desk import HIGH, Desk, say, turn
from tests.parsing import Frames
from tests.strategies import quick

# Beats and evictions


def look(desk: Desk, *seconds: float) -> None:
    start = asyncio.get_running_loop().time()
    for second in seconds:
        desk.connection.look_after(start + second)


async def test_an_idle_connection_beats() -> None:
    desk = Desk()
    look(desk, 1, 10, 18)
    assert not desk.buffer.waiting
    look(desk, 20.1, 21, 39, 40.2, 59)
    desk.buffer.take()
    assert desk.lines() == [{"type": "beat"}] * 2


async def test_a_beat_never_comes_between_what_waits_nor_after_the_end() -> None:
    desk = Desk()
    desk.follow()
    desk.clog()
    say(desk.stream, "a")
    await turn()
    desk.buffer.take()
    assert desk.connection.busy
    look(desk, 25)
    await turn()
    desk.connection.end()
    look(desk, 50, 80)
    desk.buffer.take()
    assert [line["type"] for line in desk.lines()] == ["delta", "position"]


async def test_who_takes_nothing_for_so_long_is_cut() -> None:
    desk = Desk()
    desk.follow()
    desk.clog()
    look(desk, 0, 10, 20, 29.9)
    assert not desk.buffer.aborted
    look(desk, 30)
    assert desk.buffer.aborted
    assert desk.counts.evictions == 1
    assert desk.connection.ended
    assert not desk.stream.in_use
    say(desk.stream, "a")
    await turn()


async def test_who_takes_little_is_not_cut() -> None:
    desk = Desk()
    desk.clog()
    for second in range(0, 300, 10):
        look(desk, second)
        desk.buffer.take(1)
    assert not desk.buffer.aborted


async def test_who_was_stuck_and_recovered_begins_anew() -> None:
    desk = Desk()
    desk.clog()
    look(desk, 0, 29)
    desk.buffer.take()
    look(desk, 30)
    desk.clog()
    look(desk, 31, 60)
    assert not desk.buffer.aborted
    look(desk, 61)
    assert desk.buffer.aborted


@pytest.mark.parametrize("left", [HIGH + 1, HIGH + 50])
async def test_who_is_always_seen_with_a_full_buffer_but_reads_is_not_cut(left: int) -> None:
    """Between two looks it took everything, and was written to directly again."""
    desk = Desk(subscriptions=3)
    desk.follow()
    for second in range(0, 300, 10):
        assert not desk.wire.writing_paused
        desk.stream.append(Message("user", "w" * left))
        await turn(1)
        assert desk.wire.writing_paused
        assert not desk.connection.busy
        look(desk, second)
        assert not desk.buffer.aborted
        desk.buffer.take()


async def test_a_lost_connection_is_noticed() -> None:
    desk = Desk(ends=True)
    desk.follow()
    desk.wire.lose()
    look(desk, 1)
    assert desk.connection.ended
    assert desk.over is not None
    assert desk.over.done()
    assert not desk.connection.complete
    assert not desk.stream.in_use


async def test_the_loss_of_a_connection_that_catches_up_ends_it() -> None:
    desk = Desk()
    desk.follow()
    desk.clog()
    say(desk.stream, "a")
    await turn()
    desk.wire.lose()
    await turn()
    assert desk.connection.ended
    assert not desk.connection.busy
    await desk.connection.close()


async def test_closing_sees_the_writer_out() -> None:
    desk = Desk()
    desk.follow()
    desk.clog()
    say(desk.stream, "a")
    await turn()
    others = asyncio.all_tasks()
    assert len(others) == 2
    await desk.connection.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert desk.buffer.aborted, "a writer that waits for the socket is let go by losing it"
    await desk.connection.close()


async def test_idle_waits_until_everything_is_written_but_not_for_ever() -> None:
    desk = Desk()
    assert await desk.connection.idle(within=0.01)
    desk.clog()
    desk.connection.enqueue(b"{}\n")
    assert not await desk.connection.idle(within=0.01)
    desk.buffer.take()
    assert await desk.connection.idle(within=1)


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
    desk = Desk(WEBSOCKET, catch_up_bytes=200, durable=durable)
    said = [0, 0, 0]
    asked: list[asyncio.Task[None]] = []
    stays: list[Stay] = []
    for what, number, size in schedule:
        stream = desk.streams[number]
        followed = stream.name in desk.connection.subscriptions
        if what == "say":
            for _ in range(size % 5):
                say(stream, f"<{said[number]}>")
                said[number] += 1
        elif what == "take":
            desk.buffer.take(size * 5)
        elif what == "turn":
            await turn(size % 4)
        elif what == "ask":
            frame = text_frame(b'{"type":"ok"}')
            asked.append(asyncio.create_task(desk.connection.send(frame)))
        elif what == "follow" and not followed:
            desk.follow(stream.position_at(max(0, stream.tail - size % 7)), stream)
            stays.append(Stay(desk, stream))
        elif what == "leave" and followed:
            desk.connection.unsubscribe(stream.name)
            next(stay for stay in reversed(stays) if stay.stream is stream).leave()
    for _ in range(100):
        desk.buffer.take()
        await turn(2)
    assert desk.buffer.most <= HIGH + 200 + 150, "no more than a frame over the mark"
    assert all(task.done() for task in asked)
    assert sum(kind == "ok" for kind, _, _ in _said(desk, 0)) == len(asked)
    for stay in stays:
        stay.check()
    assert sum(len(stay.frames()) for stay in stays) == sum(
        kind == "events" for kind, _, _ in _said(desk, 0)
    ), "a frame for nobody"


def _said(desk: Desk, start: int, end: int | None = None) -> list[tuple[str, str, str]]:
    """Type, stream and text of the messages that were written from one to another."""
    found = []
    for frame in Frames().feed(b"".join(desk.buffer.written[start:end])):
        message = json.loads(frame.body)
        text = "".join(event["text"] for event in message.get("events", []))
        found.append((message["type"], message.get("stream", ""), text))
    return found


class Stay:
    """One stream followed from one time to another, and what was written of it then."""

    def __init__(self, desk: Desk, stream: Stream) -> None:
        self.stream = stream
        self._desk = desk
        self._place = desk.connection.subscriptions[stream.name].place
        self._start = len(desk.buffer.written)
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
