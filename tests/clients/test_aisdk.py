"""The AI SDK's chat class, which ``useChat`` is made of, with each of its transports.

``default`` is `DefaultChatTransport`, in each version of the AI SDK; ``durable`` is that of
``@durable-streams/aisdk-transport``, which works with version 6. All speak to the same routes,
unchanged.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hub.domain.events import Cancelled, Delta, Failed, Finished, Message, Started
from hub.domain.generation_request import GenerationRequest
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

TRANSPORTS = ["default", "durable"]
CLIENTS = [("default", 5), ("default", 6), ("default", 7), ("durable", 6)]
"""Each transport with the versions of the AI SDK that it works with."""
CALL = {"index": 0, "id": "call_1", "function": {"name": "weather", "arguments": ""}}


class World:
    """A hub before an upstream that follows a script, and the clients' process."""

    def __init__(
        self, hub: Running, upstream: Scripted, clients: Chats, transport: str, version: int = 6
    ) -> None:
        self.hub = hub
        self.upstream = upstream
        self.transport = transport
        self.version = version
        self._clients = clients
        self._opened = 0

    @property
    def api(self) -> str:
        return str(self.hub.client.make_url("/api/chat"))

    async def open(self, chat: str = "chat", **options: Any) -> Chat:
        """A page that shows a chat; each has its own."""
        self._opened += 1
        held = {"api": self.api, "transport": self.transport, "version": self.version}
        options = {**held, **options}
        return await self._clients.open(f"{chat} {self._opened}", id=chat, **options)

    async def events(self, chat: str = "chat") -> list[Any]:
        stream = await self.hub.hub.streams.open(chat)
        return [event async for event in stream.events()]

    async def prompt(self, text: str, chat: str = "chat") -> None:
        """Go on with a chat without its messages, as the hub's own clients do."""
        generation = await self.hub.hub.generations.start(
            GenerationRequest(prompt=text, stream=chat)
        )
        await self.hub.hub.generations.wait(generation.id)

    def asked(self, number: int = -1) -> Any:
        return self.upstream.requests[number].json["messages"]


@pytest.fixture(params=CLIENTS, ids=lambda client: f"{client[0]}, ai {client[1]}")
async def world(request: pytest.FixtureRequest, start_hub: StartHub) -> AsyncIterator[World]:
    async with Scripted() as upstream, chats() as clients:
        table = {"dialect": "openai-chat", "url": upstream.url, "model": "m", "retries": 0}
        hub = await start_hub(upstreams={"scripted": table}, default_upstream="scripted")
        yield World(hub, upstream, clients, *request.param)


def grew(state: dict[str, Any], text: str) -> None:
    """What was shown only ever grew to be the text: no token twice, none out of its place."""
    seen = [shown for shown in state["seen"] if shown]
    assert seen[-1] == text
    assert all(text.startswith(shown) for shown in seen), seen
    assert seen == sorted(seen, key=len)


def question(text: str = "Hello", name: str = "q1") -> dict[str, Any]:
    return {"id": name, "role": "user", "parts": [{"type": "text", "text": text}]}


# Answers


async def test_an_answer_with_reasoning(world: World) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    thoughts = [openai_block({"reasoning_content": text}) for text in ("Let ", "me see.")]
    world.upstream.answers(Answer(*thoughts, *openai_sse("Hel", "lo ", "👋", usage=usage)))
    chat = await world.open()
    await chat.send("Hi there")
    state = await chat.until(status="ready")
    grew(state, "Hello 👋")
    assert state["errors"] == []
    said, answered = state["messages"]
    assert answered["parts"] == [
        {"type": "step-start"},
        {"type": "reasoning", "id": "0", "text": "Let me see.", "state": "done"},
        {"type": "text", "text": "Hello 👋", "state": "done"},
    ]
    tokens = {"inputTokens": 7, "outputTokens": 5, "totalTokens": 12}
    assert answered["metadata"] == {"usage": tokens}
    assert [f["finishReason"] for f in state["finishes"]] == ["stop"]
    assert world.asked() == [{"role": "user", "content": "Hi there"}]
    # Everybody else sees the same conversation.
    message, started, *_, finished = await world.events()
    assert (message.role, message.text) == ("user", "Hi there")
    assert message.extra == {"id": said["id"]}
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    assert started.generation == finished.generation == answered["id"]


async def test_a_second_question_goes_with_all_that_was_said(world: World) -> None:
    world.upstream.answers(Answer(*openai_sse("One")), Answer(*openai_sse("Two")))
    chat = await world.open()
    await chat.send("first")
    await chat.until(status="ready", text="One")
    await chat.send("second")
    state = await chat.until(status="ready", text="Two")
    assert [m["role"] for m in state["messages"]] == ["user", "assistant", "user", "assistant"]
    assert world.asked() == [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "One"},
        {"role": "user", "content": "second"},
    ]
    said = [event.text for event in await world.events() if isinstance(event, Message)]
    assert said == ["first", "second"]


