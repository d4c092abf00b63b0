"""Generations at work: begun once, ended once, bounded, and found again by key or id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from hub.counts import Counts
from hub.errors import (
    Draining,
    GenerationNotFound,
    HubError,
    InvalidName,
    KeyReused,
    LimitExceeded,
    RequestError,
    StreamBusy,
    StreamClosed,
    StreamNotFound,
    TooLarge,
    UpstreamNotFound,
)
from hub.events import (
    TERMINALS,
    Cancelled,
    Delta,
    Event,
    Failed,
    Finished,
    Interrupted,
    Message,
    Other,
    Started,
    Usage,
)
from hub.generation import Generation, State
from hub.runs import Ask, RunLimits, Runs
from hub.stores.memory import MemoryStore
from hub.stream import Retention, Stream
from hub.streams import StreamLimits, Streams
from tests.puppet import END, FOREVER, Puppet, ended, refused, said


class Slow(MemoryStore):
    """A store that takes a moment, so that others come in between."""

    async def load(self, stream: str) -> None:
        await asyncio.sleep(0.01)


class Desk:
    """Runs over puppets."""

    def __init__(
        self, *puppets: Puppet, store: MemoryStore | None = None, streams: int = 100, **limits: Any
    ) -> None:
        self.counts = Counts()
        self.streams = Streams(
            store or MemoryStore(),
            retention=Retention(),
            limits=StreamLimits(streams=streams),
            slice_size=250,
            counts=self.counts,
        )
        upstreams = {puppet.name: puppet for puppet in puppets}
        self.runs = Runs(
            self.streams,
            upstreams,
            puppets[0].name,
            limits=RunLimits(**limits),
            counts=self.counts,
        )

    async def ask(self, prompt: str | None = "Hi", **fields: Any) -> Generation:
        return await self.runs.start(Ask(prompt, **fields))

    async def stream(self, name: str) -> Stream:
        return await self.streams.open(name)

    async def told(self, generation: Generation) -> list[Event]:
        """All events of the generation's stream, with what must hold of every one."""
        stream = await self.stream(generation.stream)
        events = list(stream.events())
        story = [
            event
            for event in events
            if not isinstance(event, Message | Other) and event.generation == generation.id
        ]
        ends = [event for event in story if isinstance(event, TERMINALS)]
        assert isinstance(story[0], Started)
        if generation.ended:
            assert ends == [generation.terminal] == story[-1:], "one terminal event, always last"
        else:
            assert ends == []
        return events


def talks(*texts: str, **options: Any) -> Puppet:
    return Puppet([*map(said, texts), END], **options)


def hangs(**options: Any) -> Puppet:
    return Puppet([said("Hel"), FOREVER], **options)


@pytest.fixture
async def leave() -> AsyncIterator[Callable[[Desk], Desk]]:
    """Whatever still runs at the end of a test is stopped."""
    desks: list[Desk] = []

    def keep(desk: Desk) -> Desk:
        desks.append(desk)
        return desk

    yield keep
    for desk in desks:
        await desk.runs.close(0.0)
        assert desk.runs.active == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}, "every task is awaited"


Keep = Callable[[Desk], Desk]


# A reply


async def test_a_one_off_gets_a_stream_of_its_own_that_closes_at_its_end(leave: Keep) -> None:
    desk = leave(Desk(talks("Hel", "lo")))
    generation = await desk.ask()
    stream = await desk.stream(generation.stream)
    assert generation.stream == generation.id
    assert stream.in_use
    await desk.runs.wait(generation.id)
    question, started, *deltas, end = await desk.told(generation)
    assert isinstance(question, Message)
    assert (question.role, question.text) == ("user", "Hi")
    assert isinstance(started, Started)
    assert (started.generation, started.upstream) == (generation.id, "puppet")
    assert deltas == [Delta(generation.id, text="Hel"), Delta(generation.id, text="lo")]
    assert isinstance(end, Finished)
    assert stream.closed
    assert not stream.in_use
    assert generation.position == stream.position_at(0)
    assert desk.counts.generations == {"finished": 1}


