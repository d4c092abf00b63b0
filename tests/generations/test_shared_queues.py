"""Prompts that wait in streams that several hubs write: queued over one, changed over all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from hub.domain.errors import Forbidden, HubError, LimitExceeded, StoreError, StreamBusy
from hub.domain.events import Cancelled, Dropped, Event, Message, Queued, Started
from hub.domain.generation import State
from hub.domain.generation_request import GenerationRequest
from hub.domain.queue_view import QueueView
from hub.generations import shared_runs
from hub.generations.queue_changes import CheckedPrompt, QueueLimits
from hub.stores.shared import Ticked, Written
from tests.support.fake_upstream import END, FOREVER, said
from tests.support.hub_node import Node, StartNode
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.shared_servers import SharedServer, code_of

QUEUE: dict[str, Any] = {"stream": "chat", "when_busy": "queue"}


async def until(node: Node, met: Callable[[list[Event]], bool]) -> list[Event]:
    """The events of the stream once they meet a condition."""
    async with asyncio.timeout(PATIENCE):
        while not met(events := await node.events("chat")):  # noqa: ASYNC110 - hubs write
            await asyncio.sleep(0.02)
    return events


def asked(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Message)]


async def waiting(node: Node) -> tuple[list[str], bool]:
    """The texts that wait, and whether they are held; the readers' view says the same."""
    mirror = await node.mirrors.fresh("chat")
    view = QueueView("chat")
    for event in await node.events("chat"):
        view.hear(event)
    texts = [prompt.request.prompt or "" for prompt in mirror.queue]
    assert ([one.text for one in view.prompts], view.held) == (texts, mirror.held)
    return texts, mirror.held


async def test_what_waits_begins_in_order_whoever_sent_it(start: StartNode) -> None:
    gate = asyncio.Event()
    one, two = await start([said("Hel"), gate, END], [said("lo"), END]), await start()
    await one.ask("First", stream="chat")
    later = [await two.ask("Second", **QUEUE), await one.ask("Third", **QUEUE)]
    assert [each.state for each in later] == [State.QUEUED] * 2
    for node in (one, two):
        assert await waiting(node) == (["Second", "Third"], False)
        found = await node.runs.find(later[0].id)
        assert (found.state, found.position) == (State.QUEUED, later[0].position)
        assert (await node.runs.queued(later[1].id)).request.prompt == "Third"
    gate.set()
    for each in later:
        assert (await two.runs.wait(each.id)).state is State.FINISHED
    events = await two.events("chat")
    assert asked(events) == ["First", "Second", "Third"]
    started = [event.generation for event in events if isinstance(event, Started)]
    assert started[1:] == [each.id for each in later]
    first = later[0].position
    assert first is not None
    assert isinstance(events[first.offset], Queued)
    await eventually(lambda: one.runs.active + two.runs.active == 0)
    assert await waiting(one) == ([], False)
    await asyncio.sleep(0.1)
    for node in (one, two):
        assert await node.mirrors.engine.runs(node.backend._node) == []


async def test_it_is_edited_moved_and_dropped_over_another_hub(start: StartNode) -> None:
    gate = asyncio.Event()
    one, two = await start([said("Hel"), gate, END], [said("lo"), END]), await start()
    await one.ask("First", stream="chat")
    second, third = await one.ask("Second", **QUEUE), await one.ask("Third", **QUEUE)
    queued = await two.runs.queued(second.id)
    request = GenerationRequest("Deuxième", **QUEUE)
    await two.runs.requeue(second.id, request=request, checked=CheckedPrompt(queued.request, True))
    checked = CheckedPrompt(queued.request, whole=True)
    assert await code_of(one.runs.requeue(second.id, request=request, checked=checked)) == (
        "prompt_changed"
    )
    await two.runs.requeue(third.id, place=1)
    assert await waiting(one) == (["Third", "Deuxième"], False)
    dropped = await two.runs.drop(third.id)
    assert dropped.state is State.DROPPED
    assert (await one.runs.find(third.id)).state is State.DROPPED
    assert await code_of(one.runs.drop(third.id)) == "not_queued"
    assert await code_of(one.runs.requeue(third.id, place=1)) == "not_queued"
    assert (await one.runs.cancel(third.id)).state is State.DROPPED
    gate.set()
    assert (await two.runs.wait(second.id)).state is State.FINISHED
    assert asked(await one.events("chat")) == ["First", "Deuxième"]


async def test_changes_at_the_same_time_are_all_made(start: StartNode) -> None:
    one, two = await start([said("Hel"), FOREVER]), await start()
    await one.ask("First", stream="chat")
    nodes = (one, two) * 3
    found = await asyncio.gather(*(node.ask(str(n), **QUEUE) for n, node in enumerate(nodes)))
    texts, _ = await waiting(one)
    assert sorted(texts) == [str(n) for n in range(len(nodes))]
    await asyncio.gather(
        *(node.runs.drop(each.id) for node, each in zip(nodes, found, strict=True))
    )
    assert await waiting(two) == ([], False)


