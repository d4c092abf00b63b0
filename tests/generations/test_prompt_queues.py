"""Prompts wait for their turn: in order, once each, visible to all, and through a restart."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub.domain.errors import (
    Conflict,
    Gone,
    HubError,
    KeyReused,
    LimitExceeded,
    RateLimited,
    RequestError,
    StreamBusy,
    StreamNotFound,
)
from hub.domain.events import (
    Cancelled,
    Delta,
    Dropped,
    Event,
    Failed,
    Finished,
    Interrupted,
    Message,
    Queued,
    Started,
)
from hub.domain.generation import Generation, State
from hub.domain.generation_request import GenerationRequest
from hub.domain.queue_view import QueueView
from hub.generations.queue_changes import QueueLimits
from hub.stores.sqlite import SQLiteStore
from hub.streams.stream import Stream
from tests.support.fake_connection import turn
from tests.support.fake_runs import Keep, Runner, events_of, hangs
from tests.support.fake_upstream import END, FOREVER, FakeUpstream, refused, said
from tests.support.loopback_hub import eventually


def gated(count: int = 9, **options: Any) -> tuple[FakeUpstream, list[asyncio.Event]]:
    """An upstream that ends each answer when its gate is open."""
    gates = [asyncio.Event() for _ in range(count)]
    scripts: list[list[Any]] = [
        [said(f"Answer {number}"), gate, END] for number, gate in enumerate(gates, start=1)
    ]
    return FakeUpstream(*scripts, **options), gates


async def queue_of(desk: Runner, name: str = "chat") -> list[str]:
    """The texts that wait, as the stream's events tell and as the hub has them."""
    stream = await desk.stream(name)
    view = QueueView(name)
    for event in await events_of(stream):
        view.hear(event)
    assert [one.generation for one in view.prompts] == [one.generation for one in stream.queue]
    assert [one.text for one in view.prompts] == [one.request.prompt for one in stream.queue]
    assert view.held == stream.held
    return [one.text for one in view.prompts]


async def asked(desk: Runner, name: str = "chat") -> list[str]:
    """What was asked, in order."""
    events = await events_of(await desk.stream(name))
    return [event.text for event in events if isinstance(event, Message)]


async def began(desk: Runner, generation: Generation) -> None:
    await eventually(lambda: generation.state not in (State.QUEUED, State.ASKED))


async def answering(generation: Generation) -> None:
    await eventually(lambda: generation.state is State.STREAMING)


async def ends(generation: Generation) -> None:
    """Wait for an end without giving others more turns of the loop than needed."""
    while not generation.ended:  # noqa: ASYNC110 - an event would be a turn late
        await asyncio.sleep(0)


async def all_shown(stream: Stream) -> None:
    await eventually(lambda: stream.tail == stream.end)


async def test_what_is_asked_meanwhile_waits_and_runs_in_order(keep: Keep) -> None:
    upstream, gates = gated()
    desk = keep(Runner(upstream))
    first = await desk.ask("One", stream="chat")
    waiting = [
        await desk.ask(text, stream="chat", when_busy="queue", author="Ada")
        for text in ("Two", "Three")
    ]
    assert [one.state for one in waiting] == [State.QUEUED] * 2
    assert await queue_of(desk) == ["Two", "Three"]
    assert await desk.runs.find(waiting[0].id) is waiting[0]
    for gate, generation in zip(gates, (first, *waiting), strict=False):
        gate.set()
        assert (await desk.runs.wait(generation.id)).state == State.FINISHED
    assert await asked(desk) == ["One", "Two", "Three"]
    assert await queue_of(desk) == []
    stream = await desk.stream("chat")
    await all_shown(stream)
    events = await events_of(stream)
    queued = next(event for event in events if isinstance(event, Queued))
    assert (queued.generation, queued.author, queued.place) == (waiting[0].id, "Ada", 1)
    assert [len(prompt.messages) for prompt in upstream.prompts] == [1, 3, 5]
    assert not stream.in_use