async def test_a_conversation_stays_open_and_is_sent_as_history(leave: Keep) -> None:
    desk = leave(Desk(Puppet([said("Hello"), END])))
    first = await desk.ask("Hi", stream="chat", author="Ada")
    await desk.runs.wait(first.id)
    second = await desk.ask("Again", stream="chat", model="big", options={"temperature": 0})
    await desk.runs.wait(second.id)
    stream = await desk.stream("chat")
    assert not stream.closed
    puppet = desk.runs.upstream(None)
    assert isinstance(puppet, Puppet)
    assert [message["content"] for message in puppet.prompts[1].messages] == [
        "Hi",
        "Hello",
        "Again",
    ]
    assert (puppet.prompts[1].model, puppet.prompts[1].options) == ("big", {"temperature": 0})
    assert second.position == stream.position_at(4)
    message = next(stream.events())
    assert isinstance(message, Message)
    assert message.author == "Ada"
    assert message.at is not None


async def test_messages_are_sent_exactly_and_not_written_down(leave: Keep) -> None:
    desk = leave(Desk(talks("Hi")))
    messages = ({"role": "user", "content": [{"type": "text", "text": "Hi"}]},)
    generation = await desk.ask(None, messages=messages)
    await desk.runs.wait(generation.id)
    assert isinstance((await desk.told(generation))[0], Started)
    puppet = desk.runs.upstream("puppet")
    assert isinstance(puppet, Puppet)
    assert puppet.prompts[0].messages == messages


@pytest.mark.parametrize(
    ("puppet", "state", "code"),
    [
        (Puppet([said("Hel")]), State.FAILED, "upstream_truncated"),
        (Puppet([said("Hel"), b'{"error":"broken"}\n']), State.FAILED, None),
        (Puppet([said("Hel"), b"<html>"]), State.FAILED, None),
        (
            Puppet([refused(retryable=False, code="upstream_refused")]),
            State.FAILED,
            "upstream_refused",
        ),
        (Puppet([said("Hel"), FOREVER], stall_timeout=0.02), State.FAILED, "upstream_stalled"),
        (Puppet([ended(prompt_tokens=1)]), State.FINISHED, None),
    ],
)
async def test_however_it_ends_it_ends_once_with_usage_and_closes_its_stream(
    leave: Keep, puppet: Puppet, state: State, code: str | None
) -> None:
    desk = leave(Desk(puppet))
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
    assert puppet.open_now == 0


async def test_a_mistake_of_the_hub_is_an_end_that_tells_nothing_of_it(
    leave: Keep, caplog: pytest.LogCaptureFixture
) -> None:
    desk = leave(Desk(Puppet([said("Hel"), ZeroDivisionError("secret")])))
    generation = await desk.ask()
    await desk.runs.wait(generation.id)
    terminal = generation.terminal
    assert isinstance(terminal, Failed)
    assert terminal.code == "internal"
    assert "secret" not in terminal.message
    assert "secret" in caplog.text


async def test_a_stream_that_is_closed_under_it_gets_no_more_records(leave: Keep) -> None:
    go = asyncio.Event()
    desk = leave(Desk(Puppet([said("Hel"), go, said("lo"), END])))
    generation = await desk.ask(stream="chat")
    stream = await desk.stream("chat")
    await asyncio.sleep(0.01)
    stream.close()
    go.set()
    await desk.runs.wait(generation.id)
    assert generation.state is State.FAILED
    assert isinstance(stream.last and stream.last.event, Delta)
    assert not stream.in_use


# What is refused


async def test_one_generation_at_a_time_for_each_stream(leave: Keep) -> None:
    desk = leave(Desk(hangs()))
    first = await desk.ask(stream="chat")
    with pytest.raises(StreamBusy, match='runs in "chat" already'):
        await desk.ask(stream="chat")
    stream = await desk.stream("chat")
    assert sum(isinstance(event, Message) for event in stream.events()) == 1
    await desk.ask(stream="other")
    await desk.runs.cancel(first.id)
    again = await desk.ask(stream="chat")
    assert again.id != first.id


