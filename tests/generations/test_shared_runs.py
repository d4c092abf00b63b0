"""Generations in streams that several hubs write: begun over one, known and stopped over all.

Nodes run in one process here, each with connections of its own; the server is a real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any

import pytest

from hub.domain.errors import (
    Conflict,
    Draining,
    GenerationNotFound,
    Gone,
    HubError,
    KeyReused,
    LimitExceeded,
    StoreError,
    StreamBusy,
)
from hub.domain.events import Message, encode
from hub.domain.generation import Generation, State
from hub.domain.generation_request import GenerationRequest
from hub.domain.records import Record
from hub.domain.stream_settings import StreamSettings
from hub.generations import shared_runs
from hub.generations.leases import interrupt
from hub.stores.shared import Claim, Written
from hub.streams.mirror import Mirror
from tests.support.fake_upstream import END, FOREVER, said
from tests.support.hub_node import Node, StartNode
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.redis_server import KINDS
from tests.support.shared_nodes import shown
from tests.support.shared_servers import SharedServer


async def code_of(deed: Awaitable[object]) -> str:
    with pytest.raises(HubError) as refused:
        await deed
    return refused.value.code


async def test_all_hubs_tell_the_same_of_a_generation(start: StartNode) -> None:
    one, two = await start(), await start()
    begun = await one.ask(stream="chat")
    ended = await two.runs.wait(begun.id)
    assert (ended.state, ended.stream, ended.position) == (
        *(State.FINISHED, "chat", begun.position),
    )
    assert await one.runs.wait(begun.id) is not begun
    assert await one.ends("chat") == await two.ends("chat") == ["Finished"]
    found = await two.runs.find(begun.id)
    assert found.terminal == ended.terminal
    assert one.counts.generations["finished"] == 1
    with pytest.raises(GenerationNotFound):
        await two.runs.find("gen_" + "0" * 32)


async def test_one_that_runs_is_known_by_its_events(start: StartNode) -> None:
    one, two = await start([said("Hel"), said("lo"), FOREVER]), await start()
    begun = await one.ask(stream="chat")
    mirror = await two.backend.streams.open("chat")
    async with asyncio.timeout(PATIENCE):
        while mirror.tail < 4:  # noqa: ASYNC110 - the other hub writes
            await asyncio.sleep(0.01)
    found = await two.runs.running_in("chat")
    assert found is not None
    assert (found.id, found.state) == (begun.id, State.STREAMING)
    assert found.to_json()["usage"] == begun.to_json()["usage"]
    assert await two.runs.running_in("nothing") is None
    (listed,), _ = await two.backend.streams.listed("", "", 10)
    assert listed.running == begun.id


async def test_of_one_that_runs_elsewhere_no_record_is_read_twice(
    start: StartNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()
    one, two = await start([said("Hel"), gate, said("lo"), FOREVER]), await start()
    await one.ask(stream="chat")
    mirror = await two.backend.streams.open("chat")
    read, stretches = list[int](), Mirror.stretches

    async def noting(self: Mirror, start: int = 0) -> AsyncIterator[Sequence[Record]]:
        async for records in stretches(self, start):
            read.extend(record.offset for record in records)
            yield records

    monkeypatch.setattr(Mirror, "stretches", noting)
    for tail in (3, 4):
        await shown(mirror, tail)
        read.clear()
        several = await asyncio.gather(*(two.runs.running_in("chat") for _ in range(3)))
        assert {one.state for one in several if one} == {State.STREAMING}
        assert read == sorted(set(read))
        gate.set()
    assert read == [3]


async def test_one_is_found_whose_end_was_not_told_of_yet(
    start: StartNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()
    one, two = await start([said("Hel"), gate, END]), await start()
    begun = await one.ask(stream="chat")
    mirrors, told = two.mirrors, asyncio.Event()
    hear, kept = mirrors._hear, list[Any]()
    monkeypatch.setattr(
        mirrors, "_hear", lambda *heard: hear(*heard) if told.is_set() else kept.append(heard)
    )
    await two.backend.streams.open("chat")
    gate.set()
    assert (await one.runs.wait(begun.id)).state is State.FINISHED
    finding = asyncio.create_task(two.runs.find(begun.id))
    await eventually(lambda: mirrors._held["chat"].waiters or finding.done())
    told.set()
    for heard in kept:
        hear(*heard)
    assert (await finding).state is State.FINISHED


async def test_it_is_stopped_over_any_hub_also_while_its_upstream_says_nothing(
    start: StartNode,
) -> None:
    one, two = await start([said("Hel"), FOREVER]), await start()
    for stop in (two, one):
        begun = await one.ask(stream="chat")
        await eventually(lambda: one.upstream.open_now == 1)
        stopped = await stop.runs.cancel(begun.id)
        assert stopped.state is State.CANCELLED
        assert (await stop.runs.cancel(begun.id)).state is State.CANCELLED
        await eventually(lambda: one.upstream.open_now == 0)
    begun = await one.ask(stream="chat")
    two.runs.stop(begun.id)
    assert (await two.runs.wait(begun.id)).state is State.CANCELLED
    assert await two.ends("chat") == ["Cancelled"] * 3


async def test_a_message_that_got_lost_is_sent_again(
    start: StartNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_runs, "ASK_SECONDS", 0.05)
    one, two = await start([said("Hel"), FOREVER]), await start()
    begun = await one.ask(stream="chat")
    say, lost = two.mirrors.engine.say, 2

    async def losing(topic: str, message: bytes) -> None:
        nonlocal lost
        lost -= 1
        if lost < 0:
            await say(topic, message)

    monkeypatch.setattr(two.mirrors.engine, "say", losing)
    assert (await two.runs.cancel(begun.id)).state is State.CANCELLED


async def test_one_that_others_have_ended_reads_its_upstream_no_longer(start: StartNode) -> None:
    one, two = await start([said("Hel"), FOREVER]), await start()
    begun = await one.ask(stream="chat")
    await eventually(lambda: one.upstream.open_now == 1)
    await interrupt(two.mirrors, "chat", begun.id)
    await eventually(lambda: one.runs.active == 0)
    assert one.upstream.open_now == 0
    assert (await one.runs.find(begun.id)).state is State.INTERRUPTED
    assert await one.ends("chat") == ["Interrupted"]


async def test_a_deletion_over_another_hub_stops_it(start: StartNode) -> None:
    one, two = await start([said("Hel"), FOREVER]), await start()
    begun = await one.ask(stream="chat")
    await two.backend.streams.open("chat")
    await two.runs.leave("chat")
    assert (await two.runs.find(begun.id)).state is State.CANCELLED
    again = await one.ask(stream="chat")
    await two.backend.writer.delete("chat")
    await eventually(lambda: one.runs.active == 0)
    assert one.upstream.open_now == 0
    with pytest.raises(GenerationNotFound):
        await two.runs.find(again.id)


async def test_one_generation_runs_in_a_stream_at_a_time(start: StartNode) -> None:
    one, two = await start([said("Hel"), FOREVER]), await start()
    await one.ask(stream="chat")
    with pytest.raises(StreamBusy):
        await two.ask(stream="chat")

    async def asked(node: Node) -> Generation | None:
        try:
            return await node.ask(stream="race")
        except StreamBusy:
            return None

    found = await asyncio.gather(*(asked(node) for node in (one, two) * 3))
    assert len([each for each in found if each is not None]) == 1


async def test_a_conversation_is_read_on_that_others_write_to(
    start: StartNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await start(), await start()
    first = await one.ask("First", stream="chat")
    await two.runs.wait(first.id)
    begin, meddles = two.mirrors.engine.begin, 2

    async def meddled(*given: Any, **options: Any) -> Written | None:
        nonlocal meddles
        if meddles:
            meddles -= 1
            await one.mirrors.engine.write("chat", [encode(Message("user", f"Also {meddles}"))])
        return await begin(*given, **options)

    monkeypatch.setattr(two.mirrors.engine, "begin", meddled)
    second = await two.ask("Second", stream="chat")
    assert (await one.runs.wait(second.id)).state is State.FINISHED
    (prompt,) = two.upstream.prompts
    assert [message["content"] for message in prompt.messages] == [
        *("First", "Hello", "Also 1", "Also 0", "Second")
    ]


async def test_a_one_off_has_a_stream_of_its_own_that_closes(start: StartNode) -> None:
    one, two = await start(), await start()
    begun = await one.ask(None, messages=({"role": "user", "content": "Hi"},))
    assert begun.stream == begun.id
    await two.runs.wait(begun.id)
    mirror = await two.backend.streams.open(begun.id)
    assert mirror.closed
    broken = await one.ask(None, messages=({"role": "user", "content": "Hi"},), key="k")
    assert broken.stream == broken.id


async def test_what_there_is_no_memory_for_leaves_no_stream_behind(start: StartNode) -> None:
    one = await start()
    with one.allowance.taken(one.allowance.most):
        for fields in ({}, {"key": "k"}, {"stream": "chat"}):
            assert await code_of(one.ask(**fields)) == "limit_exceeded"
    assert await one.backend.streams.listed("", "", 10) == ([], False)
    assert (await one.ask(key="k")).stream


async def test_whatever_a_begin_came_to_is_ended_if_its_reply_was_lost(
    start: StartNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_runs, "MEND_SECONDS", 0.05)
    one, two = await start(), await start()
    engine = one.mirrors.engine
    begin = engine.begin

    async def losing(*given: Any, **options: Any) -> Written | None:
        await begin(*given, **options)
        raise StoreError("the reply was lost", code="store_slow")

    crowded = [LimitExceeded("too many streams are in use")]

    async def late(*given: Any) -> None:
        if crowded:
            raise crowded.pop()
        await interrupt(*given)

    monkeypatch.setattr(engine, "begin", losing)
    monkeypatch.setattr(shared_runs, "interrupt", late)
    assert await code_of(one.ask(stream="chat")) == "store_slow"
    monkeypatch.setattr(engine, "begin", begin)
    async with asyncio.timeout(PATIENCE):
        while await two.ends("chat") != ["Interrupted"]:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)
        while await engine.runs(one.backend._node):  # noqa: ASYNC110 - nor of this
            await asyncio.sleep(0.02)
    assert one.allowance.held == 0
    assert (await two.runs.wait((await one.ask(stream="chat")).id)).state is State.FINISHED


async def test_a_key_is_good_for_one_generation_after_any_step_of_the_first_try(
    start: StartNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await start(), await start()
    request = GenerationRequest("Hi", stream="chat", key="k")
    created, _ = await one.mirrors.engine.create("chat", StreamSettings())
    # A hub died between the claim and the beginning.
    claim = Claim(request.fingerprint(), "chat", created.epoch)
    assert await one.mirrors.engine.claim("k", claim, 60) == claim
    begun = await two.runs.start(request)
    assert (await one.runs.start(request)).id == begun.id
    await one.runs.wait(begun.id)
    assert (await one.runs.start(request)).state is State.FINISHED
    assert len(one.upstream.prompts) + len(two.upstream.prompts) == 1
    with pytest.raises(KeyReused):
        await one.ask("Bye", stream="chat", key="k")
    assert await code_of(one.ask("Bye", stream="chat", key="")) == "bad_key"
    await one.backend.writer.delete("chat")
    for node in (one, two):
        with pytest.raises(Gone):
            await node.runs.start(request)
    await two.mirrors.engine.create("chat", StreamSettings())
    with pytest.raises(Gone, match="was deleted"):
        await one.runs.start(request)
    assert await two.events("chat") == []


async def test_two_hubs_that_are_asked_with_one_key_at_a_time_ask_once(start: StartNode) -> None:
    one, two = await start(), await start()
    for request in (
        GenerationRequest("Hi", stream="chat", key="a"),
        GenerationRequest(messages=({"role": "user", "content": "Hi"},), key="b"),
    ):
        found = await asyncio.gather(*(node.runs.start(request) for node in (one, two) * 4))
        assert len({each.id for each in found}) == 1
        await one.runs.wait(found[0].id)
    assert len(one.upstream.prompts) + len(two.upstream.prompts) == 2


@pytest.mark.parametrize("server_kind", KINDS)  # which tell who has a lease
async def test_a_hub_that_leaves_interrupts_what_runs_and_is_forgotten(start: StartNode) -> None:
    one, two = await start([said("Hel"), FOREVER]), await start()
    begun = await one.ask(stream="chat")
    await one.backend.drain(0.0)
    with pytest.raises(Draining):
        await one.ask(stream="other")
    assert (await two.runs.wait(begun.id)).state is State.INTERRUPTED
    await one.backend.stop()
    found = await two.mirrors.engine.ask("ZRANGE", two.mirrors.engine.keys.nodes, 0, -1)  # type: ignore[attr-defined]  # Redis's
    assert found == [two.backend._node.encode()]


async def test_while_the_server_is_away_a_reply_goes_on_and_new_ones_are_refused(
    start: StartNode, shared_server: SharedServer
) -> None:
    gate = asyncio.Event()
    one, two = await start([said("Hel"), gate, said("lo"), END]), await start()
    begun = await one.ask(stream="chat")
    await eventually(lambda: one.upstream.open_now == 1)
    await shared_server.kill()
    await eventually(lambda: one.backend.trouble and two.backend.trouble)
    gate.set()
    assert await code_of(two.ask(stream="chat")) == "store_unavailable"
    assert await code_of(two.runs.cancel(begun.id)) == "store_unavailable"
    assert one.runs.active == 1
    await shared_server.start()
    async with asyncio.timeout(PATIENCE):
        while one.runs.active:  # noqa: ASYNC110 - it ends once the server is back
            await asyncio.sleep(0.02)
    await eventually(lambda: two.backend.trouble is None)
    assert (await two.runs.wait(begun.id)).state is State.FINISHED
    assert await two.ends("chat") == ["Finished"]


async def test_nothing_waits_in_a_queue(start: StartNode) -> None:
    one = await start()
    begun = await one.ask(stream="chat")
    for deed in (one.runs.queued, one.runs.requeue, one.runs.drop):
        with pytest.raises(Conflict) as refused:
            await deed(begun.id)
        assert refused.value.code == "not_queued"


async def test_what_begins_while_a_hub_leaves_does_not_outlive_it(
    start: StartNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await start([said("Hel"), FOREVER]), await start()
    engine, entered, gate = one.mirrors.engine, asyncio.Event(), asyncio.Event()
    begin = engine.begin

    async def late(*given: Any, **options: Any) -> Written | None:
        entered.set()
        await gate.wait()
        return await begin(*given, **options)

    monkeypatch.setattr(engine, "begin", late)
    asking = asyncio.create_task(one.ask(stream="chat"))
    await asyncio.wait_for(entered.wait(), PATIENCE)
    await one.backend.drain(0.0)
    gate.set()
    begun = await asking
    await one.backend.stop()
    assert (one.runs.active, one.allowance.held) == (0, 0)
    assert (await two.runs.wait(begun.id)).state is State.INTERRUPTED
