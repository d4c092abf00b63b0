"""The primary is the one of which the newest configuration tells, and only it is used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hub.domain.errors import StoreError
from hub.stores.redis.engine import RedisEngine
from hub.stores.redis.sentinels import PrimaryWatch, Sentinels
from tests.support.fake_sentinel import FakeSentinel
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.ports import Port
from tests.support.redis_server import RedisServer
from tests.support.shared_servers import code_of


def named_by(*ports: int) -> Sentinels:
    urls = [f"redis://127.0.0.1:{port}" for port in ports]
    return Sentinels(urls, "main", lambda host, port: f"redis://{host}:{port}")


Watching = Callable[..., PrimaryWatch]


@pytest.fixture
async def watching() -> AsyncIterator[Watching]:
    """Ask sentinels on these ports; all are left at the end."""
    watches: list[PrimaryWatch] = []

    def opened(*ports: int) -> PrimaryWatch:
        watches.append(PrimaryWatch(named_by(*ports)))
        watches[-1].open()
        return watches[-1]

    yield opened
    for watch in watches:
        await watch.close()


@pytest.fixture
async def nobody() -> AsyncIterator[int]:
    """A port where nobody listens."""
    port = Port()
    yield port.number
    port.release()


Sentinel = Callable[..., Awaitable[FakeSentinel]]


@pytest.fixture
async def sentinel() -> AsyncIterator[Sentinel]:
    async with AsyncExitStack() as stack:

        async def started(port: int | None, epoch: int = 0) -> FakeSentinel:
            return await stack.enter_async_context(FakeSentinel(port, epoch))

        yield started


async def test_the_newest_configuration_counts_whoever_answers_first(
    watching: Watching, sentinel: Sentinel
) -> None:
    old, new, older = await sentinel(1, 4), await sentinel(2, 5), await sentinel(3, 3)
    watch = watching(old.port, new.port, older.port)
    assert await watch.primary() == "redis://127.0.0.1:2"
    assert watch.answering == (3, 3)


async def test_sentinels_that_are_gone_or_silent_are_not_needed(
    watching: Watching, sentinel: Sentinel, nobody: int
) -> None:
    silent, one = await sentinel(1, 9), await sentinel(2, 5)
    silent.silent = True
    watch = watching(silent.port, nobody, one.port)
    assert await watch.primary() == "redis://127.0.0.1:2"
    assert watch.answering == (1, 3)


async def test_another_primary_is_told_of_once_one_sentinel_knows_it(
    watching: Watching, sentinel: Sentinel
) -> None:
    first, second = await sentinel(1, 4), await sentinel(1, 4)
    watch = watching(first.port, second.port)
    moved = asyncio.create_task(watch.moved(await watch.primary()))
    first.name(2, 3)  # it has been away, and has not heard of the last promotion
    asked = first.asked
    await eventually(lambda: first.asked >= asked + 4)
    assert not moved.done()
    second.name(3, 5)
    await asyncio.wait_for(moved, PATIENCE)
    assert await watch.primary() == "redis://127.0.0.1:3"


async def test_what_sentinels_have_said_counts_while_none_answers(
    watching: Watching, sentinel: Sentinel
) -> None:
    one = await sentinel(1, 4)
    watch = watching(one.port)
    assert await watch.primary() == "redis://127.0.0.1:1"
    await one.__aexit__()
    await eventually(lambda: watch.answering == (0, 1))
    assert await watch.primary() == "redis://127.0.0.1:1"


async def test_why_there_is_no_primary_is_said(
    watching: Watching, sentinel: Sentinel, nobody: int, redis_server: RedisServer
) -> None:
    async def refused(*ports: int) -> str:
        with pytest.raises(StoreError) as error:
            await asyncio.wait_for(watching(*ports).primary(), PATIENCE)
        assert error.value.code == "store_unavailable"
        return error.value.message

    assert str(nobody) in await refused(nobody)
    assert "No such master" in await refused((await sentinel(None)).port)
    assert "a sentinel says: unknown command" in await refused(redis_server.port)
    assert str(nobody) in await refused(nobody, nobody)  # named twice


async def test_a_question_that_fails_is_logged_and_its_answer_is_not_waited_for(
    sentinel: Sentinel, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(host: str, port: int) -> str:
        raise AttributeError(f"{host}:{port}")

    one = await sentinel(1, 4)
    watch = PrimaryWatch(Sentinels([f"redis://127.0.0.1:{one.port}"], "main", broken))
    watch.open()
    try:
        with pytest.raises(StoreError, match="see its log"):
            await asyncio.wait_for(watch.primary(), PATIENCE)
    finally:
        await watch.close()
    assert "a sentinel is asked no more" in caplog.text


async def test_a_primary_that_lives_is_left_once_another_was_promoted(
    sentinel: Sentinel, redis_server: RedisServer, tmp_path: Path
) -> None:
    """As where it was cut off from the sentinels, and not from the hub."""
    other = RedisServer(tmp_path / "other")
    await other.start()
    one = await sentinel(redis_server.port, 1)
    engine = RedisEngine(named_by(one.port))
    try:
        await engine.open()
        assert (await engine.topology()).address == f"127.0.0.1:{redis_server.port}"
        one.name(other.port, 2)
        why = await asyncio.wait_for(asyncio.shield(engine.lost), PATIENCE)
        assert "another server was promoted" in why.message
        assert await code_of(engine.touch("s")) == "store_unavailable"
    finally:
        await engine.close()
        await other.stop()


async def test_nobody_waits_for_a_server_that_was_replaced_before_it_answered(
    sentinel: Sentinel, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen one takes connections, and would be waited for while others go on."""
    monkeypatch.setattr("hub.stores.redis.client.CONNECT_SECONDS", 10 * PATIENCE)
    one = await sentinel(redis_server.port, 1)
    engine = RedisEngine(named_by(one.port))
    redis_server.freeze()
    opening = asyncio.create_task(engine.open())
    try:
        await eventually(lambda: one.asked >= 4)
        one.name(1, 2)
        with pytest.raises(StoreError, match="another server was promoted"):
            await asyncio.wait_for(opening, PATIENCE)
    finally:
        opening.cancel()
        redis_server.thaw()
        await engine.close()
