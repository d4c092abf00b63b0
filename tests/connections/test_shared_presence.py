"""Who takes part over one hub is shown over all that share a store, while that hub lives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import orjson
import pytest

from hub.domain.errors import StoreError
from hub.domain.events import Message
from tests.conftest import Running, StartHub
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.people import auth, bearer
from tests.support.redis_server import RedisServer


class Tab:
    """A connection that takes part in a stream, and whom it has been told of."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, stream: str) -> None:
        self._socket = socket
        self._stream = stream
        self._members: dict[str, Any] = {}

    @classmethod
    async def open(
        cls, hub: Running, state: object, stream: str = "chat", who: str | None = None
    ) -> Tab:
        headers = {} if who is None else bearer(who)
        socket = await hub.client.ws_connect("/v1/ws", protocols=["hub.v1"], headers=headers)
        tab = cls(socket, stream)
        await socket.send_json({"type": "subscribe", "stream": stream, "from": "now"})
        await tab.be(state)
        return tab

    async def be(self, state: object) -> None:
        await self._socket.send_json({"type": "presence", "stream": self._stream, "state": state})

    async def sees(self, *states: object) -> None:
        """Wait until these members are there, and no others."""
        wanted = sorted(map(repr, states))
        await self.until(lambda: sorted(map(repr, self._members.values())) == wanted)

    async def until(self, met: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not met():
                frame = orjson.loads((await self._socket.receive()).data)
                assert frame["type"] != "error", frame
                if frame["type"] == "presence":
                    for member in frame["left"]:
                        del self._members[member]
                    self._members |= {one["member"]: one["state"] for one in frame["joined"]}

    async def close(self) -> None:
        await self._socket.close()


@pytest.fixture
async def both(start_hub: StartHub, redis_server: RedisServer) -> list[Running]:
    store = {"url": f"redis://127.0.0.1:{redis_server.port}"}
    hubs = [await start_hub(store=store) for _ in range(2)]
    await hubs[0].hub.streams.append_to("chat", Message("user", "Hello"))
    return hubs


async def test_members_of_all_hubs_are_shown_over_each(both: list[Running]) -> None:
    one, two = both
    ann, bob = await Tab.open(one, {"name": "ann"}), await Tab.open(two, {"name": "bob"})
    await ann.sees({"name": "ann"}, {"name": "bob"})
    await bob.sees({"name": "ann"}, {"name": "bob"})
    eve = await Tab.open(two, 1.50)
    await ann.sees({"name": "ann"}, {"name": "bob"}, 1.5)
    await ann.be({"name": "ann", "typing": True})
    await bob.sees({"name": "ann", "typing": True}, {"name": "bob"}, 1.5)
    await bob.close()
    await ann.sees({"name": "ann", "typing": True}, 1.5)
    await eve.close()
    await ann.sees({"name": "ann", "typing": True})
    assert len(one.hub.participants) == 1
    assert len(two.hub.participants) == 0
    again = await Tab.open(two, 2)
    await again.sees({"name": "ann", "typing": True}, 2)
    await ann.close()
    await again.sees(2)
    await again.close()


async def test_a_user_has_its_share_of_a_stream_over_all_hubs(
    start_hub: StartHub, redis_server: RedisServer
) -> None:
    room = {"who": "user", "match": "room", "can": ["read", "append", "presence"]}
    store = {"url": f"redis://127.0.0.1:{redis_server.port}"}
    one, two = [
        await start_hub(store=store, auth=auth(room), limits={"presence": 3}) for _ in range(2)
    ]
    await one.hub.streams.append_to("room", Message("user", "Hello"))
    ann = await Tab.open(one, "ann 1", "room", "ann")
    await ann.sees("ann 1")
    bob = await Tab.open(two, "bob", "room", "bob")
    await bob.sees("ann 1", "bob")
    more = await Tab.open(two, "ann 2", "room", "ann")
    with pytest.raises(AssertionError, match="as many participants in this stream as others"):
        await more.sees("ann 1", "ann 2", "bob")
    for tab in (ann, bob, more):
        await tab.close()


async def test_the_members_of_a_hub_that_is_gone_vanish(both: list[Running]) -> None:
    one, two = both
    ann, bob = await Tab.open(one, "ann"), await Tab.open(two, "bob")
    await bob.sees("ann", "bob")
    await one.hub.close()
    await bob.sees("bob")
    await ann.close()
    await bob.close()


async def test_members_are_told_again_after_the_server_was_away(
    both: list[Running], redis_server: RedisServer
) -> None:
    one, two = both
    ann, bob = await Tab.open(one, "ann"), await Tab.open(two, "bob")
    await bob.sees("ann", "bob")
    await redis_server.kill()
    await eventually(lambda: one.hub.trouble and two.hub.trouble)
    await ann.be("ann again")
    await redis_server.start()
    await bob.sees("ann again", "bob")
    await ann.close()
    await bob.close()


async def test_a_change_that_cannot_be_told_is_told_in_the_next_round(
    both: list[Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = both
    ann, bob = await Tab.open(one, "ann"), await Tab.open(two, "bob")
    await bob.sees("ann", "bob")
    engine = one.hub._backend._mirrors.engine  # type: ignore[attr-defined]  # of a shared store
    say, failures = engine.say, [StoreError("too much is under way", code="store_slow")]

    async def slow(*given: Any, **options: Any) -> None:
        if failures:
            raise failures.pop()
        await say(*given, **options)

    monkeypatch.setattr(engine, "say", slow)
    await ann.be("away")
    await bob.sees("away", "bob")
    assert not failures


async def test_that_it_cannot_look_who_is_alive_is_not_kept_quiet(
    both: list[Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = both
    ann, bob = await Tab.open(one, "ann"), await Tab.open(two, "bob")
    await bob.sees("ann", "bob")

    async def fails() -> list[str]:
        raise RuntimeError("a mistake")

    engine = one.hub._backend._mirrors.engine  # type: ignore[attr-defined]  # of a shared store
    monkeypatch.setattr(engine, "nodes", fails)
    await eventually(lambda: one.hub.counts.failures)
    await ann.close()
    await bob.close()
