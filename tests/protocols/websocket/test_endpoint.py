"""The WebSocket takes commands one by one, and answers each in its order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType

from hub import FAREWELL
from hub.access.streams import StreamAccess
from hub.domain.errors import Forbidden
from hub.domain.events import Event, Message, to_json
from hub.domain.outcome import Outcome
from hub.domain.principal import Principal
from hub.streams.followed import FollowedStream
from tests.conftest import Running, StartHub
from tests.support.patience import PATIENCE
from tests.support.raw_socket import UPGRADE, client_frame

Obj = dict[str, Any]
Connect = Callable[..., Awaitable["Talk"]]


class Talk:
    """One client: says a command and hears its reply, keeping what else comes."""

    def __init__(self, running: Running, socket: ClientWebSocketResponse) -> None:
        self.hub = running.hub
        self.socket = socket
        self.other: list[Obj] = []

    async def say(self, **command: Any) -> Obj:
        """The reply to a command."""
        await self.socket.send_json({"id": "say", **command})
        while True:
            reply = await self.hear()
            if reply["type"] in ("ok", "error"):
                return reply
            self.other.append(reply)

    async def hear(self) -> Obj:
        """The next frame."""
        heard: Obj = await self.socket.receive_json(timeout=PATIENCE)
        return heard


@pytest.fixture
async def running(start_hub: StartHub) -> Running:
    return await start_hub()


@pytest.fixture
async def connect(running: Running) -> AsyncIterator[Connect]:
    sockets: list[ClientWebSocketResponse] = []

    async def open_one() -> Talk:
        sockets.append(await running.client.ws_connect("/v1/ws", protocols=("hub.v1",)))
        return Talk(running, sockets[-1])

    yield open_one
    for socket in sockets:
        await socket.close()


@pytest.fixture
async def talk(connect: Connect) -> Talk:
    return await connect()


# Commands


async def test_a_reply_repeats_the_id_of_its_command_as_it_is(talk: Talk) -> None:
    for number in ("one", "", 0, 7, -5, 2**63, "流"):
        assert await talk.say(type="ping", id=number) == {"type": "ok", "id": number}
    assert await talk.say(type="ping", id=None) == {"type": "ok"}


@pytest.mark.parametrize("command", [{"type": "sing"}, {"type": "subscribe", "stream": "none"}])
async def test_so_does_an_error(command: Obj, talk: Talk) -> None:
    for number in ("one", 7):
        reply = await talk.say(**command, id=number)
        assert (reply["type"], reply["id"]) == ("error", number)
    await talk.socket.send_json(command)
    assert "id" not in await talk.hear()


@pytest.mark.parametrize("number", [True, 1.0, 1.5, 1e30, 10**30, [], {}])
async def test_an_id_that_is_neither_text_nor_a_whole_number_is_refused_not_changed(
    number: object, talk: Talk
) -> None:
    reply = await talk.say(type="ping", id=number)
    assert (reply["type"], reply["code"]) == ("error", "bad_command")
    assert "id" in reply["message"]
    assert reply.get("id", number) == number


async def test_commands_are_answered_in_their_order(talk: Talk) -> None:
    for number in range(100):
        await talk.socket.send_json({"type": "ping", "id": number})
    assert [(await talk.hear())["id"] for _ in range(100)] == list(range(100))


async def test_an_append_is_answered_with_the_position_after_it(talk: Talk) -> None:
    event = {"type": "message", "role": "user", "text": "Hello"}
    first = await talk.say(type="append", stream="notes", event=event)
    second = await talk.say(type="append", stream="notes", event=event)
    assert first["type"] == second["type"] == "ok"
    assert first["stream"] == "notes"
    assert [reply["position"].partition("_")[2] for reply in (first, second)] == [
        f"{offset:016d}" for offset in (1, 2)
    ]
    # To follow from there is to get what comes after it.
    assert (await talk.say(type="subscribe", stream="notes", **{"from": first["position"]}))[
        "position"
    ] == first["position"]
    heard = await talk.hear()
    assert heard["events"] == [event]
    assert heard["position"] == second["position"]


async def test_objects_that_are_no_events_pass_through_untouched(talk: Talk) -> None:
    odd = {"type": "vote", "for": ["流", 1.5, None, {"a": True}], "id": 2**60}
    await talk.say(type="append", stream="notes", event=odd)
    await talk.say(type="subscribe", stream="notes", **{"from": "start"})
    assert (await talk.hear())["events"] == [odd]


async def test_the_reply_to_subscribe_comes_before_the_first_events(talk: Talk) -> None:
    stream, _ = await talk.hub.streams.create("notes")
    talk.hub.streams.append(stream, Message("user", "Hello"))
    reply = await talk.say(type="subscribe", stream="notes", **{"from": "start"})
    assert not talk.other
    assert reply["position"].endswith("_" + "0" * 16)
    assert [to_json(Message("user", "Hello"))] == (await talk.hear())["events"]


async def test_without_a_place_it_follows_from_now(talk: Talk) -> None:
    stream, _ = await talk.hub.streams.create("notes")
    talk.hub.streams.append(stream, Message("user", "before"))
    await talk.say(type="subscribe", stream="notes")
    talk.hub.streams.append(stream, Message("user", "after"))
    assert [event["text"] for event in (await talk.hear())["events"]] == ["after"]


async def test_after_unsubscribe_nothing_comes_and_it_may_be_followed_again(talk: Talk) -> None:
    stream, _ = await talk.hub.streams.create("notes")
    follow: Mapping[str, Any] = {"type": "subscribe", "stream": "notes"}
    assert (await talk.say(**follow))["type"] == "ok"
    leave = await talk.say(type="unsubscribe", stream="notes")
    assert leave == {"type": "ok", "id": "say", "stream": "notes"}
    talk.hub.streams.append(stream, Message("user", "unseen"))
    assert (await talk.say(**follow))["type"] == "ok"
    talk.hub.streams.append(stream, Message("user", "seen"))
    assert [event["text"] for event in (await talk.hear())["events"]] == ["seen"]
    assert not talk.other


async def test_a_closed_stream_is_told_once_and_no_longer_followed(talk: Talk) -> None:
    stream, _ = await talk.hub.streams.create("notes")
    await talk.say(type="subscribe", stream="notes")
    stream.close()
    closed = {"type": "closed", "stream": "notes", "position": str(stream.position)}
    assert await talk.hear() == closed
    assert (await talk.say(type="unsubscribe", stream="notes"))["code"] == "not_subscribed"
    # Whoever comes later is told as well.
    assert (await talk.say(type="subscribe", stream="notes"))["type"] == "ok"
    assert await talk.hear() == closed
    assert not talk.other


async def test_a_command_has_one_reply_also_if_what_is_waited_for_is_refused_then(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise Forbidden("not any more")

    monkeypatch.setattr(StreamAccess, "expect", refuse)
    assert (await talk.say(type="subscribe", stream="late", wait=True))["type"] == "ok"
    told = await talk.hear()
    assert (told["type"], told["stream"], told["code"]) == ("error", "late", "forbidden")
    assert "id" not in told


async def test_generate_is_answered_at_once_with_where_to_follow(talk: Talk) -> None:
    reply = await talk.say(type="generate", prompt="echo hi")
    assert reply["type"] == "ok"
    assert reply["generation"] == reply["stream"]
    await talk.say(type="subscribe", stream=reply["stream"], **{"from": reply["position"]})
    told: list[Obj] = list(talk.other)
    while not told or told[-1]["type"] != "closed":
        told.append(await talk.hear())
    events = [event for frame in told[:-1] for event in frame["events"]]
    assert [events[0]["type"], events[-1]["type"]] == ["message", "finished"]
    assert "".join(event.get("text", "") for event in events if event["type"] == "delta") == "hi"


async def test_generate_with_a_key_is_once(talk: Talk) -> None:
    asked = {"type": "generate", "prompt": "echo hi", "stream": "notes", "key": "k-1"}
    first, again = await talk.say(**asked), await talk.say(**asked)
    assert {**first, "state": ""} == {**again, "state": ""}
    refused = await talk.say(**{**asked, "prompt": "other"})
    assert refused["code"] == "key_reused"


async def test_anybody_may_cancel_and_cancel_again(talk: Talk, connect: Connect) -> None:
    begun = await talk.say(type="generate", prompt="stall")
    other = await connect()
    cancelled = {
        "type": "ok",
        "id": "say",
        "generation": begun["generation"],
        "state": "cancelled",
    }
    assert await other.say(type="cancel", generation=begun["generation"]) == cancelled
    assert await talk.say(type="cancel", generation=begun["generation"]) == cancelled


async def test_leaving_cancels_nothing(running: Running) -> None:
    async with running.client.ws_connect("/v1/ws") as socket:
        reply = await Talk(running, socket).say(type="generate", prompt="stall")
    async with asyncio.timeout(PATIENCE):
        while running.hub.connections:  # noqa: ASYNC110 - until the hub has seen it leave
            await asyncio.sleep(0.01)
    assert (await running.hub.generations.find(reply["generation"])).terminal is None


async def test_nobody_else_writes_the_events_of_the_hubs_generations(talk: Talk) -> None:
    begun = await talk.say(type="generate", prompt="stall", stream="notes")
    for event in ({"type": "delta", "text": "evil"}, {"type": "finished", "reason": "stop"}):
        forged = {**event, "generation": begun["generation"]}
        reply = await talk.say(type="append", stream="notes", event=forged)
        assert reply["code"] == "generation_owned"
    theirs = {"type": "delta", "text": "fine", "generation": "somebody-else"}
    reply = await talk.say(type="append", stream="notes", event=theirs)
    assert reply["code"] == "foreign_generation"
    nobodys = {"type": "delta", "text": "fine"}
    assert (await talk.say(type="append", stream="notes", event=nobodys))["type"] == "ok"


async def test_a_beat_comes_when_nothing_else_does(start_hub: StartHub) -> None:
    running = await start_hub(server={"ws_beat_seconds": 0.02, "beat_seconds": 0.02})
    async with running.client.ws_connect("/v1/ws") as socket:
        assert await socket.receive_json(timeout=PATIENCE) == {"type": "beat"}
        assert await socket.receive_json(timeout=PATIENCE) == {"type": "beat"}


async def test_a_binary_frame_is_an_error_and_the_talk_goes_on(talk: Talk) -> None:
    await talk.socket.send_bytes(b'{"type":"ping"}')
    assert (await talk.hear())["code"] == "bad_frame"
    assert (await talk.say(type="ping"))["type"] == "ok"


async def test_a_command_under_way_is_answered_before_the_farewell(
    running: Running, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or its client would not know whether it was carried out."""
    asked, answer, append_to = asyncio.Event(), asyncio.Event(), running.hub.streams.append_to

    async def slowly(name: str, event: Event, body: bytes, *, by: Principal) -> Outcome:
        asked.set()
        await answer.wait()
        return await append_to(name, event, body, by=by)

    monkeypatch.setattr(running.hub.streams, "append_to", slowly)
    event = {"type": "message", "role": "user", "text": "a"}
    await talk.socket.send_json({"type": "append", "id": 1, "stream": "notes", "event": event})
    await asked.wait()
    saying = asyncio.create_task(running.client.app[FAREWELL].say())
    await asyncio.sleep(0.01)
    answer.set()
    assert [(await talk.hear())["type"] for _ in range(2)] == ["ok", "draining"]
    closed = await talk.socket.receive(timeout=PATIENCE)
    assert (closed.type, closed.data) == (WSMsgType.CLOSE, 4000)
    await saying


