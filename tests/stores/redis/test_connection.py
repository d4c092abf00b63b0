"""When a server is given up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hub.domain.stream_settings import StreamSettings
from hub.stores.redis import client, connection, primary
from hub.stores.redis.engine import RedisEngine
from tests.stores.redis.conftest import Opening
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.shared_servers import code_of, hear

BYTES = StreamSettings("application/octet-stream")


async def test_a_server_that_does_not_answer_is_given_up(
    engine: RedisEngine, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.create("s", BYTES)
    monkeypatch.setattr(connection, "REPLY_SECONDS", 0.1)
    server.freeze()
    try:
        assert await code_of(engine.write("s", [b"1"])) == "store_slow"
        assert engine.lost.done()
        assert await code_of(engine.write("s", [b"1"])) == "store_unavailable"
    finally:
        server.thaw()


@pytest.mark.parametrize("what", ["everything", "channels"])
async def test_a_silent_server_is_given_up_though_nobody_asks(
    opening: Opening, server: RedisServer, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(primary, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(primary, "SILENCE_SECONDS", 0.3)
    engine = await opening()
    await asyncio.sleep(0.5)
    assert not engine.lost.done()
    if what == "channels":
        monkeypatch.setattr(engine._primaries[0].channels, "_take", lambda reply: None)
    else:
        server.freeze()
    try:
        why = await asyncio.wait_for(asyncio.shield(engine.lost), PATIENCE)
        assert "silent" in why.message
    finally:
        server.thaw()


async def test_one_that_has_much_to_do_is_not_given_up(
    opening: Opening, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(primary, "BEAT_SECONDS", 0.01)
    engine = await opening()
    monkeypatch.setattr(client, "UNDER_WAY", 0)
    commands = engine._primaries[0].commands
    asked = commands.ask
    beats: list[tuple[str | bytes | int, ...]] = []

    def ask(*words: str | bytes | int) -> asyncio.Future[Any]:
        beats.append(words)
        return asked(*words)

    monkeypatch.setattr(commands, "ask", ask)
    await eventually(lambda: len(beats) > 2)
    assert not engine.lost.done()


async def test_a_lost_bus_gives_up_the_whole_engine(
    engine: RedisEngine, server: RedisServer
) -> None:
    await hear(engine, "s")
    await server.ask("CLIENT", "KILL", "TYPE", "pubsub")
    assert (await engine.lost).code == "store_unavailable"
    assert await code_of(engine.create("s", BYTES)) == "store_unavailable"
