"""Two hubs on one Redis act as one: whatever is done over one is seen over the other."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import aiohttp
import orjson
import pytest

from tests.support.hub_processes import ENDS, JSON, LONG, TEXT, HubProcess, Hubs
from tests.support.patience import PATIENCE


@pytest.fixture
async def both(hubs: Hubs) -> list[HubProcess]:
    return await hubs.start("one", "two")


async def follow(hub: HubProcess, stream: str) -> tuple[aiohttp.ClientWebSocketResponse, Any]:
    """A WebSocket that follows a stream, which may not exist yet; and its reply."""
    socket = await hub.client.ws_connect("/v1/ws", protocols=["hub.v1"])
    await socket.send_json(
        {"type": "subscribe", "id": 1, "stream": stream, "from": "start", "wait": True}
    )
    while (said := orjson.loads((await socket.receive()).data))["type"] not in ("ok", "error"):
        pass
    return socket, said


async def heard(
    socket: aiohttp.ClientWebSocketResponse, *, until: str | tuple[str, ...]
) -> list[dict[str, Any]]:
    """The events up to the first of a type."""
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE):
        while not events or events[-1]["type"] not in until:
            frame = orjson.loads((await socket.receive()).data)
            if frame["type"] == "events":
                events += frame["events"]
    return events


async def test_an_append_over_one_hub_is_read_over_the_other(both: list[HubProcess]) -> None:
    one, two = both
    await one.ask("PUT", "/v1/stream/a", headers=TEXT, status=201)
    for number in range(20):
        writer, reader = (one, two) if number % 2 else (two, one)
        await writer.ask("POST", "/v1/stream/a", headers=TEXT, data=f"{number};", status=204)
        text = await reader.ask("GET", "/v1/stream/a", status=200)
        assert text.decode().endswith(f"{number};")
    await two.ask("DELETE", "/v1/stream/a", status=204)
    await one.ask("GET", "/v1/stream/a", status=404)
    await one.ask("PUT", "/v1/stream/a", headers=JSON, status=201)
    assert await two.events("a") == []


async def test_who_waits_at_one_hub_hears_what_begins_over_the_other(
    both: list[HubProcess],
) -> None:
    one, two = both
    socket, said = await follow(two, "later")
    assert said["type"] == "ok"
    sse = await two.client.get("/v1/live/later?wait=true", headers={"Accept": "text/event-stream"})
    message = {"type": "message", "role": "user", "text": "Hello"}
    await one.ask("POST", "/v1/stream/later", headers=JSON, json=message, status=404)
    await one.ask("PUT", "/v1/stream/later", headers=JSON, json=[message], status=201)
    (first,) = await heard(socket, until="message")
    assert first["text"] == "Hello"
    async with asyncio.timeout(PATIENCE):
        while b"Hello" not in await sse.content.readline():
            pass
    sse.close()
    await socket.close()


async def test_a_generation_is_followed_over_another_hub(both: list[HubProcess]) -> None:
    one, two = both
    socket, _ = await follow(two, "chat")
    asked = {"stream": "chat", "prompt": "Hello"}
    begun = await one.ask("POST", "/v1/generations", json=asked, status=201)
    events = await heard(socket, until=ENDS)
    assert [events[0]["type"], events[1]["type"], events[-1]["type"]] == [
        *("message", "started", "finished")
    ]
    assert await one.events("chat") == await two.events("chat") == events
    for hub in both:
        found = await hub.ask("GET", f"/v1/generations/{begun['id']}", status=200)
        assert (found["state"], found["stream"]) == ("finished", "chat")
    await socket.close()


async def test_a_conversation_goes_on_over_another_hub(both: list[HubProcess]) -> None:
    one, two = both
    for hub, text in ((one, "first"), (two, "second"), (one, "third")):
        socket, _ = await follow(hub, "chat")
        asked = {"stream": "chat", "prompt": text}
        begun = await hub.ask("POST", "/v1/generations", json=asked, status=201)
        while (await heard(socket, until=ENDS))[-1]["generation"] != begun["id"]:
            pass
        await socket.close()
    events = await two.events("chat")
    assert [event["text"] for event in events if event["type"] == "message"] == [
        *("first", "second", "third")
    ]
    assert [event["type"] for event in events if event["type"] in ENDS] == ["finished"] * 3


async def tell(one: HubProcess, other: HubProcess) -> tuple[str, aiohttp.ClientWebSocketResponse]:
    """Have one hub begin a long answer, followed at the other; where it is found, and by whom."""
    begun = await one.ask("POST", "/v1/generations", json=LONG, status=201)
    socket, _ = await follow(other, "chat")
    await heard(socket, until="delta")
    return f"/v1/generations/{begun['id']}", socket


async def test_a_generation_is_stopped_over_another_hub(both: list[HubProcess]) -> None:
    one, two = both
    begun, socket = await tell(one, two)
    shown = await two.ask("GET", begun, status=200)
    assert shown["state"] == "streaming"
    listed = await two.ask("GET", "/v1/streams", status=200)
    assert [item["running"] for item in listed["streams"]] == [shown["id"]]
    busy = await two.ask("POST", "/v1/generations", json=LONG, status=409)
    assert busy["error"]["code"] == "stream_busy"
    stopped = await two.ask("DELETE", begun, status=200)
    assert stopped["state"] == "cancelled"
    events = await one.events("chat")
    assert [event["type"] for event in events if event["type"] in ENDS] == ["cancelled"]
    assert (await one.ask("GET", begun))["state"] == "cancelled"
    await socket.close()


async def test_the_generation_of_a_killed_hub_is_interrupted(both: list[HubProcess]) -> None:
    one, two = both
    begun, socket = await tell(one, two)
    await one.stop(signal.SIGKILL)
    events = await heard(socket, until=ENDS)
    assert events[-1]["type"] == "interrupted"
    assert (await two.ask("GET", begun, status=200))["state"] == "interrupted"
    await two.ask("POST", "/v1/generations", json=LONG, status=201)
    await socket.close()


async def test_what_waits_is_changed_over_another_hub_and_outlives_the_first(
    both: list[HubProcess],
) -> None:
    one, two = both
    await one.ask("POST", "/v1/generations", json=LONG, status=201)
    waiting = [
        await one.ask("POST", "/v1/generations", json={**LONG, **more}, status=201)
        for more in (
            {"prompt": "Second", "when_busy": "queue"},
            {"prompt": "Third", "when_busy": "queue"},
            {"prompt": "Fourth", "when_busy": "queue"},
        )
    ]
    assert [each["state"] for each in waiting] == ["queued"] * 3
    second, third, fourth = (f"/v1/generations/{each['id']}" for each in waiting)
    socket, _ = await follow(two, "chat")
    await two.ask("PATCH", second, json={"prompt": "Deuxième"}, status=200)
    moved = {"type": "requeue", "id": 2, "generation": waiting[2]["id"], "place": 1}
    mover, _ = await follow(two, "elsewhere")
    await mover.send_json(moved)
    assert orjson.loads((await mover.receive()).data)["type"] == "ok"
    await mover.close()
    dropped = await two.ask("DELETE", third, status=200)
    assert dropped["state"] == "dropped"
    for hub in both:
        queue = await hub.ask("GET", "/v1/queue/chat", status=200)
        assert [prompt["text"] for prompt in queue["prompts"]] == ["Fourth", "Deuxième"]
        assert (await hub.ask("GET", third, status=200))["state"] == "dropped"
    late = await two.ask("PATCH", third, json={"place": 1}, status=409)
    assert late["error"]["code"] == "not_queued"
    await one.stop(signal.SIGKILL)
    events: list[dict[str, Any]] = []
    while [event["type"] for event in events].count("finished") < 2:
        events += await heard(socket, until=ENDS)
    ends = [event["type"] for event in events if event["type"] in ENDS]
    assert ends == ["interrupted", "finished", "finished"]
    texts = [event["text"] for event in events if event["type"] == "message"]
    assert texts == [LONG["prompt"], "Fourth", "Deuxième"]
    assert (await two.ask("GET", fourth, status=200))["state"] == "finished"
    await socket.close()


async def test_a_key_stands_for_one_generation_whichever_hub_is_asked(
    both: list[HubProcess],
) -> None:
    one, two = both
    asked = {"stream": "chat", "prompt": "Hello"}
    key = {"Idempotency-Key": "k"}
    found = await asyncio.gather(
        *(
            hub.ask("POST", "/v1/generations", json=asked, headers=key, status=201)
            for hub in (one, two) * 3
        )
    )
    assert len({each["id"] for each in found}) == 1
    other = {"stream": "chat", "prompt": "Bye"}
    refused = await two.ask("POST", "/v1/generations", json=other, headers=key, status=422)
    assert refused["error"]["code"] == "key_reused"
    await two.ask("DELETE", f"/v1/generations/{found[0]['id']}", status=200)
    await one.ask("DELETE", "/v1/stream/chat", status=204)
    gone = await two.ask("POST", "/v1/generations", json=asked, headers=key, status=410)
    assert gone["error"]["code"] == "generation_deleted"
    await one.ask("GET", "/v1/stream/chat", status=404)
