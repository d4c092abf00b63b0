"""Generations at work: begun once, ended once, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

import pytest

from hub.domain.errors import (
    HubError,
    InvalidName,
    LimitExceeded,
    RequestError,
    StreamBusy,
    StreamClosed,
    TooLarge,
    UpstreamNotFound,
)
from hub.domain.events import Delta, Failed, Finished, Message, Started
from hub.domain.generation import Generation, State
from hub.domain.records import Record
from hub.stores import Began, Change
from hub.stores.memory import MemoryStore
from hub.streams.stream import Stream
from tests.support.fake_connection import turn
from tests.support.fake_runs import Keep, Runner, Slow, events_of, hangs, talks
from tests.support.fake_upstream import END, FOREVER, FakeUpstream, ended, refused, said
from tests.support.loopback_hub import eventually

# A reply


class Unread(MemoryStore):
    """A store that nobody may look anything up in."""

    async def load(self, stream: str) -> None:
        raise AssertionError(f"{stream} was looked for")


async def test_a_one_off_is_begun_without_looking_into_the_store(keep: Keep) -> None:
    """Nobody can have had the name of its stream, and its upstream waits to be asked."""
    desk = keep(Runner(talks("Hi"), store=Unread()))
    assert await desk.told(await desk.ask())


async def test_a_one_off_gets_a_stream_of_its_own_that_closes_at_its_end(keep: Keep) -> None:
    go = asyncio.Event()
    desk = keep(Runner(FakeUpstream([said("Hel"), go, said("lo"), END])))
    generation = await desk.ask()
    stream = await desk.stream(generation.stream)
    assert generation.stream == generation.id
    assert stream.in_use
    go.set()
    await desk.runs.wait(generation.id)
    question, started, *deltas, end = await desk.told(generation)
    assert isinstance(question, Message)
    assert (question.role, question.text) == ("user", "Hi")
    assert isinstance(started, Started)
    assert (started.generation, started.upstream) == (generation.id, "fake_upstream")
    assert deltas == [Delta(generation.id, text="Hel"), Delta(generation.id, text="lo")]
    assert isinstance(end, Finished)
    assert stream.closed
    assert not stream.in_use
    assert generation.position == stream.position_at(0)
    assert desk.counts.generations == {"finished": 1}


async def test_a_conversation_stays_open_and_is_sent_as_history(keep: Keep) -> None:
    desk = keep(Runner(FakeUpstream([said("Hello"), END])))
    first = await desk.ask("Hi", stream="chat", author="Ada")
    await desk.runs.wait(first.id)
    second = await desk.ask("Again", stream="chat", model="demo", options={"temperature": 0})
    await desk.runs.wait(second.id)
    stream = await desk.stream("chat")
    assert not stream.closed
    fake_upstream = desk.upstreams.find(None)
    assert isinstance(fake_upstream, FakeUpstream)
    assert [message["content"] for message in fake_upstream.prompts[1].messages] == [
        "Hi",
        "Hello",
        "Again",
    ]
    assert (fake_upstream.prompts[1].model, fake_upstream.prompts[1].options) == (
        "demo",
        {"temperature": 0},
    )
    assert second.position == stream.position_at(4)
    message, *_ = await events_of(stream)
    assert isinstance(message, Message)
    assert message.author == "Ada"
    assert message.at is not None


class Keeping(MemoryStore):
    """A store that has not kept a generation's beginning before ``kept`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = asyncio.Event()
        self.kept.set()

    def note(self, change: Change) -> None:
        super().note(change)
        if isinstance(change, Began):
            self.kept.clear()

    async def synced(self, stream: str | None = None) -> None:
        del stream
        await self.kept.wait()


async def test_who_asks_is_answered_once_the_beginning_is_kept(keep: Keep) -> None:
    """P3, and P8: whoever was told of a generation finds it after a crash."""
    store = Keeping()
    desk = keep(Runner(hangs(), store=store))
    asking = asyncio.create_task(desk.ask(stream="chat", key="k"))
    await turn(50)
    assert desk.runs.active == 1
    assert not asking.done()
    store.kept.set()
    assert (await asking).stream == "chat"