async def test_a_free_stream_begins_at_once_whatever_is_to_happen_if_it_is_busy(
    keep: Keep,
) -> None:
    upstream, gates = gated()
    desk = keep(Runner(upstream))
    for number, when in enumerate(("queue", "steer", "replace")):
        generation = await desk.ask("Hi", stream="chat", when_busy=when)
        assert generation.state is not State.QUEUED
        gates[number].set()
        await desk.runs.wait(generation.id)


async def test_only_a_prompt_can_wait(keep: Keep) -> None:
    desk = keep(Runner(hangs()))
    messages = ({"role": "user", "content": "Hi"},)
    with pytest.raises(RequestError, match='only a "prompt" can wait'):
        await desk.ask(None, messages=messages, stream="chat", when_busy="queue")


async def test_nothing_waits_in_a_stream_that_ends_with_its_answer(keep: Keep) -> None:
    desk = keep(Runner(hangs()))
    generation = await desk.ask()
    with pytest.raises(StreamBusy, match="closes with its answer"):
        await desk.ask("More", stream=generation.stream, when_busy="queue")


async def test_a_queue_that_goes_on_is_not_overtaken(keep: Keep) -> None:
    """Between two answers nothing runs, and still the stream is busy."""
    upstream, gates = gated()
    desk = keep(Runner(upstream))
    first = await desk.ask("One", stream="chat")
    second = await desk.ask("Two", stream="chat", when_busy="queue")
    stream = await desk.stream("chat")
    gates[0].set()
    await ends(first)
    assert stream.writer is None
    with pytest.raises(StreamBusy):
        await desk.ask("Refused", stream="chat")
    third = await desk.ask("Three", stream="chat", when_busy="queue")
    for gate in gates:
        gate.set()
    for generation in (second, third):
        await desk.runs.wait(generation.id)
    assert await asked(desk) == ["One", "Two", "Three"]


# Limits


async def test_as_many_wait_as_may(keep: Keep) -> None:
    desk = keep(Runner(hangs(), queue=QueueLimits(prompts=2)))
    await desk.ask("One", stream="chat")
    for text in ("Two", "Three"):
        await desk.ask(text, stream="chat", when_busy="queue")
    with pytest.raises(LimitExceeded, match=r"2 prompts wait.*limits\.queued_prompts") as caught:
        await desk.ask("Four", stream="chat", when_busy="queue")
    assert caught.value.code == "queue_full"
    assert await queue_of(desk) == ["Two", "Three"]


async def test_what_waits_is_not_larger_than_may_be(keep: Keep) -> None:
    desk = keep(Runner(hangs(), queue=QueueLimits(size=2000)))
    await desk.ask("One", stream="chat")
    two = await desk.ask("2" * 1000, stream="chat", when_busy="queue")
    with pytest.raises(LimitExceeded, match=r"2000 bytes.*limits\.queued_bytes"):
        await desk.ask("3" * 1000, stream="chat", when_busy="queue")
    prompt = await desk.runs.queued(two.id)
    with pytest.raises(LimitExceeded):
        await desk.runs.requeue(two.id, request=replaced(prompt.request, "4" * 3000))
    assert await queue_of(desk) == ["2" * 1000]
    # What waits counts as memory of its stream.
    stream = await desk.stream("chat")
    before = stream.size
    await desk.runs.cancel(two.id)
    assert stream.size < before - 500


def of_user(name: str) -> dict[str, Any]:
    return {"stream": "chat", "when_busy": "queue", "scope": name, "counted_as": name}


