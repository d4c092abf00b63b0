"""The official `openai` client is told of every failure, and never takes one for an end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator
from io import BytesIO
from typing import Any, Final

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from hub.domain.generation_request import GenerationRequest
from tests.conftest import StartHub
from tests.support.openai_client import HELLO, World, completing, request, text_of
from tests.support.raw_socket import RETRY_AFTER, exchange
from tests.support.upstream_answers import Answer, Ending, Gate, Step, openai_block, refusal


@pytest.fixture
async def world(start_hub: StartHub) -> AsyncIterator[World]:
    async with completing(start_hub, default_upstream="scripted") as made:
        yield made


async def until_it_breaks(
    stream: AsyncIterable[ChatCompletionChunk], given: list[ChatCompletionChunk]
) -> None:
    """Take what comes; the stream must raise, for else it has ended."""
    async for chunk in stream:
        given.append(chunk)  # noqa: PERF401 - those before the error count


# Errors before the first word


async def test_an_unknown_model_is_not_found(world: World) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await world.begin(model="gpt-9")
    assert caught.value.code == "model_not_found"
    assert caught.value.type == "invalid_request_error"
    assert "gpt-9" in caught.value.message


@pytest.mark.parametrize(
    "wrong", [{"n": 2}, {"messages": []}, {"stream_options": {"x": []}, "n": 0}]
)
async def test_a_malformed_request_is_a_bad_request(wrong: dict[str, Any], world: World) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await world.begin(model="demo", **wrong)
    assert (caught.value.code, caught.value.type) == ("bad_request", "invalid_request_error")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("answer", "raised", "code"),
    [
        (refusal(429, "slow down"), openai.RateLimitError, "upstream_rate_limited"),
        # The client's own key is not at fault, so it must not be told 401.
        (refusal(401, "bad key"), openai.InternalServerError, "upstream_unauthorized"),
        (refusal(500, "oops"), openai.InternalServerError, "upstream_error"),
        (Answer(b"<html>", type="text/html"), openai.InternalServerError, "upstream_html"),
        (Answer(Ending.CLOSE), openai.InternalServerError, "upstream_truncated"),
    ],
    ids=["429", "401", "500", "HTML", "nothing"],
)
async def test_an_upstream_that_fails_before_the_first_word_is_a_status(
    answer: Answer, raised: type[openai.APIStatusError], code: str, stream: bool, world: World
) -> None:
    world.upstream.answers(answer)
    with pytest.raises(raised) as caught:
        await world.client.chat.completions.create(model="scripted", messages=HELLO, stream=stream)
    assert caught.value.code == code
    assert caught.value.type == "upstream_error"


async def test_as_many_generations_as_may_run_are_a_limit_that_says_when_to_come_back(
    start_hub: StartHub,
) -> None:
    async with completing(start_hub, limits={"generations": 1}) as world:
        await world.running.hub.generations.start(GenerationRequest(prompt="stall"))
        with pytest.raises(openai.RateLimitError) as caught:
            await world.begin(model="demo")
    assert caught.value.code == "limit_exceeded"
    assert caught.value.response.headers["Retry-After"] in RETRY_AFTER


# Errors after it


BROKEN: Final[dict[str, tuple[Step, ...]]] = {
    "error": (openai_block(None, error={"message": "out of luck"}),),
    "error after the end": (
        openai_block({}, finish_reason="stop"),
        openai_block(None, error={"message": "out of luck"}),
        b"data: [DONE]\n\n",
    ),
    "no terminator": (),
    "close": (Ending.CLOSE,),
    "reset": (Ending.RESET,),
    "nonsense": (b"data: {nonsense\n\n",),
}


@pytest.mark.parametrize("how", BROKEN)
async def test_an_answer_that_breaks_off_is_an_error_and_never_an_end(
    how: str, world: World
) -> None:
    gate = Gate()
    world.upstream.answers(Answer(openai_block({"content": "Hel"}), gate, *BROKEN[how]))
    stream = await world.begin()
    gate.open()
    given: list[ChatCompletionChunk] = []
    with pytest.raises(openai.APIError):
        await until_it_breaks(stream, given)
    assert text_of(given) == "Hel"
    assert not [c for c in given if c.choices and c.choices[0].finish_reason]


@pytest.mark.parametrize("how", BROKEN)
async def test_an_answer_that_breaks_off_is_a_status_where_it_is_not_streamed(
    how: str, world: World
) -> None:
    world.upstream.answers(Answer(openai_block({"content": "Hel"}), *BROKEN[how]))
    with pytest.raises(openai.InternalServerError) as caught:
        await world.client.chat.completions.create(model="scripted", messages=HELLO)
    assert caught.value.status_code == 502


async def test_the_last_words_of_a_broken_answer_are_the_error_and_the_body_stays_open(
    world: World,
) -> None:
    """Other clients than this one: an explicit error, no `[DONE]`, no clean end."""
    world.upstream.answers(Answer(openai_block({"content": "Hel"}), Ending.CLOSE))
    given = await exchange(world.running.client.port, request("scripted", "Hello", b"1.1"))
    assert given.startswith(b"HTTP/1.1 200 OK")
    assert b"[DONE]" not in given
    assert not given.endswith(b"0\r\n\r\n")
    last = given.rpartition(b"data: ")[2].partition(b"\n\n")[0]
    error = json.loads(last)["error"]
    assert error["code"] == "upstream_truncated"
    assert "closed the connection" in error["message"]


async def test_a_cancel_by_somebody_else_is_an_error_with_a_reason(world: World) -> None:
    world.upstream.answers(Answer(openai_block({"content": "Hel"}), Ending.HANG))
    raw = await world.client.chat.completions.with_raw_response.create(
        model="scripted", messages=HELLO, stream=True
    )
    generation = await world.running.hub.generations.cancel(raw.headers["Streamhub-Generation"])
    assert generation.state == "cancelled"
    given: list[ChatCompletionChunk] = []
    with pytest.raises(openai.APIError, match="stopped before its end"):
        await until_it_breaks(raw.parse(), given)
    assert text_of(given) == "Hel"


# Their shape


async def answered(world: World, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    sent = {"Content-Type": "application/json", **headers}
    async with world.running.client.post(
        "/v1/chat/completions", data=BytesIO(body), headers=sent
    ) as response:
        held = await response.json()
        assert set(held) == {"error"}
        assert set(held["error"]) == {"message", "type", "param", "code"}
        assert held["error"]["message"]
        return response.status, held["error"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{nonsense", {}, 400, "bad_json"),
        (b"[]", {}, 400, "bad_request"),
        (b'{"model":"demo","messages":"Hi"}', {}, 400, "bad_request"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "unsupported_type"),
        (b"{}", {"Origin": "https://evil.example"}, 403, "origin_not_allowed"),
        (b'{"x":"' + b"x" * 20 * 2**20 + b'"}', {}, 413, "http_413"),
    ],
    ids=["nonsense", "list", "messages", "type", "origin", "too large"],
)
async def test_every_error_has_the_shape_that_openais_have(
    body: bytes, headers: dict[str, str], status: int, code: str, world: World
) -> None:
    found, error = await answered(world, body, **headers)
    assert (found, error["code"], error["type"]) == (status, code, "invalid_request_error")


async def test_an_option_that_the_upstream_cannot_take_is_refused_by_its_name(
    start_hub: StartHub,
) -> None:
    table = {"dialect": "anthropic", "url": "http://127.0.0.1:9", "model": "m-1"}
    running = await start_hub(upstreams={"claude": table})
    body = {"model": "claude", "messages": HELLO, "logit_bias": {"1": 2}}
    async with running.client.post("/v1/chat/completions", json=body) as response:
        assert response.status == 400
        error = (await response.json())["error"]
    assert "logit_bias" in error["message"]
    assert (error["code"], error["type"]) == ("unsupported_option", "invalid_request_error")


async def test_one_model_is_shown_by_any_of_its_names(world: World) -> None:
    for name in ("demo", "scripted", "scripted/m-2", "m-1"):
        assert (await world.client.models.retrieve(name)).id == name
    with pytest.raises(openai.NotFoundError) as caught:
        await world.client.models.retrieve("gpt-9")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/completions", "/v1/chat/completions"),
        ("/embeddings", "embeddings"),
        ("/responses/compact", "does not compact responses"),
        ("/images/generations", "images"),
        ("/conversations", "previous_response_id"),
        ("/v1/chat/completions", "the base URL of a hub ends with /v1"),
    ],
)
async def test_what_a_hub_does_not_have_says_what_to_use(
    path: str, says: str, world: World
) -> None:
    with pytest.raises(openai.NotFoundError, match=says) as caught:
        await world.client.post(path, cast_to=object, body={"model": "scripted"})
    assert caught.value.code == "not_found"
    assert caught.value.type == "invalid_request_error"


async def test_a_base_url_without_its_end_says_so(world: World) -> None:
    client = world.client.with_options(base_url=str(world.running.client.make_url("/")))
    with pytest.raises(openai.NotFoundError, match="the base URL of a hub ends with /v1"):
        await client.chat.completions.create(model="scripted", messages=HELLO)
