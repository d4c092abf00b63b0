"""What a connection is sent, and what becomes of it when it is slow.

The wire here is made of memory, so that a test says to the byte what the client has taken.
The same promises are kept on real sockets in ``test_promises.py``.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.connection import REPLIES, Connection, Pace
from hub.counts import Counts
from hub.encoders import LINES, TEXT, WEBSOCKET, Encoder, text_frame
from hub.errors import Conflict, LimitExceeded
from hub.events import Delta, Message
from hub.stream import Retention, Stream
from tests.parsing import Frames, Lines
from tests.strategies import quick

HIGH = 400


class Buffer(asyncio.Transport):
    """A transport whose other side takes what the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = bytearray()
        self.taken = bytearray()
        self.most = 0
        self.written: list[bytes] = []
        self.high = 0
        self.paused = False
        self.aborted = False
        self.resumed = asyncio.Event()
        self.resumed.set()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        self.high = high

    def get_write_buffer_size(self) -> int:
        return len(self.waiting)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert data, "nothing is not written"
        assert not self.aborted
        self.written.append(bytes(data))
        self.waiting += data
        self.most = max(self.most, len(self.waiting))
        if len(self.waiting) > self.high:
            self.paused = True
            self.resumed.clear()

    def take(self, count: int = 1_000_000) -> None:
        """The client reads so many bytes."""
        self.taken += self.waiting[:count]
        del self.waiting[:count]
        if len(self.waiting) <= self.high // 4:
            self.paused = False
            self.resumed.set()

    def abort(self) -> None:
        self.aborted = True
        self.resumed.set()


class Wire:
    """A connection's protocol object."""

    def __init__(self) -> None:
        self.buffer = Buffer()
        self.lost = False

    @property
    def transport(self) -> asyncio.Transport | None:
        return None if self.lost or self.buffer.aborted else self.buffer

    @property
    def writing_paused(self) -> bool:
        return self.buffer.paused

    async def drain(self) -> None:
        if self.transport is None:
            raise ConnectionResetError
        await self.buffer.resumed.wait()

    def lose(self) -> None:
        self.lost = True
        self.buffer.resumed.set()


class Desk:
    """One connection on a wire of memory, and the streams it may follow."""

    def __init__(
        self,
        encoder: Encoder = LINES,
        *,
        ends: bool = False,
        subscriptions: int = 3,
        max_records: int = 100_000,
        catch_up_bytes: int = 4096,
    ) -> None:
        self.counts = Counts()
        self.wire = Wire()
        self.buffer = self.wire.buffer
        self.over = asyncio.get_running_loop().create_future() if ends else None
        pace = Pace(
            catch_up_bytes=catch_up_bytes,
            beat_seconds=20.0,
            slow_client_timeout=30.0,
            subscriptions=subscriptions,
            write_buffer_bytes=HIGH,
        )
        self.connection = Connection(
            self.wire, self.wire.drain, encoder, pace, self.counts, over=self.over
        )
        retention = Retention(max_records=max_records)
        self.streams = [Stream(name, retention=retention, counts=self.counts) for name in "abcd"]
        self.stream = self.streams[0]

    def follow(self, start: Any = "now", stream: Stream | None = None) -> None:
        stream = stream or self.stream
        self.connection.admit(stream)
        self.connection.subscribe(stream, stream.place(start))

    def clog(self) -> None:
        """The client stops reading, and the buffer is over its mark."""
        self.connection.write(b"x" * HIGH + b"\n")
        assert self.wire.writing_paused

    def heard(self) -> bytes:
        """All that the client has read so far, the clog left out."""
        return bytes(self.buffer.taken).replace(b"x" * HIGH + b"\n", b"")

    def lines(self) -> list[dict[str, Any]]:
        return list(Lines().feed(self.heard()))

    def text(self) -> str:
        return "".join(line.get("text", "") for line in self.lines())


def say(stream: Stream, *texts: str) -> None:
    for text in texts:
        stream.append(Delta("g", text=text))


async def turn(times: int = 10) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


# While it is clear, and while it is not


async def test_a_clear_connection_is_written_to_directly_without_a_task_or_a_copy() -> None:
    desk = Desk()
    desk.follow()
    tasks = len(asyncio.all_tasks())
    say(desk.stream, "a", "b")
    await turn(1)
    desk.buffer.take()
    assert desk.text() == "ab"
    assert not desk.connection.busy
    assert len(asyncio.all_tasks()) == tasks
    assert desk.counts.catch_ups == 0


async def test_a_slow_one_is_sent_what_it_missed_as_merged_deltas_and_then_goes_direct() -> None:
    desk = Desk()
    desk.follow()
    desk.clog()
    for text in "abcdefgh":
        say(desk.stream, text)
        await turn(2)
    assert desk.connection.busy
    waiting = desk.buffer.get_write_buffer_size()
    await turn()
    assert desk.buffer.get_write_buffer_size() == waiting, "nothing is written while it is paused"
    desk.buffer.take()
    await turn()
    desk.buffer.take()
    assert [line.get("text") for line in desk.lines() if line["type"] == "delta"] == ["abcdefgh"]
    assert desk.lines()[-1] == {"type": "position", "position": str(desk.stream.position)}
    assert not desk.connection.busy
    say(desk.stream, "i")
    await turn(1)
    desk.buffer.take()
    assert desk.text() == "abcdefghi"
    assert desk.counts.catch_ups == 1


