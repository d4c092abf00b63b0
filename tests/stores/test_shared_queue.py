"""What waits in a stream, as every engine that several hubs write through keeps it.

The engines and servers are those of `tests.stores.test_shared_engine`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from hub.domain.errors import Conflict, StreamBusy, StreamClosed
from hub.domain.generation_request import GenerationRequest
from hub.domain.queued_prompt import QueuedPrompt, decode_queue, encode_queue
from hub.domain.records import Position
from hub.domain.stream_settings import Fork, StreamSettings
from hub.stores.shared import (
    DroppedPrompt,
    SharedEngine,
    SourceHold,
    State,
    Written,
    is_held,
    queue_version,
)
from tests.support.loopback_hub import eventually
from tests.support.shared_servers import Opening, SharedServer, code_of, hear, kept

JSON = StreamSettings("application/json")
LIMIT = 1024 * 1024
MANY = 12


def prompt(name: str, text: str = "Grüße") -> QueuedPrompt:
    request = GenerationRequest(
        text, stream="s", options={"position": str(Position(0, 0)), "top_p": 0.1}
    )
    return QueuedPrompt(name, replace(request, when_busy="queue"), Position(7, 7), "now")


def waiting(state: State) -> list[str]:
    return [one.generation for one in decode_queue("s", state.prompts)]


async def add(engine: SharedEngine, name: str, *, held: bool = False) -> Written | None:
    """Let a prompt wait behind the others."""
    state = await engine.load("s", 0)
    new = prompt(name)
    parts = encode_queue([*decode_queue("s", state.prompts), new], new)
    return await engine.queue("s", state.queue, [b'"queued"'], parts, held=held, added=name)


async def test_what_waits_is_kept_with_the_place_of_its_first_event(
    engine: SharedEngine, other: SharedEngine
) -> None:
    heard = await hear(other, "s")
    made, _ = await engine.create("s", JSON, [b"0"])
    for name in ("a", "b"):
        assert await add(engine, name) is not None
    state = await other.load("s", LIMIT)
    found = decode_queue("s", state.prompts)
    positions = [Position(made.epoch, 1), Position(made.epoch, 2)]
    assert found == tuple(
        replace(prompt(name), position=position)
        for name, position in zip(("a", "b"), positions, strict=True)
    )
    assert state.queue == queue_version(state.prompts, held=False)
    await eventually(lambda: len(heard) == 3)
    assert (heard[2].queue, heard[2].prompts) == (state.queue, state.prompts)
    assert heard[2].bodies == [b'"queued"']
    assert await other.waiting_in("a") == "s"
    assert await other.locate("a") is None
    assert await other.waiting_in("nobody") is None


async def test_a_change_of_another_queue_is_refused(
    engine: SharedEngine, other: SharedEngine
) -> None:
    await engine.create("s", JSON)
    new = prompt("b")
    parts = encode_queue([new], new)
    assert await add(engine, "a") is not None
    assert await code_of(other.queue("s", "", [b"1"], parts, added="b")) == "queue_changed"
    version = (await engine.load("s", 0)).queue
    assert await engine.queue("s", version, [], ("", "")) is not None
    assert (await engine.load("s", 0)).queue == ""
    assert await other.queue("s", "", [b"1"], parts, added="b") is not None, "it is as it was"
    assert waiting(await engine.load("s", 0)) == ["b"]


async def test_of_many_that_come_at_once_each_waits_once(
    engine: SharedEngine, other: SharedEngine
) -> None:
    await engine.create("s", JSON)

    async def until_it_waits(one: SharedEngine, name: str) -> None:
        for _ in range(10 * MANY):
            with suppress(Conflict):
                await add(one, name)
                return

    names = [f"g{number}" for number in range(MANY)]
    hubs = (engine, other)
    await asyncio.gather(*(until_it_waits(hubs[n % 2], name) for n, name in enumerate(names)))
    state = await engine.load("s", 0)
    assert sorted(waiting(state)) == sorted(names)
    assert state.tail == MANY


async def test_the_next_prompt_begins_once_and_the_others_stay(
    engine: SharedEngine, other: SharedEngine
) -> None:
    await engine.create("s", JSON)
    await engine.begin("s", "first", "n", 0, [b"0"])
    for name in ("a", "b"):
        await add(engine, name)
    state = await engine.load("s", 0)
    rest, _ = encode_queue(decode_queue("s", state.prompts)[1:])
    with pytest.raises(StreamBusy):
        await other.begin("s", "a", "m", state.tail, [b"1"], queue=(state.queue, rest))
    await engine.end("s", "first", [b"end"], queue=state.queue)
    with pytest.raises(StreamBusy):
        await other.begin("s", "x", "m", state.tail + 1, [b"1"])
    again = ("0:0", rest)
    assert await code_of(other.begin("s", "a", "m", state.tail + 1, [b"1"], queue=again)) == (
        "queue_changed"
    )
    heard = await hear(other, "s")
    begun = await other.begin("s", "a", "m", state.tail + 1, [b"1"], queue=(state.queue, rest))
    assert begun is not None
    after = await engine.load("s", 0)
    assert (after.running, waiting(after)) == ("a", ["b"])
    await eventually(lambda: heard)
    assert (heard[0].running, heard[0].queue, heard[0].prompts) == ("a", after.queue, rest)
    assert await engine.queue("s", after.queue, [b"x"], ("", ""), added="a") is None, "it has begun"


async def test_what_is_held_goes_on_after_another_answer(engine: SharedEngine) -> None:
    await engine.create("s", JSON)
    await engine.begin("s", "first", "n", 0, [b"0"])
    await add(engine, "a")
    state = await engine.load("s", 0)
    ended = await engine.end("s", "first", [b"end"], queue="another")
    assert (ended.written, ended.requeued) == (None, True)
    ended = await engine.end("s", "first", [b"end"], queue=state.queue, hold=True)
    assert ended.written is not None
    held = await engine.load("s", 0)
    assert (is_held(held.queue), held.prompts) == (True, state.prompts)
    assert await engine.begin("s", "second", "n", held.tail, [b"1"]) is not None
    after = await engine.load("s", 0)
    assert (after.queue, after.prompts) == (state.queue, state.prompts)


async def test_one_that_was_dropped_is_located_and_waits_no_more(
    engine: SharedEngine, other: SharedEngine
) -> None:
    made, _ = await engine.create("s", JSON, [b"0"])
    await add(engine, "a")
    version = (await engine.load("s", 0)).queue
    dropped = DroppedPrompt("a", made.epoch, 1)
    await engine.queue("s", version, [b'"dropped"'], ("", ""), dropped=dropped)
    found = await other.locate("a")
    assert found is not None
    assert (found.position, found.started, found.ended) == (Position(made.epoch, 1), 1, 2)
    assert await add(other, "a") is None, "it does not come back"
    assert await kept(engine, "s") == [b"0", b'"queued"', b'"dropped"']


async def test_a_stream_in_which_prompts_wait_is_not_closed_but_deleted(
    engine: SharedEngine,
) -> None:
    await engine.create("s", JSON, [b"0"])
    await add(engine, "a", held=True)
    with pytest.raises(StreamBusy):
        await engine.write("s", [], close=True)
    assert await engine.hold(SourceHold("s", "fork"), 1)
    await engine.create("fork", replace(JSON, fork=Fork("s", 1)))
    await engine.delete("s")
    state = await engine.load("s", 0)
    assert (state.hidden, state.queue, state.prompts) == (True, "", "")
    await engine.create("done", JSON, close=True)
    with pytest.raises(StreamClosed):
        await engine.queue("done", "", [b"1"], ("", ""))


async def test_what_waited_is_put_back_with_its_stream(
    engine: SharedEngine, opening: Opening, shared_server: SharedServer
) -> None:
    await engine.create("s", JSON, [b"0"])
    await add(engine, "a")
    await add(engine, "b", held=True)
    before = await engine.load("s", LIMIT)
    await shared_server.restart_empty()
    later = await opening(known=engine.incarnations)
    assert await later.restore("s", before, None)
    await later.note_waiting("s", "a")
    assert await later.load("s", LIMIT) == before
    assert await later.waiting_in("a") == "s"
    assert await add(later, "c") is not None
    assert waiting(await later.load("s", 0)) == ["a", "b", "c"]


async def test_what_waits_outlives_the_server(
    engine: SharedEngine, opening: Opening, shared_server: SharedServer
) -> None:
    await engine.create("s", JSON, [b"0"])
    await add(engine, "a")
    await add(engine, "b", held=True)
    before = await engine.load("s", 0)
    await shared_server.restart()
    later = await opening(known=engine.incarnations)
    after = await later.load("s", 0)
    assert (after.queue, after.prompts) == (before.queue, before.prompts)
    assert await later.waiting_in("b") == "s"
