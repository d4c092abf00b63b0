"""Who may do what is the same over all hubs that share a store, also after it has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import orjson
import pytest

from hub.domain.events import Message
from hub.stores.redis.engine import RedisEngine
from hub.streams import news
from tests.conftest import Running, StartHub
from tests.support.close_codes import close_code
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.people import auth, bearer
from tests.support.redis_server import RedisServer

MESSAGE = {"type": "message", "role": "user", "text": "Hello"}


@pytest.fixture
async def both(start_hub: StartHub, redis_server: RedisServer) -> list[Running]:
    store = {"url": f"redis://127.0.0.1:{redis_server.port}"}
    shares = {"who": "user", "match": "chat/{user}/**", "can": ["share"]}
    return [await start_hub(store=store, auth=auth(shares)) for _ in range(2)]


async def asked(
    hub: Running, method: str, path: str, who: str | None, **given: Any
) -> tuple[int, Any]:
    headers = {} if who is None else bearer(who)
    async with hub.client.request(method, path, headers=headers, **given) as response:
        body = await response.read()
        return response.status, orjson.loads(body) if body else None


async def follow(hub: Running, stream: str, token: dict[str, str]) -> Any:
    socket = await hub.client.ws_connect("/v1/ws", protocols=["hub.v1"], headers=token)
    await socket.send_json({"type": "subscribe", "id": 1, "stream": stream, "from": "start"})
    return socket


async def last(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    """The close code, once it is closed."""
    async with asyncio.timeout(PATIENCE):
        while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
    return close_code(socket, message)


async def test_a_stream_belongs_to_its_owner_over_every_hub(both: list[Running]) -> None:
    one, two = both
    assert (await asked(one, "PUT", "/v1/stream/chat/ann/1", "ann", json=[MESSAGE]))[0] == 201
    assert await asked(two, "GET", "/v1/stream/chat/ann/1", "ann") == (
        *(200, [{**MESSAGE, "author": "ann"}]),
    )
    assert (await asked(two, "GET", "/v1/stream/chat/ann/1", "bob"))[0] == 404
    assert (await asked(two, "GET", "/v1/stream/chat/ann/1", None))[0] == 401
    stream = await two.hub.streams.open("chat/ann/1")
    assert (stream.settings.owner, stream.settings.creator) == ("ann", "ann")


async def test_a_revocation_ends_what_is_connected_to_another_hub(both: list[Running]) -> None:
    one, two = both
    assert (await asked(one, "PUT", "/v1/stream/chat/ann/1", "ann", json=[MESSAGE]))[0] == 201
    _, made = await asked(one, "POST", "/v1/shares", "ann", json={"stream": "chat/ann/1"})
    link = {"Authorization": f"Bearer sl_{made['url'].rpartition('/')[2]}"}
    socket = await follow(two, "chat/ann/1", link)
    assert "events" in [orjson.loads((await socket.receive()).data)["type"] for _ in range(3)]
    revoked, _ = await asked(one, "DELETE", f"/v1/shares/{made['id']}", "ann")
    assert revoked in (200, 204)
    assert await last(socket) == 4502
    async with two.client.get("/v1/stream/chat/ann/1", headers=link) as response:
        assert response.status == 401


async def test_others_are_told_before_a_revocation_is_answered(
    both: list[Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that is killed then would tell them nothing any more, and nobody would ask again."""
    one, _ = both
    assert (await asked(one, "PUT", "/v1/stream/chat/ann/1", "ann", json=[MESSAGE]))[0] == 201
    _, made = await asked(one, "POST", "/v1/shares", "ann", json={"stream": "chat/ann/1"})
    say, said = RedisEngine.say, []

    async def slowly(engine: RedisEngine, topic: str, message: bytes, *, keep: int = 0) -> None:
        await asyncio.sleep(0.3)
        await say(engine, topic, message, keep=keep)
        said.append((topic, message.decode()))

    monkeypatch.setattr(news, "TOLD_SECONDS", PATIENCE)
    monkeypatch.setattr(RedisEngine, "say", slowly)
    assert (await asked(one, "DELETE", f"/v1/shares/{made['id']}", "ann"))[0] == 204
    assert ("revoked", made["id"]) in said