async def test_of_many_who_ask_in_one_stream_at_once_one_is_heard(leave: Keep) -> None:
    desk = leave(Desk(hangs(), store=Slow()))
    asked = [desk.ask(f"{number}", stream="chat") for number in range(5)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(answer, Generation) for answer in answers) == 1
    assert sum(isinstance(answer, StreamBusy) for answer in answers) == 4
    stream = await desk.stream("chat")
    assert sum(isinstance(event, Message) for event in stream.events()) == 1


async def test_only_so_many_run_at_once(leave: Keep) -> None:
    desk = leave(Desk(hangs(), generations=2))
    first = await desk.ask()
    await desk.ask()
    with pytest.raises(LimitExceeded):
        await desk.ask()
    await desk.runs.cancel(first.id)
    await desk.ask()


async def test_of_many_who_ask_at_once_only_so_many_run(leave: Keep) -> None:
    desk = leave(Desk(hangs(), generations=2, store=Slow()))
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
    ],
)
async def test_what_cannot_be_asked_leaves_nothing_behind(
    leave: Keep, fields: dict[str, Any], error: type[HubError]
) -> None:
    desk = leave(Desk(talks("Hi"), prompt_bytes=100))
    with pytest.raises(error):
        await desk.ask(**fields)
    assert desk.runs.active == 0
    assert len(desk.streams) == 0


async def test_nothing_is_asked_in_a_closed_stream(leave: Keep) -> None:
    desk = leave(Desk(talks("Hi")))
    stream = await desk.streams.create("chat")
    stream.close()
    for fields in ({"prompt": "Hi"}, {"prompt": None, "messages": ({"content": "Hi"},)}):
        with pytest.raises(StreamClosed):
            await desk.ask(**fields, stream="chat")
    assert desk.runs.active == 0
    assert not stream.in_use


async def test_an_upstream_is_called_by_its_name_or_is_the_default(leave: Keep) -> None:
    one, other = talks("1", name="one"), talks("2", name="other", model="large")
    desk = leave(Desk(one, other))
    assert (await desk.ask()).upstream == "one"
    chosen = await desk.ask(upstream="other")
    assert (chosen.upstream, chosen.model) == ("other", "large")
    assert (await desk.ask(upstream="other", model="small")).model == "small"
    with pytest.raises(UpstreamNotFound, match='"nobody"; there are: one, other'):
        desk.runs.upstream("nobody")


# Asking again


async def test_the_same_key_is_the_same_generation(leave: Keep) -> None:
    desk = leave(Desk(talks("Hi")))
    first = await desk.ask(stream="chat", key="k")
    assert await desk.ask(stream="chat", key="k") is first
    await desk.runs.wait(first.id)
    assert await desk.ask(stream="chat", key="k") is first
    other = await desk.ask(stream="chat", key="another")
    assert other is not first
    stream = await desk.stream("chat")
    assert sum(isinstance(event, Message) for event in stream.events()) == 2


async def test_the_same_key_at_once_is_the_same_generation(leave: Keep) -> None:
    desk = leave(Desk(hangs(), store=Slow()))
    asked = await asyncio.gather(*(desk.ask(key="k") for _ in range(10)))
    assert len({generation.id for generation in asked}) == 1
    assert desk.runs.active == 1
    assert len(desk.streams) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "Something else"},
        {"stream": "other"},
        {"model": "big"},
        {"upstream": "puppet"},
        {"options": {"temperature": 1}},
        {"prompt": None, "messages": ({"content": "Hi"},)},
    ],
)
async def test_a_key_belongs_to_what_was_asked_with_it(leave: Keep, other: dict[str, Any]) -> None:
    desk = leave(Desk(talks("Hi")))
    asked: dict[str, Any] = {"prompt": "Hi", "stream": "chat", "key": "k"}
    first = await desk.ask(**asked)
    with pytest.raises(KeyReused):
        await desk.ask(**{**asked, **other})
    assert await desk.ask(**asked) is first


async def test_a_key_whose_asking_failed_may_be_used_again(leave: Keep) -> None:
    desk = leave(Desk(hangs(), store=Slow()))
    busy = await desk.ask(stream="chat")
    answers = await asyncio.gather(
        *(desk.ask("Next", stream="chat", key="k") for _ in range(3)), return_exceptions=True
    )
    assert all(isinstance(answer, StreamBusy) for answer in answers), "all learn the same"
    await desk.runs.cancel(busy.id)
    assert (await desk.ask("Other", stream="chat", key="k")).id != busy.id


