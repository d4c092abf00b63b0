"""What a connection is sent: directly while it is clear, merged when it was not, to the end.

The wire is made of memory; the same promises are kept on real sockets in the tests of the
promises.
"""

from __future__ import annotations

import asyncio

import pytest

from hub.connections.connection import REPLIES
from hub.domain.errors import Conflict, LimitExceeded, StoreError
from hub.domain.events import Message
from hub.frames.text import TEXT
from tests.support.fake_connection import HIGH, FakeConnection, say, turn
from tests.support.fake_stores import FakeStore
from tests.support.patience import PATIENCE

# While it is clear, and while it is not


async def test_a_clear_connection_is_written_to_directly_without_a_task_or_a_copy() -> None:
    fake = FakeConnection()
    fake.follow()
    tasks = len(asyncio.all_tasks())
    say(fake.stream, "a", "b")
    await turn(1)
    fake.buffer.take()
    assert fake.text() == "ab"
    assert not fake.connection.busy
    assert len(asyncio.all_tasks()) == tasks
    assert fake.counts.catch_ups == 0


async def test_who_joins_for_what_has_just_begun_is_sent_it_at_once_and_goes_direct() -> None:
    fake = FakeConnection()
    say(fake.stream, "a", "b")
    tasks = len(asyncio.all_tasks())
    fake.follow("start")
    fake.buffer.take()
    assert fake.text() == "ab"
    assert not fake.connection.busy
    assert len(asyncio.all_tasks()) == tasks
    say(fake.stream, "c")
    await turn(1)
    fake.buffer.take()
    assert fake.text() == "abc"


async def test_who_joins_while_something_waits_is_sent_it_after_that() -> None:
    fake = FakeConnection()
    say(fake.stream, "a", "b")
    fake.clog()
    await fake.connection.send(b'{"type":"ok"}\n')
    fake.follow("start")
    fake.buffer.take()
    await turn()
    fake.buffer.take()
    assert [line["type"] for line in fake.lines()] == ["ok", "delta", "position"]


async def test_a_slow_one_is_sent_what_it_missed_as_merged_deltas_and_then_goes_direct() -> None:
    fake = FakeConnection()
    fake.follow()
    fake.clog()
    for text in "abcdefgh":
        say(fake.stream, text)
        await turn(2)
    assert fake.connection.busy
    waiting = fake.buffer.get_write_buffer_size()
    await turn()
    assert fake.buffer.get_write_buffer_size() == waiting, "nothing is written while it is paused"
    fake.buffer.take()
    await turn()
    fake.buffer.take()
    assert [line.get("text") for line in fake.lines() if line["type"] == "delta"] == ["abcdefgh"]
    assert fake.lines()[-1] == {"type": "position", "position": str(fake.stream.position)}
    assert not fake.connection.busy
    say(fake.stream, "i")
    await turn(1)
    fake.buffer.take()
    assert fake.text() == "abcdefghi"
    assert fake.counts.catch_ups == 1


async def test_history_comes_in_frames_of_a_bounded_size_and_the_loop_has_turns_between() -> None:
    fake = FakeConnection(catch_up_bytes=80)
    for number in range(50):
        fake.stream.append(Message("user", f"{number}"))
    fake.follow("start")
    sizes = []
    before = 0
    for _ in range(200):
        await turn(1)
        sizes.append(len(fake.buffer.waiting) - before)
        fake.buffer.take()
        before = len(fake.buffer.waiting)
    frames = [size for size in sizes if size > 0]
    assert len(frames) > 10
    assert max(frames) <= 80 + 100, "one frame a turn, of 80 bytes and the position"
    assert [line["text"] for line in fake.lines() if line["type"] == "message"] == [
        f"{number}" for number in range(50)
    ]


async def test_history_turns_into_live_without_a_seam() -> None:
    fake = FakeConnection()
    for number in range(30):
        say(fake.stream, f"{number},")
    fake.follow("start")
    for number in range(30, 60):
        say(fake.stream, f"{number},")
        await turn(1)
        fake.buffer.take()
    for _ in range(10):
        await turn(1)
        fake.buffer.take()
    assert fake.text() == "".join(f"{number}," for number in range(60))


async def test_what_waits_for_a_slow_one_is_a_place_not_a_copy() -> None:
    fake = FakeConnection()
    for stream in fake.streams[:3]:
        fake.follow(stream=stream)
    fake.clog()
    for _ in range(1000):
        for stream in fake.streams[:3]:
            say(stream, "y" * 50)
        await turn(1)
    assert fake.connection.outbox_size == 3, "a subscription stands there once"
    assert len(fake.buffer.waiting) <= HIGH + 1


