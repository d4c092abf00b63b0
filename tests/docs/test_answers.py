"""What a running hub really answers is what the documents say of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hub.docs.frames import COMMANDS
from tests.conftest import Running, StartHub
from tests.support.close_codes import close_code
from tests.support.documented_answers import ask, asyncapi_document, openapi_document, validator
from tests.support.patience import PATIENCE
from tests.support.scripted_upstream import Answer, Scripted, openai_sse, refusal

JSON = {"Content-Type": "application/json"}
USER = {"role": "user", "content": "help"}
HELLO = {"type": "message", "role": "user", "text": "Hello"}


@pytest.fixture
async def hub(start_hub: StartHub) -> Running:
    return await start_hub(
        server={"list_streams": True},
        streams={"long_poll_seconds": 0.05, "sse_rotate_seconds": 0.1},
        limits={"body_bytes": 20_000, "prompt_bytes": 5_000},
        tutorial={"pace": 0},
    )


async def events_of(hub: Running, name: str) -> list[dict[str, Any]]:
    answer = await ask(hub, "GET", f"/v1/live/{name}?format=ndjson")
    return [json.loads(line) for line in (await answer.text()).splitlines()]


async def test_generations(hub: Running) -> None:
    asked = {"prompt": "help", "options": {}}
    begun = await ask(hub, "POST", "/v1/generations", json=asked)
    generation = await begun.json()
    one = f"/v1/generations/{generation['id']}"
    assert begun.status == 201
    await ask(hub, "GET", one)
    assert (await ask(hub, "DELETE", one)).status == 200
    assert (await ask(hub, "GET", "/v1/generations/none")).status == 404
    for wrong in (b"", b"[]", b"{", b'{"prompt":1}', b'{"no":1}', b'{"prompt":"a","upstream":"b"}'):
        answer = await ask(hub, "POST", "/v1/generations", data=wrong, headers=JSON)
        assert 400 <= answer.status < 500
    assert (await ask(hub, "POST", "/v1/generations", data=b"{}")).status == 415
    assert (await ask(hub, "POST", "/v1/generations", json={"prompt": "a" * 6_000})).status == 413
    stalls = {"prompt": "stall", "stream": "chat"}
    await ask(hub, "POST", "/v1/generations", json=stalls)
    queued = await ask(hub, "POST", "/v1/generations", json={**stalls, "when_busy": "queue"})
    waiting = f"/v1/generations/{(await queued.json())['id']}"
    for change in ({"place": 1}, {"prompt": "help"}, {"place": 0}):
        await ask(hub, "PATCH", waiting, json=change)
    assert (await ask(hub, "GET", "/v1/queue/chat")).status == 200
    assert (await ask(hub, "GET", "/v1/queue/none")).status == 404
    assert (await ask(hub, "DELETE", waiting)).status == 200
    assert (await ask(hub, "PATCH", waiting, json={"place": 1})).status == 409
    key = {"Idempotency-Key": "k"}
    await ask(hub, "POST", "/v1/generations", json={"prompt": "a"}, headers=key)
    again = await ask(hub, "POST", "/v1/generations", json={"prompt": "b"}, headers=key)
    assert again.status == 422
    from_elsewhere = {"Origin": "https://example.org"}
    answer = await ask(hub, "POST", "/v1/generations", json=asked, headers=from_elsewhere)
    assert answer.status == 403


@pytest.mark.parametrize("prompt", ["help", "code", "fail", "cut"])
async def test_the_events_of_a_stream(hub: Running, prompt: str) -> None:
    begun = await ask(hub, "POST", "/v1/generations", json={"prompt": prompt})
    found = await events_of(hub, (await begun.json())["stream"])
    kinds = {event["type"] for event in found}
    assert {"message", "started", "closed"} <= kinds
    for event in found:
        if event["type"] not in ("position", "closed"):
            validator(openapi_document(), "Event").validate(event)


async def test_a_retry_and_an_upstream_that_stands_in_are_events(start_hub: StartHub) -> None:
    async with Scripted() as upstream:
        first = upstream.answers(refusal(503, "no"), refusal(503, "no"), under="/a")
        second = upstream.answers(Answer(*openai_sse("Hi")), under="/b")
        table = {"dialect": "openai-chat", "model": "m"}
        hub = await start_hub(
            default_upstream="a",
            upstreams={
                "a": {
                    **table,
                    "url": first,
                    "retries": 1,
                    "max_retry_wait": 5.0,
                    "fallback": ["b"],
                },
                "b": {**table, "url": second},
            },
        )
        begun = await ask(hub, "POST", "/v1/generations", json={"prompt": "Hi"})
        found = await events_of(hub, (await begun.json())["stream"])
    retrying = [event for event in found if event["type"] == "retrying"]
    assert [event.get("upstream") for event in retrying] == [None, "b"]
    for event in found:
        if event["type"] not in ("position", "closed"):
            validator(openapi_document(), "Event").validate(event)


def test_the_schema_of_an_event_can_fail() -> None:
    event = validator(openapi_document(), "Event")
    assert event.is_valid({"type": "mine", "usage": 1})
    assert event.is_valid({"type": "delta", "generation": "g", "text": "a"})
    assert not event.is_valid({"type": "delta", "text": 1})
    assert not event.is_valid({"type": "message", "role": "nobody", "text": ""})
    assert not event.is_valid({"type": "finished", "reason": "bored"})


async def test_live(hub: Running) -> None:
    await ask(hub, "POST", "/v1/generations", json={"prompt": "help"})
    begun = await ask(hub, "POST", "/v1/generations", json={"prompt": "help"})
    name = (await begun.json())["stream"]
    for form in ("sse", "ndjson", "json", "text"):
        assert (await ask(hub, "GET", f"/v1/live/{name}?format={form}")).status == 200
    end = (await events_of(hub, name))[-1]["position"]
    assert (await ask(hub, "GET", f"/v1/live/{name}?from={end}")).status == 204
    for wrong in ("format=no", "from=no", "wait=no"):
        assert (await ask(hub, "GET", f"/v1/live/{name}?{wrong}")).status == 400
    assert (await ask(hub, "GET", "/v1/live/none")).status == 404
    await ask(hub, "PUT", "/v1/stream/bytes", data=b"a", headers={"Content-Type": "a/b"})
    assert (await ask(hub, "GET", "/v1/live/bytes")).status == 409


async def test_follow(hub: Running) -> None:
    begun = await ask(hub, "POST", "/v1/generations", json={"prompt": "long", "stream": "talk"})
    closed = await ask(hub, "POST", "/v1/generations", json={"prompt": "help"})
    asked = [
        {"stream": "talk", "from": "start"},
        {"stream": (await closed.json())["stream"], "from": "start"},
        {"stream": "later", "wait": True},
        {"stream": "none"},
        {"stream": "talk/again", "from": "tomorrow"},
    ]
    kinds = set()
    for form in ("sse", "ndjson"):
        answer = await ask(hub, "POST", f"/v1/follow?format={form}", json=asked)
        assert answer.status == 200
        lines = (await answer.text()).split("\n")
        for line in filter(None, lines):
            frame = json.loads(line.removeprefix("data: "))
            kinds.add(frame["type"])
            validator(openapi_document(), "FollowFrame").validate(frame)
    assert kinds == {"ok", "events", "closed", "error"}
    await ask(hub, "DELETE", f"/v1/generations/{(await begun.json())['id']}")
    for wrong in (b"", b"{}", b"[]", b'[{"stream":1}]', b'[{"stream":"a"},{"stream":"a"}]'):
        answer = await ask(hub, "POST", "/v1/follow", data=wrong, headers=JSON)
        assert answer.status == 400
    answer = await ask(hub, "POST", "/v1/follow?format=text", json=asked)
    assert answer.status == 400
    assert (await ask(hub, "POST", "/v1/follow", data=b"[]")).status == 415


async def test_streams(hub: Running, start_hub: StartHub) -> None:
    await ask(hub, "POST", "/v1/generations", json={"prompt": "long", "stream": "a"})
    answer = await ask(hub, "GET", "/v1/streams?prefix=a&limit=1")
    assert (await answer.json())["streams"][0]["name"] == "a"
    for wrong in ("limit=0", "prefix=%20"):
        assert (await ask(hub, "GET", f"/v1/streams?{wrong}")).status == 400
    assert (await ask(await start_hub(), "GET", "/v1/streams")).status == 403


async def test_chat_completions(hub: Running) -> None:
    path = "/v1/chat/completions"
    asked = {"model": "demo", "messages": [USER]}
    assert (await ask(hub, "POST", path, json=asked)).status == 200
    others: list[dict[str, Any]] = [
        {"stream_options": {"include_usage": True}},
        *({"messages": [{"role": "user", "content": said}]} for said in ("poem", "tools")),
    ]
    for more in ({}, *others):
        streamed = await ask(hub, "POST", path, json={**asked, "stream": True, **more})
        lines = [line for line in (await streamed.text()).split("\n") if line.startswith("data: ")]
        assert lines.pop() == "data: [DONE]"
        for line in lines:
            validator(openapi_document(), "CompletionChunk").validate(json.loads(line[6:]))
    for wrong in (
        {},
        {**asked, "model": "x/y", "n": 2},
        {**asked, "n": 2},
        {**asked, "messages": []},
    ):
        assert 400 <= (await ask(hub, "POST", path, json=wrong)).status < 500
    failing = {**asked, "messages": [{"role": "user", "content": "fail"}]}
    assert (await ask(hub, "POST", path, json=failing)).status >= 400
    assert (await ask(hub, "POST", path, data=b"{", headers=JSON)).status == 400


async def test_responses(hub: Running) -> None:
    path = "/v1/responses"
    asked = {"model": "demo", "input": "help"}
    begun = await (await ask(hub, "POST", path, json=asked)).json()
    one = f"{path}/{begun['id']}"
    assert (await ask(hub, "GET", one)).status == 200
    assert (await ask(hub, "GET", f"{one}?stream=true&starting_after=2")).status == 200
    assert (await ask(hub, "GET", f"{one}?stream=perhaps")).status == 400
    assert (await ask(hub, "POST", f"{one}/cancel")).status == 200
    assert (await ask(hub, "POST", path, json={**asked, "background": True})).status == 200
    assert (await ask(hub, "POST", path, json={**asked, "stream": True})).status == 200
    assert (await ask(hub, "POST", path, json={**asked, "prompt": {"id": "p"}})).status == 400
    assert (await ask(hub, "POST", path, json={**asked, "input": 1})).status == 400
    assert (await ask(hub, "DELETE", one)).status == 200
    assert (await ask(hub, "GET", one)).status == 404


async def test_models(hub: Running) -> None:
    assert (await ask(hub, "GET", "/v1/models")).status == 200
    assert (await ask(hub, "GET", "/v1/models/demo")).status == 200


async def test_durable_streams(hub: Running) -> None:
    path = "/v1/stream/notes"
    assert (await ask(hub, "GET", path)).status == 404
    assert (await ask(hub, "PUT", path, headers=JSON)).status == 201
    assert (await ask(hub, "PUT", path, headers=JSON)).status == 200
    assert (await ask(hub, "PUT", path, headers={"Content-Type": "a/b"})).status == 409
    assert (await ask(hub, "PUT", path, headers={**JSON, "Stream-TTL": "x"})).status == 400
    assert (await ask(hub, "POST", path, json=HELLO)).status == 204
    stamped = {"Producer-Id": "p", "Producer-Epoch": "1", "Producer-Seq": "0"}
    assert (await ask(hub, "POST", path, json=HELLO, headers=stamped)).status == 200
    assert (await ask(hub, "POST", path, json=HELLO, headers=stamped)).status == 204
    for header, value, status in (
        ("Producer-Seq", "7", 409),
        ("Producer-Epoch", "0", 403),
        ("Producer-Epoch", "x", 400),
    ):
        answer = await ask(hub, "POST", path, json=HELLO, headers={**stamped, header: value})
        assert answer.status == status
    assert (await ask(hub, "POST", path, data=b"{", headers=JSON)).status == 400
    read = await ask(hub, "GET", f"{path}?offset=-1")
    assert len(await read.json()) == 2
    tag = {"If-None-Match": read.headers["ETag"]}
    assert (await ask(hub, "GET", f"{path}?offset=-1", headers=tag)).status == 304
    end = read.headers["Stream-Next-Offset"]
    assert (await ask(hub, "GET", f"{path}?offset={end}&live=long-poll")).status == 204
    assert (await ask(hub, "GET", f"{path}?offset=-1&live=sse")).status == 200
    assert (await ask(hub, "GET", f"{path}?offset=no")).status == 400
    assert (await ask(hub, "GET", f"{path}?offset={'9' * 16}_{'0' * 16}")).status == 410
    assert (await ask(hub, "HEAD", path)).status == 200
    fork = {**JSON, "Stream-Forked-From": "/v1/stream/notes"}
    assert (await ask(hub, "PUT", "/v1/stream/other", headers=fork)).status == 201
    assert (await ask(hub, "POST", path, headers={"Stream-Closed": "true"})).status == 204
    assert (await ask(hub, "POST", path, json=HELLO)).status == 409
    assert (await ask(hub, "DELETE", path)).status == 204


async def test_chat_interfaces(hub: Running) -> None:
    said = {"id": "m1", "role": "user", "parts": [{"type": "text", "text": "help"}]}
    body = {"id": "chat", "trigger": "submit-message", "messages": [said]}
    assert (await ask(hub, "POST", "/api/chat", json=body)).status == 200
    wants = {"Accept": "application/json"}
    where = await ask(hub, "POST", "/api/chat", json={**body, "id": "b"}, headers=wants)
    assert where.status in (200, 201)
    assert (await ask(hub, "GET", f"{where.headers['Location']}?offset=-1")).status == 200
    assert (await ask(hub, "GET", "/api/chat/chat/stream/none?offset=-1")).status == 404
    assert (await ask(hub, "GET", "/api/chat/none/stream")).status == 204
    assert (await ask(hub, "POST", "/api/chat/none/stop")).status == 204
    assert (await ask(hub, "POST", "/api/chat", json={"id": "chat"})).status == 400
    message = {"role": "user", "content": "help", "id": "m2"}
    assert (await ask(hub, "POST", "/api/chat/c", json={"messages": [message]})).status == 202
    assert (await ask(hub, "GET", "/api/chat/c?offset=-1")).status == 200
    assert (await ask(hub, "POST", "/api/chat/c", json={})).status == 400


async def test_the_tutorial(hub: Running) -> None:
    for path in ("/ret_json_data", "/stream_json_data", "/stream_data_to_frontend"):
        for method in ("GET", "POST"):
            assert (await ask(hub, method, path)).status == 200
    llm, faq = "/stream_data_to_frontend_test", "/stream_faq_data_to_frontend_test"
    assert (await ask(hub, "GET", llm)).status == 200
    assert (await ask(hub, "POST", llm, json={"messages": [USER]})).status == 200
    assert (await ask(hub, "POST", llm, json={"messages": []})).status == 400
    assert (await ask(hub, "GET", f"{faq}?query=help")).status == 200
    assert (await ask(hub, "POST", faq, json={"query": "help"})).status == 200
    assert (await ask(hub, "GET", "/stream")).status == 200
    assert (await ask(hub, "GET", "/sse")).status == 200
    assert (await ask(hub, "GET", "/sse", headers={"Last-Event-ID": "5"})).status == 204
    some = {"Range": "bytes=0-9"}
    assert (await ask(hub, "GET", "/stream-file", headers=some)).status == 206
    assert (await ask(hub, "HEAD", "/stream-file")).status == 200


async def test_the_rest(hub: Running) -> None:
    for path in ("/livez", "/readyz", "/metrics", "/", "/client.js", "/favicon.svg", "/docs"):
        await ask(hub, "GET", path)
    for path in ("/docs/recipes", "/docs/openapi.json", "/docs/asyncapi.json", "/docs/docs.css"):
        assert (await ask(hub, "GET", path)).status == 200
    await ask(hub, "GET", "/assets/none.js")
    answer = await ask(hub, "GET", "/v1/ws")
    assert answer.status == 426


# The WebSocket


async def test_every_frame_is_as_it_is_described(start_hub: StartHub) -> None:
    """One conversation that hears every kind of frame; each is held against its schema."""
    hub = await start_hub(server={"ws_beat_seconds": 0.2})
    socket = await hub.client.ws_connect("/v1/ws", protocols=["hub.v1"])
    heard: list[dict[str, Any]] = []

    async def hear(kind: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            while True:
                heard.append(await socket.receive_json())
                if heard[-1]["type"] == kind:
                    return heard[-1]

    async def tell(command: str, **fields: Any) -> dict[str, Any]:
        asked = {"type": command, "id": command, **fields}
        validator(asyncapi_document(), command.title()).validate(asked)
        await socket.send_json(asked)
        answer = await hear("ok")
        while answer.get("id") != command:
            answer = await hear("ok")
        validator(asyncapi_document(), f"{command.title()}Ok").validate(answer)
        return answer

    await tell("subscribe", stream="later", wait=True)
    appended = await tell(
        "append", stream="a", event={"type": "message", "role": "user", "text": "a"}
    )
    await tell("subscribe", stream="a", **{"from": "start"})
    await tell("presence", stream="a", state={"name": "Ann"}, member="me")
    await hear("presence")
    await tell("presence", stream="a", state=None, member="me")
    await tell("ping")
    await tell("fork", stream="b", source="a", position=appended["position"])
    begun = await tell("generate", stream="a", prompt="long")
    await hear("events")
    await tell("cancel", generation=begun["generation"])
    await tell("unsubscribe", stream="a")
    await tell("subscribe", stream="a", **{"from": f"{'9' * 16}_{'0' * 16}"})
    await hear("reset")
    await hub.client.put("/v1/stream/c", headers={**JSON, "Stream-Closed": "true"})
    await tell("subscribe", stream="c", **{"from": "start"})
    await hear("closed")
    await hear("beat")
    await socket.send_json({"type": "auth", "token": "t", "id": 1})
    refused = [await hear("error")]
    for wrong in (
        "{",
        "[]",
        '{"type":"no"}',
        '{"type":"subscribe","id":2}',
        '{"type":"ping","a":1}',
    ):
        await socket.send_str(wrong)
        refused.append(await hear("error"))
    await socket.send_bytes(b"a")
    refused.append(await hear("error"))
    assert {error["code"] for error in refused} == {
        "not_supported", "bad_json", "bad_command", "bad_frame",
    }  # fmt: skip
    closing = asyncio.create_task(hub.client.server.close())
    await hear("draining")
    assert close_code(socket, await socket.receive()) == 4000
    await closing
    for frame in heard:
        if frame["type"] != "ok":
            validator(asyncapi_document(), f"{frame['type'].title()}Frame").validate(frame)
        for event in frame.get("events", ()):
            validator(asyncapi_document(), "Event").validate(event)
    kinds = {frame["type"] for frame in heard}
    assert kinds == {
        "ok", "error", "events", "reset", "closed", "presence", "beat", "draining",
    }  # fmt: skip


def test_frames_are_held_against_schemas_that_can_fail() -> None:
    for name in COMMANDS:
        assert not validator(asyncapi_document(), f"{name}Ok").is_valid({"type": "error"})
    assert not validator(asyncapi_document(), "EventsFrame").is_valid(
        {"type": "events", "stream": "a"}
    )
    assert isinstance(validator(asyncapi_document(), "Event"), Draft202012Validator)
