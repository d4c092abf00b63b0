"""Asked again, cancelled, or overtaken by the end of the hub: one effect, one end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hub.domain.errors import (
    Draining,
    GenerationNotFound,
    KeyReused,
    LimitExceeded,
    StreamBusy,
    StreamNotFound,
)
from hub.domain.events import (
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
from hub.domain.generation import Generation
from hub.stores.memory import MemoryStore
from tests.support.fake_connection import turn
from tests.support.fake_runs import Keep, Runner, Slow, events_of, hangs, talks
from tests.support.fake_upstream import END, FakeUpstream, refused, said
from tests.support.loopback_hub import eventually


async def said_by(desk: Runner, generation: Generation, kind: type[Event]) -> None:
    """Return when it has told an event of this kind."""
    stream = await desk.stream(generation.stream)
    await eventually(lambda: stream.last and isinstance(stream.last.event, kind))


# Asking again


async def test_the_same_key_is_the_same_generation(keep: Keep) -> None:
    desk = keep(Runner(talks("Hi")))
    first = await desk.ask(stream="chat", key="k")
    assert await desk.ask(stream="chat", key="k") is first
    await desk.runs.wait(first.id)
    assert await desk.ask(stream="chat", key="k") is first
    other = await desk.ask(stream="chat", key="another")
    assert other is not first
    stream = await desk.stream("chat")
    assert sum(isinstance(event, Message) for event in await events_of(stream)) == 2


async def test_the_same_key_at_once_is_the_same_generation(keep: Keep) -> None:
    desk = keep(Runner(hangs(), store=Slow()))
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
        {"upstream": "fake_upstream"},
        {"options": {"temperature": 1}},
        {"prompt": None, "messages": ({"content": "Hi"},)},
    ],
)
async def test_a_key_belongs_to_what_was_asked_with_it(keep: Keep, other: dict[str, Any]) -> None:
    desk = keep(Runner(talks("Hi")))
    asked: dict[str, Any] = {"prompt": "Hi", "stream": "chat", "key": "k"}
    first = await desk.ask(**asked)
    with pytest.raises(KeyReused):
        await desk.ask(**{**asked, **other})
    assert await desk.ask(**asked) is first


async def test_a_key_whose_asking_failed_may_be_used_again(keep: Keep) -> None:
    desk = keep(Runner(hangs(), store=Slow()))
    busy = await desk.ask(stream="chat")
    answers = await asyncio.gather(
        *(desk.ask("Next", stream="chat", key="k") for _ in range(3)), return_exceptions=True
    )
    assert all(isinstance(answer, StreamBusy) for answer in answers), "all learn the same"
    await desk.runs.cancel(busy.id)
    assert (await desk.ask("Other", stream="chat", key="k")).id != busy.id


async def test_who_gives_up_asking_leaves_the_key_to_others(keep: Keep) -> None:
    desk = keep(Runner(hangs(), store=Slow()))
    first = asyncio.create_task(desk.ask(key="k"))
    await asyncio.sleep(0)
    second = asyncio.create_task(desk.ask(key="k"))
    await asyncio.sleep(0)
    second.cancel()
    generation = await first
    assert await desk.ask(key="k") is generation
    await asyncio.wait([second])
    assert second.cancelled()


async def test_only_so_many_keys_and_ended_generations_are_remembered(keep: Keep) -> None:
    desk = keep(Runner(talks("Hi"), keys=3))
    made = [await desk.ask(key=f"{number}") for number in range(5)]
    await desk.runs.close(60.0)
    if desk.store.durable:
        assert (await desk.runs.find(made[0].id)).to_json() == made[0].to_json()
    else:
        with pytest.raises(GenerationNotFound):
            await desk.runs.find(made[0].id)
    assert await desk.runs.find(made[4].id) is made[4]
    assert await desk.ask(key="4") is made[4]
    if desk.store.durable:
        assert (await desk.ask(key="0")).id == made[0].id, "the store has more of them"
    else:
        with pytest.raises(Draining):
            await desk.ask(key="0")


async def test_more_who_ask_at_once_than_keys_are_remembered(keep: Keep) -> None:
    desk = keep(Runner(hangs(), keys=1, store=Slow(), generations=2))
    answers = await asyncio.gather(
        *(desk.ask(key=f"{number}") for number in range(5)), return_exceptions=True
    )
    assert sum(isinstance(answer, Generation) for answer in answers) == 2
    assert sum(isinstance(answer, LimitExceeded) for answer in answers) == 3


# Cancelling


async def test_cancel_ends_it_closes_the_upstream_and_keeps_what_was_said(keep: Keep) -> None:
    fake_upstream = hangs()
    desk = keep(Runner(fake_upstream))
    generation = await desk.ask()
    await said_by(desk, generation, Delta)
    assert fake_upstream.open_now == 1
    assert await desk.runs.cancel(generation.id) is generation
    assert fake_upstream.open_now == 0
    assert (await desk.told(generation))[-2:] == [
        Delta(generation.id, text="Hel"),
        generation.terminal,
    ]
    assert isinstance(generation.terminal, Cancelled)
    assert generation.terminal.usage == Usage(1, 1, estimated=True)
    assert (await desk.stream(generation.stream)).closed


async def test_cancel_before_the_first_step_is_an_end_too(keep: Keep) -> None:
    fake_upstream = hangs()
    # Another store is waited for, and it begins meanwhile.
    desk = keep(Runner(fake_upstream, store=MemoryStore()))
    generation = await desk.ask()
    await desk.runs.cancel(generation.id)
    assert isinstance(generation.terminal, Cancelled)
    assert [type(event) for event in await desk.told(generation)] == [Message, Started, Cancelled]
    assert fake_upstream.prompts == []


async def test_cancel_while_it_waits_to_try_again(keep: Keep) -> None:
    desk = keep(Runner(FakeUpstream([refused(retry_after=20.0)], [said("Hi"), END])))
    generation = await desk.ask()
    await said_by(desk, generation, Other)
    await desk.runs.cancel(generation.id)
    kinds = [type(event) for event in await desk.told(generation)]
    assert kinds == [Message, Started, Other, Cancelled]


async def test_whoever_waits_for_an_end_finds_it_in_the_stream_afterwards(keep: Keep) -> None:
    """Also if it ended before, and the store is about to keep it."""
    desk = keep(Runner(talks("Hi")))
    for what in (desk.runs.wait, desk.runs.cancel):
        generation = await desk.ask()
        while not generation.ended:  # noqa: ASYNC110 - the turn in which it ended counts
            await asyncio.sleep(0)
        assert await what(generation.id) is generation
        assert (await desk.told(generation))[-1] == generation.terminal
        assert (await desk.stream(generation.stream)).closed


async def test_cancelling_what_has_ended_changes_nothing(keep: Keep) -> None:
    desk = keep(Runner(talks("Hi")))
    generation = await desk.ask()
    await desk.runs.wait(generation.id)
    end = generation.terminal
    assert await desk.runs.cancel(generation.id) is generation
    assert generation.terminal is end
    await desk.told(generation)


async def test_cancelling_at_any_step_gives_one_end(keep: Keep) -> None:
    for turns in range(30):
        desk = keep(Runner(FakeUpstream([refused()], [said("Hel"), 0.0, said("lo"), END])))
        generation = await desk.ask()
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.gather(*(desk.runs.cancel(generation.id) for _ in range(3)))
        assert generation.ended
        await desk.told(generation)


async def test_nobody_cancels_what_is_not_there(keep: Keep) -> None:
    desk = keep(Runner(talks("Hi")))
    for what in (desk.runs.cancel, desk.runs.wait):
        with pytest.raises(GenerationNotFound):
            await what("gen_0")
    with pytest.raises(GenerationNotFound):
        await desk.runs.find("gen_0")


async def test_whoever_waits_may_go_without_touching_it(keep: Keep) -> None:
    go = asyncio.Event()
    desk = keep(Runner(FakeUpstream([said("Hel"), go, said("lo"), END])))
    generation = await desk.ask()
    waiting = [asyncio.create_task(desk.runs.wait(generation.id)) for _ in range(2)]
    await said_by(desk, generation, Delta)
    waiting[0].cancel()
    await asyncio.wait([waiting[0]])
    go.set()
    assert await waiting[1] is generation
    assert isinstance(generation.terminal, Finished)


# Time and the end of the hub


async def test_a_generation_runs_only_so_long(keep: Keep) -> None:
    fake_upstream = FakeUpstream([0.005, said("x")] * 1000)
    desk = keep(Runner(fake_upstream, seconds=0.05))
    generation = await desk.ask()
    await desk.runs.wait(generation.id)
    await desk.told(generation)
    assert isinstance(generation.terminal, Failed)
    assert generation.terminal.code == "generation_too_long"
    assert "0.05 s," in generation.terminal.message
    assert fake_upstream.open_now == 0


async def test_a_timeout_of_something_else_is_not_taken_for_that(keep: Keep) -> None:
    desk = keep(Runner(FakeUpstream([said("Hel"), TimeoutError()]), seconds=60.0))
    generation = await desk.ask()
    await desk.runs.wait(generation.id)
    assert isinstance(generation.terminal, Failed)
    assert generation.terminal.code == "internal"


async def test_closing_lets_replies_end_and_interrupts_those_that_do_not(keep: Keep) -> None:
    go = asyncio.Event()
    quick, slow = FakeUpstream([said("Hel"), go, END], name="quick"), hangs(name="slow")
    desk = keep(Runner(quick, slow))
    ends, hangs_on = await desk.ask(), await desk.ask(upstream="slow", stream="chat")
    for generation in (ends, hangs_on):
        await said_by(desk, generation, Delta)
    closing = asyncio.create_task(desk.runs.close(1.0))
    await turn()
    with pytest.raises(Draining):
        await desk.ask()
    go.set()
    await closing
    await desk.streams.flushed()
    assert isinstance(ends.terminal, Finished)
    assert isinstance(hangs_on.terminal, Interrupted)
    assert hangs_on.terminal.usage == Usage(1, 1, estimated=True)
    await desk.told(ends)
    await desk.told(hangs_on)
    assert not (await desk.stream("chat")).closed, "a conversation goes on another day"
    assert (quick.open_now, slow.open_now) == (0, 0)


async def test_who_asked_before_the_closing_and_is_not_served_yet_is_refused(keep: Keep) -> None:
    desk = keep(Runner(hangs(), store=Slow()))
    asked = asyncio.create_task(desk.ask(key="k"))
    await asyncio.sleep(0)
    await desk.runs.close(0.0)
    with pytest.raises(Draining):
        await asked
    assert desk.runs.active == 0


async def test_a_cancel_during_the_closing_is_still_a_cancel(keep: Keep) -> None:
    desk = keep(Runner(hangs()))
    generation = await desk.ask()
    await said_by(desk, generation, Delta)
    closing = asyncio.create_task(desk.runs.close(60.0))
    await asyncio.sleep(0)
    await desk.runs.cancel(generation.id)
    await closing
    assert isinstance(generation.terminal, Cancelled)


async def test_streams_that_nobody_began_are_not_found(keep: Keep) -> None:
    desk = keep(Runner(hangs(), streams=1))
    await desk.ask()
    with pytest.raises(LimitExceeded):
        await desk.ask()
    with pytest.raises(StreamNotFound):
        await desk.stream("chat")
