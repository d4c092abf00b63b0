"""What a stream tells of a generation that has ended."""

from __future__ import annotations

from hub.domain.events import Delta, Event, Finished, Message, Started
from hub.generations.recovery import events_of
from hub.streams.history import SLICE
from hub.streams.stream import Stream
from tests.support.loop_rounds import Rounds


async def test_the_events_of_a_generation_are_read_from_its_place_to_its_end_and_no_further() -> (
    None
):
    stream = Stream("s")
    own: list[Event] = [Started("gen_1"), Delta("gen_1", "a"), Finished("gen_1", "stop")]
    for event in [Delta("gen_1", "before"), *own, *[Message("user", "b")] * SLICE * 5]:
        stream.append(event)
    with Rounds() as rounds:
        assert [event async for event in events_of(stream, "gen_1", 1)] == own
    assert rounds.count == 1