async def test_of_a_conversation_only_what_is_new_is_read(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To read a long one from its beginning would keep its upstream, and all others, waiting."""
    read: list[int] = []
    reads = Stream.stretches

    def noted(stream: Stream, start: int = 0) -> AsyncIterator[Sequence[Record]]:
        read.append(start)
        return reads(stream, start)

    desk = keep(Runner(FakeUpstream([said("Hello"), END])))
    fake_upstream = desk.upstreams.find(None)
    assert isinstance(fake_upstream, FakeUpstream)
    for _ in range(3):
        with monkeypatch.context() as patched:  # whoever waits for the end reads, too
            patched.setattr(Stream, "stretches", noted)
            generation = await desk.ask("Hi", stream="chat")
        await desk.runs.wait(generation.id)
    assert read == [0, 0, 4], "each time what the reply before has said"
    assert [message["content"] for message in fake_upstream.prompts[2].messages] == [
        *("Hi", "Hello", "Hi", "Hello", "Hi")
    ]


async def test_what_was_trimmed_is_no_longer_sent(keep: Keep) -> None:
    desk = keep(Runner(FakeUpstream([said("Hello"), END])))
    fake_upstream = desk.upstreams.find(None)
    assert isinstance(fake_upstream, FakeUpstream)
    for text in ("one", "two", "three"):
        generation = await desk.ask(text, stream="chat")
        await desk.runs.wait(generation.id)
        (await desk.stream("chat")).trim(4)
    assert [message["content"] for message in fake_upstream.prompts[2].messages] == [
        *("two", "Hello", "three")
    ]


async def test_no_more_conversations_are_remembered_than_may_be(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.generations.conversations.CONVERSATIONS", 2)
    monkeypatch.setattr("hub.generations.conversations.CONVERSATION_BYTES", 2000)
    desk = keep(Runner(FakeUpstream([said("Hello"), END])))
    for name in ("a", "b", "c", "c", "c"):
        generation = await desk.ask("Hi", stream=name)
        await desk.runs.wait(generation.id)
    assert desk.runs._conversations.kept == ["b"]


@pytest.mark.parametrize("deliver", ["at_once", "committed"])
async def test_what_was_said_a_moment_ago_is_in_the_history_whoever_has_been_shown_it(
    keep: Keep, deliver: Literal["at_once", "committed"]
) -> None:
    desk = keep(Runner(FakeUpstream([said("Hello"), END]), deliver=deliver))
    first = await desk.ask("Hi", stream="chat")
    while not first.ended:  # noqa: ASYNC110 - the turn in which it ended counts
        await asyncio.sleep(0)
    (await desk.stream("chat")).append(Message("user", "You there?"))
    second = await desk.ask("Again", stream="chat")
    await desk.runs.wait(second.id)
    fake_upstream = desk.upstreams.find(None)
    assert isinstance(fake_upstream, FakeUpstream)
    said_so_far = [message["content"] for message in fake_upstream.prompts[1].messages]
    assert said_so_far == ["Hi", "Hello", "You there?", "Again"]


async def test_messages_are_sent_exactly_and_not_written_down(keep: Keep) -> None:
    desk = keep(Runner(talks("Hi")))
    messages = ({"role": "user", "content": [{"type": "text", "text": "Hi"}]},)
    generation = await desk.ask(None, messages=messages)
    await desk.runs.wait(generation.id)
    assert isinstance((await desk.told(generation))[0], Started)
    fake_upstream = desk.upstreams.find("fake_upstream")
    assert isinstance(fake_upstream, FakeUpstream)
    assert fake_upstream.prompts[0].messages == messages


@pytest.mark.parametrize(
    ("fake_upstream", "state", "code"),
    [
        (FakeUpstream([said("Hel")]), State.FAILED, "upstream_truncated"),
        (FakeUpstream([said("Hel"), b'{"error":"broken"}\n']), State.FAILED, None),
        (FakeUpstream([said("Hel"), b"<html>"]), State.FAILED, None),
        (
            FakeUpstream([refused(retryable=False, code="upstream_refused")]),
            State.FAILED,
            "upstream_refused",
        ),
        (
            FakeUpstream([said("Hel"), FOREVER], stall_timeout=0.02),
            State.FAILED,
            "upstream_stalled",
        ),
        (FakeUpstream([ended(prompt_tokens=1)]), State.FINISHED, None),
    ],
)
async def test_however_it_ends_it_ends_once_with_usage_and_closes_its_stream(
    keep: Keep, fake_upstream: FakeUpstream, state: State, code: str | None
) -> None:
    desk = keep(Runner(fake_upstream))
    generation = await desk.ask()
    await desk.runs.wait(generation.id)
    await desk.told(generation)
    assert generation.state is state
    terminal = generation.terminal
    assert terminal is not None
    assert terminal.usage is not None
    if code is not None:
        assert isinstance(terminal, Failed)
        assert terminal.code == code
    assert (await desk.stream(generation.stream)).closed
    assert fake_upstream.open_now == 0


async def test_a_mistake_of_the_hub_is_an_end_that_tells_nothing_of_it(
    keep: Keep, caplog: pytest.LogCaptureFixture
) -> None:
    desk = keep(Runner(FakeUpstream([said("Hel"), ZeroDivisionError("secret")])))
    generation = await desk.ask()
    await desk.runs.wait(generation.id)
    terminal = generation.terminal
    assert isinstance(terminal, Failed)
    assert terminal.code == "internal"
    assert "secret" not in terminal.message
    assert "secret" in caplog.text


async def test_a_stream_that_is_closed_under_it_ends_it_first(keep: Keep) -> None:
    fake_upstream = hangs()
    desk = keep(Runner(fake_upstream))
    generation = await desk.ask(stream="chat")
    stream = await desk.stream("chat")
    await eventually(lambda: stream.last and isinstance(stream.last.event, Delta))
    stream.close()
    assert generation.state is State.INTERRUPTED
    await stream.committed()
    assert stream.closed
    assert stream.last is not None
    assert stream.last.event == generation.terminal
    assert not stream.in_use
    assert await desk.runs.find(generation.id) is generation
    assert desk.counts.generations == {"interrupted": 1}
    await eventually(lambda: not fake_upstream.open_now)


# What is refused


async def test_one_generation_at_a_time_for_each_stream(keep: Keep) -> None:
    desk = keep(Runner(hangs()))
    first = await desk.ask(stream="chat")
    with pytest.raises(StreamBusy, match='already running in "chat"'):
        await desk.ask(stream="chat")
    stream = await desk.stream("chat")
    assert sum(isinstance(event, Message) for event in await events_of(stream)) == 1
    await desk.ask(stream="other")
    await desk.runs.cancel(first.id)
    again = await desk.ask(stream="chat")
    assert again.id != first.id


async def test_of_many_who_ask_in_one_stream_at_once_one_is_heard(keep: Keep) -> None:
    desk = keep(Runner(hangs(), store=Slow()))
    asked = [desk.ask(f"{number}", stream="chat") for number in range(5)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(answer, Generation) for answer in answers) == 1
    assert sum(isinstance(answer, StreamBusy) for answer in answers) == 4
    stream = await desk.stream("chat")
    assert sum(isinstance(event, Message) for event in await events_of(stream)) == 1


async def test_only_so_many_run_at_once(keep: Keep) -> None:
    desk = keep(Runner(hangs(), generations=2))
    first = await desk.ask()
    await desk.ask()
    with pytest.raises(LimitExceeded):
        await desk.ask()
    await desk.runs.cancel(first.id)
    await desk.ask()


async def test_of_many_who_ask_at_once_only_so_many_run(keep: Keep) -> None:
    desk = keep(Runner(hangs(), generations=2, store=Slow()))
    answers = await asyncio.gather(*(desk.ask() for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(answer, Generation) for answer in answers) == 2
    assert sum(isinstance(answer, LimitExceeded) for answer in answers) == 3
    assert desk.runs.active == 2


def _nested(levels: int) -> dict[str, Any]:
    held: dict[str, Any] = {}
    for _ in range(levels):
        held = {"a": held}
    return held


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"prompt": None}, RequestError),
        ({"prompt": "Hi", "messages": ()}, RequestError),
        ({"prompt": "x" * 101}, TooLarge),
        ({"prompt": "流" * 34}, TooLarge),
        ({"prompt": None, "messages": ({"content": "x" * 100},)}, TooLarge),
        ({"prompt": None, "messages": (_nested(400),)}, RequestError),
        ({"prompt": None, "messages": (_nested(400),), "key": "k"}, RequestError),
        ({"options": _nested(400), "key": "k"}, RequestError),
        ({"upstream": "nobody"}, UpstreamNotFound),
        ({"stream": ""}, InvalidName),
        ({"stream": "a b"}, InvalidName),
        ({"key": ""}, RequestError),
        ({"key": "k" * 256}, RequestError),
        ({"model": "m" * 201}, RequestError),
        ({"prompt": None, "messages": ({"content": "a"},) * 3}, TooLarge),
    ],
)
async def test_what_cannot_be_asked_leaves_nothing_behind(
    keep: Keep, fields: dict[str, Any], error: type[HubError]
) -> None:
    desk = keep(Runner(talks("Hi"), prompt_bytes=100, prompt_messages=2))
    with pytest.raises(error):
        await desk.ask(**fields)
    assert desk.runs.active == 0
    assert len(desk.streams) == 0


async def test_what_there_is_no_memory_for_leaves_no_stream_behind(keep: Keep) -> None:
    desk = keep(Runner(talks("Hi")))
    with desk.allowance.taken(desk.allowance.most):
        for fields in ({}, {"key": "k"}, {"stream": "chat"}):
            with pytest.raises(LimitExceeded):
                await desk.ask(**fields)
    assert len(desk.streams) == 0
    assert (await desk.ask(key="k")).stream


async def test_a_one_off_whose_beginning_cannot_be_written_leaves_no_stream_behind(
    keep: Keep,
) -> None:
    desk = keep(Runner(talks("Hi")))
    for fields in ({}, {"key": "k"}):
        with pytest.raises(RequestError):
            await desk.ask(author="half a pair: \ud800", **fields)
    assert len(desk.streams) == 0


async def test_a_prompt_in_a_conversation_of_too_many_messages_changes_nothing(keep: Keep) -> None:
    desk = keep(Runner(talks("Hi"), prompt_messages=4))
    await desk.runs.wait((await desk.ask(stream="chat")).id)
    await desk.runs.wait((await desk.ask(stream="chat")).id)
    stream = await desk.stream("chat")
    stream.append(Message("user", "One more"))
    for _ in range(2):
        with pytest.raises(TooLarge, match=r"limits\.prompt_messages"):
            await desk.ask(stream="chat")
    assert not stream.in_use
    messages = ({"role": "user", "content": "What matters"},)
    await desk.runs.wait((await desk.ask(None, messages=messages, stream="chat")).id)


async def test_nothing_is_asked_in_a_closed_stream(keep: Keep) -> None:
    desk = keep(Runner(talks("Hi")))
    stream, _ = await desk.streams.create("chat")
    stream.close()
    for fields in ({"prompt": "Hi"}, {"prompt": None, "messages": ({"content": "Hi"},)}):
        with pytest.raises(StreamClosed):
            await desk.ask(**fields, stream="chat")
    assert desk.runs.active == 0
    assert not stream.in_use


async def test_an_upstream_is_called_by_its_name_or_is_the_default(keep: Keep) -> None:
    one, other = talks("1", name="one"), talks("2", name="other", model="large")
    desk = keep(Runner(one, other))
    assert (await desk.ask()).upstream == "one"
    chosen = await desk.ask(upstream="other")
    assert (chosen.upstream, chosen.model) == ("other", "large")
    assert (await desk.ask(upstream="other", model="demo")).model == "demo"
    with pytest.raises(UpstreamNotFound, match='"nobody"; there are: one, other'):
        desk.upstreams.find("nobody")
