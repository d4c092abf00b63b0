"""The conversation before a prompt: read once, in slices, and only up to a number of messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from hub.domain.errors import LimitExceeded, MessageNotFound, TooLarge
from hub.domain.events import Delta, Event, Message, Started, ToolCall
from hub.domain.generation_request import GenerationRequest
from hub.domain.memory_budget import MemoryBudget
from hub.domain.records import Position, Record
from hub.generations.conversations import Conversations, Past
from hub.streams.history import SLICE
from hub.streams.stream import Stream
from tests.support.loop_rounds import Rounds
from tests.support.loopback_hub import eventually

MOST = 1000
MORE = GenerationRequest(prompt="More", stream="s")


class CountedStream(Stream):
    """A stream that counts the records that are read of it."""

    __slots__ = ("read", "rounds")

    def __init__(self) -> None:
        super().__init__("s")
        self.read = 0
        self.rounds = Rounds()

    async def stretches(self, start: int = 0) -> AsyncIterator[Sequence[Record]]:
        async for records in super().stretches(start):
            self.read += len(records)
            self.rounds.note(len(records))
            yield records


def stream(*events: Event) -> CountedStream:
    made = CountedStream()
    for event in events:
        made.append(event)
    return made


def texts(count: int) -> list[Event]:
    return [Message("user", "a")] * count


async def test_only_new_records_are_read_again() -> None:
    kept, long = Conversations(MOST), stream(*texts(MOST - 1))
    assert len((await kept.before(long, MORE)).messages) == MOST - 1
    long.append(Message("user", "b"))
    long.read = 0
    assert len((await kept.before(long, MORE)).messages) == MOST
    assert long.read == 1


async def test_the_loop_serves_others_while_it_is_read() -> None:
    kept, long = Conversations(MOST), stream(*texts(MOST))
    with long.rounds:
        await kept.before(long, MORE)
    assert long.rounds.most <= SLICE


async def test_a_conversation_that_is_too_long_is_not_read_to_its_end_nor_again() -> None:
    kept, long = Conversations(MOST), stream(*texts(MOST * 10))
    with pytest.raises(TooLarge, match=r"more than 1000 messages.*limits\.prompt_messages"):
        await kept.before(long, MORE)
    assert long.read <= MOST + SLICE
    long.read = 0
    with pytest.raises(TooLarge):
        await kept.before(long, MORE)
    assert long.read == 0
    assert kept.kept == []


async def test_what_was_trimmed_makes_a_conversation_short_again() -> None:
    kept, long = Conversations(MOST), stream(*texts(MOST + 1))
    with pytest.raises(TooLarge):
        await kept.before(long, MORE)
    long.trim(1)
    assert len((await kept.before(long, MORE)).messages) == MOST


async def test_a_hundred_thousand_deltas_of_hundreds_of_replies_are_a_conversation() -> None:
    replies: list[Event] = []
    for number in range(300):
        replies += [Message("user", "Go on"), Started(f"gen_{number}")]
        replies += [Delta(f"gen_{number}", "a")] * 330
    kept, long = Conversations(MOST), stream(*replies)
    messages = (await kept.before(long, MORE)).messages
    assert [len(str(one["content"])) for one in messages] == [5, 330] * 300
    long.read = 0
    await kept.before(long, MORE)
    assert long.read == 0


async def test_tool_calls_and_what_was_replaced_count_as_messages() -> None:
    calls = [Delta("gen_1", tool=ToolCall(index, f"c{index}", "f")) for index in range(MOST)]
    again = [Started(f"gen_{number}", extra={"after": None}) for number in range(MOST + 1)]
    for events in (calls, again):
        with pytest.raises(TooLarge):
            await Conversations(MOST).before(stream(*events), MORE)


def said(past: Past) -> list[object]:
    return [message["content"] for message in past.messages]


ANSWERED: list[Event] = [
    Message("user", "Hi", extra={"id": "q1"}),
    Started("gen_1"),
    Delta("gen_1", "Hello"),
    Message("user", "Bye", extra={"id": "q2"}),
    Started("gen_2"),
    Delta("gen_2", "See you"),
]


async def test_a_prompt_comes_after_a_message_or_answers_it_again() -> None:
    kept, chat = Conversations(MOST), stream(*ANSWERED)
    elsewhere = replace(MORE, after="gen_1")
    past = await kept.before(chat, elsewhere)
    assert said(past) == ["Hi", "Hello"]
    assert past.fields == {"after": "gen_1"}
    anew = await kept.before(chat, replace(MORE, after=""))
    assert said(anew) == []
    assert anew.fields == {"after": None}
    # The position after the first question.
    position = str(Position(chat.epoch, 1))
    again = await kept.before(chat, GenerationRequest(stream="s", after=position))
    assert said(again) == ["Hi"]
    assert again.fields == {"after": position}


async def test_a_prompt_goes_on_where_a_branch_has_got_to() -> None:
    kept, chat = Conversations(MOST), stream(*ANSWERED)
    assert (await kept.before(chat, replace(MORE, branch="gen_2"))).fields == {}
    chat.append(Message("user", "Good bye", extra={"id": "q3", "after": "gen_1"}))
    chat.append(Started("gen_3"))
    past = await kept.before(chat, replace(MORE, branch="q2"))
    assert said(past) == ["Hi", "Hello", "Bye", "See you"]
    assert past.fields == {"after": str(Position(chat.epoch, 5))}
    # Wherever it has got to by now: the last turn of the stream is on this one.
    assert (await kept.before(chat, replace(MORE, branch="gen_1"))).fields == {}
    assert (await kept.before(chat, replace(MORE, branch="q3"))).fields == {}


async def test_what_nobody_has_said_is_not_continued() -> None:
    kept, chat = Conversations(MOST), stream(*ANSWERED)
    for request in (replace(MORE, after="gen_9"), replace(MORE, branch="q9")):
        with pytest.raises(MessageNotFound, match="is called"):
            await kept.before(chat, request)
    with pytest.raises(MessageNotFound, match="nothing has been said there"):
        await kept.before(chat, GenerationRequest(stream="s", after=""))


async def test_one_of_too_many_bytes_is_refused_as_soon_as_that_is_known() -> None:
    kept = Conversations(MOST * 10, prompt_bytes=1000)
    long = stream(*[Message("user", "a" * 500)] * (SLICE * 3))
    with pytest.raises(TooLarge, match=r"more than 4000 bytes.*limits\.prompt_bytes"):
        await kept.before(long, MORE)
    assert long.read == SLICE
    with pytest.raises(TooLarge):
        await kept.before(long, MORE)
    assert long.read == SLICE


async def test_what_is_read_takes_memory_of_its_caller() -> None:
    allowance = MemoryBudget(1_000_000)
    kept, chat = Conversations(MOST, allowance=allowance), stream(Message("user", "a" * 100_000))
    more = replace(MORE, counted_as="ann")
    with allowance.taken(750_000, "ann"), pytest.raises(LimitExceeded):
        await kept.before(chat, more)
    assert (await kept.before(chat, more)).messages
    assert allowance.held == 0


class GatedStream(CountedStream):
    """A stream whose reading waits for ``gate``, and is noted in ``begun``."""

    __slots__ = ("begun", "gate")

    def __init__(self, begun: list[Stream], gate: asyncio.Event) -> None:
        super().__init__()
        self.begun = begun
        self.gate = gate

    async def stretches(self, start: int = 0) -> AsyncIterator[Sequence[Record]]:
        self.begun.append(self)
        await self.gate.wait()
        async for records in super().stretches(start):
            yield records


async def test_one_caller_has_one_read_at_a_time() -> None:
    kept, begun, gate = Conversations(MOST), list[Stream](), asyncio.Event()
    forks = [GatedStream(begun, gate) for _ in range(4)]
    for fork in forks:
        fork.append(Message("user", "Hi"))
    callers = ("ann", "ann", "ann", "bob")
    reading = [
        asyncio.create_task(kept.before(fork, replace(MORE, counted_as=caller)))
        for fork, caller in zip(forks, callers, strict=True)
    ]
    await eventually(lambda: forks[3] in begun)
    assert begun == [forks[0], forks[3]]
    gate.set()
    assert [said(past) for past in await asyncio.gather(*reading)] == [["Hi"]] * 4