async def test_before_aimock(start_hub: StartHub) -> None:
    """An upstream that this project did not write."""
    text = "It was a dark and stormy night; the rain fell in torrents 🌧 except at intervals."
    with aimock(reply("story", text, per_second=2000)) as url:
        table = {"dialect": "openai-chat", "url": f"{url}/v1", "model": "gpt-4o"}
        hub = await start_hub(upstreams={"aimock": table})
        for transport in TRANSPORTS:
            async with chats() as clients:
                api = str(hub.client.make_url("/api/chat?model=aimock"))
                more = {"reconnectApi": api} if transport == "durable" else {}
                chat = await clients.open("a", id=transport, api=api, transport=transport, **more)
                await chat.send("Tell me a story")
                grew(await chat.until(status="ready"), text)


async def test_the_durable_transport_can_ask_for_the_address_alone(start_hub: StartHub) -> None:
    """Else it leaves a body unread, for which a browser keeps a connection open."""
    gate = Gate()
    async with Scripted() as upstream, chats() as clients:
        table = {"dialect": "openai-chat", "url": upstream.url, "model": "m", "retries": 0}
        hub = await start_hub(upstreams={"scripted": table}, default_upstream="scripted")
        world = World(hub, upstream, clients, "durable")
        half = openai_sse("Hel", reason=None, done=False)
        upstream.answers(Answer(*half, gate, *openai_sse("lo")[1:]))
        headers = {"Accept": "application/json"}
        before = await world.open(headers=headers)
        await before.call("send", question())
        await before.until(text="Hel")
        assert len(hub.hub.connections) == 1, "the stream's; the question was answered at once"
        after = await world.open(messages=[question()], headers=headers)
        await after.call("resume")
        await after.until(text="Hel")
        gate.open()
        grew(await after.until(status="ready"), "Hello")
        grew(await before.until(status="ready"), "Hello")


