"""One user has so many connections open at a time, of whatever kind, until they end, however."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import pytest
from aiohttp import ClientError, WSServerHandshakeError

from hub.app import FAREWELL
from hub.domain.events import Message
from tests.conftest import Running, StartHub
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.people import KEYS, auth, bearer

ROOM: Final = {"who": "anyone", "match": "room/**", "can": ["read"]}
STALL: Final = [{"role": "user", "content": "stall"}]
SAID: Final = {"model": "demo", "messages": STALL}
INPUT: Final = {"model": "demo", "input": "stall"}
CHAT: Final = {
    "id": "chat-0123456789abcdef",
    "messages": [{"role": "user", "id": "1", "parts": [{"type": "text", "text": "stall"}]}],
}
Kind = tuple[str, str, dict[str, Any] | None]
KINDS: Final[dict[str, Kind]] = {
    "live": ("GET", "/v1/live/chat/ann/1", None),
    "live, of what has not begun": ("GET", "/v1/live/chat/ann/none?wait=true", None),
    "server-sent events": ("GET", "/v1/stream/chat/ann/1?live=sse&offset=-1", None),
    "a long poll": ("GET", "/v1/stream/chat/ann/1?live=long-poll&offset=now", None),
    "a streamed completion": ("POST", "/v1/chat/completions", {**SAID, "stream": True}),
    "a whole completion": ("POST", "/v1/chat/completions", SAID),
    "a streamed response": ("POST", "/v1/responses", {**INPUT, "stream": True}),
    "a whole response": ("POST", "/v1/responses", INPUT),
    "a relay": ("POST", "/stream_data_to_frontend_test", {"messages": STALL}),
    "a text": ("GET", "/stream_json_data", None),
}


@pytest.fixture
async def hub(start_hub: StartHub) -> Running:
    running = await start_hub(
        auth=auth(ROOM, limits={"connections": 2}),
        server={"list_streams": True, "grace_seconds": 0.05},
        streams={"long_poll_seconds": 10 * PATIENCE},
        tutorial={"pace": PATIENCE},
    )
    for name in ("chat/ann/1", "chat/bob/1", "room/all"):
        await running.hub.streams.append_to(name, Message("user", "Hello"))
    return running


def open_of(hub: Running, who: str) -> int:
    return hub.hub.callers.open.of(who)


async def until(hub: Running, who: str, count: int) -> None:
    """Wait until somebody has so many connections."""
    async with asyncio.timeout(PATIENCE):
        await eventually(lambda: open_of(hub, who) == count)


@asynccontextmanager
async def standing(hub: Running, kind: Kind, who: str = "ann") -> AsyncIterator[asyncio.Task[None]]:
    """A request that stands open; at the end its client leaves, if it has not ended."""
    method, path, json = kind
    count = open_of(hub, who)

    async def read() -> None:
        async with hub.client.request(method, path, json=json, headers=bearer(who)) as response:
            assert response.status == 200, await response.text()
            await response.read()

    reading = asyncio.create_task(read())
    try:
        await eventually(lambda: reading.done() or open_of(hub, who) == count + 1)
        if reading.done():
            reading.result()
        yield reading
    finally:
        reading.cancel()
        await asyncio.wait([reading])


async def refused(hub: Running, kind: Kind, who: str | None = "ann") -> bool:
    """Whether a request is told that too many stand open."""
    method, path, json = kind
    headers = {} if who is None else bearer(who)
    async with hub.client.request(method, path, json=json, headers=headers) as response:
        if response.status == 429:
            assert int(response.headers["Retry-After"]) > 0
            text = await response.text()
            assert "auth.limits.connections" in text, text
        return response.status == 429


async def is_refused_a_socket(hub: Running, who: str | None = "ann") -> bool:
    headers = {} if who is None else bearer(who)
    try:
        async with hub.client.ws_connect("/v1/ws", headers=headers, protocols=["hub.v1"]):
            return False
    except WSServerHandshakeError as error:
        refusal = error
    assert refusal.status == 429
    assert refusal.headers is not None
    assert int(refusal.headers["Retry-After"]) > 0
    return True


@pytest.mark.parametrize("name", list(KINDS))
async def test_whatever_stands_open_is_counted_until_its_client_leaves(
    hub: Running, name: str
) -> None:
    kind = KINDS[name]
    async with standing(hub, kind), standing(hub, kind):
        assert await refused(hub, kind)
        assert await is_refused_a_socket(hub)
        assert not await is_refused_a_socket(hub, "bob"), "others are not concerned"
        async with hub.client.get("/v1/stream/chat/ann/1", headers=bearer("ann")) as response:
            assert response.status == 200, "what ends at once is not counted"
    # Whole answers, and what waits for one, are for a client that may come back.
    if not name.startswith("a whole"):
        await until(hub, "ann", 0)


async def test_websockets_are_counted(hub: Running) -> None:
    async with AsyncExitStack() as stack:
        for number in range(2):
            await stack.enter_async_context(
                hub.client.ws_connect("/v1/ws", headers=bearer("ann"), protocols=["hub.v1"])
            )
            assert open_of(hub, "ann") == number + 1
        assert await is_refused_a_socket(hub)
        assert await refused(hub, KINDS["live"])
    await until(hub, "ann", 0)
    assert not await is_refused_a_socket(hub)


async def test_chats_are_counted(start_hub: StartHub) -> None:
    hub = await start_hub(
        auth=auth(limits={"connections": 1}), streams={"long_poll_seconds": 10 * PATIENCE}
    )
    path = f"/api/chat/{CHAT['id']}/stream"
    async with standing(hub, ("POST", "/api/chat", CHAT)):
        assert await refused(hub, ("GET", path, None))
    await until(hub, "ann", 0)
    async with standing(hub, ("GET", path, None)):
        assert await refused(hub, ("GET", path, None))
    await until(hub, "ann", 0)


async def test_somebody_without_a_credential_is_counted_by_the_address(hub: Running) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            response = await stack.enter_async_context(hub.client.get("/v1/live/room/all"))
            assert response.status == 200
        assert await refused(hub, ("GET", "/v1/live/room/all", None), None)
        assert await is_refused_a_socket(hub, None)
        assert not await is_refused_a_socket(hub), "who shows a credential is counted by it"


async def test_a_websocket_counts_for_whose_credential_it_shows(hub: Running) -> None:
    presented = {"type": "auth", "id": 1, "token": KEYS["ann"]}
    async with AsyncExitStack() as stack:
        for _ in range(2):
            socket = await stack.enter_async_context(
                hub.client.ws_connect("/v1/ws", protocols=["hub.v1"])
            )
            await socket.send_json(presented)
            assert (await socket.receive_json())["type"] == "ok"
        assert open_of(hub, "ann") == 2
        # The address has its places back, but the user has no more.
        async with hub.client.ws_connect("/v1/ws", protocols=["hub.v1"]) as socket:
            await socket.send_json(presented)
            assert (await socket.receive_json())["code"] == "rate_limit_exceeded"
            await socket.send_json({**presented, "token": KEYS["bob"]})
            assert (await socket.receive_json())["type"] == "ok", "it may show another"
            assert (open_of(hub, "ann"), open_of(hub, "bob")) == (2, 1)
            await socket.send_json({**presented, "token": KEYS["bob"]})
            assert (await socket.receive_json())["type"] == "ok"
            assert open_of(hub, "bob") == 1, "the same user is not counted twice"
    await until(hub, "ann", 0)
    await until(hub, "bob", 0)


# The ways of ending


async def test_what_is_refused_or_not_there_takes_no_place(hub: Running) -> None:
    for path, status in (
        ("/v1/live/chat/ann/none", 404),
        ("/v1/live/chat/bob/1", 404),
        ("/v1/stream/chat/ann/1?live=sse&offset=nonsense", 400),
        ("/v1/ws", 426),
    ):
        for _ in range(3):
            async with hub.client.get(path, headers=bearer("ann")) as response:
                assert response.status == status, await response.text()
    assert open_of(hub, "ann") == 0


async def test_the_end_of_a_stream_gives_its_place_back(hub: Running) -> None:
    async with standing(hub, KINDS["live"]) as live, standing(hub, KINDS["a long poll"]) as poll:
        closing = {**bearer("ann"), "Stream-Closed": "true", "Content-Type": "application/json"}
        async with hub.client.post("/v1/stream/chat/ann/1", headers=closing) as response:
            assert response.status == 204
        await asyncio.wait([live, poll], timeout=PATIENCE)
        await until(hub, "ann", 0)


async def test_a_cancelled_answer_gives_its_place_back(hub: Running) -> None:
    async with standing(hub, KINDS["a whole response"]) as whole:
        async with hub.client.get("/v1/streams", headers=bearer("admin")) as response:
            streams = (await response.json())["streams"]
        (running,) = [one["running"] for one in streams if one.get("running")]
        await hub.hub.generations.cancel(running)
        await asyncio.wait([whole], timeout=PATIENCE)
        await until(hub, "ann", 0)


async def test_a_connection_that_is_cut_off_gives_its_place_back(hub: Running) -> None:
    async with standing(hub, KINDS["live"]) as reading:
        (connection,) = hub.hub.connections
        connection.abort()
        await asyncio.wait([reading], timeout=PATIENCE)
        assert isinstance(reading.exception(), ClientError)
        await until(hub, "ann", 0)


async def test_a_revoked_key_gives_its_places_back(hub: Running) -> None:
    async with standing(hub, KINDS["live"]), standing(hub, KINDS["a long poll"]):
        hub.hub.revoke(KEYS["ann"].split("_")[1])
        await until(hub, "ann", 0)


async def test_so_does_a_hub_that_shuts_down(hub: Running) -> None:
    async with standing(hub, KINDS["live"]), standing(hub, KINDS["a long poll"]):
        assert hub.client.app is not None
        await hub.client.app[FAREWELL].say()
        await until(hub, "ann", 0)


async def test_without_authentication_there_is_no_such_limit(start_hub: StartHub) -> None:
    hub = await start_hub(auth={"open": True, "limits": {"connections": 1}})
    await hub.hub.streams.append_to("room/all", Message("user", "Hello"))
    async with AsyncExitStack() as stack:
        for _ in range(3):
            response = await stack.enter_async_context(hub.client.get("/v1/live/room/all"))
            assert response.status == 200