async def test_what_waits_is_held_after_a_stop_until_somebody_sends_it(start: StartNode) -> None:
    one, two = await start([said("Hel"), FOREVER], [said("lo"), END]), await start()
    first = await one.ask("First", stream="chat")
    second = await two.ask("Second", **QUEUE)
    await two.runs.cancel(first.id)
    for node in (one, two):
        assert await waiting(node) == (["Second"], True)
    await two.runs.requeue(second.id, now=True)
    assert (await one.runs.wait(second.id)).state is State.FINISHED
    assert len(two.upstream.prompts) == 1, "the hub that sent it runs it"


async def test_another_answer_lets_what_was_held_go_on(start: StartNode) -> None:
    one, two = await start([said("Hel"), FOREVER]), await start()
    first = await one.ask("First", stream="chat")
    second = await one.ask("Second", **QUEUE)
    await one.runs.cancel(first.id)
    third = await two.ask("Third", stream="chat")
    for each in (third, second):
        assert (await two.runs.wait(each.id)).state is State.FINISHED
    assert asked(await one.events("chat")) == ["First", "Third", "Second"]


@pytest.mark.parametrize("when", ["steer", "replace"])
async def test_one_that_goes_first_stops_the_answer_of_another_hub(
    start: StartNode, when: str
) -> None:
    one, two = await start([said("Hello."), FOREVER], [said("lo"), END]), await start()
    first = await one.ask("First", stream="chat")
    await until(two, lambda events: len(events) > 2)
    waits = await one.ask("Waits", **QUEUE)
    urgent = await two.ask("Urgent", stream="chat", when_busy=when)
    assert (await two.runs.wait(first.id)).state is State.CANCELLED
    for each in (urgent, waits):
        assert (await two.runs.wait(each.id)).state is State.FINISHED
    events = await one.events("chat")
    assert asked(events) == ["First", "Urgent", "Waits"]
    (stopped,) = [event for event in events if isinstance(event, Cancelled)]
    assert ("reason" in stopped.extra) == (when == "steer")


async def test_who_may_stop_no_answer_sends_none_before_it(start: StartNode) -> None:
    one, two = await start([said("Hel"), FOREVER]), await start()
    await one.ask("First", stream="chat")
    second = await two.ask("Second", **QUEUE)
    with pytest.raises(Forbidden):
        await two.runs.requeue(second.id, now=True, may_stop=False)
    assert await waiting(one) == (["Second"], False)


async def test_one_with_a_key_waits_once(start: StartNode) -> None:
    gate = asyncio.Event()
    one, two = await start([said("Hel"), gate, END], [said("lo"), END]), await start()
    await one.ask("First", stream="chat")
    found = await asyncio.gather(*(node.ask("Second", key="k", **QUEUE) for node in (one, two) * 3))
    assert len({each.id for each in found}) == 1
    assert await waiting(one) == (["Second"], False)
    dropped = await two.ask("Third", key="l", **QUEUE)
    await one.runs.drop(dropped.id)
    assert (await two.ask("Third", key="l", **QUEUE)).state is State.DROPPED
    gate.set()
    assert (await one.runs.wait(found[0].id)).state is State.FINISHED
    assert (await two.ask("Second", key="k", **QUEUE)).state is State.FINISHED