async def test_nobody_fills_the_queue_of_somebody_else(keep: Keep) -> None:
    desk = keep(Runner(hangs(), queue=QueueLimits(prompts=6)))
    await desk.ask("One", stream="chat", owner="owner")
    for number in range(3):
        mine = await desk.ask(f"ann {number}", **of_user("ann"))
    with pytest.raises(LimitExceeded, match="your prompts") as caught:
        await desk.ask("ann more", **of_user("ann"))
    assert caught.value.code == "queue_full"
    await desk.ask("bob", **of_user("bob"))
    for number in range(2):  # the owner's share is all that is left
        await desk.ask(f"owner {number}", **of_user("owner"))
    # Those that wait can still be moved and edited.
    await desk.runs.requeue(mine.id, place=1)
    await desk.runs.requeue(mine.id, request=GenerationRequest("edited", **of_user("ann")))
    await desk.runs.requeue(mine.id, place=6)
    assert await queue_of(desk) == ["ann 0", "ann 1", "bob", "owner 0", "owner 1", "edited"]


async def test_nobody_takes_all_bytes_of_the_queue_of_somebody_else(keep: Keep) -> None:
    desk = keep(Runner(hangs(), queue=QueueLimits(size=10_000)))
    await desk.ask("One", stream="chat", owner="owner")
    with pytest.raises(LimitExceeded, match="your prompts"):
        await desk.ask("1" * 6000, **of_user("ann"))
    mine = await desk.ask("1" * 4000, **of_user("ann"))
    for text in ("2" * 5000, "3" * 4900):
        larger = GenerationRequest(text, **of_user("ann"))
        with pytest.raises(LimitExceeded, match="your prompts"):
            await desk.runs.requeue(mine.id, request=larger)
    await desk.ask("4" * 5000, **of_user("owner"))
    # What is not larger than before is taken.
    await desk.runs.requeue(mine.id, request=GenerationRequest("5" * 4000, **of_user("ann")))
    # Those without a name are told from each other by their addresses.
    await desk.runs.drop(mine.id)
    for address in ("10.0.0.1", "10.0.0.2"):
        nameless = {**of_user(""), "counted_as": f"address {address}"}
        await desk.ask("6" * 800, **nameless)
        with pytest.raises(LimitExceeded, match="your prompts"):
            await desk.ask("7" * 1200, **nameless)


async def test_a_hub_that_runs_as_many_as_it_may_still_takes_prompts_that_wait(keep: Keep) -> None:
    upstream, gates = gated()
    desk = keep(Runner(upstream, generations=1))
    await desk.ask("One", stream="chat")
    second = await desk.ask("Two", stream="chat", when_busy="queue")
    with pytest.raises(LimitExceeded):
        await desk.ask("Elsewhere", stream="other", when_busy="queue")
    gates[0].set()
    await began(desk, second)


