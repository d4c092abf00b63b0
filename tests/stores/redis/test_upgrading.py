"""Hubs of two releases use one server while one replaces the other (``tests/fixtures``)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from hub.domain.errors import StoreError
from hub.domain.generation import State
from hub.stores.redis.codec import VERSION, parse_notice
from hub.stores.redis.keys import Keys
from tests.conftest import Running, StartHub
from tests.fixtures.make_redis import auth_of_then
from tests.stores.redis.conftest import Opening
from tests.support import redis_dump
from tests.support.loopback_hub import eventually
from tests.support.people import bearer
from tests.support.redis_server import RedisServer
from tests.support.shared_servers import code_of

LEFT = (Path(__file__).parents[2] / "fixtures/redis_v1.ndjson").read_bytes().splitlines()
CHAT = "chat/ann/1"
ENDS = ("finished", "failed", "cancelled", "interrupted")


@pytest.fixture
async def hub(start_hub: StartHub, redis_server: RedisServer) -> AsyncIterator[Running]:
    """A hub of this release on what one of the first form has left, killed at work."""
    await redis_dump.load(redis_server.port, LEFT)
    assert await redis_server.ask("EXISTS", Keys().version) == b":0\r\n"
    yield await start_hub(store={"url": redis_server.url}, auth=auth_of_then())
    assert await redis_server.ask("GET", Keys().version) == b"$1\r\n%d\r\n" % VERSION


async def asked(hub: Running, method: str, path: str, **given: Any) -> tuple[int, Any]:
    headers = bearer("ann") | given.pop("headers", {})
    async with hub.client.request(method, path, headers=headers, **given) as response:
        body = await response.read()
        json = body and response.content_type == "application/json"
        return response.status, orjson.loads(body) if json else body


async def events(hub: Running, stream: str) -> list[Any]:
    status, found = await asked(hub, "GET", f"/v1/stream/{stream}")
    assert status == 200, found
    return list(found)


async def test_conversations_are_read_and_go_on(hub: Running) -> None:
    before = await events(hub, CHAT)
    assert [one["type"] for one in before if one["type"] != "delta"] == [
        *("message", "started", "finished") * 2
    ]
    assert await events(hub, "chat/ann/fork") == before
    said = {"prompt": "echo more", "stream": CHAT}
    _, begun = await asked(hub, "POST", "/v1/generations", json=said)
    assert (await hub.hub.generations.wait(begun["id"])).state is State.FINISHED
    after = await events(hub, CHAT)
    assert after[: len(before)] == before
    assert after[-1]["type"] == "finished"
    assert await events(hub, "chat/ann/orphan") == [{"n": 1}, {"n": 2}]


async def test_a_key_that_was_used_means_the_same_generation(hub: Running) -> None:
    said = {"prompt": "Hello", "stream": CHAT, "options": {"max_tokens": 6}}
    key = {"Idempotency-Key": "key-of-the-first"}
    _, found = await asked(hub, "POST", "/v1/generations", json=said, headers=key)
    first = next(one for one in await events(hub, CHAT) if one["type"] == "started")
    assert found["id"] == first["generation"]


async def test_what_was_running_ends_and_what_waits_begins(hub: Running) -> None:
    (queued,) = [one for one in await events(hub, "chat/ann/stalled") if one["type"] == "queued"]
    ended = await hub.hub.generations.wait(queued["generation"])
    assert ended.state is State.FINISHED
    found = [one["type"] for one in await events(hub, "chat/ann/stalled")]
    assert [one for one in found if one in ENDS] == ["interrupted", "finished"]


async def test_producers_and_owners_are_known(hub: Running) -> None:
    raw = {"Content-Type": "application/octet-stream"}
    again = {"Producer-Id": "p", "Producer-Epoch": "2", "Producer-Seq": "1", **raw}
    path = "/v1/stream/chat/ann/bytes"
    assert (await asked(hub, "POST", path, data=b"more", headers=again))[0] == 204
    late = {"Stream-Seq": "006", **raw}
    assert (await asked(hub, "POST", path, data=b"x", headers=late))[0] == 409
    assert (await asked(hub, "GET", path))[1] == b"raw \x00\xffmoremorex"
    given = await hub.hub.streams.open("chat/ann/closed")
    assert (given.closed, given.settings.owner) == (True, "bob")


async def test_links_hold_and_those_that_were_revoked_do_not(hub: Running) -> None:
    async with hub.client.get("/v1/shares", headers=bearer("admin")) as response:
        (shared,) = (await response.json())["shares"]
    assert shared["stream"] == CHAT
    (revoked,) = [said.message for said in redis_dump.said_in(LEFT) if "revoked" in said.channel]
    await eventually(lambda: hub.hub._revocations.names(revoked.decode()))


async def test_what_it_tells_other_hubs_is_understood(
    hub: Running, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await hub.client.ws_connect("/v1/ws", protocols=["hub.v1"], headers=bearer("ann"))
    await socket.send_json({"type": "subscribe", "stream": CHAT, "from": "now"})
    await socket.send_json({"type": "presence", "stream": CHAT, "state": "new"})
    heard = redis_dump.said_in(LEFT)
    assert {channel.partition("}")[2][:6] for channel, _ in heard} >= {"l:chat", "topic:"}
    with caplog.at_level(logging.WARNING):
        await eventually(lambda: hub.hub.participants.own(CHAT))
        for channel, message in heard:
            if "}l:" in channel:
                assert parse_notice(message) is not None
            await redis_dump.say(redis_server.port, channel, message)
        frame = ""
        while '"Ann"' not in frame:
            frame = (await socket.receive()).data
    await socket.close()
    assert [one.message for one in caplog.records if "cannot be taken" in one.message] == []


async def test_a_server_that_a_newer_hub_uses_is_refused(
    redis_server: RedisServer, opening: Opening
) -> None:
    await redis_server.ask("SET", Keys().version, str(VERSION + 1))
    with pytest.raises(StoreError, match="a newer hub keeps its streams in this Redis") as refused:
        await opening()
    assert refused.value.code == "store_newer"
    assert await redis_server.ask("DBSIZE") == b":1\r\n"


async def test_a_full_server_of_an_earlier_release_is_read(
    redis_server: RedisServer, opening: Opening
) -> None:
    await (await opening()).close()
    await redis_server.ask("DEL", Keys().version)
    await redis_server.ask("CONFIG", "SET", "maxmemory", "1")
    engine = await opening()
    assert await code_of(engine.load("s", 0)) == "stream_not_found"
    await redis_server.ask("CONFIG", "SET", "maxmemory", "0")