async def test_no_more_wait_than_may(start: StartNode, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = await start([said("Hel"), FOREVER]), await start()
    await one.ask("First", stream="chat")
    monkeypatch.setattr(two.runs._queues, "_limits", QueueLimits(1, 10_000))
    await two.ask("Second", **QUEUE)
    with pytest.raises(LimitExceeded):
        await two.ask("Third", **QUEUE)
    assert await code_of(two.ask("Third", **QUEUE)) == "queue_full"


async def test_nobody_fills_the_queue_of_somebody_else(
    start: StartNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await start([said("Hel"), FOREVER]), await start()
    await one.ask("First", stream="chat", owner="owner")
    for node in (one, two):
        monkeypatch.setattr(node.runs._queues, "_limits", QueueLimits(4, 10_000))
    ann = {**QUEUE, "scope": "ann", "counted_as": "ann"}
    await one.ask("Second", **ann)
    third = await two.ask("Third", **ann)
    for node in (one, two):
        assert await code_of(node.ask("More", **ann)) == "queue_full"
    await one.ask("Bob's", **{**ann, "scope": "bob", "counted_as": "bob"})
    await two.ask("Owner's", **{**ann, "scope": "owner", "counted_as": "owner"})
    await one.runs.requeue(third.id, request=GenerationRequest("3rd", **ann))
    assert (await waiting(two))[0] == ["Second", "3rd", "Bob's", "Owner's"]


async def test_one_that_cannot_begin_is_dropped_and_the_others_are_held(start: StartNode) -> None:
    gate = asyncio.Event()
    one, two = await start([said("Hel"), gate, END]), await start()
    await one.ask("First", stream="chat")
    second, _ = await two.ask("Second", **QUEUE), await two.ask("Third", **QUEUE)
    queued = await two.runs.queued(second.id)
    mirror = await one.mirrors.fresh("chat")
    assert mirror.queue[0] == queued
    revoked: list[str] = []

    async def holds(credential: str) -> bool:
        revoked.append(credential)
        return False

    one.runs._credential_holds = holds
    request = GenerationRequest("Second", credential="c", **QUEUE)
    await two.runs.requeue(second.id, request=request)
    gate.set()
    events = await until(one, lambda events: any(isinstance(one, Dropped) for one in events))
    (dropped,) = [event for event in events if isinstance(event, Dropped)]
    assert (dropped.generation, dropped.code) == (second.id, "credential_revoked")
    assert revoked == ["c"]
    events = await until(two, lambda events: asked(events) == ["First", "Third"])


async def test_a_stream_in_which_prompts_wait_is_not_closed_but_deleted(start: StartNode) -> None:
    one, two = await start([said("Hel"), FOREVER]), await start()
    first = await one.ask("First", stream="chat")
    second = await two.ask("Second", **QUEUE)
    await one.runs.cancel(first.id)
    with pytest.raises(StreamBusy):
        await two.backend.writer.write("chat", [], close=True)
    await two.runs.leave("chat")
    await two.backend.writer.delete("chat")
    assert await code_of(one.runs.find(second.id)) == "generation_not_found"


async def test_a_deletion_begins_nothing_that_waits(start: StartNode) -> None:
    one, two = await start([said("Hel"), FOREVER]), await start()
    first = await one.ask("First", stream="chat")
    await one.ask("Second", **QUEUE)
    await two.mirrors.open("chat")
    await two.runs.leave("chat")
    assert (await one.runs.wait(first.id)).state is State.CANCELLED
    assert await waiting(one) == (["Second"], True)


async def test_an_end_is_written_again_if_the_queue_has_changed(
    start: StartNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await start([said("Hel"), FOREVER]), await start()
    first = await one.ask("First", stream="chat")
    engine = one.mirrors.engine
    end, late = engine.end, True

    async def late_end(*given: Any, **options: Any) -> Ticked:
        nonlocal late
        if late:
            late = False
            await two.ask("Second", **QUEUE)
        return await end(*given, **options)

    monkeypatch.setattr(engine, "end", late_end)
    await one.runs.cancel(first.id)
    assert await one.ends("chat") == ["Cancelled"]
    assert await waiting(two) == (["Second"], True)


async def test_a_hub_that_leaves_hands_its_queue_on(start: StartNode) -> None:
    one, two = await start([said("Hel"), FOREVER]), await start()
    first = await one.ask("First", stream="chat")
    second = await one.ask("Second", **QUEUE)
    await one.stop()
    assert (await two.runs.wait(first.id)).state is State.INTERRUPTED
    assert (await two.runs.wait(second.id)).state is State.FINISHED
    assert two.upstream.prompts


async def test_the_queue_of_a_hub_that_dies_after_an_answer_goes_on(start: StartNode) -> None:
    gate = asyncio.Event()
    one, two = await start([said("Hel"), gate, END]), await start()
    first = await one.ask("First", stream="chat")
    second = await one.ask("Second", **QUEUE)
    await one.runs._queues.close()  # it gets no further than the end
    gate.set()
    assert (await two.runs.wait(first.id)).state is State.FINISHED
    assert await waiting(two) == (["Second"], False)
    await one.stop()
    assert (await two.runs.wait(second.id)).state is State.FINISHED


async def test_a_begin_whose_reply_was_lost_leaves_no_queue_behind(
    start: StartNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_runs, "MEND_SECONDS", 0.05)
    gate = asyncio.Event()
    one, two = await start([said("Hel"), gate, END], [said("lo"), END]), await start()
    await one.ask("First", stream="chat")
    second, third = await one.ask("Second", **QUEUE), await one.ask("Third", **QUEUE)
    engine = one.mirrors.engine
    begin, losing = engine.begin, True

    async def lost(*given: Any, **options: Any) -> Written | None:
        nonlocal losing
        written = await begin(*given, **options)
        if losing:
            losing = False
            raise StoreError("the reply was lost", code="store_slow")
        return written

    monkeypatch.setattr(engine, "begin", lost)
    gate.set()
    assert (await two.runs.wait(second.id)).state is State.INTERRUPTED
    assert (await two.runs.wait(third.id)).state is State.FINISHED
    assert await two.ends("chat") == ["Finished", "Interrupted", "Finished"]


async def test_what_waits_outlives_a_server_that_was_emptied(
    start: StartNode, shared_server: SharedServer
) -> None:
    gate = asyncio.Event()
    one, two = await start([said("Hel"), gate, END], [said("lo"), END]), await start()
    await one.ask("First", stream="chat")
    second = await two.ask("Second", **QUEUE)
    await waiting(one)
    await shared_server.restart_empty()
    await eventually(lambda: one.backend.trouble is None and two.backend.trouble is None)
    gate.set()

    async def ended() -> bool:
        try:
            return (await two.runs.find(second.id)).state is State.FINISHED
        except HubError:
            return False

    async with asyncio.timeout(PATIENCE):
        while not await ended():  # noqa: ASYNC110 - the hubs put it back
            await asyncio.sleep(0.05)
    assert asked(await one.events("chat")) == ["First", "Second"]
