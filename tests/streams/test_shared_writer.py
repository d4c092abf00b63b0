"""What only a writer to shared streams promises; the rest is in tests/stores/test_writer.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from hub.domain.errors import Conflict, RequestError, StoreError, StreamNotFound
from hub.domain.events import Delta, Message, Started, encode
from hub.domain.records import Body
from hub.domain.stream_settings import StreamSettings
from hub.stores import refusals
from hub.stores.shared import SourceHold, join
from hub.streams.mirrors import Mirrors
from hub.streams.shared_writer import SharedWriter
from tests.support.shared_nodes import Nodes, back, bodies
from tests.support.shared_servers import SharedServer

BYTES = StreamSettings("application/octet-stream")
ONE: list[Body] = [(b"1", None)]


@pytest.fixture
async def nodes(shared_server: SharedServer) -> AsyncIterator[list[Mirrors]]:
    started = Nodes(shared_server)
    yield [await started.start() for _ in range(2)]
    await started.stop()


@pytest.fixture
def writers(nodes: list[Mirrors]) -> list[SharedWriter]:
    return [SharedWriter(node) for node in nodes]


async def test_whoever_was_told_that_it_is_written_reads_it_in_this_hub(
    nodes: list[Mirrors], writers: list[SharedWriter]
) -> None:
    await writers[0].create("s", BYTES)
    for number in range(20):
        writer, node = writers[number % 2], nodes[number % 2]
        outcome = await writer.write("s", ONE)
        mirror = node.loaded("s")
        assert mirror is not None
        assert mirror.tail >= outcome.position.offset
    await writers[1].delete("s")
    with pytest.raises(StreamNotFound):
        await writers[1].load("s")


async def test_a_write_is_refused_while_the_engine_is_away(
    nodes: list[Mirrors], writers: list[SharedWriter], shared_server: SharedServer
) -> None:
    await writers[0].create("s", BYTES, ONE)
    await writers[0].create("ttl", replace(BYTES, ttl=1000), ONE)
    await shared_server.kill()
    for deed in (
        writers[0].write("s", ONE),
        writers[0].create("t", BYTES),
        writers[0].fork("f", "s"),
        writers[0].delete("s"),
    ):
        with pytest.raises(StoreError):
            await deed
    for name in ("s", "ttl"):
        assert (await writers[0].load(name)).position.offset == 1, "it can be read"
        assert (await writers[0].touch(name)).position.offset == 1, "by a request that postpones"
    await shared_server.start()
    await back(nodes[0])
    assert (await writers[0].write("s", ONE)).position.offset == 2


async def test_a_stream_of_an_earlier_epoch_is_the_same_one(
    nodes: list[Mirrors], writers: list[SharedWriter], shared_server: SharedServer
) -> None:
    before = await writers[0].create("s", BYTES, ONE)
    await shared_server.restart()
    await back(nodes[0])
    after = await writers[0].write("s", ONE, epoch=before.position.epoch)
    assert after.position.epoch > before.position.epoch
    assert (await writers[0].write("s", ONE, epoch=before.position.epoch)).position.offset == 3
    with pytest.raises(StreamNotFound):
        await writers[0].write("s", ONE, epoch=before.position.epoch - 1)


async def test_a_fork_in_the_middle_of_an_answer_ends_it(
    nodes: list[Mirrors], writers: list[SharedWriter]
) -> None:
    await writers[0].create("s", StreamSettings())
    generation = "gen_" + "0" * 32
    begun = [encode(Message("user", "Hello")), encode(Started(generation))]
    await nodes[0].engine.begin("s", generation, "n", 0, begun)
    await writers[1].fork("f", "s", settings=StreamSettings(""))
    assert b"interrupted" in (await bodies(await nodes[1].open("f")))[-1]
    assert len(await bodies(await nodes[0].open("s"))) == 2, "it goes on in its own stream"


async def test_a_fork_of_what_is_not_there_holds_nothing(
    nodes: list[Mirrors], writers: list[SharedWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    await writers[0].create("s", BYTES, ONE)

    async def trimmed(hold: SourceHold, offset: int) -> bool:
        return False

    monkeypatch.setattr(nodes[0].engine, "hold", trimmed)
    with pytest.raises(RequestError) as refused:
        await writers[0].fork("f", "s")
    assert refused.value.code == "bad_fork_offset"


async def test_a_fork_for_which_there_is_no_room_holds_nothing(
    nodes: list[Mirrors], writers: list[SharedWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    await writers[0].create("s", BYTES, ONE)

    async def full(*words: Any, **more: Any) -> Any:
        raise StoreError("no memory is left", code="store_full")

    monkeypatch.setattr(nodes[0].engine, "create", full)
    with pytest.raises(StoreError):
        await writers[0].fork("f", "s")
    assert (await nodes[0].engine.load("s", 0)).forks == 0


async def test_a_fork_of_what_is_held_no_more_is_tried_again(
    nodes: list[Mirrors], writers: list[SharedWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    await writers[0].create("s", BYTES, ONE)
    create, refused = nodes[0].engine.create, 0

    async def moved(*words: Any, **more: Any) -> Any:
        nonlocal refused
        refused += 1
        if refused < 3:
            raise refusals.moved("s")
        return await create(*words, **more)

    monkeypatch.setattr(nodes[0].engine, "create", moved)
    assert (await writers[0].fork("f", "s")).position.offset == 1
    assert refused == 3
    refused = -100
    with pytest.raises(RequestError) as never:
        await writers[0].fork("g", "s")
    assert never.value.code == "bad_fork_offset"


async def test_a_fork_holds_its_source_also_if_the_engine_is_lost_in_between(
    nodes: list[Mirrors],
    writers: list[SharedWriter],
    shared_server: SharedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await writers[0].create("s", BYTES, ONE)
    hold = nodes[0].engine.hold

    async def losing(wanted: SourceHold, offset: int) -> bool:
        held = await hold(wanted, offset)
        await shared_server.restart_empty()
        await back(nodes[0])
        return held

    monkeypatch.setattr(nodes[0].engine, "hold", losing)
    assert (await writers[0].fork("f", "s")).position.offset == 1
    assert (await nodes[0].engine.load("s", 1024)).forks == 1


async def test_of_forks_and_streams_of_one_name_in_two_hubs_one_begins(
    nodes: list[Mirrors], writers: list[SharedWriter]
) -> None:
    await writers[0].create("s", BYTES, ONE)
    own: list[Body] = [(b"x", None)]
    forks = 0
    for number in range(5):
        name = f"f{number}"
        done = await asyncio.gather(
            writers[0].fork(name, "s", settings=StreamSettings(""), bodies=own),
            writers[1].fork(name, "s", settings=StreamSettings(""), bodies=own),
            writers[1].create(name, BYTES, [(b"other", None)]),
            return_exceptions=True,
        )
        begun = [one for one in done if not isinstance(one, BaseException) and not one.duplicate]
        assert len(begun) == 1, done
        assert all(isinstance(one, Conflict) or one in begun or one.duplicate for one in done)  # type: ignore[union-attr]  # an outcome
        expected = [b"other"] if done[2] in begun else [b"1", b"x"]
        for node in nodes:
            assert await bodies(await node.open(name)) == expected
        forks += done[2] not in begun
        assert (await nodes[0].engine.load("s", 0)).forks == forks, "who was second holds nothing"


async def test_a_fork_that_is_deleted_and_made_again_at_once_holds_its_source(
    nodes: list[Mirrors], writers: list[SharedWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    await writers[0].create("s", BYTES, ONE)
    await writers[0].fork("f", "s")
    release, deleted, again = nodes[0].engine.release, asyncio.Event(), asyncio.Event()

    async def late(hold: SourceHold, *, due: int | None) -> SourceHold | None:
        deleted.set()
        await again.wait()
        return await release(hold, due=due)

    monkeypatch.setattr(nodes[0].engine, "release", late)
    deleting = asyncio.create_task(writers[0].delete("f"))
    await deleted.wait()
    await writers[1].fork("f", "s")
    again.set()
    await deleting
    await writers[1].delete("s")
    assert (await nodes[1].engine.load("s", 0)).hidden
    assert join(await nodes[0].engine.read("f", 0, 1024), 0) == [b"1"]


async def test_deltas_are_events_here_too(
    nodes: list[Mirrors], writers: list[SharedWriter]
) -> None:
    await writers[0].create("s", StreamSettings())
    event = Delta("", "text")
    await writers[0].write("s", [(encode(event), event)])
    mirror = await nodes[1].open("s")
    assert [one async for one in mirror.events()] == [event]