async def test_a_prompt_whose_turn_it_is_waits_for_room(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.generations.prompt_queues.RETRY_SECONDS", 0.01)
    upstream, gates = gated()
    desk = keep(Runner(upstream, of_one=1))
    await desk.ask("One", stream="chat", counted_as="ann")
    second = await desk.ask("Two", stream="chat", when_busy="queue", counted_as="bob")
    other = await desk.ask("Elsewhere", stream="other", counted_as="bob")
    gates[0].set()
    await asyncio.sleep(0.05)
    assert second.state is State.QUEUED
    assert await queue_of(desk) == ["Two"]
    with pytest.raises(RateLimited):
        await desk.ask("Again", stream="third", counted_as="bob")
    gates[1].set()
    await desk.runs.wait(other.id)
    await began(desk, second)


# Changes


def replaced(request: GenerationRequest, text: str) -> GenerationRequest:
    return replace(request, prompt=text)


async def test_what_waits_is_edited_moved_and_dropped(keep: Keep) -> None:
    upstream, gates = gated()
    desk = keep(Runner(upstream))
    await desk.ask("One", stream="chat")
    two, three, four = [
        await desk.ask(text, stream="chat", when_busy="queue") for text in ("Two", "Three", "Four")
    ]
    await desk.runs.requeue(four.id, place=1)
    assert await queue_of(desk) == ["Four", "Two", "Three"]
    await desk.runs.requeue(four.id, place=99)
    assert await queue_of(desk) == ["Two", "Three", "Four"]
    await desk.runs.requeue(three.id, place=1)
    prompt = await desk.runs.queued(two.id)
    await desk.runs.requeue(two.id, request=replaced(prompt.request, "Zwei"))
    assert await queue_of(desk) == ["Three", "Zwei", "Four"]
    with pytest.raises(RequestError, match=r'"place"'):
        await desk.runs.requeue(two.id, place=0)
    with pytest.raises(RequestError, match="empty"):
        await desk.runs.requeue(two.id, request=replaced(prompt.request, ""))
    dropped = await desk.runs.cancel(three.id)
    assert (dropped.state, dropped.ended) == (State.DROPPED, True)
    assert await queue_of(desk) == ["Zwei", "Four"]
    for gate in gates:
        gate.set()
    await desk.runs.wait(four.id)
    assert await asked(desk) == ["One", "Zwei", "Four"]
    with pytest.raises(Conflict) as caught:
        await desk.runs.requeue(two.id, place=1)
    assert caught.value.code == "not_queued"
    assert (await desk.runs.cancel(three.id)).state is State.DROPPED


async def test_a_prompt_that_changes_while_it_begins_is_asked_as_it_is(keep: Keep) -> None:
    upstream, gates = gated()
    desk = keep(Runner(upstream, deliver="committed"))
    first = await desk.ask("One", stream="chat")
    second = await desk.ask("Two", stream="chat", when_busy="queue")
    prompt = await desk.runs.queued(second.id)
    stream = await desk.stream("chat")
    gates[0].set()
    while stream.writer is None or stream.writer.id != second.id:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0)
    assert first.ended
    if second.state is State.QUEUED:
        # It holds the stream, and reads the conversation.
        await desk.runs.requeue(second.id, request=replaced(prompt.request, "Zwei"))
        assert await queue_of(desk) in (["Zwei"], [])
    gates[1].set()
    await desk.runs.wait(second.id)
    assert upstream.prompts[1].messages[-1]["content"] == (await asked(desk))[-1]
    assert len(upstream.prompts) == 2


# Ends that are not good


async def test_what_is_said_while_a_credential_is_looked_up_is_in_the_conversation(
    keep: Keep,
) -> None:
    upstream, (first, *_) = gated()
    desk = keep(Runner(upstream))
    await desk.ask("One", stream="chat")
    await desk.ask("Two", stream="chat", when_busy="queue", credential="key")
    stream = await desk.stream("chat")

    async def holds(credential: str) -> bool:
        assert credential == "key"
        await asyncio.sleep(0)
        stream.append(Message("user", "Meanwhile"))
        return True

    desk.runs._holds = holds
    first.set()
    await eventually(lambda: len(upstream.prompts) == 2)
    await eventually(lambda: len(upstream.prompts) == 2)
    said = [message["content"] for message in upstream.prompts[1].messages]
    assert said == ["One", "Answer 1", "Meanwhile", "Two"]


async def test_stop_stops_and_holds_what_waits(keep: Keep) -> None:
    upstream, gates = gated()
    desk = keep(Runner(upstream))
    first = await desk.ask("One", stream="chat")
    await answering(first)
    two = await desk.ask("Two", stream="chat", when_busy="queue")
    three = await desk.ask("Three", stream="chat", when_busy="queue")
    await desk.runs.cancel(first.id)
    await turn(50)
    stream = await desk.stream("chat")
    assert (desk.runs.active, stream.held, stream.in_use) == (0, True, False)
    assert first.terminal is not None
    assert first.terminal.extra == {"held": True}
    assert await queue_of(desk) == ["Two", "Three"]
    # Somebody sends the second of them: it runs, and then the other.
    await desk.runs.requeue(three.id, now=True)
    await began(desk, three)
    assert await queue_of(desk) == ["Two"]
    gates[1].set()
    await began(desk, two)
    assert await asked(desk) == ["One", "Three", "Two"]


