"""Every response has a name, errors have their clients' shape, and the demo knows its models."""

from __future__ import annotations

import re
from typing import Any, Final

import openai
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from hub import Config, setup
from hub.domain.events import Delta, Event, Finished, Started, ToolCall, encode
from hub.domain.generation import Generation
from hub.domain.records import Position, Record
from hub.frames.coalesce import merge
from hub.frames.encoder import Batch
from hub.protocols.openai.chat_chunks import Chunks
from tests.conftest import StartHub
from tests.support.openai_client import HELLO, World, completing, said
from tests.support.upstream_answers import Answer, Step, openai_block, openai_sse

MADE: Final = re.compile(r"req_[0-9a-f]{32}")

ANYWHERE: Final = (
    ("GET", "/livez", None),
    ("GET", "/nowhere", None),
    ("DELETE", "/livez", None),
    ("GET", "/v1/embeddings", None),
    ("DELETE", "/v1/chat/completions", None),
    ("GET", "/v1/live/none", None),
    ("GET", "/v1/live/none?wait=true", None),
    ("GET", "/v1/stream/none", None),
    ("POST", "/v1/generations", {"prompt": "hi"}),
    ("POST", "/v1/generations", {"prompt": 1}),
    ("POST", "/v1/chat/completions", {"model": "demo", "messages": HELLO, "stream": True}),
    ("POST", "/v1/chat/completions", {"model": "none", "messages": HELLO}),
    ("POST", "/v1/responses", {"model": "demo", "input": "hi", "stream": True}),
    ("GET", "/v1/ws", None),
)


@pytest.mark.parametrize(("method", "path", "body"), ANYWHERE)
async def test_every_response_has_a_name(
    method: str, path: str, body: Any, start_hub: StartHub
) -> None:
    client = (await start_hub()).client
    async with client.request(method, path, json=body) as answer:
        assert MADE.fullmatch(answer.headers["x-request-id"])
    async with client.request(method, path, json=body, headers={"X-Request-ID": "a-1"}) as answer:
        assert answer.headers["x-request-id"] == "a-1"


@pytest.mark.parametrize("name", ["", "a b", "x" * 129, "é", "a\tb", "[a]", "-"])
async def test_what_is_no_name_is_replaced(name: str, start_hub: StartHub) -> None:
    client = (await start_hub()).client
    answer = await client.get("/livez", headers={"x-request-id": name})
    assert MADE.fullmatch(answer.headers["x-request-id"])


async def test_a_web_socket_and_what_is_no_http_have_one_too(start_hub: StartHub) -> None:
    client = (await start_hub()).client
    async with client.ws_connect("/v1/ws", headers={"x-request-id": "ws-1"}) as socket:
        assert socket._response.headers["x-request-id"] == "ws-1"


async def test_only_the_hubs_own_requests_in_another_application() -> None:
    app = web.Application()

    async def other(_: web.Request) -> web.Response:
        return web.Response()

    app.router.add_get("/other", other)
    setup(app, prefix="/hub", config=Config.model_validate({"store": {"url": "memory:"}}))
    async with TestClient(TestServer(app)) as client:
        assert "x-request-id" in (await client.get("/hub/livez")).headers
        assert "x-request-id" not in (await client.get("/other")).headers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions"),
        ("DELETE", "/v1/models"),
        ("PUT", "/v1/responses"),
        ("PATCH", "/v1/responses/resp_1"),
    ],
)
async def test_a_wrong_method_is_told_in_openais_shape(
    method: str, path: str, start_hub: StartHub
) -> None:
    client = (await start_hub()).client
    answer = await client.request(method, path)
    assert answer.status == 405
    assert answer.headers["Allow"]
    told = (await answer.json())["error"]
    assert told["type"] == "invalid_request_error"
    assert told["code"] == "http_405"
    assert told["param"] is None


async def test_a_field_at_fault_is_named(start_hub: StartHub) -> None:
    table = {"dialect": "anthropic", "url": "http://127.0.0.1:9", "retries": 0}
    async with completing(start_hub, server={"grace_seconds": 5.0}) as world:
        running = await start_hub(upstreams={"claude": table})
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"n": 2}, "n"),
            ({"stream": []}, "stream"),
            ({"messages": []}, "messages"),
            ({"model": "none"}, "model"),
        ]
        for fields, param in wrong:
            asked = {"model": "demo", "messages": HELLO, **fields}
            answer = await world.running.client.post("/v1/chat/completions", json=asked)
            assert (await answer.json())["error"]["param"] == param
        for stream in (True, False):
            asked = {"model": "claude", "messages": HELLO, "logit_bias": {"1": 1}, "stream": stream}
            answer = await running.client.post("/v1/chat/completions", json=asked)
            told = (await answer.json())["error"]
            assert (answer.status, told["code"]) == (400, "unsupported_option")
            assert told["param"] == "logit_bias"


