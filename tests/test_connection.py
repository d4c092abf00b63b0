"""What a connection is sent: directly while it is clear, merged when it was not, to the end.

The wire is made of memory; the same promises are kept on real sockets in the tests of the
promises.
"""

from __future__ import annotations

import asyncio

import pytest

from hub.connection import REPLIES
from hub.encoders import TEXT
from hub.errors import Conflict, LimitExceeded, StoreError
from hub.events import Message
from tests.answers import PATIENCE
from tests.desk import HIGH, Desk, say, turn
from tests.shelf import Shelf

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


async def test_who_joins_for_what_has_just_begun_is_sent_it_at_once_and_goes_direct() -> None:
    desk = Desk()
    say(desk.stream, "a", "b")
    tasks = len(asyncio.all_tasks())
    desk.follow("start")
    desk.buffer.take()
    assert desk.text() == "ab"
    assert not desk.connection.busy
    assert len(asyncio.all_tasks()) == tasks
    say(desk.stream, "c")
    await turn(1)
    desk.buffer.take()
    assert desk.text() == "abc"


async def test_who_joins_while_something_waits_is_sent_it_after_that() -> None:
    desk = Desk()
    say(desk.stream, "a", "b")
    desk.clog()
    await desk.connection.send(b'{"type":"ok"}\n')
    desk.follow("start")
    desk.buffer.take()
    await turn()
    desk.buffer.take()
    assert [line["type"] for line in desk.lines()] == ["ok", "delta", "position"]


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


async def test_an_answer_waits_for_the_writers_turn_though_the_socket_is_clear_again() -> None:
    desk = Desk()
    desk.follow()
    desk.clog()
    say(desk.stream, "first")
    await turn()
    desk.buffer.take()
    assert not desk.wire.writing_paused
    await desk.connection.send(b'{"type":"ok"}\n')
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
    await asyncio.wait_for(answers, PATIENCE)
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


async def test_what_is_unsubscribed_while_the_store_is_read_is_not_sent() -> None:
    """Nor is it by a round under way that comes to it after the read."""
    desk = Desk(durable=True)
    assert isinstance(desk.store, Shelf)
    say(desk.stream, "old", "older")
    desk.store.open.clear()
    desk.follow("start")
    subscription = desk.connection.subscriptions["a"]
    await turn()
    assert desk.store.reads == 1
    desk.connection.unsubscribe("a")
    desk.store.open.set()
    await turn()
    assert subscription.place > desk.stream.tail
    desk.buffer.take()
    assert desk.heard() == b""
    desk.follow("now")
    say(desk.stream, "new")
    await turn()
    desk.buffer.take()
    assert desk.text() == "new"


async def test_whose_stream_cannot_be_read_is_cut_and_comes_back_with_its_position(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = Desk(durable=True)
    assert isinstance(desk.store, Shelf)
    say(desk.stream, "old", "older")
    desk.store.error = StoreError("the disk is gone")
    desk.follow("start")
    await turn()
    assert desk.buffer.aborted
    assert desk.connection.ended
    assert "the disk is gone" in caplog.text
    await desk.connection.close()
