"""TanStack AI's chat client over ``@durable-streams/tanstack-ai-transport``, both unchanged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from hub.domain.events import Delta, Message
from tests.clients.chats import Chat, Chats, chats
from tests.conftest import Running, StartHub
from tests.support.aimock import aimock, reply
from tests.support.scripted_upstream import (
    Answer,
    Ending,
    Gate,
    Scripted,
    openai_block,
    openai_sse,
    refusal,
)


class World:
    """A hub before an upstream that follows a script, and the clients' process."""

    def __init__(self, hub: Running, upstream: Scripted, clients: Chats) -> None:
        self.hub = hub
        self.upstream = upstream
        self._clients = clients
        self._opened = 0

    async def open(self, chat: str = "chat", query: str = "", **options: Any) -> Chat:
        """A page that shows a conversation; each has its own."""
        self._opened += 1
        url = str(self.hub.client.make_url(f"/api/chat/{chat}")) + query
        return await self._clients.open(
            f"{chat} {self._opened}", kind="tanstack", id=chat, sendUrl=url, **options
        )

    async def events(self, chat: str = "chat") -> list[Any]:
        stream = await self.hub.hub.streams.open(chat)
        return [event async for event in stream.events()]


@pytest.fixture
async def world(start_hub: StartHub) -> AsyncIterator[World]:
    async with Scripted() as upstream, chats() as clients:
        table = {"dialect": "openai-chat", "url": upstream.url, "model": "m", "retries": 0}
        hub = await start_hub(upstreams={"scripted": table}, default_upstream="scripted")
        yield World(hub, upstream, clients)


def shown(state: dict[str, Any]) -> list[tuple[str, str]]:
    """Who said what."""
    return [
        (m["role"], "".join(p["content"] for p in m["parts"] if p["type"] == "text"))
        for m in state["messages"]
    ]


async def test_two_clients_see_each_others_messages(world: World) -> None:
    world.upstream.answers(Answer(*openai_sse("Hel", "lo")), Answer(*openai_sse("Wel", "come")))
    first, second = await world.open(), await world.open()
    await first.call("send", "I am first")
    assert shown(await first.until(text="Hello", busy=False)) == [
        ("user", "I am first"),
        ("assistant", "Hello"),
    ]
    await second.until(text="Hello", busy=False)
    await second.call("send", "I am second")
    talk = [
        ("user", "I am first"),
        ("assistant", "Hello"),
        ("user", "I am second"),
        ("assistant", "Welcome"),
    ]
    assert shown(await second.until(text="Welcome", busy=False)) == talk
    assert shown(await first.until(text="Welcome", busy=False)) == talk
    late = await world.open()
    assert shown(await late.until(text="Welcome")) == talk
    assert world.upstream.requests[-1].json["messages"] == [
        {"role": role, "content": text} for role, text in talk[:-1]
    ]


async def test_who_comes_in_mid_answer_sees_all_of_it_once(world: World) -> None:
    gate = Gate()
    blocks = openai_sse("one ", "two ", reason=None, done=False)
    world.upstream.answers(Answer(*blocks, gate, *openai_sse("three")[1:]))
    first = await world.open()
    await first.call("send", "Count")
    await first.until(text="two ")
    late = await world.open()
    await late.until(text="two ")
    gate.open()
    told = [("user", "Count"), ("assistant", "one two three")]
    assert shown(await late.until(text="three")) == told
    assert shown(await first.until(text="three", busy=False)) == told


async def test_everybody_sees_what_is_said_elsewhere(world: World) -> None:
    """Over a WebSocket, from the page, by the command line: it is one conversation."""
    chat = await world.open()
    said = {"type": "message", "role": "user", "text": "from elsewhere"}
    put = {"Content-Type": "application/json"}
    await world.hub.client.put("/v1/stream/chat", headers=put)
    await world.hub.client.post("/v1/stream/chat", json=said)
    state = await chat.until(last="from elsewhere")
    assert shown(state) == [("user", "from elsewhere")]


async def test_reasoning_and_tools(world: World) -> None:
    call = {"index": 0, "id": "call_1", "function": {"name": "weather", "arguments": '{"city":'}}
    world.upstream.answers(
        Answer(
            openai_block({"reasoning_content": "Hm."}),
            openai_block({"content": "Let me look."}),
            openai_block({"tool_calls": [call]}),
            openai_block({"tool_calls": [{"index": 0, "function": {"arguments": '"Paris"}'}}]}),
            openai_block({}, finish_reason="tool_calls"),
        )
    )
    chat = await world.open()
    await chat.call("send", "Weather?")
    state = await chat.until(text="look.", busy=False)
    thought, text, tool = state["messages"][1]["parts"]
    assert (thought["type"], thought["content"]) == ("thinking", "Hm.")
    assert (text["type"], text["content"]) == ("text", "Let me look.")
    assert (tool["type"], tool["name"], tool["id"]) == ("tool-call", "weather", "call_1")
    assert tool["input"] == {"city": "Paris"}