# The demo's models


async def test_the_demo_knows_its_own_models(start_hub: StartHub) -> None:
    demo = {"dialect": "demo", "model": "demo-1", "options": {"pace": 100_000}}
    async with completing(start_hub) as world:
        running = await start_hub(upstreams={"tour": demo})
        for model in ("gpt-4o", "demo/gpt-4o"):
            with pytest.raises(openai.NotFoundError) as caught:
                await world.begin(model=model)
            assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
        for model in ("demo", "demo/demo"):
            await world.client.chat.completions.create(model=model, messages=said("echo hi"))
        for model, status in (("tour", 200), ("demo-1", 200), ("tour/demo-1", 200), ("x", 404)):
            asked = {"model": model, "messages": said("echo hi")}
            answer = await running.client.post("/v1/chat/completions", json=asked)
            assert answer.status == status
        begun = await running.client.post(
            "/v1/generations", json={"prompt": "hi", "upstream": "tour", "model": "gpt-4o"}
        )
        assert (begun.status, (await begun.json())["error"]["code"]) == (404, "model_not_found")
        assert (await running.client.get("/v1/models/gpt-4o")).status == 404


async def test_an_upstream_without_a_model_is_asked_for_any(start_hub: StartHub) -> None:
    async with completing(start_hub) as world:
        table = {"dialect": "openai-chat", "url": world.upstream.url}
        running = await start_hub(upstreams={"real": table}, default_upstream="real")
        world.upstream.answers(Answer(*openai_sse("Hi")))
        asked = {"model": "some-model", "messages": HELLO}
        answer = await running.client.post("/v1/chat/completions", json=asked)
        assert answer.status == 200
        assert world.upstream.requests[0].json["model"] == "some-model"


# The first chunk


CALL: Final = openai_block(
    {"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f", "arguments": "{}"}}]}
)


async def deltas(world: World, *steps: Step) -> list[dict[str, Any]]:
    world.upstream.answers(Answer(*steps))
    stream = await world.begin()
    return [c.choices[0].delta.model_dump(exclude_unset=True) async for c in stream if c.choices]


async def test_before_a_call_there_is_no_content(start_hub: StartHub) -> None:
    async with completing(start_hub) as world:
        called = await deltas(world, CALL, *openai_sse()[1:])
        assert called[0] == {"role": "assistant", "content": None}
        assert all(delta.get("content") is None for delta in called)
        spoken = await deltas(world, *openai_sse("Hi"))
        assert spoken[0] == {"role": "assistant", "content": ""}
        nothing = await deltas(world, *openai_sse())
        assert nothing == [{"role": "assistant", "content": ""}, {}]
        roles = ["role" in delta for delta in called + spoken]
        assert roles.count(True) == 2


def records(*events: Event) -> list[Record]:
    generation = Generation("s", "u", "m")
    generation.id = "gen_1"
    applied = [generation.apply(event) for event in (Started(), *events)]
    return [Record(at, encode(event), event) for at, event in enumerate(applied)]


@pytest.mark.parametrize(
    "first", [Delta(text="a"), Delta(reasoning="a"), Delta(tool=ToolCall(0, "t", "f"))]
)
def test_the_message_is_opened_once_however_often_a_frame_is_made(first: Delta) -> None:
    """A reader who could not be written to is told again, in pieces that were merged."""
    more: list[Event] = [Delta(text="b"), Delta(text="c"), Finished()]
    held = records(first, *more)
    made = Generation("s", "u", "m")
    made.id = "gen_1"
    for cut in range(1, len(held) + 1):
        chunks = Chunks(made, include_usage=False)
        told = chunks.events(Batch("s", held[:cut], Position(0, cut)))
        for start in range(cut + 1):
            rest = held[start:]
            if not rest:
                continue
            batch = Batch("s", merge(rest), Position(0, len(held)), start=start)
            again = chunks.events(batch)
            opened = told.count(b'"role"') if start == cut else int(cut >= 2 and start >= 2)
            assert opened + again.count(b'"role"') == 1
