"""A prompt continues the branch that it names, also after it has waited."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from hub.domain.branches import AFTER
from hub.domain.errors import MessageNotFound, RequestError, StreamNotFound
from hub.domain.events import Dropped, Message, Queued, Started
from hub.domain.generation import Generation, State
from hub.domain.generation_request import GenerationRequest
from hub.domain.queued_prompt import QueuedPrompt
from hub.domain.records import Position
from tests.support.fake_runs import Keep, Runner, events_of
from tests.support.fake_upstream import END, FakeUpstream, said
from tests.support.hub_node import StartNode
from tests.support.loopback_hub import eventually


def answers(*texts: str) -> FakeUpstream:
    scripts: list[list[Any]] = [[said(text), END] for text in texts]
    return FakeUpstream(*scripts)


def sent(upstream: FakeUpstream) -> list[object]:
    """What the upstream was sent last."""
    return [message["content"] for message in upstream.prompts[-1].messages]


async def over(desk: Runner, prompt: str | None, **fields: Any) -> Generation:
    generation = await desk.ask(prompt, stream="chat", **fields)
    return await desk.runs.wait(generation.id)


async def test_an_answer_is_given_again_and_a_prompt_is_edited(keep: Keep) -> None:
    upstream = answers("Hello", "Hey", "Yes", "No")
    desk = keep(Runner(upstream))
    first = await over(desk, "Hi")
    stream = await desk.stream("chat")
    question = str(Position(stream.epoch, 1))
    again = await over(desk, None, after=question)
    assert sent(upstream) == ["Hi"]
    await over(desk, "Really?", after=first.id)
    assert sent(upstream) == ["Hi", "Hello", "Really?"]
    await over(desk, "Truly?", branch=again.id, author="Ada")
    assert sent(upstream) == ["Hi", "Hey", "Truly?"]
    events = await events_of(stream)
    begun = [event for event in events if isinstance(event, Message | Started)]
    after = [event.extra.get(AFTER, "") for event in begun]
    # A message has no name of its own here, so the hub calls the end of a branch by its position.
    found = again.position
    assert found is not None
    end = str(Position(stream.epoch, found.offset + 1))
    assert after == ["", "", question, first.id, "", end, ""]
    texts = [event.text for event in begun if isinstance(event, Message)]
    assert texts == ["Hi", "Really?", "Truly?"]


async def test_what_is_asked_of_nothing_is_refused_and_leaves_nothing(keep: Keep) -> None:
    desk = keep(Runner(answers("Hello")))
    for fields in ({"after": "gen_1"}, {"branch": "gen_1"}):
        with pytest.raises(StreamNotFound):
            await desk.ask("Hi", stream="none", **fields)
        with pytest.raises(RequestError, match="name it"):
            await desk.ask("Hi", **fields)
    with pytest.raises(StreamNotFound):
        await desk.stream("none")
    generation = await over(desk, "Hi", after="")
    assert generation.state is State.FINISHED
    with pytest.raises(MessageNotFound):
        await desk.ask("Hi", stream="chat", after="gen_1")
    with pytest.raises(MessageNotFound, match="could be answered"):
        await desk.ask(None, stream="chat", after="")
    with pytest.raises(RequestError, match="continued by a"):
        await desk.ask("Hi", stream="chat", after="", branch=generation.id)
    # Nothing runs, and the next one can begin.
    assert not (await desk.stream("chat")).busy


async def test_prompts_that_wait_go_on_where_they_were_asked(keep: Keep) -> None:
    """Each on its branch, wherever that has got to by its turn, in whatever order."""
    gate = asyncio.Event()
    more: list[list[Any]] = [[said(str(number)), END] for number in range(3)]
    upstream = FakeUpstream([said("A"), END], [said("B"), gate, END], *more)
    desk = keep(Runner(upstream))
    first = await over(desk, "Hi")
    running = await desk.ask("Hi!", stream="chat", after="")
    waiting = [
        await desk.ask(text, stream="chat", when_busy="queue", branch=branch)
        for text, branch in (("a1", first.id), ("b1", running.id), ("a2", first.id))
    ]
    events = await events_of(await desk.stream("chat"))
    told = [event.extra["branch"] for event in events if isinstance(event, Queued)]
    assert told == [first.id, running.id, first.id]
    gate.set()
    for generation in waiting:
        assert (await desk.runs.wait(generation.id)).state is State.FINISHED
    prompts = [[one["content"] for one in prompt.messages] for prompt in upstream.prompts[2:]]
    assert prompts == [
        ["Hi", "A", "a1"],
        ["Hi!", "B", "b1"],
        ["Hi", "A", "a1", "0", "a2"],
    ]


async def test_a_prompt_that_waits_for_what_nobody_has_said_is_dropped(keep: Keep) -> None:
    gate = asyncio.Event()
    desk = keep(Runner(FakeUpstream([said("A"), gate, END])))
    await desk.ask("Hi", stream="chat")
    lost = await desk.ask("Lost", stream="chat", when_busy="queue", after="nobody")
    gate.set()
    await eventually(lambda: lost.state is State.DROPPED)
    events = await events_of(await desk.stream("chat"))
    assert [event.code for event in events if isinstance(event, Dropped)] == ["message_not_found"]


def test_a_prompt_that_waits_is_stored_with_its_branch() -> None:
    request = GenerationRequest("Hi", stream="chat", after="", branch=None)
    prompt = QueuedPrompt("gen_1", request, Position(1, 7), "now")
    assert QueuedPrompt.decode("gen_1", "chat", prompt.encode()) == prompt
    assert prompt.event(1).extra == {"after": ""}
    # An older hub can read the others.
    plain = replace(prompt, request=replace(request, after=None))
    assert b"after" not in plain.encode()
    assert b"branch" not in plain.encode()


async def test_several_hubs_continue_the_same_branches(start: StartNode) -> None:
    node = await start([said("A"), END], [said("B"), END], [said("C"), END])
    first = await node.ask("Hi", stream="chat")
    await node.runs.wait(first.id)
    again = await node.ask("Hi!", stream="chat", after="")
    await node.runs.wait(again.id)
    more = await node.ask("more", stream="chat", branch=first.id)
    await node.runs.wait(more.id)
    messages = node.upstream.prompts[-1].messages
    assert [message["content"] for message in messages] == ["Hi", "A", "more"]
