"""Who takes part is told of the others, at any speed, within bounds.

The wire is made of memory; the same is tried on real sockets in test_websocket_presence.py.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from hub.connections import participants as module
from hub.connections.participants import ALL, EACH, Participants
from hub.domain.errors import LimitExceeded
from hub.frames.websocket import WEBSOCKET
from tests.support.fake_connection import HIGH, FakeConnection, turn
from tests.support.reference_parsers import Frames


class Seat:
    """One connection, and what it has been told of who is there."""

    def __init__(self, here: Participants, **options: Any) -> None:
        self.here = here
        self.desk = FakeConnection(WEBSOCKET, **options)
        self.desk.follow()
        self.connection = self.desk.connection
        self.frames: list[dict[str, Any]] = []
        self.parser = Frames()

    def enter(self, state: object = 1, label: str = "", stream: str = "a") -> str:
        return self.here.enter(self.connection, stream, label, json.dumps(state).encode())

    def leave(self, label: str = "") -> None:
        self.here.leave(self.connection, "a", label)

    def read(self) -> None:
        """Read all there is."""
        self.desk.buffer.take()
        told = bytes(self.desk.buffer.taken)
        self.desk.buffer.taken.clear()
        assert not told.startswith(b"x" * HIGH)
        self.frames += [json.loads(frame.body) for frame in self.parser.feed(told)]

    def unclog(self) -> None:
        """Read what it had been clogged with."""
        self.desk.buffer.take()
        self.desk.buffer.taken.clear()

    def seen(self) -> dict[str, object]:
        """Who is there, as far as it was told."""
        self.read()
        there: dict[str, object] = {}
        for frame in self.frames:
            assert (frame["type"], frame["stream"]) == ("presence", "a")
            for member in frame["left"]:
                del there[member]
            there.update({one["member"]: one["state"] for one in frame["joined"]})
        return there


@pytest.fixture
def here() -> Participants:
    return Participants(members=200)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds follow at once, but for where a test is about the time between them."""
    monkeypatch.setattr(module, "ROUND_SECONDS", 0.0)
    monkeypatch.setattr(module, "ROUND_WRITES", 10**9)


async def test_everybody_first_then_differences(here: Participants) -> None:
    one, two = Seat(here), Seat(here)
    first = one.enter({"typing": True})
    await turn()
    second = two.enter("b")
    await turn()
    assert one.seen() == two.seen() == {first: {"typing": True}, second: "b"}
    assert [len(frame["joined"]) for frame in one.frames] == [1, 1]
    assert [len(frame["joined"]) for frame in two.frames] == [2]
    assert one.enter({"typing": False}) == first, "one label is one member"
    await turn()
    assert two.seen()[first] == {"typing": False}
    two.leave()
    await turn()
    assert one.seen() == {first: {"typing": False}}
    two.read()
    assert len(two.frames) == 2, "who takes part no longer is told nothing"
    assert len(here) == 1


async def test_several_labels_are_several_members(here: Participants) -> None:
    one, two = Seat(here), Seat(here)
    tabs = [one.enter(label, label) for label in ("left", "right")]
    assert len(set(tabs)) == 2
    other = two.enter("x", "left")
    assert other not in tabs, "a label is the connection's own"
    await turn()
    assert one.seen() == {tabs[0]: "left", tabs[1]: "right", other: "x"}
    one.leave("left")
    await turn()
    assert one.seen() == two.seen() == {tabs[1]: "right", other: "x"}
    again = one.enter("left", "left")
    assert again not in tabs, "who comes again is another"


async def test_what_happens_at_once_is_one_frame_and_the_same_bytes_for_all(
    here: Participants,
) -> None:
    seats = [Seat(here) for _ in range(20)]
    for seat in seats:
        seat.enter("old")
    await turn()
    for seat in seats:
        seat.read()
        seat.desk.buffer.written.clear()
    for seat in seats:
        for number in range(10):
            seat.enter(number)
    await turn()
    frames = [seat.desk.buffer.written for seat in seats]
    assert all(len(written) == 1 for written in frames)
    assert len({written[0] for written in frames}) == 1
    assert len(seats[0].seen()) == 20