async def test_an_answer_keeps_its_turn_behind_what_already_waits() -> None:
    fake = FakeConnection()
    fake.follow()
    fake.clog()
    say(fake.stream, "first")
    await turn()
    await fake.connection.send(b'{"type":"ok"}\n')
    fake.buffer.take()
    await turn()
    fake.buffer.take()
    assert [line["type"] for line in fake.lines()] == ["delta", "position", "ok"]


async def test_an_answer_waits_for_the_writers_turn_though_the_socket_is_clear_again() -> None:
    fake = FakeConnection()
    fake.follow()
    fake.clog()
    say(fake.stream, "first")
    await turn()
    fake.buffer.take()
    assert not fake.wire.writing_paused
    await fake.connection.send(b'{"type":"ok"}\n')
    await turn()
    fake.buffer.take()
    assert [line["type"] for line in fake.lines()] == ["delta", "position", "ok"]


async def test_nothing_of_a_stream_overtakes_the_answer_to_its_subscribe() -> None:
    """Not even when the socket has just become clear, before the writer had its turn."""
    fake = FakeConnection()
    fake.clog()
    await fake.connection.send(b'{"type":"ok"}\n')
    fake.follow()
    await turn()
    say(fake.stream, "first")
    fake.buffer.take()
    await turn()
    fake.buffer.take()
    assert [line["type"] for line in fake.lines()] == ["ok", "delta", "position"]


async def test_who_joins_between_an_append_and_its_flush_is_not_sent_it_twice() -> None:
    fake = FakeConnection()
    other = FakeConnection()
    other.connection.subscribe(fake.stream, fake.stream.place("now"))
    say(fake.stream, "before")
    fake.follow("now")
    await turn()
    say(fake.stream, "after")
    await turn()
    for each in (fake, other):
        each.buffer.take()
    assert fake.text() == "after"
    assert other.text() == "beforeafter"


# Limits


async def test_a_stream_is_followed_once_and_only_so_many_are() -> None:
    fake = FakeConnection(subscriptions=3)
    for stream in fake.streams[:3]:
        fake.follow(stream=stream)
    with pytest.raises(Conflict, match='already follows "a"'):
        fake.follow(stream=fake.streams[0])
    with pytest.raises(LimitExceeded, match="3 streams"):
        fake.follow(stream=fake.streams[3])
    assert fake.connection.unsubscribe("a")
    assert not fake.connection.unsubscribe("a")
    fake.follow(stream=fake.streams[3])


async def test_who_asks_much_and_reads_nothing_is_answered_no_further() -> None:
    fake = FakeConnection()
    fake.clog()
    answered = 0

    async def ask() -> None:
        nonlocal answered
        while True:
            await fake.connection.send(b'{"type":"ok"}\n')
            answered += 1

    asking = asyncio.create_task(ask())
    await turn(100)
    assert answered == REPLIES
    fake.buffer.take()
    await turn(3)
    assert answered > REPLIES
    asking.cancel()


async def test_whoever_waits_to_answer_is_let_go_when_the_connection_ends() -> None:
    fake = FakeConnection()
    fake.clog()
    answers = asyncio.gather(*(fake.connection.send(b"{}\n") for _ in range(REPLIES + 5)))
    await turn()
    assert not answers.done()
    fake.connection.abort()
    await asyncio.wait_for(answers, PATIENCE)
    await fake.connection.close()


async def test_coming_and_going_while_clogged_never_overflows_the_outbox() -> None:
    """A follower that raised would end the pass, and with it the stream for everybody."""
    fake = FakeConnection(subscriptions=3)
    for stream in fake.streams[:3]:
        fake.follow(stream=stream)
    fake.clog()
    for stream in fake.streams[:3]:
        say(stream, "a")
    await turn()

    async def come_and_go() -> None:
        while True:
            for stream in fake.streams[:3]:
                fake.connection.unsubscribe(stream.name)
                await fake.connection.send(b"{}\n")
                await fake.connection.send(b"{}\n")
                fake.follow("start", stream)

    moving = asyncio.create_task(come_and_go())
    await turn(200)
    assert not moving.done()
    moving.cancel()
    fake.connection.enqueue(b"{}\n")  # the farewell of a hub that shuts down
    for _ in range(200):
        fake.buffer.take()
        await turn(1)
    say(fake.stream, "the end")
    await turn()
    fake.buffer.take()
    assert "the end" in fake.text()


# Resets and the end of a stream


