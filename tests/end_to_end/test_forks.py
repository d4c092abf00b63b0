"""Forks over the WebSocket and in Python: what "edit this message" and "regenerate" are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse

from hub import Hub
from hub.domain.errors import Conflict, RequestError
from hub.domain.events import Event, Message
from hub.domain.records import Position
from tests.conftest import Running, StartHub
from tests.support.patience import PATIENCE


@pytest.fixture(params=["memory", "sqlite"])
async def hub(request: pytest.FixtureRequest, start_hub: StartHub, tmp_path: Path) -> Running:
    store = {"memory": "memory:", "sqlite": f"sqlite:{tmp_path}/hub.db"}[request.param]
    return await start_hub(store={"url": store})


async def asked(socket: ClientWebSocketResponse, **command: Any) -> Any:
    await socket.send_json({"id": "x", **command})
    while True:
        told = await socket.receive_json(timeout=PATIENCE)
        if told.get("id") == "x":
            return told


def offset(position: str) -> int:
    return Position.parse(position).offset


async def said(hub: Hub, name: str) -> list[str]:
    stream = await hub.streams.open(name)
    return [text(event) async for event in stream.events()]


def text(event: Event) -> str:
    return event.text if isinstance(event, Message) else type(event).__name__


async def talk(hub: Running, name: str, *words: str) -> list[str]:
    """Say something; the positions after each."""
    async with hub.client.ws_connect("/v1/ws") as socket:
        positions = []
        for word in words:
            event = {"type": "message", "role": "user", "text": word}
            told = await asked(socket, type="append", stream=name, event=event)
            positions.append(told["position"])
        return positions


async def test_a_conversation_goes_on_differently(hub: Running) -> None:
    """A fork has the past before its position, and from there each goes its own way."""
    first, _ = await talk(hub, "chat", "hello", "tpyo")
    async with hub.client.ws_connect("/v1/ws") as socket:
        told = await asked(socket, type="fork", stream="chat/2", source="chat", position=first)
        assert (told["type"], told["stream"]) == ("ok", "chat/2")
        assert offset(told["position"]) == offset(first)
        await asked(socket, type="subscribe", stream="chat/2", **{"from": "start"})
        seen = await socket.receive_json()
        assert [event["text"] for event in seen["events"]] == ["hello"]
    await talk(hub, "chat/2", "typo")
    await talk(hub, "chat", "more")
    assert await said(hub.hub, "chat/2") == ["hello", "typo"]
    assert await said(hub.hub, "chat") == ["hello", "tpyo", "more"]


async def test_without_a_position_all_of_it_is_forked(hub: Running) -> None:
    _, last = await talk(hub, "chat", "a", "b")
    async with hub.client.ws_connect("/v1/ws") as socket:
        told = await asked(socket, type="fork", stream="copy", source="chat")
        assert offset(told["position"]) == offset(last)
        again = await asked(socket, type="fork", stream="copy", source="chat")
    assert again == told
    assert await said(hub.hub, "copy") == ["a", "b"]


async def test_a_reply_is_generated_anew_in_a_fork(hub: Running) -> None:
    """The model is told the past that the fork has, and nothing of the source's later one."""
    await talk(hub, "chat", "hello")
    outcome = await hub.hub.streams.fork("again", "chat")
    assert not outcome.duplicate
    async with hub.client.ws_connect("/v1/ws") as socket:
        await asked(socket, type="subscribe", stream="again", **{"from": "now"})
        started = await asked(socket, type="generate", stream="again", prompt="echo twice")
    await hub.hub.generations.wait(started["generation"])
    assert (await said(hub.hub, "again"))[:3] == ["hello", "echo twice", "Started"]
    assert await said(hub.hub, "chat") == ["hello"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ({"stream": "f", "source": "nobody"}, "stream_not_found"),
        ({"stream": "other", "source": "chat"}, "stream_exists"),
        ({"stream": "f", "source": "chat", "position": "1"}, "bad_position"),
        (
            {"stream": "f", "source": "chat", "position": f"{0:016d}_{99:016d}"},
            "bad_fork_offset",
        ),
        ({"stream": "f/../g", "source": "chat"}, "bad_name"),
        ({"stream": "f"}, "bad_command"),
    ],
)
async def test_a_fork_that_cannot_be_says_why(
    hub: Running, command: dict[str, str], code: str
) -> None:
    await talk(hub, "chat", "hello")
    await talk(hub, "other", "hello")
    async with hub.client.ws_connect("/v1/ws") as socket:
        told = await asked(socket, type="fork", **command)
    assert (told["type"], told["code"]) == ("error", code)


async def test_a_source_that_is_deleted_leaves_its_forks_whole(hub: Running) -> None:
    """Its name is free again once the last fork has gone."""
    await talk(hub, "chat", "hello")
    await hub.hub.streams.fork("f1", "chat")
    await hub.hub.streams.fork("f2", "f1")
    await hub.hub.streams.delete("chat")
    with pytest.raises(Conflict, match="forks still hold the name"):
        await hub.hub.streams.create("chat")
    with pytest.raises(Conflict, match="deleted"):
        await hub.hub.streams.fork("f3", "chat")
    await hub.hub.streams.delete("f1")
    assert await said(hub.hub, "f2") == ["hello"]
    await hub.hub.streams.delete("f2")
    assert await said_of_new(hub.hub, "chat") == []
    assert await said_of_new(hub.hub, "f1") == []


async def said_of_new(hub: Hub, name: str) -> list[str]:
    await hub.streams.create(name)
    return await said(hub, name)


async def test_a_fork_survives_a_restart(start_hub: StartHub, tmp_path: Path) -> None:
    store = {"url": f"sqlite:{tmp_path}/hub.db"}
    first = await start_hub(store=store)
    positions = await talk(first, "chat", "a", "b", "c")
    async with first.client.ws_connect("/v1/ws") as socket:
        await asked(socket, type="fork", stream="f", source="chat", position=positions[1])
    await talk(first, "f", "d")
    await first.client.close()
    again = await start_hub(store=store)
    assert await said(again.hub, "f") == ["a", "b", "d"]
    await again.hub.streams.delete("chat")
    assert await said(again.hub, "f") == ["a", "b", "d"]


async def test_a_position_of_a_later_past_is_refused(hub: Running) -> None:
    """Beyond the tail there is nothing to fork."""
    await talk(hub, "chat", "a")
    stream = await hub.hub.streams.open("chat")
    beyond = stream.position._replace(offset=5)
    with pytest.raises(RequestError, match="has no such position"):
        await hub.hub.streams.fork("f", "chat", beyond)