async def test_rounds_are_apart(here: Participants, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROUND_SECONDS", 3600.0)
    one = Seat(here)
    one.enter(0)
    await turn()
    for number in range(1, 50):
        one.enter(number)
        await turn(2)
    one.read()
    assert [frame["joined"][0]["state"] for frame in one.frames] == [0]
    gathering = one.connection.parts["a"].gathering
    assert gathering._timer is not None
    gathering._timer.cancel()
    gathering._round()  # as if the time had come
    assert list(one.seen().values()) == [49]


async def test_a_slow_one_has_one_place_and_misses_nothing(here: Participants) -> None:
    slow, quick = Seat(here), Seat(here)
    mine = slow.enter("slow")
    await turn()
    slow.read()
    slow.desk.clog()
    last = ""
    for number in range(500):
        last = quick.enter(number)
        await turn(3)
        if number % 2:
            quick.leave()
            await turn(3)
            quick.read()
    last = quick.enter("end")
    await turn(3)
    assert slow.connection.outbox_size <= 1, "a place, once"
    waiting = slow.desk.buffer.get_write_buffer_size()
    assert waiting <= HIGH + 1
    slow.unclog()
    await turn()
    assert slow.seen() == {mine: "slow", last: "end"}
    assert not any(frame["left"] for frame in slow.frames), "it had seen none of them"
    assert not slow.connection.busy
    quick.leave()
    await turn()
    assert slow.seen() == {mine: "slow"}


async def test_a_slow_one_holds_up_nobody(here: Participants) -> None:
    slow, quick = Seat(here), Seat(here)
    slow.enter()
    slow.desk.clog()
    for number in range(20):
        mine = quick.enter(number)
        await turn(3)
        assert quick.seen()[mine] == number


async def test_who_dies_has_left(here: Participants) -> None:
    one, two, three = Seat(here), Seat(here), Seat(here)
    first = one.enter()
    for label in ("a", "b"):
        two.enter(1, label)
    three.enter()
    await turn()
    assert len(one.seen()) == 4
    two.desk.wire.lose()
    two.connection.tick(asyncio.get_running_loop().time())
    three.desk.wire.lose()  # nobody has noticed, until something is written
    await turn()
    assert one.seen() == {first: 1}
    assert not two.connection.parts
    assert not three.connection.parts


async def test_whoever_unsubscribes_or_is_at_the_end_of_the_stream_has_left(
    here: Participants,
) -> None:
    one, two = Seat(here), Seat(here)
    first = one.enter()
    two.enter()
    await turn()
    two.connection.unsubscribe("a")
    await turn()
    assert one.seen() == {first: 1}
    one.desk.stream.close()
    await turn()
    assert not one.connection.parts
    assert len(here) == 0
    assert not here.streams, "of a stream in which nobody takes part nothing is kept"


async def test_subscribers_who_take_no_part_are_told_nothing(here: Participants) -> None:
    one, other = Seat(here), Seat(here)
    one.enter()
    await turn()
    assert not other.desk.buffer.written
    assert not other.connection.parts


async def test_a_connection_is_so_many_members_of_one_stream(here: Participants) -> None:
    one = Seat(here)
    for number in range(EACH):
        one.enter(1, str(number))
    with pytest.raises(LimitExceeded, match=f"at most {EACH} participants of a stream"):
        one.enter(1, "more")
    one.enter(2, "0")  # who is there may still change
    one.leave("0")
    one.enter(1, "more")
    await turn()
    assert len(one.seen()) == EACH


async def test_and_so_many_of_all_its_streams(here: Participants) -> None:
    one = Seat(here)
    for stream in range(ALL // EACH):
        for number in range(EACH):
            one.enter(1, str(number), f"s{stream}")
    with pytest.raises(LimitExceeded, match=f"at most {ALL} participants of all its streams"):
        one.enter(1, "more", "another")
    assert "another" not in here.streams
    one.connection.end()
    for left in list(one.connection.parts):
        one.connection.unsubscribe(left)
    assert len(here) == 0


async def test_a_stream_has_so_many_members(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Participants(members=3)
    seats = [Seat(here) for _ in range(4)]
    for seat in seats[:3]:
        seat.enter()
    with pytest.raises(LimitExceeded, match="at most 3 participants"):
        seats[3].enter()
    assert not seats[3].connection.parts
    seats[0].leave()
    seats[3].enter()
    with pytest.raises(LimitExceeded):
        Seat(Participants(members=0)).enter()


async def test_nobody_takes_all_places_of_a_stream() -> None:
    here = Participants(members=4)
    seats = [Seat(here) for _ in range(5)]

    def enter(seat: int, user: str | None) -> str:
        connection = seats[seat].connection
        return here.enter(connection, "a", "", b"1", user)

    enter(0, "ann")
    enter(1, "ann")
    enter(1, "ann")  # who is there may still change
    with pytest.raises(LimitExceeded, match="as many participants in this stream as others"):
        enter(2, "ann")
    enter(2, "bob")
    with pytest.raises(LimitExceeded):
        enter(3, "bob")
    assert not seats[3].connection.parts
    enter(3, None)  # its owner, or anybody without authentication
    seats[0].leave()
    seats[1].leave()
    enter(0, "bob")
    assert sorted(here.users("a").values()) == ["bob", "bob"]


async def test_the_members_of_other_hubs_count_too() -> None:
    here = Participants(members=4)
    one, other = Seat(here), Seat(here)
    one.enter()
    here.put_others("a", "node", {"x": b"1", "y": b"2"}, {"x": "ann"})
    with pytest.raises(LimitExceeded):
        here.enter(other.connection, "a", "", b"1", "ann")
    here.put_others("a", "node", {"y": b"2"}, {})
    here.enter(other.connection, "a", "", b"1", "ann")
    assert set(here.users("a").values()) == {"ann"}


async def test_the_outbox_holds_whatever_was_left_behind_in_it(here: Participants) -> None:
    """A client that reads nothing may join and leave as often as its replies allow."""
    one = Seat(here, subscriptions=2)
    other = Seat(here)
    other.enter()
    one.desk.follow(stream=one.desk.streams[1])
    one.enter()
    one.enter(1, "", "b")
    await turn()
    one.read()
    one.desk.clog()
    replies = 0

    async def answer() -> None:
        nonlocal replies
        await one.connection.send(b"reply")
        replies += 1

    async def misbehave() -> None:
        while True:
            one.connection.unsubscribe("a")
            await answer()
            one.desk.follow()
            await answer()
            one.enter(replies)
            one.desk.stream.append_body(b"{}", None)
            other.enter(replies)
            await turn()
            await answer()

    task = asyncio.create_task(misbehave())
    await turn(500)
    assert not task.done(), "it waits for its reply to be taken"
    before = replies
    await turn(500)
    assert replies == before
    assert one.desk.buffer.get_write_buffer_size() <= HIGH + 1
    task.cancel()
    await asyncio.wait([task])
    one.unclog()
    await turn(100)
    assert not one.connection.busy
