"""Whatever comes in whatever order, one prompt runs at a time, and each that is taken runs once.

A schedule decides when every wait for the store and every answer ends, and what clients do in
between.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Literal, NamedTuple, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.domain.errors import HubError
from hub.domain.events import TERMINALS, Dropped, Event, Message, Queued, Started
from hub.domain.generation import Generation, State
from hub.domain.queue_view import QueueView
from tests.support.fake_connection import turn
from tests.support.fake_runs import Runner, events_of
from tests.support.fake_upstream import END, FakeUpstream, Step, refused, said
from tests.support.gated_store import GatedStore

WHEN = ("refuse", "queue", "queue", "queue", "steer", "replace")


What = Literal[
    "ask", "again", "finish", "fail", "stop", "drop", "edit", "move", "now", "release", "turn"
]


class Move(NamedTuple):
    """What happens next; ``which`` picks among what there is."""

    what: What
    which: int = 0


MOVES = st.builds(Move, st.sampled_from(get_args(What)), st.integers(0, 7))


class Answers(FakeUpstream):
    """Each answer says its number and ends when it is told to."""

    def __init__(self) -> None:
        super().__init__([END])
        self.running: list[tuple[asyncio.Event, list[Step]]] = []

    def open(self, *args: Any, **more: Any) -> Any:
        gate = asyncio.Event()
        steps: list[Step] = [said(f"Answer {len(self.prompts) + 1}."), gate, END]
        self.running.append((gate, steps))
        self._scripts = [steps, []]
        return super().open(*args, **more)

    def end(self, which: int, *, well: bool = True) -> None:
        if self.running:
            gate, steps = self.running.pop(which % len(self.running))
            if not well:
                steps[2] = refused(retryable=False)
            gate.set()


class World:
    """A hub, and the clients of one stream."""

    def __init__(self, deliver: Literal["at_once", "committed"]) -> None:
        self.store = GatedStore()
        self.upstream = Answers()
        self.desk = Runner(self.upstream, store=self.store, deliver=deliver)
        self.calls: list[asyncio.Task[Any]] = []
        self.asked: list[tuple[str, str]] = []
        """The texts and keys that were sent."""

    def ask(self, when: str) -> None:
        text = f"Prompt {len(self.asked)}"
        self.asked.append((text, when))
        self._ask(text, when)

    def again(self, which: int) -> None:
        if self.asked:
            self._ask(*self.asked[which % len(self.asked)])

    def _ask(self, text: str, when: str) -> None:
        self.call(self.desk.ask(text, stream="chat", key=text, when_busy=when))

    def call(self, coroutine: Any) -> None:
        self.calls.append(asyncio.create_task(coroutine))

    async def do(self, move: Move) -> None:
        which = move.which
        match move.what:
            case "ask":
                self.ask(WHEN[which % len(WHEN)])
            case "again":
                self.again(which)
            case "finish":
                self.upstream.end(which)
            case "fail":
                self.upstream.end(which, well=False)
            case "stop":
                self.call(self._stop())
            case "release":
                self.store.release(which)
            case "turn":
                await turn(which + 1)
            case _:
                self.call(self._change(move))

    async def _stop(self) -> None:
        running = await self.desk.runs.running_in("chat")
        if running is not None:
            await self.desk.runs.cancel(running.id)

    async def _change(self, move: Move) -> None:
        stream = self.desk.streams.loaded("chat")
        if stream is None or not stream.queue:
            return
        prompt = stream.queue[move.which % len(stream.queue)]
        runs = self.desk.runs
        match move.what:
            case "drop":
                await runs.cancel(prompt.generation)
            case "edit":
                text = f"{prompt.request.prompt}, edited"
                request = replace(prompt.request, prompt=text)
                await runs.requeue(prompt.generation, request=request)
            case "move":
                await runs.requeue(prompt.generation, place=1 + move.which)
            case "now":
                await runs.requeue(prompt.generation, now=True)

    async def check(self) -> list[Event]:
        """What must hold at any time."""
        stream = self.desk.streams.loaded("chat")
        if stream is None:
            return []
        records = stream.between(stream.head, stream.end).records if stream.end else []
        events = [record.event for record in records if record.event is not None]
        view = QueueView("chat")
        running: str | None = None
        over: set[str] = set()
        for event in events:
            view.hear(event)
            name = getattr(event, "generation", None)
            assert name not in over, "nothing comes after the end of a generation"
            if isinstance(event, Started):
                assert running is None, "one generation runs at a time"
                running = event.generation
            elif isinstance(event, (*TERMINALS, Dropped)):
                assert (running == name) != isinstance(event, Dropped)
                running = None if running == name else running
                over.add(event.generation)
        assert [(one.generation, one.text) for one in view.prompts] == [
            (one.generation, one.request.prompt) for one in stream.queue
        ]
        assert view.held == stream.held
        active = await self.desk.runs.running_in("chat")
        assert (None if active is None else active.id) == running
        return events

    async def finish(self) -> None:
        """Let everything end well, and check what came of every prompt."""
        self.store.release_all()
        outcomes = await asyncio.gather(*self.calls, return_exceptions=True)
        assert all(isinstance(one, HubError | Generation | None) for one in outcomes), outcomes
        stream = self.desk.streams.loaded("chat")
        while stream is not None and (stream.queue or stream.writer is not None):
            if stream.held:
                await self.desk.runs.requeue(stream.queue[0].generation, now=True)
            self.upstream.end(0)
            await turn(5)
        events = await self.check()
        begun = [event.generation for event in events if isinstance(event, Started)]
        assert len(begun) == len(set(begun)), "each generation begins once"
        taken = {one for one in outcomes if isinstance(one, Generation)}
        queued = {event.generation for event in events if isinstance(event, Queued)}
        dropped = {event.generation for event in events if isinstance(event, Dropped)}
        assert {one.id for one in taken} == {*begun, *dropped}
        assert queued <= {*begun, *dropped}
        assert not dropped & {*begun}
        assert all(one.state not in (State.QUEUED, State.ASKED) for one in taken)
        # Each text was sent any number of times, and said once at most.
        said_texts = [e.text.split(",")[0] for e in events if isinstance(e, Message)]
        assert len(said_texts) == len(set(said_texts)) == len(begun)
        # What the upstream was asked is what the stream says, in its order.
        for prompt in self.upstream.prompts:
            assert prompt.messages[-1]["content"].split(",")[0] in said_texts
        await self.desk.runs.close(0.0)
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def _play(moves: list[Move], deliver: Literal["at_once", "committed"]) -> World:
    world = World(deliver)
    world.store.open = False
    try:
        for move in moves:
            await world.do(move)
            await world.check()
        await world.finish()
    finally:
        world.store.release_all()
        await world.desk.runs.close(0.0)
        for call in world.calls:
            call.cancel()
    return world


ENDED_AND_ASKED = [
    Move("ask", 1), *[Move("release")] * 6, Move("turn", 7), Move("ask", 1), Move("turn", 7),
    *[Move("release")] * 6, Move("turn", 7), Move("finish"), Move("ask", 1), Move("ask", 0),
    Move("turn", 7),
]  # fmt: skip
"""An answer ends in the moment in which somebody asks."""


@pytest.mark.parametrize("deliver", ["at_once", "committed"])
def test_one_at_a_time_and_each_once(deliver: Literal["at_once", "committed"]) -> None:
    @settings(max_examples=300)
    @given(st.lists(MOVES, max_size=40))
    @example(ENDED_AND_ASKED)
    def play(moves: list[Move]) -> None:
        asyncio.run(_play(moves, deliver))

    play()


@pytest.mark.parametrize("turns", range(16))
async def test_an_end_and_a_prompt_at_once_begin_exactly_one(turns: int) -> None:
    """The prompt comes in every turn of the loop between an end and the next beginning."""
    world = World("at_once")
    first = await world.desk.ask("One", stream="chat")
    while first.state is not State.STREAMING:
        await turn(1)
    second = await world.desk.ask("Two", stream="chat", when_busy="queue")
    world.store.open = False
    world.upstream.end(0)
    await turn(turns)
    refusing = asyncio.create_task(world.desk.ask("Refused", stream="chat"))
    third = asyncio.create_task(world.desk.ask("Three", stream="chat", when_busy="queue"))
    while not (refusing.done() and third.done()):
        world.store.release(0)
        await turn(1)
    assert refusing.exception() is not None
    await world.check()
    world.store.release_all()
    for _ in range(2):
        while not world.upstream.running:
            await turn(1)
        world.upstream.end(0)
    await world.desk.runs.wait(third.result().id)
    assert second.ended
    stream = await world.desk.stream("chat")
    texts = [event.text for event in await events_of(stream) if isinstance(event, Message)]
    assert texts == ["One", "Two", "Three"]
    await world.desk.runs.close(0.0)
