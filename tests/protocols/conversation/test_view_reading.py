"""What a reader of a view costs, wherever it begins."""

from __future__ import annotations

import asyncio
import gc
from typing import Any, Self

import pytest

from hub.domain.errors import Gone
from hub.domain.events import Delta, Finished, Message, Started, ToolCall
from hub.domain.records import Record
from hub.protocols.agui.chunks import AGUIChunks
from hub.protocols.conversation.checkpoints import SPACING, STATE_BYTES, Checkpoints
from hub.protocols.conversation.view_reading import Viewed
from hub.protocols.durable.responses import PART_BYTES
from hub.streams.history import EVENTS_BYTES, SLICE
from hub.streams.stream import Stream
from tests.support.loop_rounds import Rounds

MANY = 3000


class Counting:
    """A translation of messages that notes how many it is given."""

    over = False
    rounds: Rounds
    added: list[int]
    bytes = 100

    def add(self, record: Record) -> list[dict[str, Any]]:
        self.rounds.note()
        self.added.append(record.offset)
        return []

    def copy(self) -> Self:
        return self

    @property
    def size(self) -> int:
        return self.bytes


def talk(count: int = MANY) -> Stream:
    stream = Stream("s")
    for _ in range(count):
        stream.append(Message("user", "a"))
    return stream


def counting(stream: Stream, rounds: Rounds) -> tuple[Viewed, list[int]]:
    one = Counting()
    one.rounds, one.added = rounds, []
    return Viewed(stream, stream.head, lambda: one, Checkpoints(), ()), one.added


async def test_the_loop_serves_others_while_a_view_is_translated() -> None:
    with Rounds() as rounds:
        viewed, added = counting(talk(), rounds)
        view = await viewed.view(MANY)
        assert added == list(range(MANY))
        assert rounds.most <= SLICE
        part = await viewed.part(view, MANY)
    assert part.latest
    assert not part.bodies


async def test_the_loop_serves_others_while_one_response_is_made() -> None:
    with Rounds() as rounds:
        viewed, added = counting(talk(), rounds)
        part = await viewed.part(await viewed.view(0), 0)
    assert added == list(range(MANY))
    assert rounds.most <= SLICE
    assert part.end.offset == MANY


async def test_one_response_holds_so_many_bytes_and_the_next_one_the_rest() -> None:
    stream = Stream("s")
    for n in range(40):
        stream.append(Message("user", str(n % 10) * 100_000))
    viewed = Viewed(stream, 0, lambda: AGUIChunks("s"), Checkpoints(), ())
    offset, parts = 0, []
    while offset < stream.tail:
        parts.append(await viewed.part(await viewed.view(offset), offset))
        offset = parts[-1].end.offset
    sizes = [sum(map(len, part.bodies)) for part in parts]
    assert max(sizes) <= PART_BYTES + EVENTS_BYTES + 100_000
    assert [part.latest for part in parts] == [False] * (len(parts) - 1) + [True]
    text = b"".join(body for part in parts for body in part.bodies)
    assert all(text.count(b"%d" % n * 100_000) == 4 for n in range(10))


async def test_a_view_of_what_is_no_longer_kept_is_refused() -> None:
    stream = talk(10)
    viewed, _ = counting(stream, Rounds())
    stream.trim(3)
    with pytest.raises(Gone):
        await viewed.view(5)


@pytest.mark.parametrize("offset", [MANY, MANY - 1, MANY // 2])
async def test_what_was_translated_for_one_reader_is_not_translated_again(offset: int) -> None:
    viewed, added = counting(talk(), Rounds())
    await viewed.view(MANY)
    added.clear()
    await viewed.view(offset)
    assert len(added) < SPACING
    assert added == list(range(offset - len(added), offset))


async def test_readers_who_come_at_once_do_not_all_translate_the_whole() -> None:
    viewed, added = counting(talk(), Rounds())
    await asyncio.gather(*(viewed.view(MANY) for _ in range(10)))
    assert len(added) < MANY + 10 * SPACING


async def test_a_reader_who_leaves_keeps_no_other_from_the_view() -> None:
    viewed, added = counting(talk(), Rounds())
    leaving = asyncio.create_task(viewed.view(MANY))
    staying = asyncio.create_task(viewed.view(MANY))
    for _ in range(5):
        await asyncio.sleep(0)
    assert added
    leaving.cancel()
    await staying
    assert added[-1] == MANY - 1


async def test_a_large_state_is_not_kept() -> None:
    viewed, _ = counting(talk(), Rounds())
    Counting.bytes = STATE_BYTES + 1
    try:
        await viewed.view(MANY)
    finally:
        Counting.bytes = 100
    assert viewed.checkpoints.size == 0


async def test_a_view_from_a_checkpoint_gives_what_a_whole_one_does() -> None:
    stream = Stream("s")
    stream.append(Started("gen_1"))
    for number in range(MANY):
        stream.append(Delta("gen_1", f"{number}", tool=ToolCall(0, "c", "f", "1")))
    stream.append(Finished("gen_1", "tool"))
    end = stream.tail

    def viewed(checkpoints: Checkpoints) -> Viewed:
        return Viewed(stream, 0, lambda: AGUIChunks("s"), checkpoints, ())

    kept = Checkpoints()
    await viewed(kept).view(end - 1)
    for offset in (1, SPACING - 1, SPACING, 2 * SPACING + 1, end - 2):
        again, fresh = viewed(kept), viewed(Checkpoints())
        part = await again.part(await again.view(offset), offset)
        assert part == await fresh.part(await fresh.view(offset), offset)


async def test_states_go_with_their_stream_and_the_oldest_go_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hub.protocols.conversation.checkpoints.STREAMS", 2)
    kept = Checkpoints()
    streams = [talk(SPACING) for _ in range(3)]
    one_state = AGUIChunks("s").size
    for stream in streams:
        await Viewed(stream, 0, lambda: AGUIChunks("s"), kept, ()).view(SPACING)
    assert kept.size == 2 * one_state
    monkeypatch.setattr("hub.protocols.conversation.checkpoints.BYTES", one_state)
    await Viewed(streams[2], 0, lambda: AGUIChunks("s"), kept, ()).view(SPACING)
    assert kept.size == one_state
    del stream
    streams.clear()
    gc.collect()
    assert kept.size == 0


async def test_a_long_view_has_as_many_states_as_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.protocols.conversation.checkpoints.STATES", 2)
    viewed, added = counting(talk(SPACING * 8), Rounds())
    await viewed.view(SPACING * 8)
    assert viewed.checkpoints.size <= 2 * 100
    added.clear()
    await viewed.view(SPACING * 8)
    assert len(added) <= SPACING * 4
