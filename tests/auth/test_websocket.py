"""Who may do what over a WebSocket, and for how long: each test is a threat that it closes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from hub.domain.events import Message
from hub.protocols.websocket.endpoint import EXPIRED_SECONDS
from tests.conftest import Running, StartHub
from tests.support.clock import Clock
from tests.support.close_codes import close_code
from tests.support.patience import PATIENCE
from tests.support.people import KEYS, auth, bearer

SECRET = "0123456789abcdef0123456789abcdef"
HELLO = {"type": "message", "role": "user", "text": "Hello"}
ROOM = {"who": "user", "match": "room/**", "can": ["read", "append", "presence"]}
CHAT = "chat-0123456789abcdef"
TOKEN_SECONDS = 10.0
"""How long a connection may take to show a credential."""


def token(seconds: float = 300, **claims: Any) -> str:
    held = {"iss": "app", "aud": "hub", "sub": "ann", "exp": time.time() + seconds, **claims}
    return jwt.encode(held, SECRET, "HS256")


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
async def hub(clock: Clock, start_hub: StartHub, monkeypatch: pytest.MonkeyPatch) -> Running:
    monkeypatch.setenv("APP_SECRET", SECRET)
    issuers = {"app": {"audience": "hub", "secret_env": "APP_SECRET", "leeway_seconds": 0.0}}
    running = await start_hub(
        auth=auth(ROOM, issuers=issuers, token_seconds=TOKEN_SECONDS),
        upstreams={"slow": {"dialect": "demo", "options": {"pace": 2}}},
    )
    for name in ("chat/ann/1", "room/all"):
        await running.hub.streams.append_to(name, Message("user", "Hello"))
    return running


class Socket:
    """A WebSocket, and what its commands are answered."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket
        self._id = 0
        self.others: list[dict[str, Any]] = []

    async def do(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The reply to a command; what else comes is in `others`."""
        self._id += 1
        await self.socket.send_json({"id": self._id, "type": kind, **fields})
        async with asyncio.timeout(PATIENCE):
            while True:
                frame: dict[str, Any] = await self.socket.receive_json()
                if frame.get("id") == self._id:
                    return frame
                self.others.append(frame)

    async def code(self, kind: str, **fields: Any) -> str:
        return str((await self.do(kind, **fields)).get("code", "ok"))

    async def closed(self) -> int | None:
        """The code with which the hub closes the connection."""
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await self.socket.receive()
                if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING):
                    return close_code(self.socket, message)
                self.others.append(message.json())


@asynccontextmanager
async def connected(hub: Running, who: str | None = None) -> AsyncIterator[Socket]:
    headers = bearer(who) if who else {}
    async with hub.client.ws_connect("/v1/ws", headers=headers, protocols=["hub.v1"]) as socket:
        yield Socket(socket)


# Who comes in


async def test_a_credential_can_come_with_the_upgrade(hub: Running) -> None:
    async with connected(hub, "ann") as ann:
        assert await ann.code("subscribe", stream="chat/ann/1") == "ok"


async def test_a_wrong_credential_is_refused_at_the_upgrade(hub: Running) -> None:
    for headers, status in (
        ({"Authorization": "Bearer sh_x"}, 401),
        ({"Authorization": "Basic YTpi"}, 401),
        (bearer("guest"), 403),
    ):
        with pytest.raises(WSServerHandshakeError) as refused:
            await hub.client.ws_connect("/v1/ws", headers=headers)
        assert refused.value.status == status


@pytest.mark.parametrize("held", ["key", "jwt"])
async def test_a_credential_can_be_the_first_command(hub: Running, held: str, clock: Clock) -> None:
    async with connected(hub) as ann:
        reply = await ann.do("auth", token=token() if held == "jwt" else KEYS["ann"])
        assert reply["type"] == "ok"
        assert reply["expires_in"] is None if held != "jwt" else 290 < reply["expires_in"] <= 300
        assert await ann.code("subscribe", stream="chat/ann/1") == "ok"
        clock.leap(TOKEN_SECONDS + 1)
        assert await ann.code("ping") == "ok", "its time is not limited any more"


async def test_before_it_nothing_can_be_done(hub: Running) -> None:
    async with connected(hub) as nobody:
        for kind, fields in (
            ("subscribe", {"stream": "chat/ann/1"}),
            ("subscribe", {"stream": "none", "wait": True}),
            ("append", {"stream": "room/all", "event": HELLO}),
            ("generate", {"prompt": "echo hi"}),
            ("fork", {"stream": "copy", "source": "chat/ann/1"}),
            ("cancel", {"generation": f"gen_{'0' * 32}"}),
        ):
            assert await nobody.code(kind, **fields) == "unauthorized", kind


async def test_connections_that_show_nothing_are_closed(hub: Running, clock: Clock) -> None:
    async with connected(hub) as nobody:
        assert await nobody.code("ping") == "ok"
        clock.leap(TOKEN_SECONDS)
        assert await nobody.closed() == 4203


@pytest.mark.parametrize(
    ("held", "code", "closed"),
    [
        ("sh_x", "invalid_api_key", 4501),
        ("nothing", "invalid_token", 4501),
        (KEYS["guest"], "not_permitted", 4501),
        ("expired", "token_expired", 4200),
    ],
    ids=["key", "token", "nothing allowed", "expired"],
)
async def test_a_first_credential_that_does_not_hold_ends_the_connection(
    hub: Running, held: str, code: str, closed: int
) -> None:
    async with connected(hub) as nobody:
        assert await nobody.code("auth", token=token(-60) if held == "expired" else held) == code
        assert await nobody.closed() == closed


async def test_whoever_may_do_something_without_a_credential_need_not_show_one(
    clock: Clock, start_hub: StartHub
) -> None:
    anyone = {"who": "anyone", "match": "public/**", "can": ["read"]}
    hub = await start_hub(auth=auth(anyone, token_seconds=TOKEN_SECONDS))
    await hub.hub.streams.append_to("public/news", Message("user", "Hello"))
    async with connected(hub) as nobody:
        assert await nobody.code("subscribe", stream="public/news") == "ok"
        assert await nobody.code("subscribe", stream="chat/ann/1") == "unauthorized"
        clock.leap(TOKEN_SECONDS + 1)
        assert await nobody.code("ping") == "ok"
        assert await nobody.code("auth", token="sh_x") == "invalid_api_key"
        assert await nobody.code("auth", token=KEYS["ann"]) == "ok"


async def test_a_hub_without_authentication_knows_no_credentials(start_hub: StartHub) -> None:
    async with connected(await start_hub()) as anybody:
        assert await anybody.code("auth", token="t") == "not_supported"
        assert await anybody.code("generate", prompt="echo hi") == "ok"


# Strangers


async def test_a_strangers_streams_and_generations(hub: Running) -> None:
    async with connected(hub, "ann") as ann, connected(hub, "bob") as bob:
        begun = await ann.do("generate", prompt="Hi", stream="chat/ann/2", upstream="slow")
        for stream in ("chat/ann/1", "chat/ann/none"):
            assert await bob.code("subscribe", stream=stream) == "stream_not_found"
            assert await bob.code("subscribe", stream=stream, wait=True) == "stream_not_found"
            assert await bob.code("append", stream=stream, event=HELLO) == "stream_not_found"
            assert await bob.code("generate", stream=stream, prompt="x") == "stream_not_found"
            mine = {"stream": "chat/bob/1", "source": stream}
            assert await bob.code("fork", **mine) == "stream_not_found"
        assert await bob.code("cancel", generation=begun["generation"]) == "generation_not_found"
        assert await bob.code("cancel", generation=f"gen_{'0' * 32}") == "generation_not_found"
        cancelled = await ann.do("cancel", generation=begun["generation"])
        assert cancelled["state"] == "cancelled"


async def test_presence_leaks_to_nobody_else(hub: Running) -> None:
    async with connected(hub, "ann") as ann, connected(hub, "bob") as bob:
        await ann.do("subscribe", stream="chat/ann/1")
        assert await ann.code("presence", stream="chat/ann/1", state={"name": "Ann"}) == "ok"
        assert await bob.code("presence", stream="chat/ann/1", state={}) == "not_subscribed"
        await bob.do("ping")
        assert not [one for one in bob.others if one["type"] == "presence"]


async def test_nobody_takes_all_places_of_a_stream_but_its_owner(start_hub: StartHub) -> None:
    hub = await start_hub(auth=auth(ROOM), limits={"presence": 4})
    async with connected(hub, "ann") as ann, connected(hub, "bob") as bob:
        assert await ann.code("append", stream="room/all", event=HELLO) == "ok"
        for who in (ann, bob):
            await who.do("subscribe", stream="room/all")

        async def enter(who: Socket, member: str) -> str:
            return await who.code("presence", stream="room/all", state={}, member=member)

        assert [await enter(bob, member) for member in "123"] == ["ok", "ok", "limit_exceeded"]
        assert [await enter(ann, member) for member in "123"] == ["ok", "ok", "limit_exceeded"]
        assert await bob.code("presence", stream="room/all", member="1", state=None) == "ok"
        assert await enter(ann, "3") == "ok"


async def test_waiting_for_a_strangers_chat_gives_nothing(hub: Running) -> None:
    """It may be waited for, because it could be begun; it is as if it never were."""
    async with connected(hub, "bob") as bob:
        assert await bob.code("subscribe", stream=CHAT, wait=True) == "ok"
        said = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "echo hi"}]}
        asked = {"id": CHAT, "messages": [said]}
        async with hub.client.post("/api/chat", json=asked, headers=bearer("ann")) as response:
            assert response.status == 200
            await response.read()
        await bob.do("ping")
        assert not bob.others
    async with connected(hub, "bob") as bob:
        assert await bob.code("subscribe", stream=CHAT, wait=True) == "ok"
        await bob.do("ping")
        assert not bob.others
    async with connected(hub, "ann") as ann:
        assert await ann.code("subscribe", stream=CHAT, **{"from": "start"}) == "ok"


async def test_ones_own_chat_can_be_waited_for(hub: Running) -> None:
    async with connected(hub, "ann") as ann:
        assert await ann.code("subscribe", stream=CHAT, wait=True) == "ok"
        said = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "echo hi"}]}
        asked = {"id": CHAT, "messages": [said]}
        async with hub.client.post("/api/chat", json=asked, headers=bearer("ann")) as response:
            await response.read()
        await ann.do("ping")
        assert [one for one in ann.others if one["type"] == "events"]


async def test_forged_author_and_role(hub: Running) -> None:
    async with connected(hub, "ann") as ann:
        for forged in ({**HELLO, "author": "bob"}, {**HELLO, "role": "assistant"}):
            code = await ann.code("append", stream="room/all", event=forged)
            assert code == "author_not_permitted"
        assert await ann.code("append", stream="room/all", event=HELLO) == "ok"
    stream = await hub.hub.streams.open("room/all")
    said = [event async for event in stream.events() if isinstance(event, Message)]
    assert [one.author for one in said] == [None, "ann"]


# How long


async def test_an_expired_token_ends_the_connection(hub: Running, clock: Clock) -> None:
    async with connected(hub) as ann:
        assert (await ann.do("auth", token=token(20)))["expires_in"] in range(21)
        await ann.do("subscribe", stream="chat/ann/1")
        clock.leap(20)
        expired = await ann.code("append", stream="chat/ann/1", event=HELLO)
        assert expired == "token_expired", "in the meantime it only reads"
        clock.leap(EXPIRED_SECONDS)
        assert await ann.closed() == 4200


async def test_a_new_token_keeps_the_connection(hub: Running, clock: Clock) -> None:
    async with connected(hub) as ann:
        await ann.do("auth", token=token(20))
        assert await ann.code("auth", token=token(300)) == "ok"
        clock.leap(20 + EXPIRED_SECONDS)
        assert await ann.code("append", stream="chat/ann/1", event=HELLO) == "ok"


async def test_a_new_token_that_allows_less_ends_what_it_does_not_allow(hub: Running) -> None:
    async with connected(hub) as ann:
        await ann.do("auth", token=token())
        for stream in ("chat/ann/1", "room/all"):
            assert await ann.code("subscribe", stream=stream) == "ok"
        assert await ann.code("presence", stream="room/all", state={}) == "ok"
        less = token(streams=[{"match": "chat/ann/1", "can": ["read"]}])
        assert await ann.code("auth", token=less) == "ok"
        await ann.do("ping")
        errors = [one for one in ann.others if one["type"] == "error"]
        assert [(one["stream"], one["code"]) for one in errors] == [
            ("room/all", "stream_not_found")
        ]
        await hub.hub.streams.append_to("room/all", Message("user", "secret"))
        await hub.hub.streams.append_to("chat/ann/1", Message("user", "mine"))
        await ann.do("ping")
        assert [one["stream"] for one in ann.others if one["type"] == "events"] == ["chat/ann/1"]
        assert len(hub.hub.participants) == 0


async def test_a_connection_stays_with_its_user(hub: Running) -> None:
    async with connected(hub) as ann:
        await ann.do("auth", token=token())
        assert await ann.code("auth", token=token(sub="bob")) == "not_permitted"
        assert await ann.code("auth", token="nonsense") == "invalid_token"
        assert await ann.code("subscribe", stream="chat/ann/1") == "ok", "it goes on as Ann"


async def test_floods_of_commands(start_hub: StartHub) -> None:
    hub = await start_hub(auth=auth(ROOM, limits={"requests_per_minute": 3}))
    async with connected(hub, "ann") as ann:
        codes = [await ann.code("append", stream="room/all", event=HELLO) for _ in range(3)]
        assert codes == ["ok", "ok", "rate_limit_exceeded"], "the upgrade was one, too"
        assert await ann.code("ping") == "ok"
