"""Replies come to whoever asked, messages in order, and nobody waits for a server that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.exceptions import ResponseError

from hub.domain.errors import StoreError
from hub.stores.redis import client
from hub.stores.redis.client import Commands, Subscriptions
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer


@pytest.fixture
async def url(server: RedisServer) -> str:
    return f"redis://127.0.0.1:{server.port}"


@pytest.fixture
async def commands(url: str) -> AsyncIterator[Commands]:
    made = Commands(url)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def channels(url: str) -> AsyncIterator[Subscriptions]:
    made = Subscriptions(url)
    await made.open()
    yield made
    await made.close()


async def test_each_reply_comes_to_whoever_asked(commands: Commands) -> None:
    asked = [commands.ask("ECHO", b"%d" % number) for number in range(1000)]
    assert await asyncio.gather(*asked) == [b"%d" % number for number in range(1000)]


async def test_a_reply_may_be_anything(commands: Commands) -> None:
    assert await commands.ask("GET", "nothing") is None
    assert await commands.ask("EVAL", "return {1, 'a\\0', {}}", 0) == [1, b"a\0", []]
    with pytest.raises(ResponseError, match="unknown command"):
        await commands.ask("NONSENSE")
    assert await commands.ask("PING") == b"PONG", "the others are as they were"


async def test_whoever_leaves_takes_no_reply_from_the_others(commands: Commands) -> None:
    first, second = commands.ask("ECHO", "1"), commands.ask("ECHO", "2")
    first.cancel()
    assert await second == b"2"


async def test_a_unix_socket_is_the_same(server: RedisServer) -> None:
    commands = Commands(f"unix://{server.socket}")
    await commands.open()
    assert await commands.ask("PING") == b"PONG"
    await commands.close()


async def test_all_who_wait_hear_that_the_server_is_gone(
    server: RedisServer, commands: Commands
) -> None:
    server.freeze()
    asked = [commands.ask("PING") for _ in range(3)]
    await server.kill()
    for reply in asked:
        with pytest.raises(StoreError) as refused:
            await asyncio.wait_for(reply, PATIENCE)
        assert refused.value.code == "store_unavailable"
    assert commands.lost.done()
    with pytest.raises(StoreError, match="Redis cannot be used"):
        commands.ask("PING")


async def test_what_is_under_way_at_the_close_fails(server: RedisServer, url: str) -> None:
    commands = Commands(url)
    await commands.open()
    server.freeze()
    asked = commands.ask("PING")
    await commands.close()
    server.thaw()
    with pytest.raises(StoreError, match="was closed"):
        await asked


async def test_no_more_commands_wait_than_may(
    server: RedisServer, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "UNDER_WAY", 3)
    server.freeze()
    asked = [commands.ask("PING") for _ in range(3)]
    with pytest.raises(StoreError) as refused:
        commands.ask("PING")
    assert refused.value.code == "store_slow"
    server.thaw()
    assert await asyncio.gather(*asked) == [b"PONG"] * 3
    assert await commands.ask("PING") == b"PONG"


async def test_no_server_and_a_wrong_password_are_said_without_the_password(
    server: RedisServer, url: str
) -> None:
    await server.ask("CONFIG", "SET", "requirepass", "right")
    wrong = Commands(f"redis://:guess-77@127.0.0.1:{server.port}")
    with pytest.raises(StoreError, match="refuses the user or the password") as refused:
        await wrong.open()
    assert "guess-77" not in str(refused.value)
    right = Commands(f"redis://:right@127.0.0.1:{server.port}")
    await right.open()
    await right.close()
    await server.kill()
    nobody = Commands(url)
    with pytest.raises(StoreError) as refused:
        await nobody.open()
    assert refused.value.code == "store_unavailable"


async def test_messages_come_in_order_and_none_is_missed(
    commands: Commands, channels: Subscriptions
) -> None:
    heard: list[bytes] = []
    other: list[bytes] = []
    await channels.subscribe("a", heard.append)
    await channels.subscribe("b", other.append)
    told = [commands.ask("PUBLISH", "a", b"%d" % number) for number in range(500)]
    assert await asyncio.gather(*told) == [1] * 500
    await commands.ask("PUBLISH", "b", "x")
    await eventually(lambda: len(other) == 1)
    assert heard == [b"%d" % number for number in range(500)]
    channels.unsubscribe("a")
    await channels.subscribe("c", other.append)  # so the end of the other has been heard
    assert await commands.ask("PUBLISH", "a", "late") == 0
    assert len(heard) == 500


async def test_all_who_listen_to_one_channel_are_told_once_the_last_one_does(
    commands: Commands, channels: Subscriptions
) -> None:
    former: list[bytes] = []
    heard: list[bytes] = []
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(
            channels.subscribe("a", former.append), channels.subscribe("a", heard.append)
        )
    await commands.ask("PUBLISH", "a", "x")
    await eventually(lambda: heard == [b"x"])
    assert not former


async def test_a_server_that_closes_the_channels_is_noticed(
    commands: Commands, channels: Subscriptions
) -> None:
    await channels.subscribe("a", lambda _: None)
    await commands.ask("CLIENT", "KILL", "TYPE", "pubsub")
    why = await asyncio.wait_for(asyncio.shield(channels.lost), PATIENCE)
    assert why.code == "store_unavailable"
    with pytest.raises(StoreError):
        await channels.subscribe("b", lambda _: None)


async def test_a_listener_that_fails_is_not_taken_for_silence(
    commands: Commands, channels: Subscriptions, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(message: bytes) -> None:
        raise ValueError(message)

    await channels.subscribe("a", failing)
    await commands.ask("PUBLISH", "a", "x")
    why = await asyncio.wait_for(asyncio.shield(channels.lost), PATIENCE)
    assert "the hub failed" in why.message
    assert "ValueError" in caplog.text


async def test_whoever_waits_for_a_confirmation_hears_that_there_is_none(
    server: RedisServer, channels: Subscriptions
) -> None:
    server.freeze()
    asked = asyncio.create_task(channels.subscribe("a", lambda _: None))
    await asyncio.sleep(0)
    await server.kill()
    with pytest.raises(StoreError):
        await asyncio.wait_for(asked, PATIENCE)