async def test_another_answer_that_finishes_lets_the_queue_go_on(keep: Keep) -> None:
    upstream, gates = gated()
    desk = keep(Runner(upstream))
    first = await desk.ask("One", stream="chat")
    await answering(first)
    two = await desk.ask("Two", stream="chat", when_busy="queue")
    await desk.runs.cancel(first.id)
    other = await desk.ask("Instead", stream="chat", when_busy="queue")
    assert other.state is not State.QUEUED
    assert await queue_of(desk) == ["Two"]
    gates[1].set()
    await began(desk, two)
    assert await asked(desk) == ["One", "Instead", "Two"]


async def test_a_failed_answer_holds_what_waits(keep: Keep) -> None:
    go = asyncio.Event()
    upstream = FakeUpstream([go, refused(retryable=False)], [said("Hi"), END])
    desk = keep(Runner(upstream))
    first = await desk.ask("One", stream="chat")
    await desk.ask("Two", stream="chat", when_busy="queue")
    go.set()
    assert (await desk.runs.wait(first.id)).state is State.FAILED
    await turn(50)
    assert len(upstream.prompts) == 1
    assert await queue_of(desk) == ["Two"]


async def test_a_prompt_that_cannot_begin_is_dropped_and_says_why(keep: Keep) -> None:
    upstream, gates = gated()
    desk = keep(Runner(upstream, prompt_bytes=40))
    first = await desk.ask("One", stream="chat")
    two = await desk.ask("Two" * 10, stream="chat", when_busy="queue")
    await desk.ask("Three", stream="chat", when_busy="queue")
    gates[0].set()
    await desk.runs.wait(first.id)
    assert (await desk.runs.wait(two.id)).state is State.DROPPED
    events = await events_of(await desk.stream("chat"))
    (dropped,) = [event for event in events if isinstance(event, Dropped)]
    assert (dropped.generation, dropped.code) == (two.id, "too_large")
    assert dropped.extra == {"held": True}
    assert await queue_of(desk) == ["Three"]


