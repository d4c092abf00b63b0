"""A stream that is given to somebody else is at once theirs, and nobody else's."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hub.connections.connection import Connection
from hub.domain.events import Message
from hub.domain.permissions import StreamPattern
from hub.domain.principal import Principal
from tests.conftest import Running, StartHub
from tests.support.patience import PATIENCE
from tests.support.people import auth, bearer

HELLO = Message("user", "Hello")


@pytest.fixture(params=["memory", "sqlite"])
async def hub(start_hub: StartHub, request: pytest.FixtureRequest, tmp_path: Path) -> Running:
    url = "memory:" if request.param == "memory" else f"sqlite:{tmp_path / 'hub.db'}"
    running = await start_hub(auth=auth(), store={"url": url})
    for name in ("one", "two"):
        await running.hub.streams.append_to(name, HELLO, by=Principal("ann"))
    return running


async def status(hub: Running, who: str, name: str) -> int:
    async with hub.client.get(f"/v1/stream/{name}", headers=bearer(who)) as said:
        return said.status


async def test_it_can_be_read_by_its_new_owner_alone(hub: Running) -> None:
    assert await hub.hub.change_owner("one", "bob") == (["one"], None)
    found = {
        who: [await status(hub, who, name) for name in ("one", "two")] for who in ("ann", "bob")
    }
    assert found == {"ann": [404, 200], "bob": [200, 404]}
    assert await hub.hub.change_owner("one", "bob") == ([], None)


async def test_a_subscription_of_the_owner_before_ends_and_others_go_on(hub: Running) -> None:
    async with hub.client.ws_connect("/v1/ws", headers=bearer("ann")) as socket:
        for number, name in enumerate(("one", "two")):
            await socket.send_json({"id": number, "type": "subscribe", "stream": name})
        live = await hub.client.get("/v1/live/one", headers=bearer("ann"))
        await live.content.readuntil(b"\n\n")
        await hub.hub.change_owner(StreamPattern.parse("one"), "bob")
        frames: list[dict[str, Any]] = []
        async with asyncio.timeout(PATIENCE):
            while not frames or frames[-1]["type"] != "error":
                frames.append(await socket.receive_json())
            assert (frames[-1]["stream"], frames[-1]["code"]) == ("one", "stream_not_found")
            await live.read()
        await hub.hub.streams.append_to("one", HELLO)
        await hub.hub.streams.append_to("two", Message("user", "to ann"))
        async with asyncio.timeout(PATIENCE):
            while "to ann" not in str(frame := await socket.receive_json()):
                assert frame.get("stream") != "one"


async def test_a_subscription_whose_reply_has_to_wait_is_checked_after_it(
    hub: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Connection.send

    async def after_a_while(connection: Connection, frame: bytes) -> None:
        await send(connection, frame)
        if b'"tail"' in frame:
            await hub.hub.change_owner("one", "bob")

    monkeypatch.setattr(Connection, "send", after_a_while)
    async with hub.client.ws_connect("/v1/ws", headers=bearer("ann")) as socket:
        await socket.send_json({"id": 1, "type": "subscribe", "stream": "one"})
        async with asyncio.timeout(PATIENCE):
            assert (await socket.receive_json())["type"] == "ok"
            refused = await socket.receive_json()
            assert (refused["type"], refused["stream"]) == ("error", "one")
            assert refused["code"] == "stream_not_found"
            await socket.send_json({"id": 2, "type": "unsubscribe", "stream": "one"})
            assert (await socket.receive_json())["code"] == "not_subscribed"


async def test_a_pattern_goes_page_by_page(hub: Running) -> None:
    for number in range(5):
        await hub.hub.streams.append_to(f"chat/{number}", HELLO)
    pages = []
    after: str | None = ""
    while after is not None:
        pattern = StreamPattern.parse("chat/*")
        changed, after = await hub.hub.streams.change_owner(pattern, "bob", after, 2)
        pages.append(changed)
    assert pages == [["chat/0", "chat/1"], ["chat/2", "chat/3"], ["chat/4"]]


async def test_a_stream_that_is_being_loaded_has_its_new_owner(
    start_hub: StartHub, tmp_path: Path
) -> None:
    tables = {"auth": auth(), "store": {"url": f"sqlite:{tmp_path / 'hub.db'}"}}
    first = await start_hub(**tables)
    await first.hub.streams.append_to("one", HELLO, by=Principal("ann"))
    await first.hub.streams.committed()
    await first.client.close()
    second = await start_hub(**tables)
    pattern = StreamPattern.parse("*")
    changed, opened = await asyncio.gather(
        second.hub.change_owner(pattern, "bob"), second.hub.streams.open("one")
    )
    assert changed == (["one"], None)
    assert (opened.settings.owner, opened.settings.creator) == ("bob", "ann")
