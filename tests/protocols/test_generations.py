"""Generations over HTTP: begun with an address to follow, looked at, cancelled from anywhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hub.protocols.websocket import commands
from tests.conftest import Running, StartHub
from tests.support.patience import PATIENCE
from tests.support.raw_socket import RETRY_AFTER
from tests.support.reference_parsers import text_at
from tests.support.scripted_upstream import Scripted
from tests.support.upstream_answers import Answer, Ending, Gate, openai_block, openai_sse


@pytest.fixture
async def upstream() -> AsyncIterator[Scripted]:
    async with Scripted() as scripted:
        yield scripted


@pytest.fixture
async def running(start_hub: StartHub, upstream: Scripted) -> Running:
    table = {"dialect": "openai-chat", "url": upstream.url, "model": "m-1", "retries": 0}
    return await start_hub(upstreams={"scripted": table})


async def ask(
    running: Running, headers: dict[str, str] | None = None, **body: Any
) -> dict[str, Any]:
    async with running.client.post("/v1/generations", json=body, headers=headers) as response:
        assert response.status == 201
        shown: dict[str, Any] = await response.json()
        return shown


async def show(running: Running, name: str) -> dict[str, Any]:
    async with running.client.get(f"/v1/generations/{name}") as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        shown: dict[str, Any] = await response.json()
        return shown


async def cancel(running: Running, name: str) -> dict[str, Any]:
    async with running.client.delete(f"/v1/generations/{name}") as response:
        assert response.status == 200
        shown: dict[str, Any] = await response.json()
        return shown


async def events(running: Running, stream: str) -> list[dict[str, Any]]:
    """The events of a stream that is closed."""
    async with running.client.get(f"/v1/live/{stream}?format=ndjson&from=start") as response:
        lines = (await response.text()).splitlines()
    held = [json.loads(line) for line in lines]
    return [each for each in held if each["type"] not in ("position", "closed", "beat")]


async def test_a_generation_is_begun_with_the_address_of_its_stream(running: Running) -> None:
    async with running.client.post("/v1/generations", json={"prompt": "echo hi"}) as response:
        assert response.status == 201
        assert response.headers["Cache-Control"] == "no-store"
        begun = await response.json()
        assert response.headers["Location"] == f"/v1/stream/{begun['stream']}"
    assert begun["id"] == begun["stream"]
    assert begun["upstream"] == "demo"
    assert begun["state"] in ("asked", "waiting")
    async with running.client.get(f"/v1/live/{begun['stream']}?format=text") as response:
        assert await response.text() == "hi"


async def test_it_is_shown_with_its_end_and_usage_also_long_after(running: Running) -> None:
    begun = await ask(running, prompt="echo hi there")
    await running.hub.generations.wait(begun["id"])
    shown = await show(running, begun["id"])
    assert (shown["state"], shown["reason"]) == ("finished", "stop")
    assert shown["usage"]["completion_tokens"] == 2
    assert shown["started_at"] <= shown["ended_at"]
    assert {k: shown[k] for k in ("id", "stream", "position", "upstream", "started_at")} == {
        k: begun[k] for k in ("id", "stream", "position", "upstream", "started_at")
    }


async def test_its_position_is_where_its_own_story_begins_in_a_conversation(
    running: Running,
) -> None:
    first = await ask(running, prompt="echo one", stream="talk")
    await running.hub.generations.wait(first["id"])
    second = await ask(running, prompt="echo two", stream="talk")
    await running.hub.generations.wait(second["id"])
    (await running.hub.streams.open("talk")).close()
    path = f"/v1/live/talk?format=ndjson&from={second['position']}"
    async with running.client.get(path) as response:
        lines = [json.loads(line) for line in (await response.text()).splitlines()]
    assert lines[0] == {**lines[0], "type": "message", "text": "echo two"}
    assert {each["generation"] for each in lines if "generation" in each} == {second["id"]}


async def test_a_prompt_is_sent_with_what_was_said_before(
    running: Running, upstream: Scripted
) -> None:
    upstream.answers(Answer(*openai_sse("Hello", " Ann")), Answer(*openai_sse("Ann")))
    for prompt in ("I am Ann", "Who am I?"):
        begun = await ask(running, prompt=prompt, stream="talk", upstream="scripted", author="ann")
        await running.hub.generations.wait(begun["id"])
    assert upstream.requests[1].json["messages"] == [
        {"role": "user", "content": "I am Ann"},
        {"role": "assistant", "content": "Hello Ann"},
        {"role": "user", "content": "Who am I?"},
    ]
    (await running.hub.streams.open("talk")).close()
    said = [each for each in await events(running, "talk") if each["type"] == "message"]
    assert [(each["text"], each["author"]) for each in said] == [
        ("I am Ann", "ann"),
        ("Who am I?", "ann"),
    ]


async def test_messages_are_sent_as_they_are_and_stand_in_no_stream(
    running: Running, upstream: Scripted
) -> None:
    upstream.answers(Answer(*openai_sse("Hi")))
    messages = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hello"}]
    begun = await ask(
        running,
        messages=messages,
        upstream="scripted",
        model="m-2",
        options={"temperature": 0.5, "stop": ["."]},
    )
    await running.hub.generations.wait(begun["id"])
    sent = upstream.requests[0].json
    assert sent["messages"] == messages
    assert (sent["model"], sent["temperature"], sent["stop"]) == ("m-2", 0.5, ["."])
    kinds = [each["type"] for each in await events(running, begun["stream"])]
    assert kinds == ["started", "delta", "finished"]


async def test_a_cancel_from_elsewhere_ends_it_and_the_upstreams_reply(
    running: Running, upstream: Scripted
) -> None:
    upstream.answers(Answer(openai_block({"content": "Hel"}), Ending.HANG))
    begun = await ask(running, prompt="Hello", upstream="scripted")
    async with running.client.get(f"/v1/live/{begun['stream']}?format=text") as response:
        assert await response.content.readexactly(3) == b"Hel"
        shown = await cancel(running, begun["id"])
    assert shown["state"] == "cancelled"
    assert shown["usage"] == {"prompt_tokens": 2, "completion_tokens": 1, "estimated": True}
    await (await upstream.request()).left()
    told = await events(running, begun["stream"])
    assert [each["type"] for each in told] == ["message", "started", "delta", "cancelled"]


async def test_a_cancel_repeated_or_too_late_changes_nothing(running: Running) -> None:
    begun = await ask(running, prompt="stall")
    first = await cancel(running, begun["id"])
    assert await cancel(running, begun["id"]) == first == await show(running, begun["id"])
    done = await ask(running, prompt="echo hi")
    finished = await running.hub.generations.wait(done["id"])
    assert (await cancel(running, done["id"]))["state"] == finished.state == "finished"


async def test_cancels_at_once_are_one(running: Running) -> None:
    begun = await ask(running, prompt="stall")
    told = await asyncio.gather(*(cancel(running, begun["id"]) for _ in range(5)))
    assert all(each == told[0] for each in told)
    ends = [each for each in await events(running, begun["stream"]) if "seconds" in each]
    assert [each["type"] for each in ends] == ["cancelled"]


async def test_clients_that_leave_cancel_nothing(running: Running, upstream: Scripted) -> None:
    gate = Gate()
    upstream.answers(Answer(*openai_sse("Hel")[:2], gate, *openai_sse("lo")[1:]))
    begun = await ask(running, prompt="Hello", upstream="scripted")
    async with running.client.get(f"/v1/live/{begun['stream']}?format=text") as response:
        assert await response.content.readexactly(3) == b"Hel"
    async with running.client.ws_connect("/v1/ws") as ws:
        await ws.send_json({"type": "subscribe", "stream": begun["stream"]})
        assert (await ws.receive_json(timeout=PATIENCE))["type"] == "ok"
    async with asyncio.timeout(PATIENCE):
        while running.hub.connections:  # noqa: ASYNC110 - until the hub has seen them leave
            await asyncio.sleep(0.01)
        gate.open()
        assert (await running.hub.generations.wait(begun["id"])).state == "finished"


@pytest.mark.parametrize("where", ["header", "body"])
async def test_asking_again_with_the_key_is_asking_once(where: str, running: Running) -> None:
    if where == "header":
        asked: dict[str, Any] = {"headers": {"Idempotency-Key": "k-1"}}
    else:
        asked = {"key": "k-1"}
    both = [ask(running, prompt="echo hi", stream="talk", **asked) for _ in range(2)]
    first, second = await asyncio.gather(*both)
    assert first["id"] == second["id"]
    await running.hub.generations.wait(first["id"])
    again = await ask(running, prompt="echo hi", stream="talk", **asked)
    assert (again["id"], again["state"]) == (first["id"], "finished")
    (await running.hub.streams.open("talk")).close()
    kinds = [each["type"] for each in await events(running, "talk")]
    assert kinds.count("message") == kinds.count("started") == kinds.count("finished") == 1


async def test_the_keys_header_counts_more_than_its_field(running: Running) -> None:
    first = await ask(running, prompt="echo hi", headers={"Idempotency-Key": "k-1"})
    other = await ask(running, prompt="echo hi", headers={"Idempotency-Key": "k-2"}, key="k-1")
    assert first["id"] != other["id"]


async def test_a_key_whose_request_was_refused_may_be_used_again(running: Running) -> None:
    stalled = await ask(running, prompt="stall", stream="talk")
    key = {"Idempotency-Key": "k-1"}
    body = {"prompt": "echo hi", "stream": "talk"}
    async with running.client.post("/v1/generations", json=body, headers=key) as response:
        assert response.status == 409
    await cancel(running, stalled["id"])
    assert (await ask(running, headers=key, **body))["id"] != stalled["id"]


async def test_names_with_other_characters_have_an_address_that_works(running: Running) -> None:
    name = "teams/a:b@c+d~e/f.g-h_i"
    async with running.client.post(
        "/v1/generations", json={"prompt": "echo hi", "stream": name}
    ) as response:
        where = response.headers["Location"]
        begun = await response.json()
    await running.hub.generations.wait(begun["id"])
    (await running.hub.streams.open(name)).close()
    assert await text_at(running.client, where) == "hi"


async def test_as_many_as_may_run_are_a_limit_that_says_when_to_come_back(
    start_hub: StartHub,
) -> None:
    running = await start_hub(limits={"generations": 1})
    begun = await ask(running, prompt="stall")
    async with running.client.post("/v1/generations", json={"prompt": "hi"}) as response:
        assert response.status == 429
        assert response.headers["Retry-After"] in RETRY_AFTER
        assert (await response.json())["error"]["code"] == "limit_exceeded"
    await cancel(running, begun["id"])
    await ask(running, prompt="echo hi")


async def test_a_hub_that_drains_begins_nothing_and_says_when_to_come_back(
    running: Running,
) -> None:
    await running.hub.drain(0.0)
    async with running.client.post("/v1/generations", json={"prompt": "hi"}) as response:
        assert response.status == 503
        assert response.headers["Retry-After"] in RETRY_AFTER
        assert (await response.json())["error"]["code"] == "draining"


async def test_prompts_wait_are_changed_and_listed(running: Running, upstream: Scripted) -> None:
    gate = Gate()
    upstream.answers(
        Answer(openai_block({"content": "One"}), gate, *openai_sse("!")),
        *(Answer(*openai_sse(text)) for text in ("Two", "Three")),
    )
    asked: dict[str, Any] = {"upstream": "scripted", "stream": "team/chat"}
    first = await ask(running, prompt="One", **asked)
    await gate.reached()
    two = await ask(running, prompt="Two", when_busy="queue", **asked)
    three = await ask(running, prompt="Three", when_busy="queue", **asked)
    assert (two["state"], three["state"]) == ("queued", "queued")

    async def change(name: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        async with running.client.patch(f"/v1/generations/{name}", json=fields) as response:
            return response.status, await response.json()

    async def waiting() -> tuple[list[str], bool]:
        async with running.client.get("/v1/queue/team/chat") as response:
            assert response.headers["Cache-Control"] == "no-store"
            told = await response.json()
        return [one["text"] for one in told["prompts"]], told["held"]

    status, shown = await change(three["id"], place=1, prompt="Drei")
    assert (status, shown["state"]) == (200, "queued")
    assert await waiting() == (["Drei", "Two"], False)
    for wrong in ({"place": 0}, {"place": True}, {"place": "1"}, {"prompt": ""}, {"more": 1}):
        assert (await change(three["id"], **wrong))[0] == 400
    assert (await cancel(running, two["id"]))["state"] == "dropped"
    assert (await change(two["id"], place=1))[1]["error"]["code"] == "not_queued"
    assert (await cancel(running, first["id"]))["state"] == "cancelled"
    assert await waiting() == (["Drei"], True)
    gate.open()
    assert (await change(three["id"], now=True))[0] == 200
    await running.hub.generations.wait(three["id"])
    assert await waiting() == ([], False)
    async with running.client.get("/v1/queue/none") as response:
        assert response.status == 404


async def test_null_is_the_beginning_of_a_conversation(
    running: Running, upstream: Scripted
) -> None:
    """As in events, over HTTP and the WebSocket; what is not said is no place."""
    upstream.answers(*[Answer(*openai_sse("Yes"))] * 4)
    first = await ask(running, stream="chat", upstream="scripted", prompt="One")
    await running.hub.generations.wait(first["id"])
    for body, messages in (
        ({"prompt": "Two"}, 3),
        ({"prompt": "Three", "after": None}, 1),
        ({"after": first["id"], "prompt": "Four"}, 3),
    ):
        begun = await ask(running, stream="chat", upstream="scripted", **body)
        await running.hub.generations.wait(begun["id"])
        assert len(upstream.requests[-1].json["messages"]) == messages
    for text, place in (("{}", None), ('{"after":null}', ""), ('{"after":"q1"}', "q1")):
        command = commands.parse(json.dumps({"type": "generate", **json.loads(text)}))
        assert isinstance(command, commands.Generate)
        assert command.after == place
    body = {"stream": "chat", "prompt": "Five", "after": "nobody"}
    async with running.client.post("/v1/generations", json=body) as response:
        assert response.status == 404
        assert (await response.json())["error"]["code"] == "message_not_found"