async def test_who_gives_up_asking_leaves_the_key_to_others(leave: Keep) -> None:
    desk = leave(Desk(hangs(), store=Slow()))
    first = asyncio.create_task(desk.ask(key="k"))
    await asyncio.sleep(0)
    second = asyncio.create_task(desk.ask(key="k"))
    await asyncio.sleep(0)
    second.cancel()
    generation = await first
    assert await desk.ask(key="k") is generation
    await asyncio.wait([second])
    assert second.cancelled()


async def test_only_so_many_keys_and_ended_generations_are_remembered(leave: Keep) -> None:
    desk = leave(Desk(talks("Hi"), keys=3))
    made = [await desk.ask(key=f"{number}") for number in range(5)]
    await desk.runs.close(1.0)
    with pytest.raises(GenerationNotFound):
        desk.runs.find(made[0].id)
    assert desk.runs.find(made[4].id) is made[4]
    assert await desk.ask(key="4") is made[4]
    with pytest.raises(Draining):
        await desk.ask(key="0")


async def test_more_who_ask_at_once_than_keys_are_remembered(leave: Keep) -> None:
    desk = leave(Desk(hangs(), keys=1, store=Slow(), generations=2))
    answers = await asyncio.gather(
        *(desk.ask(key=f"{number}") for number in range(5)), return_exceptions=True
    )
    assert sum(isinstance(answer, Generation) for answer in answers) == 2
    assert sum(isinstance(answer, LimitExceeded) for answer in answers) == 3


# Cancelling


async def test_cancel_ends_it_closes_the_upstream_and_keeps_what_was_said(leave: Keep) -> None:
    puppet = hangs()
    desk = leave(Desk(puppet))
    generation = await desk.ask()
    await asyncio.sleep(0.01)
    assert puppet.open_now == 1
    assert await desk.runs.cancel(generation.id) is generation
    assert puppet.open_now == 0
    assert (await desk.told(generation))[-2:] == [
        Delta(generation.id, text="Hel"),
        generation.terminal,
    ]
    assert isinstance(generation.terminal, Cancelled)
    assert generation.terminal.usage == Usage(completion_tokens=1, estimated=True)
    assert (await desk.stream(generation.stream)).closed


async def test_cancel_before_the_first_step_is_an_end_too(leave: Keep) -> None:
    puppet = hangs()
    desk = leave(Desk(puppet))
    generation = await desk.ask()
    await desk.runs.cancel(generation.id)
    assert isinstance(generation.terminal, Cancelled)
    assert [type(event) for event in await desk.told(generation)] == [Message, Started, Cancelled]
    assert puppet.prompts == []


async def test_cancel_while_it_waits_to_try_again(leave: Keep) -> None:
    desk = leave(Desk(Puppet([refused(retry_after=20.0)], [said("Hi"), END])))
    generation = await desk.ask()
    await asyncio.sleep(0.01)
    await desk.runs.cancel(generation.id)
    kinds = [type(event) for event in await desk.told(generation)]
    assert kinds == [Message, Started, Other, Cancelled]


async def test_cancelling_what_has_ended_changes_nothing(leave: Keep) -> None:
    desk = leave(Desk(talks("Hi")))
    generation = await desk.ask()
    await desk.runs.wait(generation.id)
    end = generation.terminal
    assert await desk.runs.cancel(generation.id) is generation
    assert generation.terminal is end
    await desk.told(generation)


async def test_cancelling_at_any_step_gives_one_end(leave: Keep) -> None:
    for turns in range(30):
        desk = leave(Desk(Puppet([refused()], [said("Hel"), 0.0, said("lo"), END])))
        generation = await desk.ask()
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.gather(*(desk.runs.cancel(generation.id) for _ in range(3)))
        assert generation.ended
        await desk.told(generation)