async def test_what_a_hub_missed_it_finds_when_the_server_is_back(
    both: list[Running], redis_server: RedisServer
) -> None:
    one, two = both
    assert (await asked(one, "PUT", "/v1/stream/chat/ann/1", "ann", json=[MESSAGE]))[0] == 201
    socket = await follow(two, "chat/ann/1", bearer("ann"))
    (by,) = (connection.by for connection in two.hub.connections)
    assert by.credential is not None
    await redis_server.kill()
    await eventually(lambda: one.hub.trouble and two.hub.trouble)
    one.hub.revoke(by.credential)
    await redis_server.start()
    assert await last(socket) == 4502


async def test_what_was_revoked_elsewhere_ends_at_once(both: list[Running]) -> None:
    """After an outage, before what was written meanwhile is sent."""
    one, two = both
    assert (await asked(one, "PUT", "/v1/stream/chat/ann/1", "ann", json=[MESSAGE]))[0] == 201
    socket = await follow(two, "chat/ann/1", bearer("ann"))
    (connection,) = two.hub.connections
    await two.hub._background[0].stop()  # the sweep, which would end it a second later
    assert connection.by.credential is not None
    one.hub.revoke(connection.by.credential)
    assert await last(socket) == 4502


async def test_who_loses_a_stream_reads_it_no_longer_over_any_hub(both: list[Running]) -> None:
    one, two = both
    name = "elsewhere"
    await one.hub.streams.append_to(name, Message("user", "Hello"))
    await one.hub.change_owner(name, "ann")
    socket = await follow(two, name, bearer("ann"))
    said = [orjson.loads((await socket.receive()).data)["type"] for _ in range(3)]
    assert "events" in said
    assert await one.hub.change_owner(name, "bob") == ([name], None)
    async with asyncio.timeout(PATIENCE):
        while (frame := orjson.loads((await socket.receive()).data))["type"] != "error":
            pass
    assert (frame["code"], frame["stream"]) == ("stream_not_found", name)
    await socket.close()