async def test_history_comes_in_frames_of_a_bounded_size_and_the_loop_has_turns_between() -> None:
    desk = Desk(catch_up_bytes=80)
    for number in range(50):
        desk.stream.append(Message("user", f"{number}"))
    desk.follow("start")
    sizes = []
    before = 0
    for _ in range(200):
        await turn(1)
        sizes.append(len(desk.buffer.waiting) - before)
        desk.buffer.take()
        before = len(desk.buffer.waiting)
    frames = [size for size in sizes if size > 0]
    assert len(frames) > 10
    assert max(frames) <= 80 + 100, "one frame a turn, of 80 bytes and the position"
    assert [line["text"] for line in desk.lines() if line["type"] == "message"] == [
        f"{number}" for number in range(50)
    ]


async def test_history_turns_into_live_without_a_seam() -> None:
    desk = Desk()
    for number in range(30):
        say(desk.stream, f"{number},")
    desk.follow("start")
    for number in range(30, 60):
        say(desk.stream, f"{number},")
        await turn(1)
        desk.buffer.take()
    for _ in range(10):
        await turn(1)
        desk.buffer.take()
    assert desk.text() == "".join(f"{number}," for number in range(60))


async def test_what_waits_for_a_slow_one_is_a_place_not_a_copy() -> None:
    desk = Desk()
    for stream in desk.streams[:3]:
        desk.follow(stream=stream)
    desk.clog()
    for _ in range(1000):
        for stream in desk.streams[:3]:
            say(stream, "y" * 50)
        await turn(1)
    assert desk.connection._outbox is not None
    assert desk.connection._outbox.qsize() == 3, "a subscription stands there once"
    assert len(desk.buffer.waiting) <= HIGH + 1


async def test_an_answer_keeps_its_turn_behind_what_already_waits() -> None:
    desk = Desk()
    desk.follow()
    desk.clog()
    say(desk.stream, "first")
    await turn()
    await desk.connection.send(b'{"type":"ok"}\n')
    desk.buffer.take()
    await turn()
    desk.buffer.take()
    assert [line["type"] for line in desk.lines()] == ["delta", "position", "ok"]


async def test_nothing_of_a_stream_overtakes_the_answer_to_its_subscribe() -> None:
    """Not even when the socket has just become clear, before the writer had its turn."""
    desk = Desk()
    desk.clog()
    await desk.connection.send(b'{"type":"ok"}\n')
    desk.follow()
    await turn()
    say(desk.stream, "first")
    desk.buffer.take()
    await turn()
    desk.buffer.take()
    assert [line["type"] for line in desk.lines()] == ["ok", "delta", "position"]


async def test_who_joins_between_an_append_and_its_flush_is_not_sent_it_twice() -> None:
    desk = Desk()
    other = Desk()
    other.connection.subscribe(desk.stream, desk.stream.place("now"))
    say(desk.stream, "before")
    desk.follow("now")
    await turn()
    say(desk.stream, "after")
    await turn()
    for each in (desk, other):
        each.buffer.take()
    assert desk.text() == "after"
    assert other.text() == "beforeafter"


# Limits


async def test_a_stream_is_followed_once_and_only_so_many_are() -> None:
    desk = Desk(subscriptions=3)
    for stream in desk.streams[:3]:
        desk.follow(stream=stream)
    with pytest.raises(Conflict, match='follows "a" already'):
        desk.follow(stream=desk.streams[0])
    with pytest.raises(LimitExceeded, match="3 streams"):
        desk.follow(stream=desk.streams[3])
    assert desk.connection.unsubscribe("a")
    assert not desk.connection.unsubscribe("a")
    desk.follow(stream=desk.streams[3])


async def test_who_asks_much_and_reads_nothing_is_answered_no_further() -> None:
    desk = Desk()
    desk.clog()
    answered = 0

    async def ask() -> None:
        nonlocal answered
        while True:
            await desk.connection.send(b'{"type":"ok"}\n')
            answered += 1

    asking = asyncio.create_task(ask())
    await turn(100)
    assert answered == REPLIES
    desk.buffer.take()
    await turn(3)
    assert answered > REPLIES
    asking.cancel()


async def test_whoever_waits_to_answer_is_let_go_when_the_connection_ends() -> None:
    desk = Desk()
    desk.clog()
    answers = asyncio.gather(*(desk.connection.send(b"{}\n") for _ in range(REPLIES + 5)))
    await turn()
    assert not answers.done()
    desk.connection.abort()
    await asyncio.wait_for(answers, 1)
    await desk.connection.close()