async def test_a_picture_is_sent(world: World) -> None:
    world.upstream.answers(Answer(*openai_sse("A dot")))
    picture = {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,iVBORw=="}
    chat = await world.open()
    await chat.call("send", {"text": "What is this?", "files": [picture]})
    await chat.until(status="ready", text="A dot")
    ((asked),) = world.asked()
    assert asked["content"] == [
        {"type": "image_url", "image_url": {"url": picture["url"]}},
        {"type": "text", "text": "What is this?"},
    ]
    message = (await world.events())[0]
    assert message.extra["pictures"] == 1, "which is all that a bounded record says of it"


# Tools


def calling(*pieces: str) -> Answer:
    blocks = [openai_block({"tool_calls": [CALL]})]
    blocks += [
        openai_block({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        for piece in pieces
    ]
    end = openai_block({}, finish_reason="tool_calls")
    return Answer(*openai_sse("Let me look. ", reason=None, done=False), *blocks, end)


async def test_a_tool_is_called_and_the_answer_goes_on(world: World) -> None:
    """The page answers the call by itself, and the same message has the rest."""
    world.upstream.answers(calling('{"city":', '"Paris"}'), Answer(*openai_sse("Sunny.")))
    chat = await world.open(tools={"weather": {"sky": "clear"}})
    await chat.send("Weather in Paris?")
    state = await chat.until(status="ready", text="Sunny.")
    assert len(state["messages"]) == 2
    kinds = [part["type"] for part in state["messages"][1]["parts"]]
    assert kinds == ["step-start", "text", "tool-weather", "step-start", "text"]
    call = state["messages"][1]["parts"][2]
    assert call["state"] == "output-available"
    assert call["input"] == {"city": "Paris"}
    assert world.asked() == [
        {"role": "user", "content": "Weather in Paris?"},
        {
            "role": "assistant",
            "content": "Let me look. ",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"Paris"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": '{"sky":"clear"}'},
    ]
    results = [e for e in await world.events() if isinstance(e, Message) and e.role == "tool"]
    assert [result.text for result in results] == ['{"sky":"clear"}']


async def test_a_page_that_comes_back_after_a_tool_is_told_the_whole_message(world: World) -> None:
    """It begins that message anew, and would otherwise lose the call and its result."""
    gate = Gate()
    blocks = openai_sse("Sun", reason=None, done=False)
    rest = Answer(*blocks, gate, *openai_sse("ny.")[1:])
    world.upstream.answers(calling('{"city":', '"Paris"}'), rest)
    before = await world.open(tools={"weather": {"sky": "clear"}})
    await before.call("send", question())
    asked = await before.until(text="Sun")
    after = await world.open(messages=asked["messages"])
    await after.call("resume")
    anew = await world.open(messages=[question()])
    await anew.call("resume")
    await after.until(status="streaming", text="Sun")
    await anew.until(status="streaming", text="Sun")
    gate.open()
    shown = (await before.until(status="ready"))["messages"]
    assert [p["type"] for p in shown[1]["parts"]][2] == "tool-weather"
    for chat in (after, anew):
        state = await chat.until(status="ready", text="Sunny.")
        assert [_plain(part) for part in state["messages"][1]["parts"]] == [
            _plain(part) for part in shown[1]["parts"]
        ]
        assert len(state["messages"]) == 2


def _plain(part: dict[str, Any]) -> dict[str, Any]:
    """A part without what says how it came."""
    return {name: held for name, held in part.items() if name not in ("id", "rawInput")}


async def test_arguments_that_are_no_json_are_an_error_of_that_call(world: World) -> None:
    """The page sends that on by itself, as it does results."""
    world.upstream.answers(calling('{"city":'), Answer(*openai_sse("Sorry.")))
    chat = await world.open()
    await chat.send("Weather?")
    state = await chat.until(status="ready", text="Sorry.")
    (call,) = [p for p in state["messages"][1]["parts"] if p["type"] == "tool-weather"]
    assert call["state"] == "output-error"
    assert call["input" if world.version == 7 else "rawInput"] == '{"city":'
    told = world.asked()[-1]
    assert told["role"] == "tool"
    assert "not JSON" in told["content"]


# Errors


async def test_a_refusal_is_shown_in_words(world: World) -> None:
    world.upstream.answers(refusal(429, "slow down please"))
    chat = await world.open()
    await chat.send("Hello")
    state = await chat.until(status="error")
    assert "slow down please" in state["error"]
    assert "{" not in state["error"], "a sentence for a person"
    assert [m["role"] for m in state["messages"]] == ["user"]


@pytest.mark.parametrize("ending", [Ending.CLOSE, Ending.RESET, None])
async def test_an_answer_that_is_cut_is_an_error(world: World, ending: Ending | None) -> None:
    """Nobody takes it for the end; what was said stays."""
    endings = [] if ending is None else [ending]
    blocks = openai_sse("Half an ", "ans", reason=None, done=False)
    world.upstream.answers(Answer(*blocks, *endings))
    chat = await world.open()
    await chat.send("Hello")
    state = await chat.until(status="error")
    assert state["text"] == "Half an ans"
    assert state["error"]
    assert state["finishes"][0]["isError"] is True
    failed = (await world.events())[-1]
    assert isinstance(failed, Failed)
    assert state["error"] == failed.message


async def test_an_error_among_the_chunks_is_shown(world: World) -> None:
    error = b'data: {"error":{"message":"the model overheated"}}\n\n'
    world.upstream.answers(Answer(*openai_sse("Well, ", reason=None, done=False), error))
    chat = await world.open()
    await chat.send("Hello")
    state = await chat.until(status="error")
    assert "overheated" in state["error"]


async def test_one_question_at_a_time(world: World) -> None:
    gate = Gate()
    world.upstream.answers(Answer(*openai_sse("A", reason=None, done=False), gate))
    first, second = await world.open(), await world.open()
    await first.send("Hello")
    await first.until(text="A")
    await second.send("Me too")
    state = await second.until(status="error")
    assert "already running" in state["error"]


# Going away and coming back


async def test_a_page_that_is_loaded_anew_goes_on_with_the_answer(world: World) -> None:
    gate, later = Gate(), openai_sse("three ", "four")[1:]
    blocks = openai_sse("one ", "two ", reason=None, done=False)
    world.upstream.answers(Answer(*blocks, gate, *later))
    before = await world.open()
    await before.call("send", question())
    await before.until(text="two ")
    after = await world.open(messages=[question()])
    await after.call("resume")
    await after.until(text="two ")
    gate.open()
    state = await after.until(status="ready")
    grew(state, "one two three four")
    assert [m["role"] for m in state["messages"]] == ["user", "assistant"]
    other = await before.until(status="ready")
    assert other["messages"][1]["id"] == state["messages"][1]["id"]
    assert len(world.upstream.requests) == 1


async def test_a_page_that_was_cut_off_begins_its_message_anew(world: World) -> None:
    """It still shows half the answer, and is told all of it: nothing stands there twice."""
    gate, later = Gate(), openai_sse("three")[1:]
    world.upstream.answers(Answer(*openai_sse("one two ", reason=None, done=False), gate, *later))
    chat = await world.open()
    await chat.send("Hello")
    await chat.until(text="one two ")
    await chat.call("stop")
    assert (await chat.until(status="ready"))["text"] == "one two "
    await chat.call("resume")
    await chat.until(status="streaming")
    gate.open()
    state = await chat.until(status="ready", text="three")
    assert state["text"] == "one two three"
    assert len(state["messages"]) == 2


async def test_nothing_is_resumed_where_nothing_runs(world: World) -> None:
    chat = await world.open(messages=[question()])
    await chat.call("resume")
    state = await chat.until(status="ready")
    assert state["errors"] == []
    assert len(state["messages"]) == 1


async def test_stop_stops_reading_and_the_route_stops_the_answer(world: World) -> None:
    """A page that goes away is no reason to stop; the route is, for everybody, at once."""
    blocks = openai_sse("Once upon ", reason=None, done=False)
    world.upstream.answers(Answer(*blocks, Ending.HANG))
    chat, other = await world.open(), await world.open(messages=[question()])
    await chat.call("send", question())
    await chat.until(text="upon")
    await other.call("resume")
    await other.until(text="upon")
    await chat.call("stop")
    assert (await chat.until(status="ready"))["errors"] == []
    request = await world.upstream.request()
    assert request.gone is None
    assert await world.hub.hub.generations.running_in("chat") is not None
    answer = await world.hub.client.post("/api/chat/chat/stop")
    assert (await answer.json())["state"] == "cancelled"
    await request.left()
    state = await other.until(status="ready")
    assert state["text"] == "Once upon "
    assert isinstance((await world.events())[-1], Cancelled)
    again = await world.hub.client.post("/api/chat/chat/stop")
    assert again.status == 204


async def test_a_page_may_have_stop_mean_stop(world: World) -> None:
    """Whoever says so when it asks cancels by leaving."""
    blocks = openai_sse("Once upon ", reason=None, done=False)
    world.upstream.answers(Answer(*blocks, Ending.HANG))
    chat = await world.open(headers={"X-On-Disconnect": "cancel"})
    await chat.send("Hello")
    await chat.until(text="upon")
    await chat.call("stop")
    await (await world.upstream.request()).left()
    assert (await chat.until(status="ready"))["text"] == "Once upon "


async def test_an_answer_is_had_again(world: World) -> None:
    """Regenerated as often as one likes; the question is not repeated."""
    texts = ("First", "Second", "Third")
    world.upstream.answers(*(Answer(*openai_sse(text)) for text in texts))
    chat = await world.open()
    await chat.send("Hello")
    await chat.until(status="ready", text="First")
    await chat.call("regenerate")
    state = await chat.until(status="ready", text="Second")
    assert [m["role"] for m in state["messages"]] == ["user", "assistant"]
    await chat.call("regenerate", {"messageId": state["messages"][1]["id"]})
    await chat.until(status="ready", text="Third")
    assert world.asked() == [{"role": "user", "content": "Hello"}]
    events = await world.events()
    assert [e.text for e in events if isinstance(e, Message)] == ["Hello"]
    assert [e.text for e in events if isinstance(e, Delta)] == list(texts)


async def test_a_question_is_asked_anew_in_other_words(world: World) -> None:
    world.upstream.answers(Answer(*openai_sse("First")), Answer(*openai_sse("Second")))
    chat = await world.open()
    await chat.call("send", question("Hello"))
    await chat.until(status="ready", text="First")
    await chat.call("send", {"text": "Hello again", "messageId": "q1"})
    state = await chat.until(status="ready", text="Second")
    assert len(state["messages"]) == 2
    assert world.asked() == [{"role": "user", "content": "Hello again"}]


async def test_a_model_is_told_the_branch_that_people_see(world: World) -> None:
    texts = ("First", "Second", "Third", "Fourth")
    world.upstream.answers(*(Answer(*openai_sse(text)) for text in texts))
    chat = await world.open()
    await chat.call("send", question("Hello"))
    await chat.until(status="ready", text="First")
    await chat.call("regenerate")
    await chat.until(status="ready", text="Second")
    await world.prompt("And?")
    assert world.asked() == [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Second"},
        {"role": "user", "content": "And?"},
    ]
    await chat.call("send", {"text": "Hello again", "messageId": "q1"})
    await chat.until(status="ready", text="Fourth")
    world.upstream.answers(Answer(*openai_sse("Fifth")))
    await world.prompt("And?")
    assert world.asked() == [
        {"role": "user", "content": "Hello again"},
        {"role": "assistant", "content": "Fourth"},
        {"role": "user", "content": "And?"},
    ]


async def test_what_others_say_there_is_not_part_of_the_answer(world: World) -> None:
    gate = Gate()
    blocks = openai_sse("A", reason=None, done=False)
    world.upstream.answers(Answer(*blocks, gate, *openai_sse("B")[1:]))
    chat = await world.open()
    await chat.send("Hello")
    await chat.until(text="A")
    interjected = json.dumps({"type": "message", "role": "user", "text": "hey"})
    headers = {"Content-Type": "application/json"}
    await world.hub.client.post("/v1/stream/chat", data=interjected, headers=headers)
    gate.open()
    grew(await chat.until(status="ready"), "AB")