async def test_who_falls_behind_the_head_is_reset_once_and_goes_on_from_there() -> None:
    fake = FakeConnection(max_records=5)
    fake.follow()
    say(fake.stream, "0")
    await turn(1)
    fake.clog()
    for number in range(1, 20):
        say(fake.stream, f"{number}")
        await turn(1)
    for _ in range(20):
        fake.buffer.take()
        await turn(2)
    told = fake.lines()
    resets = [line for line in told if line["type"] == "reset"]
    head = fake.stream.position_at(15)
    assert resets == [{"type": "reset", "position": str(head), "reason": "trimmed"}]
    assert fake.text() == "0" + "".join(f"{number}" for number in range(15, 20))
    assert fake.counts.resets == 1


async def test_a_reset_comes_before_everything_else() -> None:
    fake = FakeConnection(max_records=2)
    say(fake.stream, "0", "1", "2", "3")
    fake.follow(fake.stream.position._replace(offset=0))
    await turn()
    fake.buffer.take()
    assert [line["type"] for line in fake.lines()] == ["reset", "delta", "position"]


async def test_text_that_cannot_tell_a_reset_is_cut() -> None:
    fake = FakeConnection(TEXT, ends=True, max_records=2)
    fake.follow()
    fake.clog()
    for number in range(5):
        say(fake.stream, f"{number}")
        await turn(1)
    fake.buffer.take()
    await turn()
    assert fake.buffer.aborted
    assert fake.over is not None
    assert fake.over.done()
    assert not fake.connection.complete


async def test_the_end_of_a_stream_is_told_after_its_last_record_and_ends_the_connection() -> None:
    fake = FakeConnection(ends=True)
    fake.follow()
    say(fake.stream, "a")
    fake.stream.close()
    await turn()
    fake.buffer.take()
    await turn()
    assert [line["type"] for line in fake.lines()] == ["delta", "position", "closed"]
    assert fake.over is not None
    assert fake.over.done()
    assert fake.connection.complete
    assert not fake.buffer.aborted
    assert not fake.stream.in_use


async def test_a_connection_that_lasts_outlives_its_streams() -> None:
    fake = FakeConnection()
    for stream in fake.streams[:2]:
        fake.follow(stream=stream)
    fake.streams[0].close()
    await turn()
    say(fake.streams[1], "still here")
    await turn()
    fake.buffer.take()
    assert [line["type"] for line in fake.lines()] == ["closed", "delta", "position"]
    assert not fake.connection.ended
    assert list(fake.connection.subscriptions) == ["b"]


async def test_a_connection_is_complete_only_when_the_client_has_taken_the_end() -> None:
    """Or else whoever never reads it would be let go of, and hold its memory for ever."""
    fake = FakeConnection(ends=True, catch_up_bytes=1000)
    say(fake.stream, "z" * HIGH)
    fake.stream.close()
    fake.follow("start")
    await turn()
    assert fake.over is not None
    assert not fake.over.done()
    now = asyncio.get_running_loop().time()
    fake.connection.tick(now)
    fake.connection.tick(now + 31)
    assert fake.buffer.aborted
    assert fake.counts.evictions == 1
    await turn()
    assert fake.over.done()
    await fake.connection.close()


async def test_what_is_unsubscribed_while_it_waits_is_not_sent() -> None:
    fake = FakeConnection()
    fake.follow()
    fake.clog()
    say(fake.stream, "old")
    await turn()
    fake.connection.unsubscribe("a")
    say(fake.stream, "between")
    await turn()
    fake.follow("now")
    say(fake.stream, "new")
    await turn()
    fake.buffer.take()
    await turn()
    fake.buffer.take()
    assert fake.text() == "new"


async def test_what_is_unsubscribed_while_the_store_is_read_is_not_sent() -> None:
    """Nor is it by a round under way that comes to it after the read."""
    fake = FakeConnection(durable=True)
    assert isinstance(fake.store, FakeStore)
    say(fake.stream, "old", "older")
    fake.store.open.clear()
    fake.follow("start")
    subscription = fake.connection.subscriptions["a"]
    await turn()
    assert fake.store.reads == 1
    fake.connection.unsubscribe("a")
    fake.store.open.set()
    await turn()
    assert subscription.place > fake.stream.tail
    fake.buffer.take()
    assert fake.heard() == b""
    fake.follow("now")
    say(fake.stream, "new")
    await turn()
    fake.buffer.take()
    assert fake.text() == "new"


async def test_whose_stream_cannot_be_read_is_cut_and_comes_back_with_its_position(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fake = FakeConnection(durable=True)
    assert isinstance(fake.store, FakeStore)
    say(fake.stream, "old", "older")
    fake.store.error = StoreError("the disk is gone")
    fake.follow("start")
    await turn()
    assert fake.buffer.aborted
    assert fake.connection.ended
    assert "the disk is gone" in caplog.text
    await fake.connection.close()