async def test_no_reply_follows_the_close_frame(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that takes longer than its farewell may (RFC 6455 section 5.5.1)."""
    asked, answer, open_ = asyncio.Event(), asyncio.Event(), running.hub.streams.open

    async def slowly(name: str, *, by: Principal) -> FollowedStream:
        asked.set()
        await answer.wait()
        return await open_(name, by=by)

    monkeypatch.setattr(running.hub.streams, "open", slowly)
    monkeypatch.setattr("hub.shutdown.SECONDS", 0.05)
    await running.hub.streams.create("notes")
    reader, writer = await asyncio.open_connection("127.0.0.1", running.client.port)
    writer.write(UPGRADE + b"\r\n" + client_frame(b'{"type":"subscribe","stream":"notes"}'))
    await asked.wait()
    saying = asyncio.create_task(running.client.app[FAREWELL].say())
    try:
        async with asyncio.timeout(PATIENCE):
            await reader.readuntil(b"\x88\x0a\x0f\xa0draining")  # the close frame, of code 4000
            answer.set()
            assert await reader.read() == b""
        await saying
    finally:
        writer.close()


async def test_a_drain_says_when_to_come_back_then_closes_and_sends_nothing_more(
    running: Running, talk: Talk
) -> None:
    stream, _ = await running.hub.streams.create("notes")
    await talk.say(type="subscribe", stream="notes")
    stopping = asyncio.create_task(running.client.server.close())
    told = await talk.hear()
    assert told["type"] == "draining"
    assert 0 < told["retry_ms"] <= 10_000
    closed = await talk.socket.receive(timeout=PATIENCE)
    assert (closed.type, closed.data) == (WSMsgType.CLOSE, 4000)
    await stopping
    assert not running.hub.connections
    assert not stream.in_use


async def test_every_tab_sees_what_waits_and_may_change_it(
    connect: Connect,
) -> None:
    talk, other = await connect(), await connect()
    begun = await talk.say(type="generate", prompt="stall", stream="chat")
    for one in (talk, other):
        await one.say(type="subscribe", stream="chat", **{"from": "start"})
    two = await talk.say(type="generate", prompt="echo 2", stream="chat", when_busy="queue")
    assert (two["type"], two["state"]) == ("ok", "queued")
    changed = await other.say(type="requeue", generation=two["generation"], prompt="echo two")
    assert (changed["type"], changed["state"]) == ("ok", "queued")
    dropped = await talk.say(type="generate", prompt="echo 3", stream="chat", when_busy="queue")
    assert (await other.say(type="cancel", generation=dropped["generation"]))["state"] == "dropped"
    await other.say(type="requeue", generation=two["generation"], now=True)
    for one in (talk, other):
        told = [event for frame in one.other for event in frame.get("events", ())]
        while not any(event["type"] == "finished" for event in told):
            told += (await one.hear()).get("events", ())
        queue = [
            (event["type"], event["generation"], event.get("text"), event.get("place"))
            for event in told
            if event["type"] in ("queued", "dropped")
        ]
        assert queue == [
            ("queued", two["generation"], "echo 2", 1),
            ("queued", two["generation"], "echo two", 1),
            ("queued", dropped["generation"], "echo 3", 2),
            ("dropped", dropped["generation"], None, None),
            ("queued", two["generation"], "echo two", 1),
        ]
        assert [e["generation"] for e in told if e["type"] == "cancelled"] == [begun["generation"]]
        texts = [event["text"] for event in told if event["type"] == "message"]
        assert texts == ["stall", "echo two"]
    refused = await talk.say(type="requeue", generation=two["generation"], place=1)
    assert refused["code"] == "not_queued"


@pytest.mark.parametrize("kind", ["queued", "dropped"])
async def test_only_the_hub_says_what_waits(talk: Talk, kind: str) -> None:
    event = {"type": kind, "generation": f"gen_{'0' * 32}", "stream": "chat", "text": "x"}
    refused = await talk.say(type="append", stream="chat", event=event)
    assert refused["code"] == "generation_owned"