async def test_coming_and_going_while_clogged_never_overflows_the_outbox() -> None:
    """A follower that raised would end the pass, and with it the stream for everybody."""
    desk = Desk(subscriptions=3)
    for stream in desk.streams[:3]:
        desk.follow(stream=stream)
    desk.clog()
    for stream in desk.streams[:3]:
        say(stream, "a")
    await turn()

    async def come_and_go() -> None:
        while True:
            for stream in desk.streams[:3]:
                desk.connection.unsubscribe(stream.name)
                await desk.connection.send(b"{}\n")
                await desk.connection.send(b"{}\n")
                desk.follow("start", stream)

    moving = asyncio.create_task(come_and_go())
    await turn(200)
    assert not moving.done()
    moving.cancel()
    desk.connection.enqueue(b"{}\n")  # the farewell of a hub that shuts down
    for _ in range(200):
        desk.buffer.take()
        await turn(1)
    say(desk.stream, "the end")
    await turn()
    desk.buffer.take()
    assert "the end" in desk.text()


# Resets and the end of a stream


async def test_who_falls_behind_the_head_is_reset_once_and_goes_on_from_there() -> None:
    desk = Desk(max_records=5)
    desk.follow()
    say(desk.stream, "0")
    await turn(1)
    desk.clog()
    for number in range(1, 20):
        say(desk.stream, f"{number}")
        await turn(1)
    for _ in range(20):
        desk.buffer.take()
        await turn(2)
    told = desk.lines()
    resets = [line for line in told if line["type"] == "reset"]
    head = desk.stream.position_at(15)
    assert resets == [{"type": "reset", "position": str(head), "reason": "trimmed"}]
    assert desk.text() == "0" + "".join(f"{number}" for number in range(15, 20))
    assert desk.counts.resets == 1


async def test_a_reset_comes_before_everything_else() -> None:
    desk = Desk(max_records=2)
    say(desk.stream, "0", "1", "2", "3")
    desk.follow(desk.stream.position._replace(offset=0))
    await turn()
    desk.buffer.take()
    assert [line["type"] for line in desk.lines()] == ["reset", "delta", "position"]


async def test_text_that_cannot_tell_a_reset_is_cut() -> None:
    desk = Desk(TEXT, ends=True, max_records=2)
    desk.follow()
    desk.clog()
    for number in range(5):
        say(desk.stream, f"{number}")
        await turn(1)
    desk.buffer.take()
    await turn()
    assert desk.buffer.aborted
    assert desk.over is not None
    assert desk.over.done()
    assert not desk.connection.complete


async def test_the_end_of_a_stream_is_told_after_its_last_record_and_ends_the_connection() -> None:
    desk = Desk(ends=True)
    desk.follow()
    say(desk.stream, "a")
    desk.stream.close()
    await turn()
    desk.buffer.take()
    await turn()
    assert [line["type"] for line in desk.lines()] == ["delta", "position", "closed"]
    assert desk.over is not None
    assert desk.over.done()
    assert desk.connection.complete
    assert not desk.buffer.aborted
    assert not desk.stream.in_use


async def test_a_connection_that_lasts_outlives_its_streams() -> None:
    desk = Desk()
    for stream in desk.streams[:2]:
        desk.follow(stream=stream)
    desk.streams[0].close()
    await turn()
    say(desk.streams[1], "still here")
    await turn()
    desk.buffer.take()
    assert [line["type"] for line in desk.lines()] == ["closed", "delta", "position"]
    assert not desk.connection.ended
    assert list(desk.connection.subscriptions) == ["b"]


async def test_a_connection_is_complete_only_when_the_client_has_taken_the_end() -> None:
    """Or else whoever never reads it would be let go of, and hold its memory for ever."""
    desk = Desk(ends=True, catch_up_bytes=1000)
    say(desk.stream, "z" * HIGH)
    desk.stream.close()
    desk.follow("start")
    await turn()
    assert desk.over is not None
    assert not desk.over.done()
    now = asyncio.get_running_loop().time()
    desk.connection.look_after(now)
    desk.connection.look_after(now + 31)
    assert desk.buffer.aborted
    assert desk.counts.evictions == 1
    await turn()
    assert desk.over.done()
    await desk.connection.close()


async def test_what_is_unsubscribed_while_it_waits_is_not_sent() -> None:
    desk = Desk()
    desk.follow()
    desk.clog()
    say(desk.stream, "old")
    await turn()
    desk.connection.unsubscribe("a")
    say(desk.stream, "between")
    await turn()
    desk.follow("now")
    say(desk.stream, "new")
    await turn()
    desk.buffer.take()
    await turn()
    desk.buffer.take()
    assert desk.text() == "new"


# Beats and evictions


def look(desk: Desk, *seconds: float) -> None:
    start = asyncio.get_running_loop().time()
    for second in seconds:
        desk.connection.look_after(start + second)


async def test_an_idle_connection_beats() -> None:
    desk = Desk()
    look(desk, 1, 10, 19.9)
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
@given(moves)
def test_whatever_happens_each_subscription_gets_each_record_once_in_order(
    schedule: list[tuple[str, int, int]],
) -> None:
    asyncio.run(_live_through(schedule))


async def _live_through(schedule: list[tuple[str, int, int]]) -> None:
    desk = Desk(WEBSOCKET, catch_up_bytes=200)
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
