"""Who waits for a stream gets all of it once it begins, over either transport."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from hub.domain.events import Message
from hub.domain.generation_request import GenerationRequest
from hub.domain.stream_settings import StreamSettings
from tests.conftest import Running, StartHub
from tests.protocols.websocket.test_endpoint import Talk
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE

Obj = dict[str, Any]
HELLO = {"type": "message", "role": "user", "text": "Hello"}


@pytest.fixture(params=["memory", "sqlite"])
async def running(
    start_hub: StartHub, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Running:
    path = tmp_path_factory.mktemp("store") / "hub.db"
    url = "memory:" if request.param == "memory" else f"sqlite:{path}"
    return await start_hub(store={"url": url}, limits={"subscriptions": 3})


@pytest.fixture
async def talk(running: Running) -> AsyncIterator[Talk]:
    async with running.client.ws_connect("/v1/ws") as socket:
        yield Talk(running, socket)


def waiting(running: Running) -> int:
    return len(running.hub._backend.streams.awaited)


async def wait(talk: Talk, stream: str = "chat", **more: Any) -> Obj:
    return await talk.say(type="subscribe", stream=stream, wait=True, **more)


async def events(talk: Talk, count: int) -> list[Obj]:
    """So many events, and no more in their frames."""
    found: list[Obj] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            frame = talk.other.pop(0) if talk.other else await talk.hear()
            assert frame["type"] == "events", frame
            found += frame["events"]
    assert len(found) == count
    return found


Begin = Callable[[Running], Awaitable[None]]


async def by_append(running: Running) -> None:
    for _ in range(3):
        await running.hub.streams.append_to("chat", Message("user", "Hello"))


async def by_put(running: Running) -> None:
    reply = await running.client.put(
        "/v1/stream/chat", json=[HELLO] * 3, headers={"Content-Type": "application/json"}
    )
    assert reply.status == 201


async def by_empty_put_first(running: Running) -> None:
    headers = {"Content-Type": "application/json"}
    assert (await running.client.put("/v1/stream/chat", headers=headers)).status == 201
    await asyncio.sleep(0.01)
    await by_append(running)


async def by_fork(running: Running) -> None:
    for _ in range(3):
        await running.hub.streams.append_to("source", Message("user", "Hello"))
    await running.hub.streams.fork("chat", "source")


@pytest.mark.parametrize("begin", [by_append, by_put, by_empty_put_first, by_fork])
async def test_a_stream_that_begins_is_told_from_its_start(
    running: Running, talk: Talk, begin: Begin
) -> None:
    for place in ("start", "now"):
        assert await wait(talk, **{"from": place}) == {
            "type": "ok", "id": "say", "stream": "chat", "position": None, "tail": None,
        }  # fmt: skip
        assert (await talk.say(type="unsubscribe", stream="chat"))["type"] == "ok"
    await wait(talk)
    response = await running.client.get("/v1/live/chat?wait=true&format=ndjson")
    assert response.status == 200
    await begin(running)
    assert await events(talk, 3) == [HELLO] * 3
    lines: list[Obj] = []
    async with asyncio.timeout(PATIENCE):
        while len(lines) < 3:
            line = json.loads(await response.content.readline())
            lines += [line] if line["type"] == "message" else []
    assert lines == [HELLO] * 3
    assert waiting(running) == 0
    await running.hub.streams.append_to("chat", Message("user", "more"))
    assert [event["text"] for event in await events(talk, 1)] == ["more"]
    response.close()


async def test_a_generation_begins_it_too(running: Running, talk: Talk) -> None:
    await wait(talk)
    await running.hub.generations.start(GenerationRequest(prompt="echo hi", stream="chat"))
    found: list[Obj] = []
    async with asyncio.timeout(PATIENCE):
        while not found or found[-1]["type"] != "finished":
            found += (await talk.hear())["events"]
    assert [event["type"] for event in found][:2] == ["message", "started"]
    assert 0 <= found[-1]["seconds"]["first"] <= found[-1]["seconds"]["total"]


async def test_what_is_there_is_followed_from_where_was_asked(running: Running, talk: Talk) -> None:
    await by_append(running)
    reply = await wait(talk, **{"from": "start"})
    assert reply["position"].endswith("_" + "0" * 16)
    assert reply["tail"].endswith("_" + "3".zfill(16))
    assert len(await events(talk, 3)) == 3


async def test_all_who_wait_are_told(running: Running) -> None:
    async with AsyncExitStack() as stack:
        talks = [
            Talk(running, await stack.enter_async_context(running.client.ws_connect("/v1/ws")))
            for _ in range(20)
        ]
        for talk in talks:
            await wait(talk)
        await eventually(lambda: waiting(running) == 20)
        await by_append(running)
        for talk in talks:
            assert await events(talk, 3) == [HELLO] * 3
        assert waiting(running) == 0


async def test_deleted_and_begun_again_it_is_another_stream(running: Running, talk: Talk) -> None:
    await wait(talk)
    await by_append(running)
    await events(talk, 3)
    await running.hub.streams.delete("chat")
    assert (await talk.hear())["type"] == "closed"
    # Who has read the first one and waits with its position is told that this is another.
    old = str((await running.hub.streams.append_to("other", Message("user", "x"))).position)
    epoch = old.partition("_")[0]
    await wait(talk, **{"from": f"{epoch}_{3:016d}"})
    await eventually(lambda: waiting(running) == 1)
    await by_append(running)
    reset = await talk.hear()
    assert (reset["type"], reset["reason"]) == ("reset", "unwritten")
    assert reset["position"].endswith("_" + "0" * 16)
    assert await events(talk, 3) == [HELLO] * 3


async def test_waits_count_as_subscriptions_and_end_with_the_connection(
    running: Running, talk: Talk
) -> None:
    for name in "abc":
        assert (await wait(talk, name))["type"] == "ok"
    assert (await wait(talk, "d"))["code"] == "limit_exceeded"
    assert (await wait(talk, "a"))["code"] == "conflict"
    assert (await talk.say(type="unsubscribe", stream="a"))["type"] == "ok"
    assert (await talk.say(type="unsubscribe", stream="a"))["code"] == "not_subscribed"
    assert (await wait(talk, "d"))["type"] == "ok"
    await eventually(lambda: waiting(running) == 3)
    await talk.socket.close()
    async with asyncio.timeout(PATIENCE):
        while waiting(running):  # noqa: ASYNC110 - until the hub has seen it leave
            await asyncio.sleep(0.01)
    assert not running.hub._backend.streams.awaited.names


async def test_a_response_that_waits_ends_with_its_client(running: Running) -> None:
    response = await running.client.get("/v1/live/chat?wait=true")
    async with asyncio.timeout(PATIENCE):
        while not waiting(running):  # noqa: ASYNC110 - the store is asked after the headers went
            await asyncio.sleep(0.01)
        response.close()
        while waiting(running):  # noqa: ASYNC110 - until the hub has seen it leave
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("name", ["", "a b", "/", "x" * 300, "__ds/x"])
async def test_a_name_that_no_stream_can_have_is_refused_at_once(
    running: Running, talk: Talk, name: str
) -> None:
    assert (await wait(talk, name))["code"] == "bad_name"
    if name.strip("/"):
        response = await running.client.get(f"/v1/live/{name}?wait=true")
        assert response.status == 400
    assert waiting(running) == 0


async def test_without_wait_it_is_an_error_as_before(running: Running, talk: Talk) -> None:
    assert (await talk.say(type="subscribe", stream="chat"))["code"] == "stream_not_found"
    assert (await running.client.get("/v1/live/chat?wait=false")).status == 404
    refused = await running.client.get("/v1/live/chat?wait=yes")
    assert (await refused.json())["error"]["code"] == "bad_wait"


async def test_whoever_waits_hears_beats(start_hub: StartHub) -> None:
    running = await start_hub(server={"ws_beat_seconds": 0.02, "beat_seconds": 0.02})
    async with running.client.ws_connect("/v1/ws") as socket:
        talk = Talk(running, socket)
        await wait(talk)
        assert await talk.hear() == {"type": "beat"}
        response = await running.client.get("/v1/live/chat?wait=true&format=sse")
        async with asyncio.timeout(PATIENCE):
            assert await response.content.readuntil(b": beat\n\n")
        response.close()


async def test_what_begins_and_holds_no_events_ends_the_wait_with_a_reason(
    running: Running, talk: Talk
) -> None:
    await wait(talk)
    await talk.say(type="presence", stream="chat", state=1)
    talk.other.clear()
    live = await running.client.get("/v1/live/chat?wait=true&format=sse")
    await running.hub.streams.create("chat", StreamSettings("application/octet-stream"))
    told = await talk.hear()
    while told["type"] == "presence":
        told = await talk.hear()
    assert (told["type"], told["stream"], told["code"]) == ("error", "chat", "not_json")
    assert "id" not in told
    assert (await talk.say(type="unsubscribe", stream="chat"))["code"] == "not_subscribed"
    assert len(running.hub.participants) == 0
    with pytest.raises(aiohttp.ClientPayloadError):
        await live.read()  # it was cut, so nobody takes it for the end
    again = await running.client.get("/v1/live/chat?wait=true&format=sse")
    assert (await again.json())["error"]["code"] == "not_json"


async def test_text_that_is_waited_for_comes_as_it_is(running: Running) -> None:
    live = await running.client.get("/v1/live/chat?wait=true&format=text")
    await running.hub.streams.make("chat", StreamSettings("text/plain"))
    await running.hub.streams.write("chat", [("流 one\n".encode(), None)])
    async with asyncio.timeout(PATIENCE):
        assert (await live.content.readline()).decode() == "流 one\n"
        await running.hub.streams.write("chat", [(b"two", None)], close=True)
        assert await live.read() == b"two"


async def test_the_text_of_an_answer_that_was_cut_short_does_not_look_whole(
    running: Running,
) -> None:
    live = await running.client.get("/v1/live/gen/1?wait=true&format=text")
    generation = await running.hub.generations.start(
        GenerationRequest(prompt="fail", stream="gen/1")
    )
    await running.hub.generations.wait(generation.id)
    (await running.hub.streams.open("gen/1")).close()
    with pytest.raises(aiohttp.ClientPayloadError):
        await live.read()


async def test_presence_works_while_waiting_and_goes_on(running: Running, talk: Talk) -> None:
    await wait(talk)
    reply = await talk.say(type="presence", stream="chat", state="early")
    (shown,) = [talk.other.pop() if talk.other else await talk.hear()]
    assert shown["joined"] == [{"member": reply["member"], "state": "early"}]
    await by_append(running)
    assert len(await events(talk, 3)) == 3
    again = await talk.say(type="presence", stream="chat", state="late")
    assert again["member"] == reply["member"], "it is still there"