async def test_nobody_cancels_what_is_not_there(leave: Keep) -> None:
    desk = leave(Desk(talks("Hi")))
    for what in (desk.runs.cancel, desk.runs.wait):
        with pytest.raises(GenerationNotFound):
            await what("gen_0")
    with pytest.raises(GenerationNotFound):
        desk.runs.find("gen_0")


async def test_whoever_waits_may_go_without_touching_it(leave: Keep) -> None:
    go = asyncio.Event()
    desk = leave(Desk(Puppet([said("Hel"), go, said("lo"), END])))
    generation = await desk.ask()
    waiting = [asyncio.create_task(desk.runs.wait(generation.id)) for _ in range(2)]
    await asyncio.sleep(0.01)
    waiting[0].cancel()
    await asyncio.sleep(0.01)
    go.set()
    assert await waiting[1] is generation
    assert isinstance(generation.terminal, Finished)


async def test_the_hub_owns_what_it_made(leave: Keep) -> None:
    desk = leave(Desk(talks("Hi")))
    generation = await desk.ask()
    assert desk.runs.owns(generation.id)
    await desk.runs.wait(generation.id)
    assert desk.runs.owns(generation.id)
    assert not desk.runs.owns("")
    assert not desk.runs.owns("gen_0")


# Time and the end of the hub


async def test_a_generation_runs_only_so_long(leave: Keep) -> None:
    puppet = Puppet([0.005, said("x")] * 1000)
    desk = leave(Desk(puppet, seconds=0.05))
    generation = await desk.ask()
    await desk.runs.wait(generation.id)
    await desk.told(generation)
    assert isinstance(generation.terminal, Failed)
    assert generation.terminal.code == "generation_too_long"
    assert "0.05 seconds" in generation.terminal.message
    assert puppet.open_now == 0


async def test_a_timeout_of_something_else_is_not_taken_for_that(leave: Keep) -> None:
    desk = leave(Desk(Puppet([said("Hel"), TimeoutError()]), seconds=60.0))
    generation = await desk.ask()
    await desk.runs.wait(generation.id)
    assert isinstance(generation.terminal, Failed)
    assert generation.terminal.code == "internal"


async def test_closing_lets_replies_end_and_interrupts_those_that_do_not(leave: Keep) -> None:
    go = asyncio.Event()
    quick, slow = Puppet([said("Hel"), go, END], name="quick"), hangs(name="slow")
    desk = leave(Desk(quick, slow))
    ends, hangs_on = await desk.ask(), await desk.ask(upstream="slow", stream="chat")
    await asyncio.sleep(0.01)
    closing = asyncio.create_task(desk.runs.close(0.1))
    await asyncio.sleep(0.01)
    with pytest.raises(Draining):
        await desk.ask()
    go.set()
    await closing
    assert isinstance(ends.terminal, Finished)
    assert isinstance(hangs_on.terminal, Interrupted)
    assert hangs_on.terminal.usage == Usage(completion_tokens=1, estimated=True)
    await desk.told(ends)
    await desk.told(hangs_on)
    assert not (await desk.stream("chat")).closed, "a conversation goes on another day"
    assert (quick.open_now, slow.open_now) == (0, 0)


async def test_who_asked_before_the_closing_and_is_not_served_yet_is_refused(leave: Keep) -> None:
    desk = leave(Desk(hangs(), store=Slow()))
    asked = asyncio.create_task(desk.ask(key="k"))
    await asyncio.sleep(0)
    await desk.runs.close(0.0)
    with pytest.raises(Draining):
        await asked
    assert desk.runs.active == 0


async def test_a_cancel_during_the_closing_is_still_a_cancel(leave: Keep) -> None:
    desk = leave(Desk(hangs()))
    generation = await desk.ask()
    await asyncio.sleep(0.01)
    closing = asyncio.create_task(desk.runs.close(5.0))
    await asyncio.sleep(0)
    await desk.runs.cancel(generation.id)
    await closing
    assert isinstance(generation.terminal, Cancelled)


async def test_streams_that_nobody_began_are_not_found(leave: Keep) -> None:
    desk = leave(Desk(talks("Hi"), streams=1))
    await desk.ask()
    with pytest.raises(LimitExceeded):
        await desk.ask()
    with pytest.raises(StreamNotFound):
        await desk.stream("chat")