async def test_a_bug_in_the_hub_does_not_try_a_prompt_for_ever(
    keep: Keep, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    upstream, gates = gated()
    desk = keep(Runner(upstream))
    await desk.ask("One", stream="chat")
    two = await desk.ask("Two", stream="chat", when_busy="queue")

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(desk.runs._admission, "upstream", broken)
    gates[0].set()
    assert (await desk.runs.wait(two.id)).state is State.DROPPED
    assert "a prompt in chat cannot begin" in caplog.text


# Stop and send now


async def test_replace_stops_at_once_and_goes_first(keep: Keep) -> None:
    upstream, gates = gated()
    desk = keep(Runner(upstream))
    first = await desk.ask("One", stream="chat")
    await answering(first)
    await desk.ask("Two", stream="chat", when_busy="queue")
    instead = await desk.ask("Instead", stream="chat", when_busy="replace")
    await desk.runs.wait(first.id)
    assert first.state is State.CANCELLED
    await began(desk, instead)
    assert await queue_of(desk) == ["Two"]
    gates[1].set()
    await eventually(lambda: len(upstream.prompts) == 3)
    assert await asked(desk) == ["One", "Instead", "Two"]


async def test_sending_one_now_stops_what_runs(keep: Keep) -> None:
    upstream, _ = gated()
    desk = keep(Runner(upstream))
    first = await desk.ask("One", stream="chat")
    await answering(first)
    await desk.ask("Two", stream="chat", when_busy="queue")
    three = await desk.ask("Three", stream="chat", when_busy="queue")
    await desk.runs.requeue(three.id, now=True)
    await desk.runs.wait(first.id)
    await began(desk, three)
    assert await queue_of(desk) == ["Two"]


async def test_several_that_go_first_run_in_the_order_they_came(keep: Keep) -> None:
    upstream, _ = gated()
    desk = keep(Runner(upstream))
    await desk.ask("One", stream="chat")
    asking = [desk.ask(text, stream="chat", when_busy="replace") for text in ("Two", "Three")]
    _, last = await asyncio.gather(*asking)
    await began(desk, last)
    assert await asked(desk) == ["One", "Two", "Three"]
    events = await events_of(await desk.stream("chat"))
    assert sum(isinstance(event, Cancelled) for event in events) == 2


async def test_steering_waits_for_the_end_of_a_sentence(keep: Keep) -> None:
    more = asyncio.Event()
    upstream = FakeUpstream(
        [said("The first sentence"), more, said(" ends."), said(" Never said."), FOREVER],
        [said("Hi"), END],
    )
    desk = keep(Runner(upstream))
    first = await desk.ask("One", stream="chat")
    await eventually(lambda: first.state is State.STREAMING)
    steering = await desk.ask("Rather", stream="chat", when_busy="steer")
    await turn(50)
    assert not first.ended
    more.set()
    await desk.runs.wait(steering.id)
    stream = await desk.stream("chat")
    events = await events_of(stream)
    text = "".join(e.text for e in events if isinstance(e, Delta) and e.generation == first.id)
    assert text == "The first sentence ends."
    assert isinstance(first.terminal, Cancelled)
    assert first.terminal.extra == {"reason": "steered"}
    assert upstream.open_now == 0
    # What came is part of the conversation.
    assert [m["content"] for m in upstream.prompts[1].messages] == ["One", text, "Rather"]


async def test_steering_stops_an_answer_that_does_not_end_its_sentence(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.generations.steering.STEER_SECONDS", 0.01)
    desk = keep(Runner(FakeUpstream([said("Hel"), FOREVER], [said("Hi"), END])))
    first = await desk.ask("One", stream="chat")
    await eventually(lambda: first.state is State.STREAMING)
    steering = await desk.ask("Rather", stream="chat", when_busy="steer")
    await desk.runs.wait(steering.id)
    assert first.terminal is not None
    assert first.terminal.extra == {"reason": "steered"}


async def test_steering_stops_at_once_what_has_said_nothing(keep: Keep) -> None:
    upstream = FakeUpstream([FOREVER], [said("Hi"), END])
    desk = keep(Runner(upstream))
    first = await desk.ask("One", stream="chat")
    await eventually(lambda: upstream.open_now)
    steering = await desk.ask("Rather", stream="chat", when_busy="steer")
    assert (await desk.runs.wait(steering.id)).state is State.FINISHED
    assert first.state is State.CANCELLED


# Once, however often it is sent


async def test_a_prompt_that_is_sent_again_waits_once(keep: Keep) -> None:
    upstream, gates = gated()
    desk = keep(Runner(upstream))
    await desk.ask("One", stream="chat")
    again = {"stream": "chat", "when_busy": "queue", "key": "k"}
    first, second = await asyncio.gather(desk.ask("Two", **again), desk.ask("Two", **again))
    assert first is second
    with pytest.raises(KeyReused):
        await desk.ask("Another", **again)
    assert await queue_of(desk) == ["Two"]
    for gate in gates:
        gate.set()
    await desk.runs.wait(first.id)
    assert await desk.ask("Two", **again) is first
    assert await asked(desk) == ["One", "Two"]


async def test_a_prompt_that_was_dropped_does_not_come_back(keep: Keep) -> None:
    desk = keep(Runner(hangs()))
    await desk.ask("One", stream="chat")
    again = {"stream": "chat", "when_busy": "queue", "key": "k"}
    two = await desk.ask("Two", **again)
    await desk.runs.cancel(two.id)
    assert (await desk.ask("Two", **again)).state is State.DROPPED
    assert await queue_of(desk) == []


# The stream's own end


async def test_a_stream_whose_queue_goes_on_cannot_be_closed(keep: Keep) -> None:
    upstream, gates = gated()
    desk = keep(Runner(upstream))
    first = await desk.ask("One", stream="chat")
    await desk.ask("Two", stream="chat", when_busy="queue")
    stream = await desk.stream("chat")
    gates[0].set()
    await ends(first)
    with pytest.raises(StreamBusy):
        stream.write([], close=True)


async def test_closing_a_stream_drops_what_is_held(keep: Keep) -> None:
    desk = keep(Runner(hangs()))
    first = await desk.ask("One", stream="chat")
    two = await desk.ask("Two", stream="chat", when_busy="queue")
    await desk.runs.cancel(first.id)
    stream = await desk.stream("chat")
    stream.write([], close=True)
    await stream.committed()
    assert stream.closed
    events = await events_of(stream)
    assert isinstance(events[-1], Dropped)
    assert (await desk.runs.wait(two.id)).state is State.DROPPED
    assert await queue_of(desk) == []


async def test_a_stream_that_is_deleted_takes_its_queue_along(keep: Keep) -> None:
    upstream, _ = gated()
    desk = keep(Runner(upstream))
    first = await desk.ask("One", stream="chat")
    await answering(first)
    again = {"stream": "chat", "when_busy": "queue", "key": "k"}
    two = await desk.ask("Two", **again)
    stream = await desk.stream("chat")
    await desk.runs.leave(stream.name)
    await desk.streams.remove(stream)
    assert first.ended
    await turn(50)
    assert len(upstream.prompts) == 1
    with pytest.raises(StreamNotFound):
        await desk.runs.queued(two.id)
    with pytest.raises(HubError):
        await desk.runs.requeue(two.id, now=True)
    with pytest.raises(Gone):
        await desk.ask("Two", **again)
    # Another stream of the name has no part in it.
    await desk.ask("New", stream="chat")
    assert await queue_of(desk) == []


async def test_a_fork_begins_without_a_queue(keep: Keep) -> None:
    upstream, gates = gated()
    desk = keep(Runner(upstream))
    first = await desk.ask("One", stream="chat")
    await desk.ask("Two", stream="chat", when_busy="queue")
    stream = await desk.stream("chat")
    await all_shown(stream)
    fork, _ = await desk.streams.fork("fork", "chat", None)
    assert await queue_of(desk, "fork") == []
    await all_shown(fork)
    # The answer in the middle of which it begins has an end, and what waited has none.
    ends = [event for event in await events_of(fork) if isinstance(event, Interrupted)]
    assert [end.generation for end in ends] == [first.id]
    assert await queue_of(desk) == ["Two"]
    gates[0].set()
    await eventually(lambda: len(upstream.prompts) == 2)
    assert await queue_of(desk, "fork") == []


# Restarts


class Life:
    """Hubs on one file, one after the other."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.store: SQLiteStore | None = None
        self.desk: Runner | None = None

    async def begin(self, upstream: FakeUpstream, **limits: Any) -> Runner:
        self.store = SQLiteStore(self.file)
        running = await self.store.start()
        self.desk = Runner(upstream, store=self.store, **limits)
        await self.desk.runs.interrupted(running)
        return self.desk

    async def end(self) -> None:
        assert self.desk is not None
        assert self.store is not None
        await self.desk.runs.close(0.0)
        await self.store.stop()


async def test_a_restart_goes_on_with_the_queue(tmp_path: Path) -> None:
    life = Life(tmp_path / "hub.db")
    desk = await life.begin(hangs())
    first = await desk.ask("One", stream="chat")
    options = {"temperature": 0.5}
    again = {"stream": "chat", "when_busy": "queue", "key": "k", "options": options}
    two = await desk.ask("Two", author="Ada", **again)
    three = await desk.ask("Three", stream="chat", when_busy="queue")
    assert await queue_of(desk) == ["Two", "Three"]
    await life.end()
    assert first.state is State.INTERRUPTED

    upstream, gates = gated()
    desk = await life.begin(upstream)
    resumed = await desk.ask("Two", author="Ada", **again)
    assert resumed.id == two.id
    gates[0].set()
    assert (await desk.runs.wait(two.id)).state is State.FINISHED
    (prompt,) = upstream.prompts[:1]
    assert prompt.options == options
    await eventually(lambda: len(upstream.prompts) == 2)
    await life.end()

    desk = await life.begin(upstream)
    assert (await desk.runs.find(three.id)).state is State.INTERRUPTED
    assert await queue_of(desk) == []
    assert await asked(desk) == ["One", "Two", "Three"]
    assert (await desk.ask("Two", author="Ada", **again)).id == two.id
    await life.end()


async def test_what_is_held_is_held_after_a_restart(tmp_path: Path) -> None:
    life = Life(tmp_path / "hub.db")
    desk = await life.begin(hangs())
    first = await desk.ask("One", stream="chat")
    again = {"stream": "chat", "when_busy": "queue", "key": "k"}
    two = await desk.ask("Two", **again)
    dropped = await desk.ask("Dropped", stream="chat", when_busy="queue", key="d")
    await desk.runs.cancel(dropped.id)
    await desk.runs.cancel(first.id)
    await life.end()

    upstream, gates = gated()
    desk = await life.begin(upstream)
    await asyncio.sleep(0.05)
    assert upstream.prompts == []
    found = await desk.runs.find(two.id)
    assert (found.state, found.stream) == (State.QUEUED, "chat")
    assert await queue_of(desk) == ["Two"]
    sent_again = await desk.ask("Dropped", stream="chat", when_busy="queue", key="d")
    assert (sent_again.id, sent_again.state) == (dropped.id, State.DROPPED)
    assert (await desk.ask("Two", **again)).id == two.id
    await desk.runs.requeue(two.id, now=True)
    gates[0].set()
    assert (await desk.runs.wait(two.id)).state is State.FINISHED
    assert await asked(desk) == ["One", "Two"]
    await life.end()


async def test_a_queue_is_not_lost_with_a_stream_that_leaves_memory(tmp_path: Path) -> None:
    life = Life(tmp_path / "hub.db")
    desk = await life.begin(hangs())
    first = await desk.ask("One", stream="chat")
    two = await desk.ask("Two", stream="chat", when_busy="queue")
    await desk.runs.cancel(first.id)
    await desk.streams.sweep(1.0)
    await desk.streams.sweep(1000.0)
    assert len(desk.streams) == 0
    assert (await desk.runs.find(two.id)).state is State.QUEUED
    assert await queue_of(desk) == ["Two"]
    assert (await desk.runs.cancel(two.id)).state is State.DROPPED
    await life.end()


async def test_a_stream_that_cannot_be_stored_goes_on_as_the_store_has_it(tmp_path: Path) -> None:
    life = Life(tmp_path / "hub.db")
    upstream, gates = gated()
    desk = await life.begin(upstream)
    assert life.store is not None
    await desk.ask("One", stream="chat")
    await desk.ask("Two", stream="chat", when_busy="queue")
    stream = await desk.stream("chat")
    # A second record at an offset can never be written.
    stream.end -= 1
    stream.append(Message("user", "Broken"))
    await life.store.rejection()
    desk.streams.evict_rejected()
    await eventually(lambda: len(upstream.prompts) == 2)
    gates[1].set()
    chat = await desk.stream("chat")
    await eventually(lambda: not chat.in_use)
    await all_shown(chat)
    assert await asked(desk) == ["One", "Two"]
    kinds = [type(e) for e in await events_of(chat) if not isinstance(e, Delta)]
    assert kinds == [Message, Started, Queued, Interrupted, Message, Started, Finished]
    await life.end()


def test_failures_are_not_events_of_the_queue() -> None:
    """A view is changed by nothing but what concerns it."""
    view = QueueView("chat")
    events: list[Event] = [Message("user", "Hi"), Failed("g"), Delta("g", "x"), Started("h")]
    assert not any(view.hear(event) for event in events)
    assert view.hear(Queued("q", "chat", "Two"))
    assert not view.hear(Queued("r", "other", "Ghost"))
    assert view.hear(Queued("q", "chat", "Zwei", place=1))
    assert [(one.text, one.place) for one in view.prompts] == [("Zwei", 1)]
    assert view.hear(Failed("g", extra={"held": True}))
    assert view.held
    assert view.hear(Dropped("q"))
    assert (view.prompts, view.held) == ((), False)