async def test_nor_over_a_hub_that_has_missed_it(
    both: list[Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = both
    name = "elsewhere"
    await one.hub.streams.append_to(name, Message("user", "Hello"))
    await one.hub.change_owner(name, "ann")
    socket = await follow(two, name, bearer("ann"))
    assert "events" in [orjson.loads((await socket.receive()).data)["type"] for _ in range(3)]
    back, opened = asyncio.Event(), RedisEngine.open

    async def later(engine: RedisEngine) -> None:
        await back.wait()
        await opened(engine)

    monkeypatch.setattr(RedisEngine, "open", later)
    heard = two.hub._backend.news
    assert heard is not None
    await heard._mirrors.engine.close()
    await eventually(lambda: two.hub.trouble)
    assert await one.hub.change_owner(name, "bob") == ([name], None)
    await one.hub.streams.append_to(name, Message("user", "for bob alone"))
    back.set()
    async with asyncio.timeout(PATIENCE):
        while (frame := orjson.loads((await socket.receive()).data))["type"] != "error":
            assert frame["type"] != "events"
    assert (frame["code"], frame["stream"]) == ("stream_not_found", name)
    await socket.close()


# Limits

Limited = Callable[..., Awaitable[list[Running]]]


@pytest.fixture
def limited(start_hub: StartHub, redis_server: RedisServer) -> Limited:
    """Start two hubs with limits of each principal, and other tables."""

    async def start(of_each: dict[str, int], **tables: Any) -> list[Running]:
        store = {"url": f"redis://127.0.0.1:{redis_server.port}"}
        return [await start_hub(store=store, auth=auth(limits=of_each), **tables) for _ in range(2)]

    return start


def requests_of(hub: Running, name: str) -> int:
    """How many requests of somebody a hub has counted in the last minute or two."""
    assert hub.hub.shared_limits is not None
    windows = hub.hub.shared_limits._windows
    assert windows is not None
    return sum(windows._counts.get(name, (0, 0, 0))[1:])


async def test_requests_over_all_hubs_count_together(limited: Limited) -> None:
    one, two = await limited({"requests_per_minute": 4})
    assert [(await asked(one, "GET", "/v1/models", "ann"))[0] for _ in range(3)] == [200] * 3
    await eventually(lambda: requests_of(two, "ann") == 3)
    assert [(await asked(two, "GET", "/v1/models", "ann"))[0] for _ in range(2)] == [200, 429]
    assert (await asked(two, "GET", "/v1/models", "bob"))[0] == 200


async def test_so_do_credentials_that_do_not_hold(limited: Limited) -> None:
    one, two = await limited({"requests_per_minute": 2})
    wrong = {"Authorization": f"Bearer sh_{'a' * 12}_{'b' * 43}"}
    for _ in range(2):
        async with one.client.get("/v1/models", headers=wrong) as response:
            assert response.status == 401
    await eventually(lambda: requests_of(two, "address 127.0.0.1") == 2)
    async with two.client.get("/v1/models", headers=wrong) as response:
        assert response.status == 429


async def test_generations_over_all_hubs_count_together(limited: Limited) -> None:
    one, two = hubs = await limited({"generations": 3}, limits={"generations": 4})
    stall = {"prompt": "stall"}
    begun = await asyncio.gather(
        *(asked(hub, "POST", "/v1/generations", "ann", json=stall) for hub in hubs * 3)
    )
    assert sorted(status for status, _ in begun) == [201] * 3 + [429] * 3
    assert two.hub.shared_limits is not None
    counted = two.hub.shared_limits._at_once["generations"]
    # Whoever was refused has asked for a place, which is free a moment later.
    await eventually(lambda: counted.of("ann") + counted.elsewhere.of("ann") == 3)
    # And of all together there are so many.
    assert (await asked(two, "POST", "/v1/generations", "bob", json=stall))[0] == 201
    for hub in hubs:
        status, refused = await asked(hub, "POST", "/v1/generations", "bob", json=stall)
        assert (status, refused["error"]["code"]) == (429, "limit_exceeded")
    running = next(body["id"] for status, body in begun if status == 201)
    assert (await asked(one, "DELETE", f"/v1/generations/{running}", "ann"))[0] == 200
    await eventually(lambda: counted.of("ann") + counted.elsewhere.of("ann") == 2)
    assert (await asked(two, "POST", "/v1/generations", "ann", json=stall))[0] == 201


async def test_a_relay_counts_over_all_hubs(limited: Limited) -> None:
    one, two = await limited(
        {"generations": 1}, upstreams={"endless": {"dialect": "demo"}}, tutorial={"llm": "endless"}
    )
    path = "/stream_data_to_frontend_test"
    body = {"messages": [{"role": "user", "content": "stall"}]}
    async with one.client.post(path, json=body, headers=bearer("ann")) as relayed:
        assert relayed.status == 200
        assert (await asked(two, "POST", path, "ann", json=body))[0] == 429


async def test_open_connections_over_all_hubs_count_together(limited: Limited) -> None:
    one, two = await limited({"connections": 2})
    socket = await one.client.ws_connect("/v1/ws", headers=bearer("ann"))
    await eventually(lambda: two.hub.callers.open.elsewhere.of("ann") == 1)
    other = await two.client.ws_connect("/v1/ws", headers=bearer("ann"))
    await eventually(lambda: one.hub.callers.open.elsewhere.of("ann") == 1)
    for hub in (one, two):
        with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
            await hub.client.ws_connect("/v1/ws", headers=bearer("ann"))
    await socket.close()
    await eventually(lambda: two.hub.callers.open.elsewhere.of("ann") == 0)
    await (await two.client.ws_connect("/v1/ws", headers=bearer("ann"))).close()
    await other.close()


async def test_a_lost_server_stops_no_request(limited: Limited, redis_server: RedisServer) -> None:
    one, two = await limited({"requests_per_minute": 4})
    await redis_server.kill()
    await eventually(lambda: one.hub.trouble and two.hub.trouble)
    for hub in (one, two):
        statuses = [(await asked(hub, "GET", "/v1/models", "ann"))[0] for _ in range(5)]
        assert statuses == [200, 200, 200, 200, 429]