async def test_a_client_carries_out_a_tool_and_the_answer_goes_on(world: World) -> None:
    call = {"index": 0, "id": "call_1", "function": {"name": "weather", "arguments": "{}"}}
    world.upstream.answers(
        Answer(openai_block({"tool_calls": [call]}), openai_block({}, finish_reason="tool_calls")),
        Answer(*openai_sse("Sunny.")),
    )
    chat = await world.open(tools={"weather": {"sky": "clear"}})
    await chat.call("send", "Weather?")
    state = await chat.until(text="Sunny.", busy=False)
    assert [m["role"] for m in state["messages"]] == ["user", "assistant"]
    *_, asked, result = world.upstream.requests[-1].json["messages"]
    assert asked["tool_calls"][0]["function"]["name"] == "weather"
    assert result == {"role": "tool", "tool_call_id": "call_1", "content": '{"sky":"clear"}'}


async def test_a_refusal_is_an_error_in_words(world: World) -> None:
    world.upstream.answers(refusal(429, "slow down please"))
    chat = await world.open()
    await chat.call("send", "Hello")
    state = await chat.until(errors=1)
    assert any("slow down please" in error for error in state["errors"])
    assert not any("[object" in error for error in state["errors"])


@pytest.mark.parametrize("ending", [Ending.CLOSE, Ending.RESET, None])
async def test_an_answer_that_is_cut_is_an_error(world: World, ending: Ending | None) -> None:
    endings = [] if ending is None else [ending]
    blocks = openai_sse("Half an ", "ans", reason=None, done=False)
    world.upstream.answers(Answer(*blocks, *endings))
    first, second = await world.open(), await world.open()
    for chat in (first, second):
        await chat.until(chunks=1)  # who connects later is shown the half answer, and no error
    await first.call("send", "Hello")
    for chat in (first, second):
        state = await chat.until(errors=1, text="Half an ans")
        assert "RUN_FINISHED" not in [chunk["type"] for chunk in state["chunks"]]


async def test_stop_reaches_everybody_and_the_upstream(world: World) -> None:
    blocks = openai_sse("Once ", reason=None, done=False)
    world.upstream.answers(Answer(*blocks, Ending.HANG))
    chat = await world.open()
    await chat.call("send", "Hello")
    await chat.until(text="Once")
    stopped = await world.hub.client.post("/api/chat/chat/stop")
    assert (await stopped.json())["state"] == "cancelled"
    await (await world.upstream.request()).left()
    state = await chat.until(busy=False)
    assert state["text"] == "Once "


async def test_an_answer_is_had_again(world: World) -> None:
    world.upstream.answers(Answer(*openai_sse("First")), Answer(*openai_sse("Second")))
    chat = await world.open()
    await chat.call("send", "Hello")
    await chat.until(text="First", busy=False)
    await chat.call("regenerate")
    await chat.until(text="Second", busy=False)
    events = await world.events()
    assert [e.text for e in events if isinstance(e, Message)] == ["Hello"]
    assert [e.text for e in events if isinstance(e, Delta)] == ["First", "Second"]


async def test_a_message_sent_twice_is_said_and_answered_once(world: World) -> None:
    gate = Gate()
    blocks = openai_sse("Hel", reason=None, done=False)
    world.upstream.answers(Answer(*blocks, gate, *openai_sse("lo")[1:]))
    message = {"id": "m1", "role": "user", "parts": [{"type": "text", "content": "Hi"}]}
    for _ in range(3):
        answer = await world.hub.client.post("/api/chat/chat", json={"messages": [message]})
        assert answer.status == 202
    gate.open()
    chat = await world.open()
    assert shown(await chat.until(text="Hello")) == [("user", "Hi"), ("assistant", "Hello")]
    assert len(world.upstream.requests) == 1


async def test_before_aimock(start_hub: StartHub) -> None:
    """An upstream that this project did not write."""
    text = "It was a dark and stormy night; the rain fell in torrents 🌧 except at intervals."
    with aimock(reply("story", text, per_second=2000)) as url:
        table = {"dialect": "openai-chat", "url": f"{url}/v1", "model": "gpt-4o"}
        hub = await start_hub(upstreams={"aimock": table})
        async with chats() as clients:
            send = str(hub.client.make_url("/api/chat/a?upstream=aimock"))
            chat = await clients.open("a", kind="tanstack", id="a", sendUrl=send)
            await chat.call("send", "Tell me a story")
            assert shown(await chat.until(busy=False, text="intervals."))[-1] == ("assistant", text)
