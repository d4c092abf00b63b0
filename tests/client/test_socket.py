"""The client's WebSocket with a token: presented when it opens, renewed while it is open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hub.client.socket import Socket, _until_renewal
from hub.domain.errors import Forbidden, HubError, RateLimited, RequestError, Unauthorized
from hub.protocols.websocket import endpoint
from tests.support.clock import Clock
from tests.support.issuer import Issued, hub_with_issuer, issue, stored_key
from tests.support.loopback_hub import Loopback, eventually, hub_on_loopback
from tests.support.patience import PATIENCE
from tests.support.people import KEYS
from tests.support.scripted_upstream import Answer, Scripted

HELLO = {"type": "message", "role": "user", "text": "Hello"}
TOKEN_SECONDS = 10.0
"""How long a connection may take to show a token."""


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
async def running(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Loopback]:
    """A hub that closes connections as soon as their token has expired."""
    monkeypatch.setattr(endpoint, "EXPIRED_SECONDS", 0.0)
    async with hub_with_issuer(monkeypatch, auth={"token_seconds": TOKEN_SECONDS}) as started:
        yield started


def at(running: Loopback) -> str:
    return f"http://127.0.0.1:{running.port}"


async def appended(socket: Socket, number: int = 1, stream: str = "chat/ann/1") -> dict[str, Any]:
    await socket.send({"type": "append", "id": number, "stream": stream, "event": HELLO})
    async with asyncio.timeout(PATIENCE):
        return await socket.receive()


async def test_it_presents_its_token(running: Loopback) -> None:
    async with Socket(at(running), KEYS["ann"]) as socket:
        assert (await appended(socket))["type"] == "ok"
        refused = await appended(socket, stream="chat/bob/1")
        assert (refused["type"], refused["code"]) == ("error", "stream_not_found")
        assert (await appended(socket))["type"] == "ok", "the connection goes on"


async def test_without_authentication_a_token_does_no_harm() -> None:
    async with hub_on_loopback() as running, Socket(at(running), "secret") as socket:
        assert (await appended(socket))["type"] == "ok"


async def test_the_next_token_keeps_it_open(running: Loopback, clock: Clock) -> None:
    issued = Issued(12)  # and the next one after 9
    async with Socket(at(running), issued) as socket:
        for number in range(1, 31):
            assert await appended(socket, number) | {"position": 0} == {
                "type": "ok",
                "id": number,
                "stream": "chat/ann/1",
                "position": 0,
            }
            tokens = len(issued.tokens)
            clock.leap(10 if number % 10 == 0 else 0)
            await eventually(lambda: len(issued.tokens) > tokens or number % 10)  # noqa: B023
    assert len(issued.tokens) == 4


async def test_a_refused_token_is_followed_by_the_next_one(running: Loopback) -> None:
    given = [issue(-5)]
    async with Socket(at(running), lambda: given.pop() if given else issue()) as socket:
        assert (await appended(socket))["type"] == "ok"


@pytest.mark.parametrize("fixed", [True, False])
async def test_a_refused_token_is_tried_once_more_at_most(
    running: Loopback, *, fixed: bool
) -> None:
    calls = 0

    def token() -> str:
        nonlocal calls
        calls += 1
        return f"nothing-{calls}"

    with pytest.raises(Unauthorized):
        async with Socket(at(running), "nothing" if fixed else token):
            pass
    assert calls == (0 if fixed else 2)


async def test_it_knows_why_it_was_closed_though_the_connection_is_gone_by_then() -> None:
    async def close(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("hub.v1",))
        await socket.prepare(request)
        assert request.transport is not None
        request.transport.write(b"\x88\x02" + (4203).to_bytes(2, "big"))
        request.transport.close()
        return socket

    app = web.Application()
    app.router.add_get("/v1/ws", close)
    async with TestServer(app) as server, Socket(str(server.make_url("")).rstrip("/")) as socket:
        connection = socket._open._response.connection
        assert connection is not None
        assert connection.transport is not None
        await eventually(connection.transport.is_closing)
        with pytest.raises(Unauthorized, match="needs a token"):
            await socket.receive()


async def test_a_token_that_allows_nothing(running: Loopback) -> None:
    with pytest.raises(Forbidden, match="allows nothing"):
        async with Socket(at(running), KEYS["guest"]):
            pass


async def test_without_a_token_it_is_closed_in_time(running: Loopback, clock: Clock) -> None:
    async with Socket(at(running)) as socket:
        await socket.send({"type": "ping", "id": 1})
        assert (await socket.receive())["type"] == "ok"
        clock.leap(TOKEN_SECONDS)
        with pytest.raises(Unauthorized, match="needs a token"):
            await socket.receive()


async def test_it_ends_if_there_is_never_another_token(running: Loopback, clock: Clock) -> None:
    issued = Issued(12)
    calls = 0

    async def token() -> str:
        nonlocal calls
        calls += 1
        return issued.tokens[0] if issued.tokens else await issued()

    async with Socket(at(running), token) as socket:
        await appended(socket)
        clock.leap(10)
        await eventually(lambda: calls > 1)
        clock.leap(2)
        with pytest.raises(Unauthorized) as caught:
            await socket.receive()
    assert caught.value.code == "token_expired"
    assert calls <= 4, "it waits longer and longer"


async def test_a_function_that_fails_is_asked_again(
    running: Loopback, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.client.backoff.FIRST_WAIT", 0.001)
    given: list[Any] = [issue(12), OSError("offline")]

    def token() -> str:
        found = given.pop(0) if given else issue()
        if isinstance(found, OSError):
            raise found
        return str(found)

    async with Socket(at(running), token) as socket:
        await appended(socket)
        receiving = asyncio.create_task(socket.receive())
        (connection,) = running.hub.connections
        first = connection.by
        clock.leap(10)
        await eventually(lambda: connection.by is not first)
        clock.leap(2)
        await asyncio.sleep(0.1)
        assert not receiving.done()
        await socket.send({"type": "ping", "id": 1})
        assert (await receiving)["type"] == "ok"


async def test_a_revoked_key_ends_it(running: Loopback) -> None:
    key, revoke = await stored_key(running)
    async with Socket(at(running), lambda: key) as socket:
        await revoke()
        with pytest.raises(Unauthorized) as caught:
            await socket.receive()
    assert caught.value.code == "revoked"


@pytest.mark.parametrize("token", [None, "secret"])
async def test_it_is_told_that_there_are_too_many(token: str | None) -> None:
    """And not that the server is no hub, with which nothing helps."""
    async with Scripted() as server:
        server.answers(Answer(status=429))
        with pytest.raises(RateLimited, match="for now"):
            async with Socket(server.url, token):
                pass


async def test_it_leaves_no_task(running: Loopback) -> None:
    before = asyncio.all_tasks()
    async with Socket(at(running), Issued(60)) as socket:
        await appended(socket)
        assert any("_renew" in repr(task) for task in asyncio.all_tasks() - before)
    assert not [task for task in asyncio.all_tasks() - before if "_renew" in repr(task)]


@pytest.mark.parametrize("token", [None, "secret"])
async def test_it_follows_no_redirect(token: str | None) -> None:
    """Else the command would show the token to another server."""
    asked: list[Any] = []

    async def take(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("hub.v1",))
        await socket.prepare(request)
        asked.append(await socket.receive())
        return socket

    other = web.Application()
    other.router.add_get("/v1/ws", take)
    runner = web.AppRunner(other)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with Scripted() as server:
        port = runner.addresses[0][1]
        server.answers(Answer(status=302, headers={"Location": f"http://127.0.0.1:{port}/v1/ws"}))
        with pytest.raises(HubError, match="redirects"):
            async with Socket(server.url, token):
                pass
    await runner.cleanup()
    assert not asked


def test_what_cannot_be_a_token() -> None:
    with pytest.raises(RequestError) as caught:
        Socket("http://127.0.0.1:7000", "se cret")
    assert caught.value.code == "bad_token"


def test_when_the_next_token_is_sent() -> None:
    assert _until_renewal(3600) == 3540
    assert _until_renewal(40) == 30
    assert _until_renewal(0) > 0
